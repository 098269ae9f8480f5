// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "core/eval/quantized_forward.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"
#include "core/quant/quantizer.h"
#include "core/recon/error_decomposition.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_data.h"
#include "tests/bench/official.h"

namespace lqer::bench {

namespace {

constexpr Index rank = 64;

Matrix quantizationError(const Matrix &weight)
{
    return weight - quantizeWeight(*makeQuantizer(FormatSpec::parse("mxint4")), weight, "weight", {});
}

ErrorDecomposition ours(const Matrix &weight, const Scaling &scaling)
{
    DecompositionOptions options;
    options.maxRank = rank;
    options.fullSpectrum = false;
    return decompose(quantizationError(weight), scaling, options, {});
}

// Energy of the best rank-64 correction: eigenvalues of the shaped error's Gram matrix in double, by LAPACK.
double optimalEnergy(const Matrix &weight, const Scaling &scaling)
{
    const MatrixF64 error = quantizationError(weight).cast<double>().transpose();  // (in, out)
    MatrixF64 shaped(error.rows(), error.cols());
    scaling.apply(error, shaped);
    const Index in = error.rows(), out = error.cols();
    if (scaling.kind() == ScalingKind::Exact || out <= in) {
        MatrixF64 g(out, out);
        transposedMultiply(error, shaped, g);
        return symmetricEigenvalues(0.5 * (g + g.transpose())).tail(rank).sum();
    }
    const MatrixF64 scaled = scaling.diagonal().cwiseSqrt().asDiagonal() * error;
    MatrixF64 g(in, in);
    multiplyTransposed(scaled, scaled, g);
    return symmetricEigenvalues(std::move(g)).tail(rank).sum();
}

std::string quality(const ErrorDecomposition &found, double optimal)
{
    return fmt::format("{:.3f} % of the optimal energy", 100 * found.sigma.head(rank).squaredNorm() / optimal);
}

// The time of a step that grows with the cube of its extents, at `to` from a measurement at `from`.
double cubed(double seconds, Index from, Index to)
{
    return seconds * std::pow(static_cast<double>(to) / static_cast<double>(from), 3.0);
}

void diagonalLayer(Report &report, Index out, Index in, double spread, double goal, bool measureBaseline)
{
    const Matrix weight = heavyWeight(out, in, 1);
    const Vector scale = channelScale(in, spread, 2);
    const Scaling scaling = Scaling::fromVector(ScalingKind::MeanAbs, scale.cast<double>());
    ErrorDecomposition found;
    const double seconds = best(3, [&] { found = ours(weight, scaling); });
    Row row{fmt::format("lqer, out {} in {}, spread {}", out, in, spread), "s", seconds, "", 0, goal, quality(found, optimalEnergy(weight, scaling))};
    if (measureBaseline) {
        row.baseline = "official: quantizer, gesdd with full matrices, solve";
        row.reference = threadSeconds([&] {
            const Matrix error = (weight - mxint4ByPasses(weight)).transpose();
            lqerFactors(error, scale, rank);
        });
    }
    report.add(row);
}

// The baseline at 2048 is measured, and above it extended by the cube unless --full measures it too.
void exactLayer(Report &report, Index out, Index in, double goal, bool measureBaseline, double sqrtAt2048, double restAt2048)
{
    const Matrix weight = heavyWeight(out, in, 3);
    const auto stats = std::make_shared<SiteStats>(activationStats(channelScale(in, 0.7, 4), measureBaseline ? 2 * in : 2048, 5));
    const Scaling scaling(ScalingKind::Exact, stats, in);
    ErrorDecomposition found;
    const double seconds = best(3, [&] { found = ours(weight, scaling); });
    Row row{fmt::format("exact, out {} in {}, R given", out, in), "s", seconds, "", 0, goal, quality(found, optimalEnergy(weight, scaling))};
    if (measureBaseline) {
        row.baseline = "official: quantizer, Schur square root, gesdd, solve";
        row.reference = threadSeconds([&] {
            const Matrix error = (weight - mxint4ByPasses(weight)).transpose();
            exactFactors(error, stats->meanAutocorrelation(), rank);
        });
    } else {
        row.baseline = "official, extended from 2048 by the cube";
        row.reference = cubed(sqrtAt2048, 2048, in) + cubed(restAt2048, 2048, std::min(in, out)) * static_cast<double>(std::max(in, out))
                                                          / static_cast<double>(std::min(in, out));
    }
    report.add(row);
}

}  // namespace

void benchDecomposition(Report &report, const Options &options)
{
    diagonalLayer(report, 1024, 1024, 0.7, 0, true);
    diagonalLayer(report, 2048, 2048, 0.7, 0, true);
    diagonalLayer(report, 4096, 4096, 0.7, 100, true);
    diagonalLayer(report, 4096, 4096, 0.0, 0, false);
    diagonalLayer(report, 11008, 4096, 0.7, 90, options.full);
    diagonalLayer(report, 4096, 11008, 0.7, 90, options.full);

    exactLayer(report, 1024, 1024, 0, true, 0, 0);
    exactLayer(report, 2048, 2048, 0, true, 0, 0);
    const Matrix error = quantizationError(heavyWeight(2048, 2048, 6)).transpose();
    const SiteStats stats = activationStats(channelScale(2048, 0.7, 7), 4096, 8);
    const double root = threadSeconds([&] { schurSqrt(stats.meanAutocorrelation()); });
    const double rest = threadSeconds([&] { lqerFactors(error, channelScale(2048, 0.7, 9), rank); });
    exactLayer(report, 4096, 4096, 150, options.full, root, rest);
    exactLayer(report, 11008, 4096, 0, false, root, rest);
    exactLayer(report, 4096, 11008, 500, false, root, rest);
}

void benchSpectrum(Report &report, const Options &)
{
    for (const Index n : {Index(2048), Index(4096)}) {
        const Vector scale = channelScale(n, 0.7, 2);
        const Matrix error = quantizationError(heavyWeight(n, n, 1)) * scale.asDiagonal();
        DecompositionOptions options;
        options.maxRank = rank;
        ErrorDecomposition found;
        const double seconds = threadSeconds([&] { found = decompose(error, Scaling(ScalingKind::Identity, nullptr, n), options, {}); });
        Vector reference;
        const double baseline = threadSeconds([&] { reference = gesddValues(error); });
        const auto errorAt = [&](double share) {
            const auto index = static_cast<Index>(share * static_cast<double>(n));
            return std::abs(found.sigma[index] / static_cast<double>(reference[index]) - 1);
        };
        report.add({fmt::format("all values and rank-64 factors, {}x{}", n, n), "s", seconds, "sgesdd, values only", baseline, n == 4096 ? 4.0 : 0.0,
                    fmt::format("relative difference at the 50, 90, 99 % index {:.0e}, {:.0e}, {:.0e}", errorAt(.5), errorAt(.9), errorAt(.99))});
    }
}

}  // namespace lqer::bench
