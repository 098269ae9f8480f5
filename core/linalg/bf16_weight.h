// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"
#include "core/tensor/matrix_pool.h"

namespace lqer {

// Inputs (tokens, in) in bfloat16, rows next to each other: made once for all weights that they are multiplied with. Rounded to
// nearest even.
class Bf16Rows {
public:
    // Its memory comes from the pool.
    Bf16Rows(const ConstMatrixRef &x, MatrixPool &pool, const TaskContext &context = {});
    Index rows() const { return m_rows; }
    Index cols() const { return m_cols; }
    const std::uint16_t *row(Index index) const { return m_values + index * m_cols; }

private:
    Index m_rows, m_cols;
    PooledMatrix m_room;
    std::uint16_t *m_values;
};

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
    void multiply(const Bf16Rows &x, MatrixRef y, const TaskContext &context = {}) const;
    void multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;
    // As floats, (out, in).
    Matrix values() const;

private:
    struct State;
    std::shared_ptr<const State> m_state;
};

}  // namespace lqer
