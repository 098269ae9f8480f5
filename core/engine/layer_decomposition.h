// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/engine/engine.h"
#include "core/project/decomposition_record.h"

namespace lqer {

// Factors are kept up to this rank if nobody says otherwise: at 4096 x 4096 an eighth of the weight's numbers, and more than
// any published setting uses.
inline constexpr Index defaultStoredRank = 256;
Index storedRank(Index wanted, Index planned, Index in, Index out);
DecompositionOptions decompositionOptions(const LinearSite &site, const LayerPlan &plan, const DecomposeOptions &options);

struct LayerDecomposition {
    DecompositionRecord record;
    ErrorDecomposition decomposition;
};

// Reads the weight, quantizes it (or reads W_q from the model's base) and decomposes the error. stats: of the site's input, or null.
LayerDecomposition decomposeSite(const LoadedModel &model, const LinearSite &site, const DecompositionKey &key,
                                 std::shared_ptr<const SiteStats> stats, const DecompositionOptions &options, const TaskContext &context);

}  // namespace lqer
