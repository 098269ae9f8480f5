// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// The weight (out, in) of a linear layer in float, laid out once for the processor's products, which then need not do it each time.
// Where oneDNN has no code of its own for the processor, kept as it is. Immutable.
class FloatWeight {
public:
    // Polls the stop token.
    explicit FloatWeight(Matrix weight, const TaskContext &context = {});

    Index in() const;
    Index out() const;
    // y = x W^T, x (tokens, in). In fixed blocks of tokens over the pool.
    void multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;
    // (out, in), to the bit.
    Matrix values() const;

private:
    struct State;
    std::shared_ptr<const State> m_state;
};

}  // namespace lqer
