// SPDX-License-Identifier: Apache-2.0
#include "core/project/decomposition_record.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/hash.h"

namespace lqer {

namespace {

// Raised whenever the same inputs would give other factors or measurements than before.
constexpr std::string_view algorithmVersion = "decomposition 1";

double withoutCaptured(double total, const VectorF64 &captured, Index rank)
{
    LQER_ASSERT(rank >= 0 && rank <= captured.size());
    // Rounding can leave a little less than nothing at full rank.
    return std::max(0.0, total - captured.head(rank).sum());
}

}  // namespace

std::string DecompositionKey::text() const
{
    Hasher hasher;
    hasher.add(algorithmVersion).add(layer).add(weight).add(format.toString()).add(toString(scaling)).add(calibration);
    if (!base.empty())
        hasher.add("base").add(base);
    return hasher.hex();
}

double DecompositionRecord::residualEnergy(Index rank) const
{
    LQER_ASSERT(rank >= 0);
    const Index known = std::min(rank, sigma.size());
    return std::max(0.0, totalEnergy - sigma.head(known).squaredNorm());
}

double DecompositionRecord::correctedWeightError(Index rank) const
{
    return withoutCaptured(weightError, weightCaptured, rank);
}

double DecompositionRecord::correctedOutputError(Index rank) const
{
    return outputKnown ? withoutCaptured(outputError, outputCaptured, rank) : 0;
}

}  // namespace lqer
