// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
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
    // Of rows that source(first, rows) writes, a few at a time and on any thread: those from `first` on.
    using RowSource = std::function<void(Index first, Matrix &rows)>;
    Int8Rows(Index rows, Index cols, const RowSource &source, MatrixPool &pool, const TaskContext &context = {});
    Index rows() const { return m_rows; }
    Index cols() const { return m_cols; }
    bool isExact() const { return m_exact; }

private:
    friend class Int8Weight;
    Int8Rows(Index rows, Index cols, MatrixPool &pool);
    template <typename Piece>
    void make(Index step, const TaskContext &context, const Piece &piece);

    Index m_rows, m_cols, m_blocks;
    bool m_exact = true;
    std::uint32_t m_leastExponent = 255, m_mostExponent = 0;  // fields of the scales
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
    // True if the form above holds every value exactly. As all that follows, only where isSupported().
    static bool holds(const ConstMatrixRef &values);

    // Of values that it holds.
    explicit Int8Weight(const ConstMatrixRef &weight);

    Index in() const;
    Index out() const;
    // Columns of the result that are computed together, and rows at most.
    static constexpr Index panel = 32, grain = 126;
    // Changes sums of the rows [begin, end) in the panel at `column`, (rows, panel) next to each other, before they are stored.
    using PanelFinish = std::function<void(Index column, Index begin, Index end, float *sums)>;
    // y = x W^T. In fixed blocks of tokens over the pool.
    void multiply(const Int8Rows &x, MatrixRef y, const TaskContext &context = {}, const PanelFinish &finish = {}) const;
    // As floats, (out, in).
    Matrix values(const TaskContext &context = {}) const;

private:
    // One panel of y, (end - begin, min(panel, out - column)) with a row stride. `later`: where it is going to be stored.
    void multiplyPanel(const Int8Rows &x, Index column, Index begin, Index end, float *y, Index stride, const float *later,
                       Index laterStride) const;

    struct State;
    std::shared_ptr<const State> m_state;
};

}  // namespace lqer
