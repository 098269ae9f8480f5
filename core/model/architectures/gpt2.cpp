// SPDX-License-Identifier: Apache-2.0
// GPT-2. Its linear layers are Conv1D: weights stored (in, out); q, k and v are one matrix. transformers, models/gpt2.
#include <fmt/format.h>

#include "core/model/architectures/architecture.h"
#include "core/model/architectures/config_fields.h"

namespace lqer {

namespace {

void readConfig(const JsonReader &json, ModelConfig &config)
{
    config.hidden = readExtent(json, "n_embd", mostHidden);
    config.intermediate = json.integer("n_inner", 1, mostHidden, 4 * config.hidden);
    config.layers = readExtent(json, "n_layer", mostLayers);
    config.heads = readExtent(json, "n_head", config.hidden);
    config.kvHeads = config.heads;
    config.vocabulary = readExtent(json, "vocab_size", mostVocabulary);
    config.maxPositions = readExtent(json, "n_positions", mostPositions);
    divideHidden(json, "n_head", config);
    config.embeddingDim = config.hidden;

    config.norm = NormKind::Layer;
    config.normEps = readNormEps(json, "layer_norm_epsilon", 1e-5, config);
    config.activation = readActivation(json, "activation_function", "gelu_new");
    config.attentionBias = config.mlpBias = true;
    config.attentionScaled = json.boolean("scale_attn_weights", true);
    config.attentionScaledByLayer = json.boolean("scale_attn_by_inverse_layer_idx", false);
    if (json.boolean("add_cross_attention", false))
        failUnsupported(json["add_cross_attention"], "cross attention is not supported");
    config.positions = PositionKind::Learned;
    config.tiedEmbeddings = json.boolean("tie_word_embeddings", true);
}

ModelLayout layout(const ModelConfig &config)
{
    const auto norm = [](const std::string &module) { return NormLayout{module + ".weight", module + ".bias"}; };
    ModelLayout layout;
    layout.trunk = "transformer.";
    layout.storedTrunks = {"transformer.", ""};
    layout.blockPrefix = "transformer.h.";
    layout.tokenEmbedding = "transformer.wte.weight";
    layout.positionEmbedding = "transformer.wpe.weight";
    layout.finalNorm = norm("transformer.ln_f");
    layout.head = "lm_head.weight";
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        const std::string block = fmt::format("transformer.h.{}.", layer);
        const auto linear = [&](std::string_view module, LinearRole role, std::int64_t in, std::int64_t out) {
            LinearSite site = linearSite(fmt::format("{}{}", block, module), layer, role, in, out, true);
            site.storedTransposed = true;
            return site;
        };
        BlockTensors &names = layout.blocks.emplace_back();
        names.attentionNorm = norm(block + "ln_1");
        names.mlpNorm = norm(block + "ln_2");
        names.linears = {
            linear("attn.c_attn", LinearRole::FusedQkv, config.hidden, 3 * config.hidden),
            linear("attn.c_proj", LinearRole::Output, config.hidden, config.hidden),
            linear("mlp.c_fc", LinearRole::Fc1, config.hidden, config.intermediate),
            linear("mlp.c_proj", LinearRole::Fc2, config.intermediate, config.hidden),
        };
    }
    return layout;
}

}  // namespace

Architecture gpt2Architecture()
{
    return {"gpt2", {"GPT2LMHeadModel"}, readConfig, layout};
}

}  // namespace lqer
