// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <Eigen/Cholesky>
#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/block_krylov.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

// Growth of the energy from block to block falls faster and faster, but never counts as falling faster than this.
constexpr double fastestDecay = 0.2;
// Of the energy that still has to be gained, what stepFurther() leaves: 0.24 to 0.46 were measured.
constexpr double leftByStep = 0.4;

// Says when the sum of the k largest Ritz values has next to nothing left to gain.
class EnergyGrowth {
public:
    explicit EnergyGrowth(double tolerance) : m_tolerance(tolerance) {}

    bool ended(double energy)
    {
        const double growth = energy - m_energy;
        const bool known = m_energy > 0 && m_growth > 0;
        const double decay = known ? growth / m_growth : 1.0;
        const double next = std::max(m_decay > 0 ? decay * std::min(decay / m_decay, 1.0) : decay, fastestDecay);
        const bool ended = m_energy > 0 && (growth <= 0 || (next < 1 && leftByStep * growth * next / (1 - next) <= m_tolerance * energy));
        m_decay = known ? decay : 0;
        m_growth = m_energy > 0 ? growth : 0;
        m_energy = energy;
        return ended || energy <= 0;
    }

private:
    double m_tolerance;
    double m_energy = 0, m_growth = 0, m_decay = 0;
};

// Ritz vectors V (k, n), the rows, gain what the next block would teach them to first order. G V^T = V^T values + residual^T Y, Y (b, k) the
// vectors' coefficients in the newest block, so a vector lacks of the residual's direction its part over value - rho, rho being the Rayleigh
// quotient out there: that of the newest block, but not more than half of the value.
void stepFurther(Matrix &vectors, const SymmetricLeading &ritz, double rho, const Matrix &residual, const TaskContext &context)
{
    Matrix step(vectors.rows(), vectors.cols());
    transposedMultiply(Matrix(ritz.vectors.bottomRows(residual.rows()).cast<float>()), residual, step, context);
    for (Index i = 0; i < vectors.rows(); ++i) {
        const double value = ritz.values[i];
        if (2.0 * step.row(i).norm() < value)  // else far from an eigenvector, or lost in rounding
            vectors.row(i) += static_cast<float>(1 / std::max(value - rho, value / 2)) * step.row(i);
    }
}

// Orthonormal to double precision, each row close to the direction it had; the rows are nearly so already.
MatrixF64 orthonormalRows(const MatrixF64 &rows, const TaskContext &context)
{
    MatrixF64 g(rows.rows(), rows.rows());
    multiplyTransposed(rows, rows, g, context);
    const Eigen::LLT<Eigen::MatrixXd> llt(g);
    LQER_ASSERT(llt.info() == Eigen::Success);
    Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(g.rows(), g.cols());
    llt.matrixL().solveInPlace(inverse);
    MatrixF64 result(rows.rows(), rows.cols());
    multiply(MatrixF64(inverse), rows, result, context);
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

    BlockKrylov krylov(n, options.block, std::min(n, std::max(options.block * options.maxBlocks, 3 * k)), options.seed);
    EnergyGrowth growth(options.tolerance);
    while (krylov.extend(gramOperator, context)) {
        // Two growths are needed to judge by, and no space of fewer blocks beyond k has been found to be enough.
        if (krylov.size() >= std::min(n, k + options.block)
            && growth.ended(symmetricEigenvalues(krylov.projected(), context).tail(k).cwiseMax(0.0).sum()))
            break;
    }
    result.blocks = krylov.blocks();
    if (krylov.size() < k)
        throw Error(ErrorCode::Numeric, fmt::format("leading subspace of order {}: no direction left after {}", n, krylov.size()));

    const TaskContext silent = context.silent();
    const double rho = krylov.projected().diagonal().tail(krylov.residual().rows()).mean();
    const SymmetricLeading ritz = symmetricLeading(krylov.takeProjected(), k, context);
    result.values = ritz.values.head(k).cwiseMax(0.0);
    Matrix vectors(k, n);
    transposedMultiply(Matrix(ritz.vectors.cast<float>()), krylov.basis(), vectors, silent);
    stepFurther(vectors, ritz, rho, krylov.residual(), silent);
    result.vectors = orthonormalRows(vectors.cast<double>(), silent);
    return result;
}

}  // namespace lqer
