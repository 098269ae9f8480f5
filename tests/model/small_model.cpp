// SPDX-License-Identifier: Apache-2.0
#include "tests/model/small_model.h"

#include <cmath>
#include <fstream>
#include <random>

#include <fmt/format.h>

#include "core/io/safetensors.h"

namespace lqer::test {

namespace {

Json withChanges(Json config, const Json::Object &changes)
{
    for (const auto &[key, value] : changes)
        config.set(key, value);
    return config;
}

std::int64_t integer(const Json &config, const char *key)
{
    return config.find(key)->asInteger();
}

bool flag(const Json &config, const char *key, bool fallback)
{
    const Json *value = config.find(key);
    return value && value->isBool() ? value->asBool() : fallback;
}

void add(SmallModel &model, const std::string &name, const Shape &shape, double deviation, double mean = 0)
{
    model.tensors.insert_or_assign(name, randomTensor(name, shape, deviation, mean));
}

// weight (out, in) or, as Conv1D, (in, out).
void addLinear(SmallModel &model, const std::string &module, std::int64_t in, std::int64_t out, bool bias,
               bool transposed = false)
{
    add(model, module + ".weight", transposed ? Shape{in, out} : Shape{out, in}, 1 / std::sqrt(static_cast<double>(in)));
    if (bias)
        add(model, module + ".bias", {out}, 0.3);
}

void addNorm(SmallModel &model, const std::string &module, std::int64_t features, bool bias)
{
    add(model, module + ".weight", {features}, 0.2, 1);
    if (bias)
        add(model, module + ".bias", {features}, 0.2);
}

void addLlamaTensors(SmallModel &model)
{
    const Json &config = model.config;
    const std::int64_t hidden = integer(config, "hidden_size");
    const std::int64_t inner = integer(config, "intermediate_size");
    const std::int64_t heads = integer(config, "num_attention_heads");
    const Json *dim = config.find("head_dim");
    const std::int64_t headDim = dim ? dim->asInteger() : hidden / heads;
    const std::int64_t kv = integer(config, "num_key_value_heads") * headDim;
    const bool attentionBias = flag(config, "attention_bias", false);
    const bool mlpBias = flag(config, "mlp_bias", false);
    add(model, "model.embed_tokens.weight", {integer(config, "vocab_size"), hidden}, 1);
    for (std::int64_t layer = 0; layer < integer(config, "num_hidden_layers"); ++layer) {
        const std::string block = fmt::format("model.layers.{}.", layer);
        addNorm(model, block + "input_layernorm", hidden, false);
        addNorm(model, block + "post_attention_layernorm", hidden, false);
        addLinear(model, block + "self_attn.q_proj", hidden, heads * headDim, attentionBias);
        addLinear(model, block + "self_attn.k_proj", hidden, kv, attentionBias);
        addLinear(model, block + "self_attn.v_proj", hidden, kv, attentionBias);
        addLinear(model, block + "self_attn.o_proj", heads * headDim, hidden, attentionBias);
        addLinear(model, block + "mlp.gate_proj", hidden, inner, mlpBias);
        addLinear(model, block + "mlp.up_proj", hidden, inner, mlpBias);
        addLinear(model, block + "mlp.down_proj", inner, hidden, mlpBias);
    }
    addNorm(model, "model.norm", hidden, false);
    if (!flag(config, "tie_word_embeddings", false))
        addLinear(model, "lm_head", hidden, integer(config, "vocab_size"), false);
}

}  // namespace

Tensor randomTensor(const std::string &name, const Shape &shape, double deviation, double mean)
{
    std::mt19937_64 engine(17);
    for (const char c : name)
        engine.seed(engine() + static_cast<unsigned char>(c));
    std::normal_distribution<double> normal(mean, deviation);
    Tensor tensor(DType::F32, shape);
    auto *values = reinterpret_cast<float *>(tensor.bytes().data());
    for (std::int64_t i = 0; i < tensor.elements(); ++i)
        values[i] = static_cast<float>(normal(engine));
    return tensor;
}

SmallModel smallLlama(const Json::Object &changes)
{
    SmallModel model;
    model.config = withChanges(Json(Json::Object{
        {"model_type", "llama"}, {"architectures", Json::Array{"LlamaForCausalLM"}}, {"hidden_size", 24},
        {"intermediate_size", 40}, {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
        {"vocab_size", 50}, {"max_position_embeddings", 32}, {"rms_norm_eps", 1e-5}, {"hidden_act", "silu"},
        {"rope_theta", 10000.0}, {"tie_word_embeddings", false}}), changes);
    addLlamaTensors(model);
    return model;
}

SmallModel smallMistral(const Json::Object &changes)
{
    SmallModel model;
    model.config = withChanges(Json(Json::Object{
        {"model_type", "mistral"}, {"architectures", Json::Array{"MistralForCausalLM"}}, {"hidden_size", 24},
        {"intermediate_size", 40}, {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
        {"vocab_size", 50}, {"max_position_embeddings", 512}, {"rms_norm_eps", 1e-5}, {"hidden_act", "silu"},
        {"rope_theta", 10000.0}, {"sliding_window", 5}, {"tie_word_embeddings", false}}), changes);
    addLlamaTensors(model);
    return model;
}

SmallModel smallOpt(const Json::Object &changes)
{
    SmallModel model;
    model.config = withChanges(Json(Json::Object{
        {"model_type", "opt"}, {"architectures", Json::Array{"OPTForCausalLM"}}, {"hidden_size", 24}, {"ffn_dim", 40},
        {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"vocab_size", 50}, {"max_position_embeddings", 32},
        {"do_layer_norm_before", true}, {"activation_function", "relu"}, {"word_embed_proj_dim", 24}}), changes);
    const Json &config = model.config;
    const std::int64_t hidden = integer(config, "hidden_size");
    const std::int64_t embedding = integer(config, "word_embed_proj_dim");
    const std::int64_t inner = integer(config, "ffn_dim");
    const bool bias = flag(config, "enable_bias", true);
    const bool affine = flag(config, "layer_norm_elementwise_affine", true);
    const std::string decoder = "model.decoder.";
    add(model, decoder + "embed_tokens.weight", {integer(config, "vocab_size"), embedding}, 1);
    add(model, decoder + "embed_positions.weight", {integer(config, "max_position_embeddings") + 2, hidden}, 0.5);
    if (embedding != hidden) {
        addLinear(model, decoder + "project_in", embedding, hidden, false);
        addLinear(model, decoder + "project_out", hidden, embedding, false);
    }
    for (std::int64_t layer = 0; layer < integer(config, "num_hidden_layers"); ++layer) {
        const std::string block = fmt::format("{}layers.{}.", decoder, layer);
        if (affine) {
            addNorm(model, block + "self_attn_layer_norm", hidden, true);
            addNorm(model, block + "final_layer_norm", hidden, true);
        }
        for (const char *name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"})
            addLinear(model, block + name, hidden, hidden, bias);
        addLinear(model, block + "fc1", hidden, inner, bias);
        addLinear(model, block + "fc2", inner, hidden, bias);
    }
    if (affine && flag(config, "do_layer_norm_before", true) && !flag(config, "_remove_final_layer_norm", false))
        addNorm(model, decoder + "final_layer_norm", hidden, true);
    if (!flag(config, "tie_word_embeddings", true))
        addLinear(model, "lm_head", embedding, integer(config, "vocab_size"), false);
    return model;
}

SmallModel smallGpt2(const Json::Object &changes)
{
    SmallModel model;
    model.config = withChanges(Json(Json::Object{
        {"model_type", "gpt2"}, {"architectures", Json::Array{"GPT2LMHeadModel"}}, {"n_embd", 24}, {"n_layer", 3}, {"n_head", 4},
        {"n_positions", 32}, {"n_inner", Json()}, {"vocab_size", 50}, {"activation_function", "gelu_new"},
        {"layer_norm_epsilon", 1e-5}}), changes);
    const Json &config = model.config;
    const std::int64_t hidden = integer(config, "n_embd");
    const std::int64_t inner = config.find("n_inner")->isNull() ? 4 * hidden : integer(config, "n_inner");
    add(model, "transformer.wte.weight", {integer(config, "vocab_size"), hidden}, 1);
    add(model, "transformer.wpe.weight", {integer(config, "n_positions"), hidden}, 0.5);
    for (std::int64_t layer = 0; layer < integer(config, "n_layer"); ++layer) {
        const std::string block = fmt::format("transformer.h.{}.", layer);
        addNorm(model, block + "ln_1", hidden, true);
        addNorm(model, block + "ln_2", hidden, true);
        addLinear(model, block + "attn.c_attn", hidden, 3 * hidden, true, true);
        addLinear(model, block + "attn.c_proj", hidden, hidden, true, true);
        addLinear(model, block + "mlp.c_fc", hidden, inner, true, true);
        addLinear(model, block + "mlp.c_proj", inner, hidden, true, true);
    }
    addNorm(model, "transformer.ln_f", hidden, true);
    if (!flag(config, "tie_word_embeddings", true))
        addLinear(model, "lm_head", hidden, integer(config, "vocab_size"), false);
    return model;
}

void renamePrefix(SmallModel &model, const std::string &prefix, const std::string &replacement)
{
    std::map<std::string, Tensor> renamed;
    for (auto &[name, tensor] : model.tensors)
        renamed.emplace(name.starts_with(prefix) ? replacement + name.substr(prefix.size()) : name, std::move(tensor));
    model.tensors = std::move(renamed);
}

void writeModel(const SmallModel &model, const std::string &folder, const std::map<std::string, std::string> &metadata)
{
    std::ofstream(folder + "/config.json") << model.config.dump(2);
    writeSafetensors(folder + "/model.safetensors", {model.tensors.begin(), model.tensors.end()}, metadata);
}

std::shared_ptr<const Checkpoint> openModel(const SmallModel &model, const std::string &folder)
{
    writeModel(model, folder);
    return std::make_shared<const Checkpoint>(folder);
}

}  // namespace lqer::test
