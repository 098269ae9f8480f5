// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/eval/footprint.h"

namespace lqer {

// What a token costs hardware, as the LQER paper looks at it: bits that move, products by the formats of their operands, and circuit area.
//
// Published (LQER's workbook, ICML 2024; published-results.md, "Circuit area estimates"; circuit area of a linear layer's engine at equal
// throughput, FP16 = 1): FP16 1, FP16 x 4-bit fixed point 13.9941, and of the whole layer with rank 32 in 4096 x 11008: MXINT W4A8 0.3254, W4A6 0.2287.
// Derived: a product of two fixed-point elements (with or without a shared exponent) of m and n bits with sign takes (m - 1) (n - 1) times
// a unit, which is chosen so that the published W4A8 layer comes out; the W4A6 layer then comes out 1 % too large. Any other pair is not known.
enum class AreaBasis { Unknown, Derived, Published };
std::string_view toString(AreaBasis basis);  // "unknown", "derived", "published"

enum class ProductKind { Weight, A, B, Scores, Values };  // x W_q^T, x A, (x A) B; q k^T, p v
std::string_view toString(ProductKind kind);              // "x W", "x A", "(x A) B", "q k", "p v"

struct CostOptions {
    std::int64_t tokens = 1;   // that go through a layer together, so that its weights are read once for all of them
    std::int64_t context = 0;  // tokens whose keys and values each token attends to; 0: as many as the model has positions
};

// Multiply-accumulates of one kind.
struct ProductCount {
    ProductKind kind = ProductKind::Weight;
    std::string left, right;  // formats of the operands: "block_fp8", "mxint4"; "float16" where the recipe states none
    double count = 0;         // per token
    double area = 0;          // of one, in units of an FP16 one; 0 if not known
    AreaBasis basis = AreaBasis::Unknown;
    friend bool operator==(const ProductCount &, const ProductCount &) = default;
};

// One linear layer, one block's attention, or all of them.
struct LayerCost {
    std::string layer;
    double weightBits = 0;      // of W_q and bias, per reading
    double correctionBits = 0;  // of A and B, per reading
    double activationBits = 0;  // per token: inputs, x A and outputs; q and the result of attention. What has no format: 16 bits a value
    double cacheBits = 0;       // per token: keys and values that attention reads
    double reference = 0;       // multiply-accumulates per token of the original model
    std::vector<ProductCount> products;

    // Per token, where `tokens` share a reading.
    double movedBits(std::int64_t tokens) const;
    double macs() const;
    // Area relative to FP16 engines that do the original's work in the same time; none if some product's is not known.
    std::optional<double> area() const;
    // The weakest of its products'.
    AreaBasis basis() const;
    Json toJson(std::int64_t tokens) const;
    friend bool operator==(const LayerCost &, const LayerCost &) = default;
};

// Of all linear layers and attention products; embeddings, norms and the head, which no recipe changes, are not counted.
struct HardwareCost {
    CostOptions options;               // context resolved
    std::vector<LayerCost> layers;     // linear layers, in forward order
    std::vector<LayerCost> attention;  // by block
    LayerCost total;
    Json toJson() const;
};

LayerCost layerCost(const LinearSite &site, const LayerPlan &plan, const LayerFootprint &footprint, std::int64_t tokens);
// sizes: of the same plan. baseDescription: where W_q comes from if not from the plan's formats; its products' area is not known. A plan
// without layers is the original model.
HardwareCost hardwareCost(const Transformer &model, const ModelPlan &plan, const Footprint &sizes, const CostOptions &options,
                          std::string_view baseDescription = {});

struct EvaluationReport;
// Of what a report measured; none if that was another checkpoint than the model's (`fingerprint`) or its sizes are not in the report.
std::optional<HardwareCost> reportCost(const Transformer &model, const std::string &fingerprint, const EvaluationReport &report, const CostOptions &options);

}  // namespace lqer
