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

// rope_scaling (or rope_parameters) of config.json.
struct RopeScaling {
    enum class Kind { None, Linear, Dynamic, Llama3, Yarn } kind = Kind::None;
    double factor = 1;
    double lowFrequencyFactor = 1;   // Llama3
    double highFrequencyFactor = 4;  // Llama3
    std::int64_t originalMaxPositions = 0;  // Llama3, Yarn
    double betaFast = 32;            // Yarn: full turns within the original context above which a frequency is kept ...
    double betaSlow = 1;             // ... and below which it is divided by `factor`
    double attentionFactor = 1;      // Yarn: multiplies cosine and sine
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

    bool attentionBias = false;      // q, k, v and the output projection have biases
    bool mlpBias = false;
    bool normAffine = true;          // false: norms have neither weight nor bias (OPT layer_norm_elementwise_affine)
    bool finalNorm = true;           // a norm behind the last block
    bool queryScaledFirst = false;   // OPT: the query is scaled right after its projection, not the scores
    bool attentionScaled = true;     // GPT-2 scale_attn_weights
    bool attentionScaledByLayer = false;  // GPT-2 scale_attn_by_inverse_layer_idx: scores of block i are also divided by i + 1

    std::vector<std::string> warnings;  // what is odd in config.json but no reason to refuse it
};

// Reads a parsed config.json; `path` is for messages. Throws Error(Unsupported) naming the architecture and listing the supported
// ones, Error(Format) naming the key.
ModelConfig readModelConfig(const Json &config, const std::string &path);

}  // namespace lqer
