// SPDX-License-Identifier: Apache-2.0
// OPT, all sizes; 350m has its norms behind the sums and narrower embeddings. transformers, models/opt.
#include <fmt/format.h>

#include "core/model/architectures/architecture.h"
#include "core/model/architectures/config_fields.h"

namespace lqer {

namespace {

void readConfig(const JsonReader &json, ModelConfig &config)
{
    config.hidden = readExtent(json, "hidden_size", mostHidden);
    config.intermediate = readExtent(json, "ffn_dim", mostHidden);
    config.layers = readExtent(json, "num_hidden_layers", mostLayers);
    config.heads = readExtent(json, "num_attention_heads", config.hidden);
    config.kvHeads = config.heads;
    config.vocabulary = readExtent(json, "vocab_size", mostVocabulary);
    config.maxPositions = readExtent(json, "max_position_embeddings", mostPositions);
    divideHidden(json, "num_attention_heads", config);
    config.embeddingDim = json.integer("word_embed_proj_dim", 1, mostHidden, config.hidden);

    config.norm = NormKind::Layer;
    config.normEps = 1e-5;  // torch.nn.LayerNorm's default; config.json has no key for it
    config.normBefore = json.boolean("do_layer_norm_before", true);
    config.normAffine = json.boolean("layer_norm_elementwise_affine", true);
    config.finalNorm = config.normBefore && !json.boolean("_remove_final_layer_norm", false);
    config.activation = readActivation(json, "activation_function", "relu");
    config.attentionBias = config.mlpBias = json.boolean("enable_bias", true);
    config.queryScaledFirst = true;
    config.positions = PositionKind::Learned;
    config.positionOffset = 2;  // rows 0 and 1 belonged to padding
    config.tiedEmbeddings = json.boolean("tie_word_embeddings", true);
}

ModelLayout layout(const ModelConfig &config)
{
    const auto norm = [&](const std::string &module) {
        return config.normAffine ? NormLayout{module + ".weight", module + ".bias"} : NormLayout{};
    };
    ModelLayout layout;
    layout.trunk = "model.decoder.";
    layout.storedTrunks = {"model.decoder.", "decoder.", ""};
    layout.blockPrefix = "model.decoder.layers.";
    layout.tokenEmbedding = "model.decoder.embed_tokens.weight";
    layout.positionEmbedding = "model.decoder.embed_positions.weight";
    if (config.finalNorm)
        layout.finalNorm = norm("model.decoder.final_layer_norm");
    layout.head = "lm_head.weight";
    if (config.embeddingDim != config.hidden) {
        layout.projectIn =
            linearSite("model.decoder.project_in", -1, LinearRole::ProjectIn, config.embeddingDim, config.hidden, false);
        layout.projectOut =
            linearSite("model.decoder.project_out", -1, LinearRole::ProjectOut, config.hidden, config.embeddingDim, false);
    }
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        const std::string block = fmt::format("model.decoder.layers.{}.", layer);
        const auto linear = [&](std::string_view module, LinearRole role, std::int64_t in, std::int64_t out,
                                std::string_view input) {
            return linearSite(fmt::format("{}{}", block, module), layer, role, in, out, config.attentionBias,
                              fmt::format("{}{}", block, input));
        };
        BlockTensors &names = layout.blocks.emplace_back();
        names.attentionNorm = norm(block + "self_attn_layer_norm");
        names.mlpNorm = norm(block + "final_layer_norm");
        names.linears = {
            linear("self_attn.q_proj", LinearRole::Query, config.hidden, config.hidden, "self_attn.k_proj"),
            linear("self_attn.k_proj", LinearRole::Key, config.hidden, config.hidden, "self_attn.k_proj"),
            linear("self_attn.v_proj", LinearRole::Value, config.hidden, config.hidden, "self_attn.k_proj"),
            linear("self_attn.out_proj", LinearRole::Output, config.hidden, config.hidden, "self_attn.out_proj"),
            linear("fc1", LinearRole::Fc1, config.hidden, config.intermediate, "fc1"),
            linear("fc2", LinearRole::Fc2, config.intermediate, config.hidden, "fc2"),
        };
    }
    return layout;
}

}  // namespace

Architecture optArchitecture()
{
    return {"opt", {"OPTForCausalLM"}, readConfig, layout};
}

}  // namespace lqer
