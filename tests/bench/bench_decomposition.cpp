// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <functional>
#include <limits>

#include <cblas.h>
#include <fmt/format.h>

#include "core/eval/quantized_forward.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"
#include "core/linalg/spectral_density.h"
#include "core/quant/quantizer.h"
#include "core/recon/error_decomposition.h"
#include "core/recon/error_gram.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_data.h"
#include "tests/bench/official.h"

namespace lqer::bench {

namespace {

constexpr Index rank = 64;

Matrix quantizationError(const Matrix &weight)
{
    return lqer::quantizationError(*makeQuantizer(FormatSpec::parse("mxint4")), weight, "weight", {});
}

// From W to A and B, quantizer included. Under exact scaling without the layer's total error, which the official code does not compute.
ErrorDecomposition ours(const Matrix &weight, const Scaling &scaling, Precision precision = Precision::BFloat16, bool total = false)
{
    DecompositionOptions options;
    options.maxRank = rank;
    options.spectrum = SpectrumExtent::Leading;
    options.precision = precision;
    options.totalEnergy = total;
    return decompose(quantizationError(weight), scaling, options, {});
}

// The official steps for the same.
void officialLayer(const Matrix &weight, const Vector &scale)
{
    const Matrix error = (weight - mxint4ByPasses(weight)).transpose();
    lqerFactors(error, scale, rank);
}

void officialLayer(const Matrix &weight, const SiteStats &stats)
{
    const Matrix error = (weight - mxint4ByPasses(weight)).transpose();
    exactFactors(error, stats.meanAutocorrelation(), rank);
}

// Eigenvalues of the smaller Gram matrix of the shaped error, all in double, by LAPACK: descending.
VectorF64 trueSpectrum(const Matrix &weight, const Scaling &scaling)
{
    const MatrixF64 error = quantizationError(weight).cast<double>().transpose();  // (in, out)
    MatrixF64 shaped(error.rows(), error.cols());
    scaling.apply(error, shaped);
    MatrixF64 g(error.cols(), error.cols());
    transposedMultiply(error, shaped, g);
    return symmetricEigenvalues(0.5 * (g + g.transpose())).reverse();
}

// Energy of the found correction against that of the best one: LAPACK's, or on large layers against what no correction exceeds.
std::string quality(const ErrorDecomposition &found, const Matrix &weight, const Scaling &scaling)
{
    const double captured = found.sigma.head(rank).squaredNorm();
    const Index most = scaling.kind() == ScalingKind::Exact ? 2048 : 4096;
    if (std::max(weight.rows(), weight.cols()) <= most)
        return fmt::format("{:.3f} % of the optimal energy", 100 * captured / trueSpectrum(weight, scaling).head(rank).sum());
    const Matrix error = quantizationError(weight);
    const FloatScaling floatScaling(scaling, true, {});
    const ErrorGram gram(error, floatScaling, Precision::Float32, {});
    const MatrixF64 vectors = found.sigma.head(rank).cwiseInverse().asDiagonal() * found.b;
    const double bound = floatScaling.unit() * leadingEnergyBound(vectors, [&](const ConstMatrixRef &x, MatrixRef y) { gram.times(x, y, {}); }, {});
    return fmt::format("at least {:.2f} % of the optimal energy (bound)", 100 * captured / bound);
}

VectorF64 estimatedSpectrum(const Matrix &error)
{
    const Scaling identity(ScalingKind::Identity, nullptr, error.cols());
    const FloatScaling scaling(identity, false, {});
    const ErrorGram gram(error, scaling, Bf16Weight::isSupported() ? Precision::BFloat16 : Precision::Float32, {});
    return estimatedSingularValues(
        error.rows(), error.cast<double>().squaredNorm(), [&](const ConstMatrixRef &x, MatrixRef y) { gram.times(x, y, {}); }, {}, {});
}

// Farthest that the energy of the leading values is from the truth, for any number of them; of the total.
double worstEnergy(const VectorF64 &found, const VectorF64 &truth)
{
    double difference = 0, worst = 0;
    for (Index i = 0; i < truth.size(); ++i) {
        difference += found[i] * found[i] - truth[i] * truth[i];
        worst = std::max(worst, std::abs(difference));
    }
    return worst / truth.squaredNorm();
}

// The time of a step that grows with the cube of its extents, at `to` from a measurement at `from`.
double cubed(double seconds, Index from, Index to)
{
    return seconds * std::pow(static_cast<double>(to) / static_cast<double>(from), 3.0);
}

void addBoth(Report &report, Row row, const std::function<ErrorDecomposition(Precision)> &work, const Matrix &weight, const Scaling &scaling)
{
    const std::string subject = row.subject, note = row.note;
    for (const Precision precision : {Precision::BFloat16, Precision::Float32}) {
        ErrorDecomposition found;
        row.ours = best(3, [&] { found = work(precision); });
        row.subject = fmt::format("{}, {}", subject, lqer::toString(precision));
        row.note = fmt::format("{}{}", quality(found, weight, scaling), note.empty() ? "" : "; " + note);
        report.add(row);
        row.goal = 0;  // stated for the faster one
    }
}

void diagonalLayer(Report &report, Index out, Index in, double spread, double goal, bool measureBaseline)
{
    const Matrix weight = heavyWeight(out, in, 1);
    const Vector scale = channelScale(in, spread, 2);
    const Scaling scaling = Scaling::fromVector(ScalingKind::MeanAbs, scale.cast<double>());
    Row row{fmt::format("lqer, out {} in {}, spread {}", out, in, spread), "s", 0, "", 0, goal, ""};
    if (measureBaseline) {
        row.baseline = "official: quantizer, gesdd with full matrices, solve";
        row.reference = threadSeconds([&] { officialLayer(weight, scale); });
    }
    addBoth(report, row, [&](Precision precision) { return ours(weight, scaling, precision); }, weight, scaling);
}

// What the official steps of exact scaling take at one size, in two parts that grow with the cubes of different extents.
struct ExactBaseline {
    Index size;
    double root, rest;  // seconds: Schur square root; quantizer, gesdd and solve
};

ExactBaseline exactBaseline(Index size)
{
    const Matrix weight = heavyWeight(size, size, 6);
    const SiteStats stats = activationStats(channelScale(size, 0.7, 7), 2 * size, 8);
    const Vector scale = channelScale(size, 0.7, 9);
    return {size, threadSeconds([&] { schurSqrt(stats.meanAutocorrelation()); }), threadSeconds([&] { officialLayer(weight, scale); })};
}

// Beside what the official steps take for a square layer of these extents, or that extended by the cube.
void exactLayer(Report &report, Index out, Index in, double goal, const ExactBaseline &from)
{
    const Matrix weight = heavyWeight(out, in, 3);
    const auto stats = std::make_shared<SiteStats>(activationStats(channelScale(in, 0.7, 4), 2048, 5));
    const Scaling scaling(ScalingKind::Exact, stats, in);
    const Index order = std::min(in, out);
    const double shape = static_cast<double>(std::max(in, out)) / static_cast<double>(order);
    Row row{fmt::format("exact, out {} in {}, R given", out, in), "s", 0, "official: quantizer, Schur square root, gesdd, solve", 0, goal, ""};
    row.reference = cubed(from.root, from.size, in) + cubed(from.rest, from.size, order) * shape;
    if (in != from.size || out != from.size)
        row.baseline = fmt::format("official, extended from {} by the cube", from.size);
    const double total = best(2, [&] { ours(weight, scaling, Precision::BFloat16, true); });
    row.note = fmt::format("{:.2f} s with the layer's total error", total);
    addBoth(report, row, [&](Precision precision) { return ours(weight, scaling, precision); }, weight, scaling);
}

// Two layers at a time, one on each core, against the official steps with two threads in BLAS and LAPACK. Seconds by the clock, per layer.
void onTwoCores(Report &report, Index size, bool exact, double goal)
{
    const Matrix weight = heavyWeight(size, size, 1);
    const Vector scale = channelScale(size, 0.7, 2);
    const auto stats = exact ? std::make_shared<SiteStats>(activationStats(scale, 2 * size, 5)) : nullptr;
    const Scaling scaling = exact ? Scaling(ScalingKind::Exact, stats, size) : Scaling::fromVector(ScalingKind::MeanAbs, scale.cast<double>());
    ThreadPool pool(2);
    double seconds = std::numeric_limits<double>::max();
    for (int round = 0; round < 3; ++round)
        seconds = std::min(seconds, 0.5 * wallSeconds([&] { pool.run(2, [&](std::size_t) { ours(weight, scaling); }); }));
    openblas_set_num_threads(2);
    const double baseline = wallSeconds([&] { exact ? officialLayer(weight, *stats) : officialLayer(weight, scale); });
    openblas_set_num_threads(1);
    report.add({fmt::format("{}, {}x{}, two cores, two layers at a time, by the clock", exact ? "exact" : "lqer", size, size), "s", seconds,
                "official, two threads", baseline, goal, "per layer"});
}

// What the estimates of both curves, of the error as it is and as it is shaped, add to the factors.
void estimatedCurves(Report &report, Index out, Index in, ScalingKind kind)
{
    const Matrix error = quantizationError(heavyWeight(out, in, 1));
    const auto stats = std::make_shared<SiteStats>(activationStats(channelScale(in, 0.7, 2), 2048, 3));
    const Scaling scaling(kind, stats, in);
    DecompositionOptions options;
    options.maxRank = rank;
    ErrorDecomposition found;
    const auto seconds = [&](SpectrumExtent extent) {
        options.spectrum = extent;
        return threadSeconds([&] { found = decompose(error, scaling, options, {}); });
    };
    double estimated = std::numeric_limits<double>::max(), leading = estimated;
    for (int round = 0; round < 3; ++round) {
        leading = std::min(leading, seconds(SpectrumExtent::Leading));
        estimated = std::min(estimated, seconds(SpectrumExtent::Estimated));
    }
    const ErrorDecomposition estimates = std::move(found);
    const double wholeSeconds = seconds(SpectrumExtent::Whole);
    const auto worstValue = [](const VectorF64 &estimate, const VectorF64 &truth) { return 100 * (estimate - truth).cwiseAbs().maxCoeff() / truth[0]; };
    report.add({fmt::format("factors and estimates of both curves, {}, out {} in {}", toString(kind), out, in), "s", estimated, "the same, leading values only", leading, 0,
                fmt::format("{:.2f} s for a curve; as it is, shaped: energy within {:.2f}, {:.2f} % of the total, values within {:.2f}, {:.2f} % of the largest; all in {:.1f} s",
                            0.5 * (estimated - leading), 100 * worstEnergy(estimates.sigmaUnscaled, found.sigmaUnscaled), 100 * worstEnergy(estimates.sigma, found.sigma),
                            worstValue(estimates.sigmaUnscaled, found.sigmaUnscaled), worstValue(estimates.sigma, found.sigma), wholeSeconds)});
}

}  // namespace

void benchDecomposition(Report &report, const Options &options)
{
    diagonalLayer(report, 1024, 1024, 0.7, 0, true);
    diagonalLayer(report, 2048, 2048, 0.7, 0, true);
    diagonalLayer(report, 4096, 4096, 0.7, 100, true);
    diagonalLayer(report, 4096, 4096, 0.0, 0, false);
    diagonalLayer(report, 11008, 4096, 0.7, 180, options.full);
    diagonalLayer(report, 4096, 11008, 0.7, 180, options.full);
    onTwoCores(report, 4096, false, 150);

    exactLayer(report, 1024, 1024, 0, exactBaseline(1024));
    const ExactBaseline middle = exactBaseline(2048);
    exactLayer(report, 2048, 2048, 0, middle);
    const ExactBaseline large = options.full ? exactBaseline(4096) : middle;
    exactLayer(report, 4096, 4096, 300, large);
    exactLayer(report, 11008, 4096, 0, large);
    exactLayer(report, 4096, 11008, 1000, large);
    onTwoCores(report, options.full ? 4096 : 2048, true, options.full ? 300 : 0);
}

void benchSpectrum(Report &report, const Options &)
{
    for (const ScalingKind kind : {ScalingKind::MeanAbs, ScalingKind::Exact})
        for (const auto &[out, in] : {std::pair<Index, Index>(4096, 4096), {11008, 4096}, {4096, 11008}})
            estimatedCurves(report, out, in, kind);
    const auto matrix = [&](Index n, double spread, double goal, double estimateGoal) {
        const Matrix weight = heavyWeight(n, n, 1);
        const Vector scale = channelScale(n, spread, 2);
        const Scaling scaling = Scaling::fromVector(ScalingKind::MeanAbs, scale.cast<double>());
        const Matrix error = quantizationError(weight) * scale.asDiagonal();
        DecompositionOptions options;
        options.maxRank = rank;
        ErrorDecomposition found;
        const double seconds = best(2, [&] { found = decompose(error, Scaling(ScalingKind::Identity, nullptr, n), options, {}); });
        VectorF64 estimate;
        const double estimateSeconds = best(3, [&] { estimate = estimatedSpectrum(error); });
        Vector reference;
        const double baseline = threadSeconds([&] { reference = gesddValues(error); });
        const VectorF64 truth = trueSpectrum(weight, scaling).cwiseMax(0.0).cwiseSqrt();
        const auto errorAt = [&](const auto &sigma, double share) {
            const auto index = static_cast<Index>(share * static_cast<double>(n));
            return std::abs(static_cast<double>(sigma[index]) / truth[index] - 1);
        };
        const std::string subject = fmt::format("{}x{}, spread {}", n, n, spread);
        report.add({fmt::format("all values and rank-64 factors, {}", subject), "s", seconds, "sgesdd, values only", baseline, goal,
                    fmt::format("off the truth at the 50, 90, 99 % index by {:.0e}, {:.0e}, {:.0e}; sgesdd by {:.0e} at 99 %", errorAt(found.sigma, .5),
                                errorAt(found.sigma, .9), errorAt(found.sigma, .99), errorAt(reference, .99))});
        report.add({fmt::format("estimate of all values, {}", subject), "s", estimateSeconds, "sgesdd, values only", baseline, estimateGoal,
                    fmt::format("cumulative energy within {:.2f} % of the total, values within {:.2f} % of the largest",
                                100 * worstEnergy(estimate, truth), 100 * (estimate - truth).cwiseAbs().maxCoeff() / truth[0])});
    };
    matrix(2048, 0.7, 0, 0);
    matrix(4096, 0.7, 4, 40);
    matrix(4096, 0.0, 0, 0);
}

}  // namespace lqer::bench
