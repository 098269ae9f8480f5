// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/QR>
#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

// Relative to the largest product seen, what remains of a vector after projection and is only rounding of the float products.
constexpr double noiseFloor = 1e-5;
// Of a vector of unit length, the part outside the span of its neighbours below which it counts as dependent on them.
constexpr double dependent = 1e-4;
// Growth of the energy from block to block falls like a geometric series, but never counts as falling faster than this.
constexpr double fastestDecay = 0.2;

// The orthonormal basis Q of the Krylov space, one basis vector per row so that it grows without moving.
class KrylovBasis {
public:
    KrylovBasis(Index n, Index capacity) : m_rows(capacity, n) {}

    Index size() const { return m_size; }
    Index dimension() const { return m_rows.cols(); }
    Index room() const { return m_rows.rows() - m_size; }
    auto rows() const { return m_rows.topRows(m_size); }

    // Takes from each row of `block` (b, n) its part in the span of the basis; returns the coefficients (b, size).
    Matrix projectOut(Matrix &block, const TaskContext &context) const
    {
        Matrix inside(block.rows(), m_size);
        Matrix part(block.rows(), block.cols());
        multiplyTransposed(block, rows(), inside, context);
        multiply(inside, rows(), part, context);
        block -= part;
        return inside;
    }

    void append(const Matrix &block)
    {
        m_rows.middleRows(m_size, block.rows()) = block;
        m_size += block.rows();
    }

private:
    Matrix m_rows;
    Index m_size = 0;
};

// L^-1.
Eigen::MatrixXd inverseOf(const Eigen::LLT<Eigen::MatrixXd> &llt)
{
    Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(llt.rows(), llt.cols());
    llt.matrixL().solveInPlace(inverse);
    return inverse;
}

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
        factor(Eigen::all, kept) = inverseOf(llt) * inverse.asDiagonal();
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

// The block, which has been projected once, made orthonormal and orthogonal to the basis: the second projection removes what
// rounding left.
Matrix newDirections(const Matrix &block, double shortest, const KrylovBasis &basis, const TaskContext &context)
{
    Matrix q = orthonormalized(block, shortest, context);
    basis.projectOut(q, context);
    return orthonormalized(q, dependent, context);
}

Matrix randomDirections(Index count, const KrylovBasis &basis, std::mt19937_64 &engine, const TaskContext &context)
{
    Matrix block = Matrix::NullaryExpr(
        count, basis.dimension(), [&](Index, Index) { return static_cast<float>(static_cast<std::int64_t>(engine())) * 0x1p-63F; });
    basis.projectOut(block, context);
    return newDirections(block, 0.0, basis, context);
}

// Says when the sum of the k largest Ritz values has next to nothing left to gain.
class EnergyGrowth {
public:
    explicit EnergyGrowth(double tolerance) : m_tolerance(tolerance) {}

    bool ended(double energy)
    {
        const double growth = energy - m_energy;
        const bool known = m_energy > 0 && m_growth > 0;
        const double decay = known ? std::max(growth / m_growth, fastestDecay) : 1.0;
        const bool ended = m_energy > 0 && (growth <= 0 || (decay < 1 && growth * decay / (1 - decay) <= m_tolerance * energy));
        m_growth = m_energy > 0 ? growth : 0;
        m_energy = energy;
        return ended || energy <= 0;
    }

private:
    double m_tolerance;
    double m_energy = 0, m_growth = 0;
};

// Orthonormal to double precision, each row close to the direction it had; the rows are nearly so already.
MatrixF64 orthonormalRows(const MatrixF64 &rows, const TaskContext &context)
{
    MatrixF64 g(rows.rows(), rows.rows());
    multiplyTransposed(rows, rows, g, context);
    const Eigen::LLT<Eigen::MatrixXd> llt(g);
    LQER_ASSERT(llt.info() == Eigen::Success);
    MatrixF64 result(rows.rows(), rows.cols());
    multiply(MatrixF64(inverseOf(llt)), rows, result, context);
    return result;
}

}  // namespace

LeadingSubspace leadingSubspace(Index n, Index k, const GramOperator &gramOperator, const LeadingSubspaceOptions &options,
                                const TaskContext &context)
{
    LQER_ASSERT(k >= 0 && k <= n && options.block >= 1);
    LeadingSubspace result;
    result.vectors.resize(k, n);
    result.values = VectorF64::Zero(k);
    if (k == 0)
        return result;

    std::mt19937_64 engine(options.seed);
    KrylovBasis basis(n, std::min(n, std::max(options.block * options.maxBlocks, 3 * k)));
    MatrixF64 projected(0, 0);  // H = Q G Q^T
    double largest = 0;         // longest row of all products so far: a lower bound of G's largest eigenvalue
    EnergyGrowth growth(options.tolerance);
    const TaskContext silent = context.silent();
    Matrix q = randomDirections(std::min(options.block, basis.room()), basis, engine, silent);
    while (true) {
        context.checkStop();
        basis.append(q);
        ++result.blocks;

        Matrix z(q.rows(), n);
        gramOperator(q, z);
        if (!z.allFinite())
            throw Error(ErrorCode::Numeric,
                        fmt::format("leading subspace of order {}: product {} is not finite", n, result.blocks));
        largest = std::max(largest, static_cast<double>(z.rowwise().norm().maxCoeff()));
        const MatrixF64 inside = basis.projectOut(z, silent).cast<double>();
        projected.conservativeResize(basis.size(), basis.size());
        projected.bottomRows(q.rows()) = inside;
        projected.rightCols(q.rows()) = inside.transpose();
        auto corner = projected.bottomRightCorner(q.rows(), q.rows());
        corner = 0.5 * (corner + corner.transpose()).eval();

        // Two growths are needed to judge by, and no space of fewer blocks beyond k has been found to be enough.
        if (basis.size() >= std::min(n, k + options.block)
            && growth.ended(symmetricEigenvalues(projected).tail(k).cwiseMax(0.0).sum()))
            break;
        if (basis.room() == 0)
            break;
        // An invariant space leaves nothing new to multiply by: a fresh random block looks for what the first one could not see
        // (eigenvalues of more than `block` copies, or a rank below k).
        if (z.rows() > basis.room())
            z.conservativeResize(basis.room(), Eigen::NoChange);
        q = newDirections(z, noiseFloor * largest, basis, silent);
        if (q.rows() == 0)
            q = randomDirections(std::min(options.block, basis.room()), basis, engine, silent);
        if (q.rows() == 0) {
            if (basis.size() >= k)
                break;
            throw Error(ErrorCode::Numeric,
                        fmt::format("leading subspace of order {}: no direction left after {}", n, basis.size()));
        }
    }

    const SymmetricLeading ritz = symmetricLeading(std::move(projected), k);
    result.values = ritz.values.head(k).cwiseMax(0.0);
    Matrix vectors(k, n);
    transposedMultiply(Matrix(ritz.vectors.cast<float>()), basis.rows(), vectors, silent);
    result.vectors = orthonormalRows(vectors.cast<double>(), silent);
    return result;
}

}  // namespace lqer
