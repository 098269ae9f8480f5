// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lqer {

// Extents, outermost first; row-major (C order) everywhere.
using Shape = std::vector<std::int64_t>;

// Product of the extents; 1 for a scalar. Throws Error(Shape) on overflow.
std::int64_t elementCount(const Shape &shape);
// "4096x11008", "scalar".
std::string toString(const Shape &shape);

}  // namespace lqer
