// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/model/quantized_base.h"
#include "core/model/transformer.h"
#include "core/recipe/layer_plan.h"

namespace lqer {

// Average bits by the three denominators that are in use.
struct AverageBits {
    double weights = 0;          // W_q alone: bits of W_q / elements of W
    double withCorrection = 0;   // what the model really costs: bits of W_q, A and B / elements of W
    double perStoredNumber = 0;  // LQER's sheet: bits of W_q, A and B / elements of W, A and B together (published-results.md, 2)
    friend bool operator==(const AverageBits &, const AverageBits &) = default;
};

// What one linear layer needs on disk.
struct LayerFootprint {
    std::string layer;
    std::int64_t in = 0, out = 0, rank = 0;
    bool quantized = false;
    std::uint64_t originalBytes = 0;  // weight and bias in the checkpoint
    std::uint64_t weightBytes = 0;    // W_q as its format encodes it; an unquantized weight as in the checkpoint
    std::uint64_t biasBytes = 0;
    std::uint64_t correctionBytes = 0;  // A and B as their formats encode them
    AverageBits stored;                 // shared exponents counted with the bits they are stored in (8)
    AverageBits paper;                  // shared exponents counted with 4 bits, as LQER's headline does (numerics.md A.2)

    std::uint64_t bytes() const { return weightBytes + biasBytes + correctionBytes; }
    friend bool operator==(const LayerFootprint &, const LayerFootprint &) = default;
};

struct Footprint {
    std::vector<LayerFootprint> layers;
    std::int64_t parameters = 0;      // of the original model
    std::int64_t linearWeights = 0;   // elements of all W in `layers`
    std::uint64_t restBytes = 0;      // embeddings, norms, head: as in the checkpoint
    std::uint64_t originalBytes = 0;  // the whole checkpoint's tensors, tied ones once
    std::uint64_t bytes = 0;          // the quantized model: layers and rest
    AverageBits stored, paper;        // over all layers listed, weighted by their elements
    double wholeModelBits = 0;        // 8 * bytes / parameters

    Json toJson() const;
    static Footprint fromJson(const JsonReader &json);
    friend bool operator==(const Footprint &, const Footprint &) = default;
};

// A layer the plan does not name, or does not quantize, keeps the checkpoint's bytes. Bytes are computed from the formats'
// stated bits and equal what encode() stores. Formats of activations cost nothing on disk.
// baseWeightBytes: what W_q takes where it is not computed by the plan's format.
LayerFootprint layerFootprint(const LinearSite &site, const LayerPlan &plan, std::uint64_t originalWeightBytes,
                              std::uint64_t originalBiasBytes, std::optional<std::uint64_t> baseWeightBytes = {});
// base: where W_q comes from, or null.
Footprint footprint(const Transformer &model, const ModelPlan &plan, const QuantizedBase *base = nullptr);

}  // namespace lqer
