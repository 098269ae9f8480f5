// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <utility>

#include "core/linalg/decomposition.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// The Krylov space of a symmetric positive semi-definite G (n, n) and a random block of directions, grown by one block per product with full
// reorthogonalisation (Golub and Underwood 1977). Its basis Q holds one orthonormal vector per row. An invariant space leaves nothing new to
// multiply by: a fresh random block then looks for what the ones before could not see (eigenvalues of more copies than a block has rows).
class BlockKrylov {
public:
    // Memory: n floats for each of `capacity` <= n basis vectors, taken up as they are used.
    BlockKrylov(Index n, Index block, Index capacity, std::uint64_t seed);

    // Multiplies the next block by G and takes it into the space; false where none is left or `capacity` is reached. Polls the stop token.
    // Throws Error(Numeric) when the product is not finite.
    bool extend(const GramOperator &gramOperator, const TaskContext &context);

    Index size() const { return m_size; }
    Index blocks() const { return m_blocks; }
    auto basis() const { return m_rows.topRows(m_size); }
    // H = Q G Q^T, (size, size).
    const MatrixF64 &projected() const { return m_projected; }
    MatrixF64 takeProjected() { return std::move(m_projected); }  // at the end
    // Of the newest block (b, n) times G, what lies outside the space: G Q^T = Q^T H + [0 residual^T], up to rounding.
    const Matrix &residual() const { return m_residual; }

private:
    Index room() const { return m_rows.rows() - m_size; }
    Matrix projectOut(Matrix &block, const TaskContext &context) const;
    Matrix newDirections(const Matrix &block, double shortest, const TaskContext &context) const;
    Matrix randomDirections(const TaskContext &context);
    Matrix nextBlock(const TaskContext &context);

    Index m_block;
    Index m_size = 0, m_blocks = 0;
    Matrix m_rows;  // of its full height from the start, so that the basis grows without moving
    Matrix m_residual;
    MatrixF64 m_projected;
    double m_largest = 0;  // longest row of all products so far: a lower bound of G's largest eigenvalue
    std::mt19937_64 m_engine;
};

}  // namespace lqer
