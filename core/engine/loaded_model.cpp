// SPDX-License-Identifier: Apache-2.0
#include "core/engine/loaded_model.h"

#include "core/base/error.h"
#include "core/base/hash.h"

namespace lqer {

LoadedModel::LoadedModel(const std::string &folder, std::optional<std::string_view> like)
    : m_checkpoint(std::make_shared<Checkpoint>(folder)), m_transformer(std::make_shared<Transformer>(m_checkpoint))
{
    try {
        m_tokenizer = loadTokenizer(folder);
    } catch (const Error &error) {
        m_tokenizerProblem = error.what();
    }

    const ModelConfig &config = m_transformer->config();
    m_summary.folder = folder;
    m_summary.fingerprint = like ? m_checkpoint->fingerprint(*like) : m_checkpoint->fingerprint();
    m_summary.family = config.family;
    m_summary.architecture = config.architecture;
    m_summary.parameters = m_transformer->parameters();
    m_summary.layers = config.layers;
    m_summary.hidden = config.hidden;
    m_summary.intermediate = config.intermediate;
    m_summary.heads = config.heads;
    m_summary.kvHeads = config.kvHeads;
    m_summary.vocabulary = config.vocabulary;
    m_summary.contextLength = config.maxPositions;
    m_summary.tiedEmbeddings = config.tiedEmbeddings;
    for (const LinearSite &site : m_transformer->linearSites()) {
        ++m_summary.linearLayers;
        m_summary.linearParameters += site.in * site.out;
    }
    for (const std::string &name : m_checkpoint->names()) {
        const TensorInfo &info = *m_checkpoint->find(name);
        m_summary.dtypes[std::string(toString(info.dtype))] += info.bytes;
        m_summary.bytes += info.bytes;
    }
    m_summary.hasTokenizer = m_tokenizer != nullptr;
    m_summary.tokenizer = m_tokenizer ? m_tokenizer->description() : m_tokenizerProblem;
    m_summary.warnings = m_transformer->warnings();
    if (m_tokenizer && m_tokenizer->size() > config.vocabulary)
        m_summary.warnings.push_back("the tokenizer knows ids beyond the model's vocabulary; a text that uses them is refused");
}

LoadedModel::LoadedModel(const LoadedModel &model, std::shared_ptr<const QuantizedBase> base) : LoadedModel(model)
{
    m_base = std::move(base);
}

std::string LoadedModel::weightFingerprint(const LinearSite &site) const
{
    return Hasher().add(m_summary.fingerprint).add(site.weightTensor).hex();
}

}  // namespace lqer
