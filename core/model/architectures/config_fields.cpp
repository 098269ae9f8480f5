// SPDX-License-Identifier: Apache-2.0
#include "core/model/architectures/config_fields.h"

#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"

namespace lqer {

void failUnsupported(const JsonReader &value, std::string_view message)
{
    throw Error(ErrorCode::Unsupported, value.file(), fmt::format("key '{}'", value.path()), message);
}

std::int64_t readExtent(const JsonReader &json, std::string_view key, std::int64_t most)
{
    return json[key].integer(1, most);
}

Activation readActivation(const JsonReader &json, std::string_view key, const std::string &fallback)
{
    struct Name {
        std::string_view name;
        Activation activation;
    };
    // gelu_new, gelu_fast and gelu_pytorch_tanh are the same formula.
    static constexpr Name names[] = {
        {"silu", Activation::Silu},         {"swish", Activation::Silu},        {"gelu", Activation::Gelu},
        {"gelu_new", Activation::GeluTanh}, {"gelu_fast", Activation::GeluTanh}, {"gelu_pytorch_tanh", Activation::GeluTanh},
        {"relu", Activation::Relu},
    };
    const std::string wanted = json.string(key, fallback);
    std::string known;
    for (const Name &entry : names) {
        if (entry.name == wanted)
            return entry.activation;
        known += known.empty() ? "" : ", ";
        known += entry.name;
    }
    failUnsupported(json[key], fmt::format("activation function \"{}\" is not supported (supported: {})", wanted, known));
}

double readNormEps(const JsonReader &json, std::string_view key, double fallback, ModelConfig &config)
{
    const double eps = json.number(key, fallback);
    if (!(eps > 0))
        json[key].fail(fmt::format("must be positive, found {}", eps));
    if (eps > 0.1)
        config.warnings.push_back(fmt::format("{} is {}: every norm will return nearly nothing", key, eps));
    return eps;
}

void divideHidden(const JsonReader &json, std::string_view headsKey, ModelConfig &config)
{
    if (config.hidden % config.heads != 0)
        json[headsKey].fail(fmt::format("{} heads do not divide the hidden size {}", config.heads, config.hidden));
    config.headDim = config.hidden / config.heads;
}

namespace {

double positive(const JsonReader &json)
{
    const double value = json.number();
    if (!(value > 0) || !std::isfinite(value))
        json.fail(fmt::format("must be positive, found {}", value));
    return value;
}

// The fields of each kind and their meaning: transformers, modeling_rope_utils.py.
RopeScaling readScaling(const JsonReader &json, const ModelConfig &config)
{
    using Kind = RopeScaling::Kind;
    struct Name {
        std::string_view name;
        Kind kind;
    };
    static constexpr Name names[] = {
        {"default", Kind::None},  {"linear", Kind::Linear}, {"dynamic", Kind::Dynamic},
        {"llama3", Kind::Llama3}, {"yarn", Kind::Yarn},
    };
    const JsonReader type = json.has("rope_type") || !json.has("type") ? json["rope_type"] : json["type"];
    RopeScaling scaling;
    bool known = false;
    for (const Name &entry : names) {
        if (entry.name == type.string()) {
            scaling.kind = entry.kind;
            known = true;
        }
    }
    if (!known)
        failUnsupported(type,
                        fmt::format("rope scaling \"{}\" is not supported (supported: default, linear, dynamic, llama3, yarn)",
                                    type.string()));
    if (scaling.kind == Kind::None)
        return scaling;

    scaling.factor = positive(json["factor"]);
    if (scaling.kind == Kind::Dynamic && config.headDim <= 2)
        type.fail("dynamic scaling needs a head dimension above 2");
    if (scaling.kind == Kind::Llama3) {
        scaling.lowFrequencyFactor = positive(json["low_freq_factor"]);
        scaling.highFrequencyFactor = positive(json["high_freq_factor"]);
        scaling.originalMaxPositions = readExtent(json, "original_max_position_embeddings", mostPositions);
        if (scaling.highFrequencyFactor <= scaling.lowFrequencyFactor)
            json["high_freq_factor"].fail(fmt::format("must be above low_freq_factor {}, found {}", scaling.lowFrequencyFactor,
                                                      scaling.highFrequencyFactor));
    }
    if (scaling.kind == Kind::Yarn) {
        if (config.ropeTheta <= 1)
            type.fail(fmt::format("yarn needs rope_theta above 1, found {}", config.ropeTheta));
        for (const std::string_view key : {"mscale", "mscale_all_dim"})
            if (json.has(key))
                failUnsupported(json[key], "this variant of yarn is not supported");
        if (!json.boolean("truncate", true))
            failUnsupported(json["truncate"], "yarn without truncation is not supported");
        scaling.originalMaxPositions = json.integer("original_max_position_embeddings", 1, mostPositions, config.maxPositions);
        scaling.betaFast = json.has("beta_fast") ? positive(json["beta_fast"]) : 32;
        scaling.betaSlow = json.has("beta_slow") ? positive(json["beta_slow"]) : 1;
        scaling.attentionFactor = json.has("attention_factor") ? positive(json["attention_factor"])
                                  : scaling.factor > 1         ? 0.1 * std::log(scaling.factor) + 1
                                                               : 1;
    }
    return scaling;
}

}  // namespace

void readRope(const JsonReader &json, ModelConfig &config)
{
    config.positions = PositionKind::Rotary;
    const bool combined = json.has("rope_parameters");
    const JsonReader thetaOwner = combined && json["rope_parameters"].has("rope_theta") ? json["rope_parameters"] : json;
    config.ropeTheta = thetaOwner.has("rope_theta") ? positive(thetaOwner["rope_theta"]) : 10000;
    if (combined)
        config.ropeScaling = readScaling(json["rope_parameters"], config);
    else if (json.has("rope_scaling"))
        config.ropeScaling = readScaling(json["rope_scaling"], config);
    const JsonReader partialOwner =
        combined && json["rope_parameters"].has("partial_rotary_factor") ? json["rope_parameters"] : json;
    if (partialOwner.number("partial_rotary_factor", 1) != 1)
        failUnsupported(partialOwner["partial_rotary_factor"], "rotating only a part of each head is not supported");
}

}  // namespace lqer
