// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"

namespace lqer {

enum class Activation { Silu, Gelu, GeluTanh, Relu };
enum class NormKind { Rms, Layer };
enum class PositionKind { Rotary, Learned };

// rope_scaling of config.json.
struct RopeScaling {
    enum class Kind { None, Linear, Dynamic, Llama3, Yarn } kind = Kind::None;
    double factor = 1;
    double lowFrequencyFactor = 1;
    double highFrequencyFactor = 4;
    std::int64_t originalMaxPositions = 0;
};

// A decoder-only transformer in the fields all supported families share. Every value checked (reliability.md 4 CF).
struct ModelConfig {
    std::string family;         // "llama", "mistral", "opt", "gpt2": the file in model/architectures
    std::string architecture;   // as config.json says: "LlamaForCausalLM"
    std::int64_t hidden = 0;
    std::int64_t intermediate = 0;
    std::int64_t layers = 0;
    std::int64_t heads = 0;
    std::int64_t kvHeads = 0;
    std::int64_t headDim = 0;
    std::int64_t vocabulary = 0;
    std::int64_t maxPositions = 0;
    Activation activation = Activation::Silu;
    NormKind norm = NormKind::Rms;
    double normEps = 1e-5;
    bool normBefore = true;          // false: OPT-350m
    PositionKind positions = PositionKind::Rotary;
    std::int64_t positionOffset = 0; // OPT: 2
    double ropeTheta = 10000;
    RopeScaling ropeScaling;
    std::int64_t slidingWindow = 0;  // 0: none
    bool tiedEmbeddings = false;
    std::int64_t embeddingDim = 0;   // differs from hidden in OPT-350m (project_in, project_out)
    std::optional<std::int32_t> bosId, eosId;
};

}  // namespace lqer
