// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tensor/matrix.h"

namespace lqer {

// Q = I - V^T T V, a product of Householder reflections. v holds their vectors as rows, with their ones and zeros.
template <typename M>
struct Reflections {
    M v;
    M tTransposed;
};

// panel Q = [L 0] with L lower triangular; panel becomes that. M: Matrix or MatrixF64.
template <typename M>
Reflections<M> reduceRows(M &panel);

}  // namespace lqer
