// SPDX-License-Identifier: Apache-2.0
#include "core/export/gguf_model.h"

#include <cmath>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/model/architectures/architecture.h"
#include "core/model/rotary.h"

namespace lqer {

namespace {

bool isGpt2(const ModelConfig &config) { return config.family == "gpt2"; }
// Mistral is llama.cpp's llama, too.
bool isLlama(const ModelConfig &config) { return config.family == "llama" || config.family == "mistral"; }

const char *linearName(LinearRole role)
{
    switch (role) {
    case LinearRole::Query: return "attn_q";
    case LinearRole::Key: return "attn_k";
    case LinearRole::Value: return "attn_v";
    case LinearRole::Output: return "attn_output";
    case LinearRole::FusedQkv: return "attn_qkv";
    case LinearRole::Gate: return "ffn_gate";
    case LinearRole::Up:
    case LinearRole::Fc1: return "ffn_up";
    case LinearRole::Down:
    case LinearRole::Fc2: return "ffn_down";
    case LinearRole::ProjectIn:
    case LinearRole::ProjectOut: break;
    }
    LQER_ASSERT(!"a layer of a family that llama.cpp does not have");
}

class EntryList {
public:
    explicit EntryList(const Transformer &model) : m_model(model), m_config(model.config()) {}

    std::vector<GgufEntry> make()
    {
        const ModelLayout &layout = m_model.layout();
        add("token_embd.weight", GgufEntry::Kind::Matrix, layout.tokenEmbedding);
        add("position_embd.weight", GgufEntry::Kind::Vector, layout.positionEmbedding);
        add("output_norm", layout.finalNorm);
        // llama.cpp takes the embedding for the head where there is none, in a llama; older versions want a gpt2 to have one.
        if (!m_config.tiedEmbeddings)
            add("output.weight", GgufEntry::Kind::Matrix, layout.head);
        else if (isGpt2(m_config))
            add("output.weight", GgufEntry::Kind::Matrix, layout.tokenEmbedding);
        if (ggufFrequencyDivisors(m_config).size() > 0)
            m_entries.push_back({.name = "rope_freqs.weight", .kind = GgufEntry::Kind::Frequencies});
        for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
            const std::string block = fmt::format("blk.{}.", i);
            add(block + "attn_norm", layout.blocks[i].attentionNorm);
            add(block + "ffn_norm", layout.blocks[i].mlpNorm);
            for (const LinearSite &site : layout.blocks[i].linears)
                add(block, *m_model.findLinear(site.name));
        }
        return std::move(m_entries);
    }

private:
    void add(std::string name, GgufEntry::Kind kind, const std::string &stored)
    {
        if (!stored.empty())
            m_entries.push_back({.name = std::move(name), .kind = kind, .stored = stored});
    }
    void add(const std::string &name, const NormLayout &norm)
    {
        add(name + ".weight", GgufEntry::Kind::Vector, norm.weight);
        add(name + ".bias", GgufEntry::Kind::Vector, norm.bias);
    }
    void add(const std::string &block, const LinearSite &site)
    {
        const std::string name = block + linearName(site.role);
        const bool rotated = m_config.positions == PositionKind::Rotary;
        const std::int64_t heads = rotated && site.role == LinearRole::Query ? m_config.heads
            : rotated && site.role == LinearRole::Key                       ? m_config.kvHeads
                                                                            : 0;
        m_entries.push_back({.name = name + ".weight", .kind = GgufEntry::Kind::Weight, .site = &site, .pairedHeads = heads});
        if (site.hasBias)
            m_entries.push_back({.name = name + ".bias", .kind = GgufEntry::Kind::Bias, .site = &site, .pairedHeads = heads});
    }

    const Transformer &m_model;
    const ModelConfig &m_config;
    std::vector<GgufEntry> m_entries;
};

// What YaRN multiplies cosine and sine by if nothing else is said; llama.cpp computes it by itself.
double usualAttentionFactor(const RopeScaling &scaling) { return 0.1 * std::log(scaling.factor) + 1; }

}  // namespace

std::string ggufArchitecture(const ModelConfig &config)
{
    if (isLlama(config))
        return "llama";
    if (isGpt2(config))
        return "gpt2";
    throw Error(ErrorCode::Unsupported, fmt::format("llama.cpp has no architecture for {} models", config.family));
}

std::vector<GgufEntry> ggufEntries(const Transformer &model)
{
    ggufArchitecture(model.config());
    return EntryList(model).make();
}

