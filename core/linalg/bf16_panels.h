// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/linalg/bf16_weight.h"

namespace lqer {

// A weight (out, in) in bfloat16 for products of a few rows and 32 outputs at a time, by whoever has those sums in the cache. Numbers as
// those of Bf16Weight, sums in another order. Only where Bf16Weight::isSupported(). Immutable.
class Bf16Panels {
public:
    static constexpr Index panel = 32;

    // `in` is even. Values are rounded to nearest even.
    explicit Bf16Panels(const ConstMatrixRef &weight);

    // Rows [begin, end) of x times the outputs from `column` on, a multiple of 32: y (end - begin, panel), rows next to each other, zeros
    // for outputs that are not there.
    void multiply(const Bf16Rows &x, Index begin, Index end, Index column, float *y) const;

private:
    Index m_in, m_out;
    std::vector<std::uint16_t> m_values;  // by panel, pair of inputs, output: two values
};

}  // namespace lqer
