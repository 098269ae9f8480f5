// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>

#include <Eigen/Cholesky>
#include <Eigen/QR>
#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

// Relative to the largest product seen, what remains of a column after projection and is only rounding of the float products.
constexpr double noiseFloor = 1e-5;
// Of a column of unit length, the part outside the span of its neighbours below which it counts as dependent on them.
constexpr double dependent = 1e-4;

// The orthonormal basis Q of the Krylov space, one basis vector per row so that it grows without moving.
class KrylovBasis {
public:
    KrylovBasis(Index n, Index capacity) : m_rows(capacity, n) {}

    Index size() const { return m_size; }
    Index dimension() const { return m_rows.cols(); }
    Index room() const { return m_rows.rows() - m_size; }
    auto rows() const { return m_rows.topRows(m_size); }

    // Takes from each column of `block` (n, b) its part in the span of the basis; returns the coefficients Q^T block (size, b).
    Matrix projectOut(Matrix &block, const TaskContext &context) const
    {
        Matrix inside(m_size, block.cols());
        Matrix part(block.rows(), block.cols());
        multiply(rows(), block, inside, context);
        transposedMultiply(rows(), inside, part, context);
        block -= part;
        return inside;
    }

    void append(const Matrix &block)
    {
        m_rows.middleRows(m_size, block.cols()) = block.transpose();
        m_size += block.cols();
    }

private:
    Matrix m_rows;
    Index m_size = 0;
};

// Orthonormal columns spanning those of `block` that are longer than `shortest`; columns that depend on others are dropped.
// Cholesky QR, or Householder QR with column pivoting where the Gram matrix is too close to singular for it.
Matrix orthonormalized(const Matrix &block, double shortest, const TaskContext &context)
{
    MatrixF64 columns(block.rows(), block.cols());
    Index kept = 0;
    for (Index j = 0; j < block.cols(); ++j) {
        const VectorF64 column = block.col(j).cast<double>();
        const double length = column.norm();
        if (length > shortest)
            columns.col(kept++) = column / length;
    }
    columns.conservativeResize(Eigen::NoChange, kept);
    if (kept == 0)
        return Matrix(block.rows(), 0);

    MatrixF64 g(kept, kept);
    gram(columns, g, context);
    const Eigen::LLT<Eigen::MatrixXd> llt(g);
    if (llt.info() == Eigen::Success && llt.matrixLLT().diagonal().minCoeff() > dependent)
        return llt.matrixL().solve(columns.transpose()).transpose().cast<float>();
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(columns);
    Index rank = 0;
    while (rank < kept && std::abs(qr.matrixQR()(rank, rank)) > dependent)
        ++rank;
    const Eigen::MatrixXd thin = qr.householderQ() * Eigen::MatrixXd::Identity(columns.rows(), rank);
    return thin.cast<float>();
}

// The block, which has been projected once, made orthonormal and orthogonal to the basis: the second projection removes what
// rounding left.
Matrix newDirections(const Matrix &block, double shortest, const KrylovBasis &basis, const TaskContext &context)
{
    Matrix q = orthonormalized(block, shortest, context);
    basis.projectOut(q, context);
    return orthonormalized(q, dependent, context);
}

Matrix randomDirections(Index columns, const KrylovBasis &basis, std::mt19937_64 &engine, const TaskContext &context)
{
    std::normal_distribution<float> normal;
    Matrix block = Matrix::NullaryExpr(basis.dimension(), columns, [&](Index, Index) { return normal(engine); });
    basis.projectOut(block, context);
    return newDirections(block, 0.0, basis, context);
}

}  // namespace

LeadingSubspace leadingSubspace(Index n, Index k, const GramOperator &gramOperator, const LeadingSubspaceOptions &options,
                                const TaskContext &context)
{
    LQER_ASSERT(k >= 0 && k <= n && options.block >= 1);
    LeadingSubspace result;
    result.vectors.resize(n, k);
    result.values = VectorF64::Zero(k);
    if (k == 0)
        return result;

    std::mt19937_64 engine(options.seed);
    KrylovBasis basis(n, std::min(n, std::max(options.block * options.maxBlocks, 3 * k)));
    MatrixF64 projected(0, 0);  // H = Q^T G Q
    double largest = 0;         // longest column of all products so far: a lower bound of G's largest eigenvalue
    double energy = 0;          // sum of the k largest Ritz values
    const TaskContext silent = context.silent();
    Matrix q = randomDirections(std::min(options.block, basis.room()), basis, engine, silent);
    while (true) {
        context.checkStop();
        const Index before = basis.size();
        basis.append(q);
        ++result.blocks;

        Matrix z(n, q.cols());
        gramOperator(q, z);
        if (!z.allFinite())
            throw Error(ErrorCode::Numeric,
                        fmt::format("leading subspace of order {}: product {} is not finite", n, result.blocks));
        largest = std::max(largest, static_cast<double>(z.colwise().norm().maxCoeff()));
        const MatrixF64 inside = basis.projectOut(z, silent).cast<double>();
        projected.conservativeResize(basis.size(), basis.size());
        projected.rightCols(q.cols()) = inside;
        projected.bottomRows(q.cols()) = inside.transpose();
        auto corner = projected.bottomRightCorner(q.cols(), q.cols());
        corner = 0.5 * (corner + corner.transpose()).eval();

        if (basis.size() >= k) {
            const double previous = energy;
            energy = symmetricEigenvalues(projected).tail(k).cwiseMax(0.0).sum();
            if (before >= k && energy - previous <= options.tolerance * energy)
                break;
        }
        if (basis.room() == 0)
            break;
        // An invariant space leaves nothing new to multiply by: a fresh random block looks for what the first one could not see
        // (eigenvalues of more than `block` copies, or a rank below k).
        if (z.cols() > basis.room())
            z.conservativeResize(Eigen::NoChange, basis.room());
        q = newDirections(z, noiseFloor * largest, basis, silent);
        if (q.cols() == 0)
            q = randomDirections(std::min(options.block, basis.room()), basis, engine, silent);
        if (q.cols() == 0) {
            if (basis.size() >= k)
                break;
            throw Error(ErrorCode::Numeric,
                        fmt::format("leading subspace of order {}: no direction left after {}", n, basis.size()));
        }
    }

    const SymmetricLeading ritz = symmetricLeading(std::move(projected), k);
    result.values = ritz.values.head(k).cwiseMax(0.0);
    Matrix vectors(n, k);
    transposedMultiply(basis.rows(), Matrix(ritz.vectors.cast<float>()), vectors, silent);
    result.vectors = vectors.cast<double>();
    orthonormalizeColumns(result.vectors);
    return result;
}

}  // namespace lqer