std::vector<Index> pairedRows(std::int64_t rows, std::int64_t heads)
{
    LQER_ASSERT(heads > 0 && rows % (2 * heads) == 0);
    const std::int64_t half = rows / heads / 2;
    std::vector<Index> order;
    for (std::int64_t head = 0; head < heads; ++head)
        for (std::int64_t i = 0; i < half; ++i)
            for (std::int64_t part = 0; part < 2; ++part)
                order.push_back((head * 2 + part) * half + i);
    return order;
}

Vector ggufFrequencyDivisors(const ModelConfig &config)
{
    if (config.positions != PositionKind::Rotary || config.ropeScaling.kind != RopeScaling::Kind::Llama3)
        return {};
    ModelConfig plain = config;
    plain.ropeScaling = {};
    return inverseFrequencies(plain, 1).cwiseQuotient(inverseFrequencies(config, 1));
}

GgufMetadata ggufHyperparameters(const ModelConfig &config)
{
    const std::string architecture = ggufArchitecture(config);
    GgufMetadata keys;
    const auto count = [&](const char *key, std::int64_t value) {
        keys.emplace_back(fmt::format("{}.{}", architecture, key), static_cast<std::uint32_t>(value));
    };
    const auto real = [&](const char *key, double value) {
        keys.emplace_back(fmt::format("{}.{}", architecture, key), static_cast<float>(value));
    };
    keys.emplace_back("general.architecture", architecture);
    count("vocab_size", config.vocabulary);
    count("context_length", config.maxPositions);
    count("embedding_length", config.hidden);
    count("block_count", config.layers);
    count("feed_forward_length", config.intermediate);
    count("attention.head_count", config.heads);
    if (isGpt2(config)) {
        real("attention.layer_norm_epsilon", config.normEps);
        return keys;
    }
    count("attention.head_count_kv", config.kvHeads);
    count("attention.key_length", config.headDim);
    count("attention.value_length", config.headDim);
    real("attention.layer_norm_rms_epsilon", config.normEps);
    count("rope.dimension_count", config.headDim);
    real("rope.freq_base", config.ropeTheta);
    const RopeScaling &scaling = config.ropeScaling;
    if (scaling.kind == RopeScaling::Kind::Linear || scaling.kind == RopeScaling::Kind::Yarn) {
        const bool yarn = scaling.kind == RopeScaling::Kind::Yarn;
        keys.emplace_back(architecture + ".rope.scaling.type", std::string(yarn ? "yarn" : "linear"));
        real("rope.scaling.factor", scaling.factor);
        if (yarn) {
            count("rope.scaling.original_context_length", scaling.originalMaxPositions);
            real("rope.scaling.attn_factor", scaling.attentionFactor / usualAttentionFactor(scaling));
        }
    }
    return keys;
}

std::vector<ExportProblem> ggufModelProblems(const ModelConfig &config)
{
    if (!isLlama(config) && !isGpt2(config))
        return {exportError("model", fmt::format("llama.cpp has no architecture for {} models ({}); merged and peft exports "
                                                 "hold them",
                                                 config.family, config.architecture))};
    std::vector<ExportProblem> problems;
    const auto refuse = [&](std::string message) { problems.push_back(exportError("model", std::move(message))); };
    const auto warn = [&](std::string message) { problems.push_back(exportWarning("model", std::move(message))); };
    if (isLlama(config) && config.activation != Activation::Silu)
        refuse("llama.cpp runs every llama with SiLU, this model has another activation function");
    if (isGpt2(config)) {
        if (config.activation != Activation::Gelu && config.activation != Activation::GeluTanh)
            refuse("llama.cpp runs every gpt2 with GELU, this model has another activation function");
        if (config.activation == Activation::Gelu)
            warn("llama.cpp computes GELU by its tanh approximation, this model has the exact one; log-probabilities differ by "
                 "about 1e-3");
        if (!config.attentionScaled || config.attentionScaledByLayer)
            refuse("llama.cpp scales the attention scores of every gpt2 by 1/sqrt(head dimension), this model does otherwise");
    }
    if (config.slidingWindow > 0 && config.slidingWindow < config.maxPositions)
        warn(fmt::format("its attention sees {} tokens back, llama.cpp's sees everything: texts longer than that get other "
                         "results",
                         config.slidingWindow));
    const RopeScaling &scaling = config.ropeScaling;
    if (scaling.kind == RopeScaling::Kind::Dynamic)
        warn(fmt::format("llama.cpp has no dynamic rotary scaling: texts longer than {} tokens get other results",
                         config.maxPositions));
    if (scaling.kind == RopeScaling::Kind::Yarn && (scaling.betaFast != 32 || scaling.betaSlow != 1))
        refuse(fmt::format("llama.cpp's YaRN has beta_fast 32 and beta_slow 1, this model {} and {}", scaling.betaFast,
                           scaling.betaSlow));
    return problems;
}

}  // namespace lqer
