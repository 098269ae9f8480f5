// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/block_krylov.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/QR>
#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/large_pages.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

// Relative to the largest product seen, what remains of a vector after projection and is only rounding of the float products.
constexpr double noiseFloor = 1e-5;
// Of a vector of unit length, the part outside the span of its neighbours below which it counts as dependent on them.
constexpr double dependent = 1e-4;

// Orthonormal rows spanning those of `block` that are longer than `shortest`; rows that depend on others are dropped. Cholesky QR, or
// Householder QR with column pivoting where the Gram matrix is too close to singular for it.
Matrix orthonormalized(const Matrix &block, double shortest, const TaskContext &context)
{
    MatrixF64 wide = block.cast<double>();
    MatrixF64 g(block.rows(), block.rows());
    multiplyTransposed(wide, wide, g, context);
    std::vector<Index> kept;
    for (Index i = 0; i < block.rows(); ++i)
        if (g(i, i) > shortest * shortest)
            kept.push_back(i);
    const auto count = static_cast<Index>(kept.size());
    if (count == 0)
        return Matrix(0, block.cols());

    const VectorF64 inverse = g(kept, kept).diagonal().cwiseSqrt().cwiseInverse();
    const Eigen::LLT<Eigen::MatrixXd> llt(inverse.asDiagonal() * g(kept, kept) * inverse.asDiagonal());
    if (llt.info() == Eigen::Success && llt.matrixLLT().diagonal().minCoeff() > dependent) {
        MatrixF64 factor = MatrixF64::Zero(count, block.rows());
        Eigen::MatrixXd lower = Eigen::MatrixXd::Identity(count, count);  // L^-1
        llt.matrixL().solveInPlace(lower);
        factor(Eigen::all, kept) = lower * inverse.asDiagonal();
        Matrix rows(count, block.cols());
        multiply(Matrix(factor.cast<float>()), block, rows, context);
        return rows;
    }
    const Eigen::MatrixXd columns = (inverse.asDiagonal() * wide(kept, Eigen::all)).transpose();
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(columns);
    Index rank = 0;
    while (rank < count && std::abs(qr.matrixQR()(rank, rank)) > dependent)
        ++rank;
    const Eigen::MatrixXd thin = qr.householderQ() * Eigen::MatrixXd::Identity(columns.rows(), rank);
    return thin.transpose().cast<float>();
}

}  // namespace

BlockKrylov::BlockKrylov(Index n, Index block, Index capacity, std::uint64_t seed) : m_block(block), m_rows(onLargePages(Matrix(capacity, n))), m_engine(seed)
{
    LQER_ASSERT(block >= 1 && capacity <= n);
}

bool BlockKrylov::extend(const GramOperator &gramOperator, const TaskContext &context)
{
    context.checkStop();
    const TaskContext silent = context.silent();
    const Matrix q = nextBlock(silent);
    if (q.rows() == 0)
        return false;
    m_rows.middleRows(m_size, q.rows()) = q;
    m_size += q.rows();
    ++m_blocks;

    Matrix z(q.rows(), q.cols());
    gramOperator(q, z);
    const Vector lengths = z.rowwise().norm();
    if (!lengths.allFinite())
        throw Error(ErrorCode::Numeric, fmt::format("Krylov space of order {}: product {} is not finite", q.cols(), m_blocks));
    m_largest = std::max(m_largest, static_cast<double>(lengths.maxCoeff()));
    const MatrixF64 inside = projectOut(z, silent).cast<double>();
    m_projected.conservativeResize(m_size, m_size);
    m_projected.rightCols(q.rows()) = inside;
    m_projected.bottomRows(q.rows()) = inside.transpose();
    auto corner = m_projected.bottomRightCorner(q.rows(), q.rows());
    corner = 0.5 * (corner + corner.transpose()).eval();
    m_residual = std::move(z);
    return true;
}

// Takes from each row of `block` (b, n) its part in the span of the basis; returns the coefficients (size, b).
Matrix BlockKrylov::projectOut(Matrix &block, const TaskContext &context) const
{
    Matrix inside(m_size, block.rows());  // the longer side first: oneDNN copies the other operand into its layout
    Matrix part(block.rows(), block.cols());
    multiplyTransposed(basis(), block, inside, context);
    transposedMultiply(inside, basis(), part, context);
    block -= part;
    return inside;
}

// The block, which has been projected once, made orthonormal and orthogonal to the basis: the second projection removes what
// rounding left.
Matrix BlockKrylov::newDirections(const Matrix &block, double shortest, const TaskContext &context) const
{
    Matrix q = orthonormalized(block, shortest, context);
    projectOut(q, context);
    return orthonormalized(q, dependent, context);
}

Matrix BlockKrylov::randomDirections(const TaskContext &context)
{
    Matrix block = Matrix::NullaryExpr(std::min(m_block, room()), m_rows.cols(),
                                       [&](Index, Index) { return static_cast<float>(static_cast<std::int64_t>(m_engine())) * 0x1p-63F; });
    projectOut(block, context);
    return newDirections(block, 0.0, context);
}

Matrix BlockKrylov::nextBlock(const TaskContext &context)
{
    if (room() == 0)
        return {};
    if (m_residual.rows() > room())
        m_residual.conservativeResize(room(), Eigen::NoChange);
    Matrix q;
    if (m_residual.rows() > 0)
        q = newDirections(m_residual, noiseFloor * m_largest, context);
    return q.rows() > 0 ? q : randomDirections(context);
}

}  // namespace lqer
