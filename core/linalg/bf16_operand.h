// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// The right-hand matrix M (rows, columns) of many products with few rows on the left, y = x M: in bfloat16, laid out once for the
// processor's bfloat16 products. Bf16Weight serves the other case, many rows and one product after another.
// Filled piece by piece by pack(), from any threads where the pieces do not overlap; then only multiplied with.
class Bf16Operand {
public:
    // Extents that pieces begin at multiples of, so that no two of them share a pair of bfloat16.
    static constexpr Index pieceRows = 64, pieceColumns = 512;

    // Only where Bf16Weight::isSupported().
    Bf16Operand(Index rows, Index columns);
    ~Bf16Operand();
    Bf16Operand(const Bf16Operand &) = delete;
    Bf16Operand &operator=(const Bf16Operand &) = delete;

    Index rows() const;
    Index columns() const;
    // M.block(row, column, ...) = piece, rounded to nearest even. row and column are multiples of pieceRows and pieceColumns, or
    // the other way round for packTransposed().
    void pack(Index row, Index column, const ConstMatrixRef &piece);
    // M.block(column, row, ...) = piece^T.
    void packTransposed(Index row, Index column, const ConstMatrixRef &piece);
    // y = x M, x (n, rows) rounded to bfloat16, sums in float. In fixed slabs of columns over the pool.
    void multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;

    static std::size_t bytes(Index rows, Index columns);

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace lqer
