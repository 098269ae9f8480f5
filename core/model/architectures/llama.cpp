// SPDX-License-Identifier: Apache-2.0
// LLaMA 1, 2, 3 and what is built like them (Vicuna, TinyLlama). transformers, models/llama.
#include <fmt/format.h>

#include "core/model/architectures/architecture.h"
#include "core/model/architectures/config_fields.h"

namespace lqer {

void readLlamaConfig(const JsonReader &json, ModelConfig &config, std::int64_t defaultKvHeads)
{
    config.hidden = readExtent(json, "hidden_size", mostHidden);
    config.intermediate = readExtent(json, "intermediate_size", mostHidden);
    config.layers = readExtent(json, "num_hidden_layers", mostLayers);
    config.heads = readExtent(json, "num_attention_heads", config.hidden);
    config.vocabulary = readExtent(json, "vocab_size", mostVocabulary);
    config.maxPositions = readExtent(json, "max_position_embeddings", mostPositions);
    config.embeddingDim = config.hidden;

    // null counts as the number of heads, a missing key as the class's default.
    const bool stated = json.value().find("num_key_value_heads");
    config.kvHeads = stated || defaultKvHeads == 0 ? json.integer("num_key_value_heads", 1, config.heads, config.heads)
                                                   : defaultKvHeads;
    if (config.heads % config.kvHeads != 0)
        json["num_attention_heads"].fail(
            fmt::format("{} heads cannot share {} key/value heads evenly", config.heads, config.kvHeads));
    if (json.has("head_dim"))
        config.headDim = readExtent(json, "head_dim", mostHidden);
    else
        divideHidden(json, "num_attention_heads", config);
    if (config.headDim % 2 != 0)
        json.fail(fmt::format("the head dimension must be even for rotary positions, found {}", config.headDim));

    config.norm = NormKind::Rms;
    config.normEps = readNormEps(json, "rms_norm_eps", 1e-6, config);
    config.activation = readActivation(json, "hidden_act", "silu");
    config.attentionBias = json.boolean("attention_bias", false);
    config.mlpBias = json.boolean("mlp_bias", false);
    config.tiedEmbeddings = json.boolean("tie_word_embeddings", false);
    readRope(json, config);
}

ModelLayout llamaLayout(const ModelConfig &config)
{
    ModelLayout layout;
    layout.trunk = "model.";
    layout.storedTrunks = {"model.", ""};
    layout.blockPrefix = "model.layers.";
    layout.tokenEmbedding = "model.embed_tokens.weight";
    layout.finalNorm = {"model.norm.weight", ""};
    layout.head = "lm_head.weight";
    const std::int64_t queries = config.heads * config.headDim;
    const std::int64_t keys = config.kvHeads * config.headDim;
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        const std::string block = fmt::format("model.layers.{}.", layer);
        const auto linear = [&](std::string_view module, LinearRole role, std::int64_t in, std::int64_t out, bool bias,
                                std::string_view input) {
            return linearSite(fmt::format("{}{}", block, module), layer, role, in, out, bias, fmt::format("{}{}", block, input));
        };
        BlockTensors &names = layout.blocks.emplace_back();
        names.attentionNorm = {block + "input_layernorm.weight", ""};
        names.mlpNorm = {block + "post_attention_layernorm.weight", ""};
        // Shared inputs are measured at k_proj and gate_proj: numerics.md B.3.
        names.linears = {
            linear("self_attn.q_proj", LinearRole::Query, config.hidden, queries, config.attentionBias, "self_attn.k_proj"),
            linear("self_attn.k_proj", LinearRole::Key, config.hidden, keys, config.attentionBias, "self_attn.k_proj"),
            linear("self_attn.v_proj", LinearRole::Value, config.hidden, keys, config.attentionBias, "self_attn.k_proj"),
            linear("self_attn.o_proj", LinearRole::Output, queries, config.hidden, config.attentionBias, "self_attn.o_proj"),
            linear("mlp.gate_proj", LinearRole::Gate, config.hidden, config.intermediate, config.mlpBias, "mlp.gate_proj"),
            linear("mlp.up_proj", LinearRole::Up, config.hidden, config.intermediate, config.mlpBias, "mlp.gate_proj"),
            linear("mlp.down_proj", LinearRole::Down, config.intermediate, config.hidden, config.mlpBias, "mlp.down_proj"),
        };
    }
    return layout;
}

Architecture llamaArchitecture()
{
    return {"llama",
            {"LlamaForCausalLM", "LLaMAForCausalLM"},
            [](const JsonReader &json, ModelConfig &config) { readLlamaConfig(json, config, 0); },
            llamaLayout};
}

}  // namespace lqer
