// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/gemm.h"
#include "core/linalg/quadratic_form.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

namespace {

constexpr Index band = 2048;  // outputs whose remaining error is formed at a time

}  // namespace

double outputError(const ConstMatrixRef &error, const LowRankCorrection *correction, const SiteStats &stats,
                   const TaskContext &context, Precision precision)
{
    const Index in = error.cols();
    if (stats.tokens <= 0)
        throw Error(ErrorCode::Argument, "an output error needs calibration statistics of at least one token");
    if (stats.features() != in || (stats.hasAutocorrelation() && stats.autocorrelation.rows() != in))
        throw Error(ErrorCode::Shape, fmt::format("the layer has {} inputs, the statistics cover {}", in, stats.features()));
    LQER_ASSERT(!correction || correction->rank() == 0 || (correction->a.rows() == in && correction->b.cols() == error.rows()));

    const TaskContext silent = context.silent();
    const auto energy = [&](const ConstMatrixRef &remaining) {
        if (stats.hasAutocorrelation())
            return quadraticForm(remaining, stats.autocorrelation, precision, silent);
        VectorF64 parts = VectorF64::Zero((remaining.rows() + 63) / 64);
        parallelFor(silent, remaining.rows(), 64, [&](Index begin, Index end) {
            for (Index row = begin; row < end; ++row)
                parts[begin / 64] += remaining.row(row).cast<double>().cwiseAbs2().dot(stats.sumSquares.transpose());
        });
        return parts.sum();
    };
    double total = 0;
    if (!correction || correction->rank() == 0) {
        total = energy(error);
    } else {
        for (Index begin = 0; begin < error.rows(); begin += band) {
            const Index rows = std::min(band, error.rows() - begin);
            Matrix remaining(rows, in);
            transposedMultiply(correction->b.middleCols(begin, rows), Matrix(correction->a.transpose()), remaining, silent);
            remaining = error.middleRows(begin, rows) - remaining;
            total += energy(remaining);
        }
    }
    return std::max(0.0, total) / static_cast<double>(stats.tokens);
}

std::uint64_t outputErrorBytes(Index out, Index in, std::size_t threads)
{
    // What remains under a correction and a copy of A; per thread the part of R that is taken to float and the product with it.
    const Index remaining = std::min(band, out) * in + in * std::min(in, out);
    const Index columns = std::min<Index>(512, in);
    return static_cast<std::uint64_t>(remaining + static_cast<Index>(threads) * columns * (in + 3 * 512)) * sizeof(float);
}

}  // namespace lqer
