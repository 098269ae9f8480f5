// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/eval/hardware_cost.h"

namespace lqer::cli {

struct NamedCost {
    std::string name;
    HardwareCost cost;
};

// Bits moved, multiply-accumulates and area of whole models, and their products by the formats of the operands, with where areas come from.
std::string costTable(const std::vector<NamedCost> &costs);
// The same for every layer and every block's attention.
std::string layerCostTable(const std::vector<NamedCost> &costs);

}  // namespace lqer::cli
