// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace lqer {

inline constexpr double normalFloatOffset = 0.9677083;

// The official NF table of 2^bits values in ascending order, from quantiles of the normal distribution (numerics.md A.7); with
// 4 bits it is bitsandbytes' NF4. bits 2 to 8.
std::vector<float> normalFloatTable(int bits, double offset = normalFloatOffset);
// 2^bits evenly spaced values from -1 to 1 (LoftQ's "uniform").
std::vector<float> uniformTable(int bits);

}  // namespace lqer
