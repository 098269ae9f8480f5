// SPDX-License-Identifier: Apache-2.0
#include "tests/model/naive_forward.h"

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <stdexcept>

#include <fmt/format.h>

namespace lqer::test {

namespace {

// config.json and weights with transformers' defaults for absent keys.
struct Model {
    const SmallModel &source;

    double number(const char *key, double fallback) const
    {
        const Json *value = source.config.find(key);
        return value && value->isNumber() ? value->asNumber() : fallback;
    }
    Index integer(const char *key, Index fallback = 0) const
    {
        return static_cast<Index>(number(key, static_cast<double>(fallback)));
    }
    bool flag(const char *key, bool fallback) const
    {
        const Json *value = source.config.find(key);
        return value && value->isBool() ? value->asBool() : fallback;
    }
    std::string text(const char *key, const std::string &fallback) const
    {
        const Json *value = source.config.find(key);
        return value && value->isString() ? value->asString() : fallback;
    }
    bool has(const std::string &name) const { return source.tensors.contains(name); }
    MatrixF64 tensor(const std::string &name) const { return source.tensors.at(name).toMatrixF64(); }
};

MatrixF64 linear(const Model &model, const std::string &module, const MatrixF64 &x, bool conv1d = false)
{
    const MatrixF64 stored = model.tensor(module + ".weight");
    const MatrixF64 weight = conv1d ? MatrixF64(stored.transpose()) : stored;
    MatrixF64 y = MatrixF64::Zero(x.rows(), weight.rows());
    for (Index t = 0; t < x.rows(); ++t)
        for (Index o = 0; o < weight.rows(); ++o) {
            for (Index i = 0; i < x.cols(); ++i)
                y(t, o) += x(t, i) * weight(o, i);
            if (model.has(module + ".bias"))
                y(t, o) += model.tensor(module + ".bias")(0, o);
        }
    return y;
}

MatrixF64 norm(const Model &model, const std::string &module, const MatrixF64 &x, double eps, bool rms)
{
    MatrixF64 y = x;
    for (Index t = 0; t < x.rows(); ++t) {
        const double mean = rms ? 0 : x.row(t).mean();
        double variance = 0;
        for (Index i = 0; i < x.cols(); ++i)
            variance += (x(t, i) - mean) * (x(t, i) - mean) / static_cast<double>(x.cols());
        for (Index i = 0; i < x.cols(); ++i)
            y(t, i) = (x(t, i) - mean) / std::sqrt(variance + eps);
    }
    if (model.has(module + ".weight"))
        y.array().rowwise() *= model.tensor(module + ".weight").row(0).array();
    if (model.has(module + ".bias"))
        y.rowwise() += model.tensor(module + ".bias").row(0);
    return y;
}

double activation(const std::string &name, double x)
{
    if (name == "silu")
        return x / (1 + std::exp(-x));
    if (name == "gelu")
        return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    if (name == "gelu_new")
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    if (name == "relu")
        return x > 0 ? x : 0;
    throw std::invalid_argument(name);
}

MatrixF64 activated(const std::string &name, MatrixF64 x)
{
    return x.unaryExpr([&](double v) { return activation(name, v); });
}

// Heads of `dim` columns each; `window` 0 lets a token see all before it.
MatrixF64 attention(const MatrixF64 &q, const MatrixF64 &k, const MatrixF64 &v, Index heads, Index kvHeads, double scale,
                    Index window)
{
    const Index dim = q.cols() / heads;
    MatrixF64 out = MatrixF64::Zero(q.rows(), q.cols());
    for (Index head = 0; head < heads; ++head) {
        const Index from = head / (heads / kvHeads) * dim;
        for (Index t = 0; t < q.rows(); ++t) {
            std::vector<double> weights(static_cast<std::size_t>(q.rows()), 0);
            double sum = 0;
            for (Index s = 0; s <= t; ++s) {
                if (window > 0 && t - s >= window)
                    continue;
                double score = 0;
                for (Index i = 0; i < dim; ++i)
                    score += q(t, head * dim + i) * k(s, from + i);
                weights[static_cast<std::size_t>(s)] = std::exp(score * scale);
                sum += weights[static_cast<std::size_t>(s)];
            }
            for (Index s = 0; s <= t; ++s)
                for (Index i = 0; i < dim; ++i)
                    out(t, head * dim + i) += weights[static_cast<std::size_t>(s)] / sum * v(s, from + i);
        }
    }
    return out;
}

// Angle of pair i at position 1 and what cosine and sine are multiplied by. transformers, modeling_rope_utils.py.
std::pair<std::vector<double>, double> ropeFrequencies(const Model &model, Index dim, Index tokens)
{
    const Json *scaling = model.source.config.find("rope_scaling");
    if (const Json *parameters = model.source.config.find("rope_parameters"))
        scaling = parameters;
    const auto field = [&](const char *key, double fallback) {
        const Json *value = scaling && scaling->isObject() ? scaling->find(key) : nullptr;
        return value ? value->asNumber() : fallback;
    };
    std::string kind = "default";
    if (scaling && scaling->isObject())
        kind = (scaling->find("rope_type") ? scaling->find("rope_type") : scaling->find("type"))->asString();
    double theta = field("rope_theta", model.number("rope_theta", 10000));
    const double factor = field("factor", 1);
    const auto most = static_cast<double>(model.integer("max_position_embeddings"));
    const auto d = static_cast<double>(dim);
    if (kind == "dynamic") {
        const double length = std::max(static_cast<double>(tokens), most);
        theta *= std::pow(factor * length / most - (factor - 1), d / (d - 2));
    }
    std::vector<double> frequencies;
    double attentionFactor = 1;
    for (Index i = 0; i < dim / 2; ++i) {
        double frequency = std::pow(theta, -2 * static_cast<double>(i) / d);
        if (kind == "linear")
            frequency /= factor;
        if (kind == "llama3") {
            const double original = field("original_max_position_embeddings", 0);
            const double low = field("low_freq_factor", 0);
            const double high = field("high_freq_factor", 0);
            const double wavelength = 2 * std::numbers::pi / frequency;
            const double smooth = (original / wavelength - low) / (high - low);
            if (wavelength > original / low)
                frequency /= factor;
            else if (wavelength >= original / high)
                frequency = (1 - smooth) * frequency / factor + smooth * frequency;
        }
        if (kind == "yarn") {
            const double original = field("original_max_position_embeddings", most);
            const auto correction = [&](double rotations) {
                return d * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
            };
            const double low = std::max(std::floor(correction(field("beta_fast", 32))), 0.0);
            double high = std::min(std::ceil(correction(field("beta_slow", 1))), d - 1);
            high += low == high ? 0.001 : 0;
            const double ramp = std::min(1.0, std::max(0.0, (static_cast<double>(i) - low) / (high - low)));
            frequency = frequency / factor * ramp + frequency * (1 - ramp);
            attentionFactor = field("attention_factor", 0.1 * std::log(factor) + 1);
        }
        frequencies.push_back(frequency);
    }
    return {frequencies, attentionFactor};
}

MatrixF64 rotated(const MatrixF64 &x, Index dim, const std::pair<std::vector<double>, double> &rope)
{
    MatrixF64 y = x;
    for (Index t = 0; t < x.rows(); ++t)
        for (Index head = 0; head < x.cols(); head += dim)
            for (Index i = 0; i < dim / 2; ++i) {
                const double angle = static_cast<double>(t) * rope.first[static_cast<std::size_t>(i)];
                const double a = x(t, head + i);
                const double b = x(t, head + dim / 2 + i);
                y(t, head + i) = (a * std::cos(angle) - b * std::sin(angle)) * rope.second;
                y(t, head + dim / 2 + i) = (b * std::cos(angle) + a * std::sin(angle)) * rope.second;
            }
    return y;
}

MatrixF64 embedded(const Model &model, const std::string &name, const std::vector<int> &rows)
{
    const MatrixF64 table = model.tensor(name);
    MatrixF64 x(static_cast<Index>(rows.size()), table.cols());
    for (std::size_t i = 0; i < rows.size(); ++i)
        x.row(static_cast<Index>(i)) = table.row(rows[i]);
    return x;
}

MatrixF64 positions(const Model &model, const std::string &name, std::size_t tokens, int offset)
{
    std::vector<int> rows;
    for (std::size_t i = 0; i < tokens; ++i)
        rows.push_back(static_cast<int>(i) + offset);
    return embedded(model, name, rows);
}

MatrixF64 scores(const Model &model, const std::string &embedding, const MatrixF64 &x)
{
    return x * model.tensor(model.has("lm_head.weight") ? "lm_head.weight" : embedding).transpose();
}

MatrixF64 llamaLogits(const Model &model, const std::vector<int> &ids)
{
    const Index heads = model.integer("num_attention_heads");
    const Index kvHeads = model.integer("num_key_value_heads", heads);
    const Index dim = model.integer("head_dim", model.integer("hidden_size") / heads);
    const Index window = model.text("model_type", "") == "mistral" ? model.integer("sliding_window") : 0;
    const double eps = model.number("rms_norm_eps", 1e-6);
    const std::string act = model.text("hidden_act", "silu");
    const auto rope = ropeFrequencies(model, dim, static_cast<Index>(ids.size()));
    MatrixF64 h = embedded(model, "model.embed_tokens.weight", ids);
    for (Index layer = 0; layer < model.integer("num_hidden_layers"); ++layer) {
        const std::string block = fmt::format("model.layers.{}.", layer);
        MatrixF64 x = norm(model, block + "input_layernorm", h, eps, true);
        const MatrixF64 q = rotated(linear(model, block + "self_attn.q_proj", x), dim, rope);
        const MatrixF64 k = rotated(linear(model, block + "self_attn.k_proj", x), dim, rope);
        const MatrixF64 v = linear(model, block + "self_attn.v_proj", x);
        h += linear(model, block + "self_attn.o_proj",
                    attention(q, k, v, heads, kvHeads, 1 / std::sqrt(static_cast<double>(dim)), window));
        x = norm(model, block + "post_attention_layernorm", h, eps, true);
        const MatrixF64 gate = activated(act, linear(model, block + "mlp.gate_proj", x));
        h += linear(model, block + "mlp.down_proj", gate.cwiseProduct(linear(model, block + "mlp.up_proj", x)));
    }
    return scores(model, "model.embed_tokens.weight", norm(model, "model.norm", h, eps, true));
}

MatrixF64 optLogits(const Model &model, const std::vector<int> &ids)
{
    const std::string decoder = "model.decoder.";
    const Index heads = model.integer("num_attention_heads");
    const double scale = 1 / std::sqrt(static_cast<double>(model.integer("hidden_size") / heads));
    const bool before = model.flag("do_layer_norm_before", true);
    const std::string act = model.text("activation_function", "relu");
    MatrixF64 h = embedded(model, decoder + "embed_tokens.weight", ids);
    if (model.has(decoder + "project_in.weight"))
        h = linear(model, decoder + "project_in", h);
    h += positions(model, decoder + "embed_positions.weight", ids.size(), 2);
    for (Index layer = 0; layer < model.integer("num_hidden_layers"); ++layer) {
        const std::string block = fmt::format("{}layers.{}.", decoder, layer);
        MatrixF64 x = before ? norm(model, block + "self_attn_layer_norm", h, 1e-5, false) : h;
        h += linear(model, block + "self_attn.out_proj",
                    attention(linear(model, block + "self_attn.q_proj", x), linear(model, block + "self_attn.k_proj", x),
                              linear(model, block + "self_attn.v_proj", x), heads, heads, scale, 0));
        if (!before)
            h = norm(model, block + "self_attn_layer_norm", h, 1e-5, false);
        x = before ? norm(model, block + "final_layer_norm", h, 1e-5, false) : h;
        h += linear(model, block + "fc2", activated(act, linear(model, block + "fc1", x)));
        if (!before)
            h = norm(model, block + "final_layer_norm", h, 1e-5, false);
    }
    if (before && !model.flag("_remove_final_layer_norm", false))
        h = norm(model, decoder + "final_layer_norm", h, 1e-5, false);
    if (model.has(decoder + "project_out.weight"))
        h = linear(model, decoder + "project_out", h);
    return scores(model, decoder + "embed_tokens.weight", h);
}

MatrixF64 gpt2Logits(const Model &model, const std::vector<int> &ids)
{
    const Index hidden = model.integer("n_embd");
    const Index heads = model.integer("n_head");
    const double eps = model.number("layer_norm_epsilon", 1e-5);
    const std::string act = model.text("activation_function", "gelu_new");
    MatrixF64 h = embedded(model, "transformer.wte.weight", ids);
    h += positions(model, "transformer.wpe.weight", ids.size(), 0);
    for (Index layer = 0; layer < model.integer("n_layer"); ++layer) {
        const std::string block = fmt::format("transformer.h.{}.", layer);
        double scale = model.flag("scale_attn_weights", true) ? 1 / std::sqrt(static_cast<double>(hidden / heads)) : 1;
        if (model.flag("scale_attn_by_inverse_layer_idx", false))
            scale /= static_cast<double>(layer + 1);
        const MatrixF64 qkv = linear(model, block + "attn.c_attn", norm(model, block + "ln_1", h, eps, false), true);
        h += linear(model, block + "attn.c_proj",
                    attention(qkv.leftCols(hidden), qkv.middleCols(hidden, hidden), qkv.rightCols(hidden), heads, heads, scale,
                              0),
                    true);
        const MatrixF64 inner = linear(model, block + "mlp.c_fc", norm(model, block + "ln_2", h, eps, false), true);
        h += linear(model, block + "mlp.c_proj", activated(act, inner), true);
    }
    return scores(model, "transformer.wte.weight", norm(model, "transformer.ln_f", h, eps, false));
}

}  // namespace

MatrixF64 naiveLogits(const SmallModel &source, const std::vector<int> &ids)
{
    const Model model{source};
    const std::string type = model.text("model_type", "");
    if (type == "opt")
        return optLogits(model, ids);
    return type == "gpt2" ? gpt2Logits(model, ids) : llamaLogits(model, ids);
}

}  // namespace lqer::test
