// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "core/io/json.h"
#include "core/model/model_config.h"

namespace lqer {

// Limits that no real model comes near; they keep every later product far from overflow (reliability.md 4 CF-22, CF-23).
inline constexpr std::int64_t mostHidden = 1'048'576;
inline constexpr std::int64_t mostLayers = 1'000;
inline constexpr std::int64_t mostVocabulary = 16'777'216;
inline constexpr std::int64_t mostPositions = 1'073'741'824;

// Throws Error(Unsupported) with the value's place: it is valid, but not something we can run.
[[noreturn]] void failUnsupported(const JsonReader &value, std::string_view message);
// A required extent, at least 1.
std::int64_t readExtent(const JsonReader &json, std::string_view key, std::int64_t most);
// hidden_act or activation_function.
Activation readActivation(const JsonReader &json, std::string_view key, const std::string &fallback);
// Positive; a value above 0.1 is warned about.
double readNormEps(const JsonReader &json, std::string_view key, double fallback, ModelConfig &config);
// rope_theta and rope_scaling, or transformers 5's rope_parameters. Needs config.headDim and config.maxPositions.
void readRope(const JsonReader &json, ModelConfig &config);
// headDim = hidden / heads, which must divide.
void divideHidden(const JsonReader &json, std::string_view headsKey, ModelConfig &config);

}  // namespace lqer
