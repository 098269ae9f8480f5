// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"
#include "core/tensor/matrix_pool.h"

namespace lqer {

// Inputs (tokens, in) as integers of 8 bits, of -127 to 127, with a power of two for each 32 neighbours in a row: made once for all
// weights that they are multiplied with.
class Int8Rows {
public:
    static constexpr Index block = 32;

    // The memory comes from the pool. Values that are no such integers are rounded, and isExact() says so.
    Int8Rows(const ConstMatrixRef &x, MatrixPool &pool, const TaskContext &context = {});
    Index rows() const { return m_rows; }
    Index cols() const { return m_cols; }
    bool isExact() const { return m_exact; }

private:
    friend class Int8Weight;
    Index m_rows, m_cols, m_blocks;
    bool m_exact = true;
    PooledMatrix m_room, m_scales;
    // All by chunks of inputs, in a chunk by rows: what is multiplied together lies together, whatever the width.
    std::int8_t *m_values;    // 32 a block, zeros behind the last input
    std::int32_t *m_offsets;  // one a block, as the scales: -128 times the sum of its integers
};

// The weight (out, in) of a linear layer in the same form, laid out for the processor's products of 8-bit integers: a quarter of the
// bytes of float and four times its operations. Sums within a block are exact, each is scaled exactly and added in float, so y = x W^T
// comes out as float products of the very values would, in another order of additions. Where scales multiply to less than
// 2^-149, the block counts as zero. Immutable.
class Int8Weight {
public:
    // True where the processor multiplies 8-bit integers (AVX512_VNNI).
    static bool isSupported();
    // True if the form above holds every value exactly.
    static bool holds(const ConstMatrixRef &values);

    // Only where isSupported(), of values that it holds.
    explicit Int8Weight(const ConstMatrixRef &weight);

    Index in() const;
    Index out() const;
    // y = x W^T. In fixed blocks of tokens over the pool.
    void multiply(const Int8Rows &x, MatrixRef y, const TaskContext &context = {}) const;
    // As floats, (out, in).
    Matrix values() const;

private:
    struct State;
    std::shared_ptr<const State> m_state;
};

}  // namespace lqer
