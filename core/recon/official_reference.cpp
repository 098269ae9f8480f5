// SPDX-License-Identifier: Apache-2.0
#include "core/recon/official_reference.h"

#include <algorithm>
#include <limits>

#include <Eigen/LU>

#include "core/base/check.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

constexpr double epsilon = std::numeric_limits<float>::epsilon();

// U_k is left in a, for the caller to unscale.
OfficialFactors factorsOf(const MatrixF64 &scaledError, Index rank)
{
    LQER_ASSERT(rank >= 0 && rank <= std::min(scaledError.rows(), scaledError.cols()));
    const Svd svd = thinSvd(scaledError);
    return {svd.u.leftCols(rank), svd.sigma.head(rank).asDiagonal() * svd.vt.topRows(rank), svd.sigma};
}

}  // namespace

OfficialFactors officialReconstruction(const ConstMatrixRef &error, const VectorF64 &scale, Index rank)
{
    LQER_ASSERT(scale.size() == error.cols());
    OfficialFactors factors = factorsOf(scale.asDiagonal() * error.cast<double>().transpose(), rank);
    for (Index channel = 0; channel < scale.size(); ++channel)
        factors.a.row(channel) /= scale[channel] > 0 ? scale[channel] : epsilon;
    return factors;
}

OfficialFactors officialReconstruction(const ConstMatrixRef &error, const MatrixF64 &scale, Index rank)
{
    LQER_ASSERT(scale.rows() == error.cols() && scale.cols() == error.cols());
    MatrixF64 scaled(error.cols(), error.rows());
    multiplyTransposed(scale, MatrixF64(error.cast<double>()), scaled);
    OfficialFactors factors = factorsOf(scaled, rank);
    if (rank == 0)
        return factors;
    const Eigen::PartialPivLU<Eigen::MatrixXd> lu(scale);
    if ((lu.matrixLU().diagonal().array() != 0.0).all()) {
        factors.a = lu.solve(Eigen::MatrixXd(factors.a));
        return factors;
    }
    Svd svd = thinSvd(scale);
    svd.sigma = (svd.sigma.array() <= 0).select(epsilon, svd.sigma);
    factors.a = svd.vt.transpose() * (svd.sigma.cwiseInverse().asDiagonal() * (svd.u.transpose() * factors.a));
    return factors;
}

}  // namespace lqer
