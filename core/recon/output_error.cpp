// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/gemm.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

namespace {

constexpr Index band = 512;  // outputs at a time in double

}  // namespace

double outputError(const ConstMatrixRef &error, const LowRankCorrection *correction, const SiteStats &stats,
                   const TaskContext &context)
{
    const Index in = error.cols();
    if (stats.tokens <= 0)
        throw Error(ErrorCode::Argument, "an output error needs calibration statistics of at least one token");
    if (stats.features() != in || (stats.hasAutocorrelation() && stats.autocorrelation.rows() != in))
        throw Error(ErrorCode::Shape, fmt::format("the layer has {} inputs, the statistics cover {}", in, stats.features()));
    LQER_ASSERT(!correction || correction->rank() == 0 || (correction->a.rows() == in && correction->b.cols() == error.rows()));

    const TaskContext silent = context.silent();
    VectorF64 parts = VectorF64::Zero((error.rows() + band - 1) / band);
    MatrixF64 aTransposed;
    if (correction && correction->rank() > 0)
        aTransposed = correction->a.cast<double>().transpose();
    parallelFor(silent, error.rows(), band, [&](Index begin, Index end) {
        MatrixF64 remaining = error.middleRows(begin, end - begin).cast<double>();
        if (aTransposed.size()) {
            MatrixF64 corrected(end - begin, in);
            transposedMultiply(MatrixF64(correction->b.middleCols(begin, end - begin).cast<double>()), aTransposed, corrected,
                               silent);
            remaining -= corrected;
        }
        double &part = parts[begin / band];
        part = stats.hasAutocorrelation() ? quadraticForm(remaining, stats.autocorrelation, silent)
                                          : (remaining.cwiseAbs2() * stats.sumSquares).sum();
    });
    return std::max(0.0, parts.sum()) / static_cast<double>(stats.tokens);
}

std::uint64_t outputErrorBytes(Index out, Index in, std::size_t threads)
{
    const Index bands = std::min<Index>((out + band - 1) / band, static_cast<Index>(threads));
    return static_cast<std::uint64_t>(bands * std::min(band, out) * (in + band)) * sizeof(double);  // a band and a tile of its product
}

}  // namespace lqer
