// SPDX-License-Identifier: Apache-2.0
#include "core/recon/spectrum_estimate.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/linalg/spectral_density.h"

namespace lqer {

namespace {

VectorF64 ofPacked(const ErrorGram &gram, double energy, const TaskContext &context)
{
    const ErrorGram::Side side = gram.in() < gram.out() ? ErrorGram::Side::Inputs : ErrorGram::Side::Outputs;
    return estimatedSingularValues(
        std::min(gram.in(), gram.out()), energy, [&](const ConstMatrixRef &x, MatrixRef y) { gram.packedTimes(side, x, y, context); }, {},
        context);
}

}  // namespace

VectorF64 estimatedShapedSpectrum(const ErrorGram &gram, double energy, const TaskContext &context)
{
    const double unit = gram.scaling().unit();
    if (gram.scaling().isDiagonal())
        return std::sqrt(unit) * ofPacked(gram, energy / unit, context);
    const VectorF64 values = estimatedSingularValues(
        gram.out(), energy / unit, [&](const ConstMatrixRef &x, MatrixRef y) { gram.times(x, y, context); }, {}, context);
    return std::sqrt(unit) * values.head(std::min(gram.in(), gram.out()));
}

VectorF64 estimatedPlainSpectrum(const ErrorGram &gram, double energy, const TaskContext &context)
{
    const ScalingKind kind = gram.scaling().exactly().kind();
    LQER_ASSERT(kind == ScalingKind::Identity || kind == ScalingKind::Exact);
    return ofPacked(gram, energy, context);
}

std::uint64_t spectrumEstimateBytes(Index out, Index in)
{
    constexpr SpectralDensityOptions options;
    constexpr Index float32 = sizeof(float), float64 = sizeof(double);
    const Index side = std::max(out, in);
    const Index basis = std::min(side, options.block * options.blocks);
    return static_cast<std::uint64_t>(basis * side * float32 + 4 * basis * basis * float64 + options.block * side * (4 * float32 + 2 * float64));
}

VectorF64 withEstimates(const VectorF64 &leading, VectorF64 estimates, double energy)
{
    const Index k = leading.size();
    LQER_ASSERT(k <= estimates.size());
    auto others = estimates.tail(estimates.size() - k);
    const double left = std::max(0.0, energy - leading.squaredNorm());
    const double sum = others.squaredNorm();
    if (sum > 0)
        others *= std::sqrt(left / sum);
    if (k > 0)
        others = others.cwiseMin(leading[k - 1]);
    estimates.head(k) = leading;
    return estimates;
}

}  // namespace lqer
