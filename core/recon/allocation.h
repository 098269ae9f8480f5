// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "core/tensor/matrix.h"

namespace lqer {

// What rank buys in one layer: component i takes `weight * sigma[i]^2` off the loss and costs aBits * in + bBits * out bits.
struct RankCandidate {
    VectorF64 sigma;  // descending; ranks are given up to its size (cut it to the components that were computed)
    Index in = 0;
    Index out = 0;
    double weight = 1;  // loss per unit of shaped error; to be measured, 1 compares layers by output error
    double aBits = 16;  // per element of A
    double bBits = 16;
};

struct RankAllocation {
    std::vector<Index> ranks;  // per layer
    double bits = 0;           // spent, at most the budget
    double gain = 0;           // sum of weight * sigma^2 taken
};

// Ranks for a budget in bits of all A and B: components in the order of gain per bit (math.md, "Cost of a rank, benefit of a
// rank"), each layer in steps of `step` components, the last one shorter. What does not fit is passed over for what still does.
// Optimal for the bits spent up to the first component passed over, because gains fall with the rank; so always where all layers
// cost the same. Ties go to the earlier layer. Throws Error(Argument) on a negative or NaN budget, weight, cost or sigma, or
// sigma that ascend.
RankAllocation allocateRanks(std::span<const RankCandidate> layers, double budgetBits, Index step = 1);

}  // namespace lqer
