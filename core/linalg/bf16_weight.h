// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// The weight (out, in) of a linear layer in bfloat16, laid out for the processor's bfloat16 products: half the bytes of float
// and twice its speed. A product of two bfloat16 values is exact in float, and sums are float, so where bfloat16 holds weight and
// input, nothing is lost against float products but what lies below 2^-126. A value that it does not hold changes by up to 2^-9
// of itself. Immutable.
class Bf16Weight {
public:
    // True where the processor multiplies bfloat16 (AVX512_BF16).
    static bool isSupported();
    // True if bfloat16 holds every value exactly.
    static bool holds(const ConstMatrixRef &values);

    // Only where isSupported(). Values are rounded to nearest even.
    explicit Bf16Weight(const ConstMatrixRef &weight);

    Index in() const;
    Index out() const;
    // y = x W^T, x (tokens, in) rounded to bfloat16; values below 2^-126 count as zero. In fixed blocks of tokens over the pool.
    void multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;
    // As floats, (out, in).
    Matrix values() const;

private:
    struct State;
    std::shared_ptr<const State> m_state;
};

}  // namespace lqer
