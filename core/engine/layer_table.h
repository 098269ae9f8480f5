// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/eval/footprint.h"
#include "core/eval/output_error.h"
#include "core/project/decomposition_record.h"
#include "core/recipe/layer_plan.h"

namespace lqer {

// One linear layer under a recipe, from stored values.
struct LayerRow {
    LinearSite site;
    LayerPlan plan;
    LayerFootprint footprint;
    // The decomposition the plan uses, or, for a plan without correction, one of the same format; null until there is one.
    std::shared_ptr<const DecompositionRecord> decomposition;
    // True if the plan's correction can be made now: its decomposition is there, up to the plan's rank.
    bool ready = false;
    // Predicted from the spectrum, before A and B are quantized; none without a decomposition. The corrected values hold only if `ready`.
    std::optional<LayerError> error;
    // Measured with A and B as quantized, from the newest report of this recipe; none without.
    std::optional<LayerError> measured;
};

struct LayerTable {
    std::string calibration;     // key of the statistics in use, "" without
    std::vector<LayerRow> rows;  // in forward order
    Footprint footprint;
    std::size_t ready = 0;       // rows that are
};

}  // namespace lqer
