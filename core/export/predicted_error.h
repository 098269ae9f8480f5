// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/eval/output_error.h"
#include "core/project/decomposition_record.h"

namespace lqer {

// What a correction of this rank leaves of a layer's error, from the stored decomposition alone: exact before A and B are quantized. Asserts
// rank <= maxRank.
LayerError predictedError(const DecompositionRecord &record, Index rank);

}  // namespace lqer
