// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/quantized_base.h"
#include "core/model/transformer.h"
#include "core/text/tokenizer.h"

namespace lqer {

// What a person wants to know about a checkpoint at a glance.
struct ModelSummary {
    std::string folder;        // as given
    std::string fingerprint;   // Checkpoint::fingerprint()
    std::string family;        // "llama"
    std::string architecture;  // "LlamaForCausalLM"
    std::int64_t parameters = 0;
    std::int64_t layers = 0;
    std::int64_t hidden = 0;
    std::int64_t intermediate = 0;
    std::int64_t heads = 0;
    std::int64_t kvHeads = 0;
    std::int64_t vocabulary = 0;
    std::int64_t contextLength = 0;
    bool tiedEmbeddings = false;
    std::int64_t linearLayers = 0;        // that can be quantized
    std::int64_t linearParameters = 0;    // in their weights
    std::map<std::string, std::uint64_t> dtypes;  // element type -> bytes stored in it
    std::uint64_t bytes = 0;              // of all tensors
    std::string tokenizer;                // description, or why there is none
    bool hasTokenizer = false;
    std::vector<std::string> warnings;    // odd, but no reason to refuse
};

// An opened checkpoint. Immutable, thread-safe; holds file descriptors, no weights.
class LoadedModel {
public:
    // Throws what Checkpoint and Transformer throw; a tokenizer that cannot be used becomes tokenizerProblem(). The fingerprint is
    // made in the form of `like`, a project's, if there is one (Checkpoint::fingerprint).
    explicit LoadedModel(const std::string &folder, std::optional<std::string_view> like = {});
    // The same checkpoint with W_q from an existing quantization of it.
    LoadedModel(const LoadedModel &model, std::shared_ptr<const QuantizedBase> base);

    const Checkpoint &checkpoint() const { return *m_checkpoint; }
    const Transformer &transformer() const { return *m_transformer; }
    // Null without one: tokenizerProblem() says why.
    const Tokenizer *tokenizer() const { return m_tokenizer.get(); }
    const std::string &tokenizerProblem() const { return m_tokenizerProblem; }
    const ModelSummary &summary() const { return m_summary; }
    // Where W_q comes from; null: the recipe's formats compute it.
    const QuantizedBase *base() const { return m_base.get(); }
    // Identifies one weight: changes whenever the checkpoint does.
    std::string weightFingerprint(const LinearSite &site) const;

private:
    std::shared_ptr<const Checkpoint> m_checkpoint;
    std::shared_ptr<const Transformer> m_transformer;
    std::shared_ptr<const Tokenizer> m_tokenizer;
    std::shared_ptr<const QuantizedBase> m_base;
    std::string m_tokenizerProblem;
    ModelSummary m_summary;
};

}  // namespace lqer
