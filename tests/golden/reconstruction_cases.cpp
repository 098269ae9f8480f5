// SPDX-License-Identifier: Apache-2.0
// Calibration statistics, reconstruction, corrected layers and adapter initialisation: numerics.md B, C, D, G.
#include <cmath>

#include <fmt/format.h>

#include "core/calib/calibration_stats.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"
#include "core/quant/quantizer.h"
#include "core/recon/adapter_init.h"
#include "core/recon/corrected_linear.h"
#include "core/recon/error_decomposition.h"
#include "tests/golden/golden_case.h"

namespace lqer::golden {

namespace {

// Tolerances of cases that state theirs in words only.
constexpr double factorTolerance = 0.002;
constexpr double errorTolerance = 0.001;
constexpr double stepShare = 0.02;  // "one quantization step on < 2 % of elements"

JsonReader derivedOf(const Case &golden)
{
    return {golden.derived(), "index.json", golden.name()};
}

void compareDerived(const Case &golden, Verdict &verdict, std::string_view key, double found, double relative)
{
    if (golden.derived().isObject() && derivedOf(golden).has(key))
        compareNumber(verdict, key, derivedOf(golden)[key].number(), found, relative);
}

// A tensor of any number of dimensions as (product of the leading ones, last).
Matrix rowsOf(const Tensor &tensor)
{
    const Index columns = tensor.shape().back();
    Matrix rows(columns ? tensor.elements() / columns : 0, columns);
    tensor.copyTo(std::span(rows.data(), static_cast<std::size_t>(rows.size())));
    return rows;
}

VectorF64 vectorOf(const Tensor &tensor)
{
    VectorF64 values(tensor.elements());
    tensor.copyTo(std::span(values.data(), static_cast<std::size_t>(values.size())));
    return values;
}

std::vector<double> listOf(const VectorF64 &values)
{
    return {values.begin(), values.end()};
}

Matrix quantized(const FormatSpec &format, const Matrix &values, const Shape &shape)
{
    Matrix result = values;
    const std::span<float> flat(result.data(), static_cast<std::size_t>(result.size()));
    makeQuantizer(format)->quantize(flat, shape, flat);
    return result;
}

Matrix quantizedWeight(const Case &golden, Verdict &verdict, const FormatSpec &format, const Matrix &weight)
{
    const Matrix found = quantized(format, weight, {weight.rows(), weight.cols()});
    // The element-wise tolerance of the formats is checked with the formats; float32 rounding of a divided scale is allowed here.
    if (golden.hasOutput("W_q"))
        compareToLargest(verdict, "W_q", golden.output("W_q").toMatrixF64(), found.cast<double>(), 1e-6);
    return found;
}

// Spacing of the codes of a shared-exponent format of this width at each element: the block's leading power of two over 2^(width
// - 2).
std::function<double(std::size_t)> stepsOf(const Matrix &values, std::int64_t width, Index blockRows, Index blockColumns)
{
    return [=, &values](std::size_t flat) {
        const Index row = static_cast<Index>(flat) / values.cols() / blockRows * blockRows;
        const Index column = static_cast<Index>(flat) % values.cols() / blockColumns * blockColumns;
        const float most
            = values.block(row, column, std::min(blockRows, values.rows() - row), std::min(blockColumns, values.cols() - column))
                  .cwiseAbs()
                  .maxCoeff();
        return most > 0 ? std::exp2(std::floor(std::log2(most)) - static_cast<double>(width - 2)) : 0.0;
    };
}

void compareStepped(Verdict &verdict, std::string_view what, const Matrix &expected, const MatrixF64 &found, std::int64_t width,
                    Index blockRows, Index blockColumns)
{
    Tolerance tolerance;
    tolerance.relative = 1e-6;
    tolerance.step = stepsOf(expected, width, blockRows, blockColumns);
    tolerance.stepShare = stepShare;
    compareValues(verdict, what, valuesOf(expected), valuesOf(found), tolerance);
}

ScalingKind modeOf(const Case &golden)
{
    return scalingFromString(golden.params()["mode"].string());
}

// The official scale: a vector s, or the matrix S with S^2 = R.
Scaling scalingOf(const Case &golden, Index features)
{
    const ScalingKind kind = modeOf(golden);
    if (kind == ScalingKind::Identity)
        return {kind, nullptr, features};
    if (kind == ScalingKind::Exact) {
        const MatrixF64 s = golden.input("scale").toMatrixF64();
        MatrixF64 r(s.rows(), s.cols());
        transposedMultiply(s, s, r);
        return Scaling::fromAutocorrelation(std::move(r));
    }
    return Scaling::fromVector(kind, vectorOf(golden.input("scale")));
}

double shapedNorm(const MatrixF64 &error, const Scaling &scaling)
{
    MatrixF64 shaped(error.rows(), error.cols());
    scaling.apply(error, shaped);
    return std::sqrt(shaped.cwiseProduct(error).sum());
}

void runScaleHooks(const Case &golden, Verdict &verdict)
{
    std::unique_ptr<SiteAccumulator> accumulator;
    CalibrationOptions options;
    options.batch = 1;
    for (std::size_t i = 0; golden.hasInput(fmt::format("batch{}", i)); ++i) {
        const Matrix x = rowsOf(golden.input(fmt::format("batch{}", i)));
        if (!accumulator)
            accumulator = std::make_unique<SiteAccumulator>(x.cols(), options);
        accumulator->feed(x);
    }
    if (!accumulator) {
        verdict.fail("no batches");
        return;
    }
    const auto stats = std::make_shared<const SiteStats>(accumulator->finish());
    compareNumber(verdict, "n_samples", static_cast<double>(golden.params()["n_samples"].integer(0, INT64_MAX)),
                  static_cast<double>(stats->tokens), 0);
    const MatrixF64 root = symmetricSqrt(stats->meanAutocorrelation());
    for (const std::string &output : golden.outputNames()) {
        if (output == "lqer_raw_max_of_mean_abs")
            compareOutput(golden, verdict, output, listOf(stats->maxMeanAbs));
        else if (output == "lqer_scale" || output == "qera_lqer_scale_f64")
            compareOutput(golden, verdict, output, listOf(stats->lqerScale()));
        else if (output == "diag_scale")
            compareOutput(golden, verdict, output, listOf(stats->diagonalScale()));
        else if (output == "identity_scale")
            compareOutput(golden, verdict, output,
                          listOf(Scaling(ScalingKind::Identity, nullptr, stats->features()).diagonal().cwiseSqrt()));
        else if (output == "rxx_sum_f64")
            compareOutput(golden, verdict, output, valuesOf(stats->autocorrelation));
        else if (output == "rxx_scale" && golden.params()["dead_channels"].size() == 0)
            compareOutput(golden, verdict, output, valuesOf(root));
        else if (output == "rxx_scale") {
            // A singular R: its root is not unique in rounding, its square is.
            const MatrixF64 expected = golden.output(output).toMatrixF64();
            const MatrixF64 square = expected * expected;
            compareValues(verdict, "square of rxx_scale", valuesOf(square), valuesOf(stats->meanAutocorrelation()),
                          toleranceOf(golden, output, valuesOf(square)));
        } else
            verdict.fail(fmt::format("output '{}' is not known", output));
    }
}

void runReconstruction(const Case &golden, Verdict &verdict)
{
    const Matrix weight = golden.input("W").toMatrix();
    const Matrix weightQ = quantizedWeight(golden, verdict, formatOf(golden.params()["w_quantizer"]), weight);
    const Matrix error = weight - weightQ;
    const Scaling scaling = scalingOf(golden, weight.cols());
    const Index rank = golden.params()["rank"].integer(1, std::min(weight.rows(), weight.cols()));
    const ErrorDecomposition decomposition = decompose(error, scaling, {}, {});
    // The official code quantizes B with the activations' format, and A not at all.
    const FormatSpec bFormat = formatOf(golden.params()["x_quantizer"]);
    const LowRankCorrection correction = decomposition.truncate(rank, *makeQuantizer({}), *makeQuantizer(bFormat));
    MatrixF64 a = correction.a.cast<double>();
    MatrixF64 b = correction.b.cast<double>();
    MatrixF64 goldenA = golden.output("A").toMatrixF64();
    const MatrixF64 goldenB = golden.output("B").toMatrixF64();

    // A channel that never carries anything: its row of A is noise divided by epsilon there, and must only be finite here.
    if (golden.params().has("dead_channels")) {
        const JsonReader dead = golden.params()["dead_channels"];
        for (std::size_t i = 0; i < dead.size(); ++i) {
            const Index channel = dead.at(i).integer(0, a.rows() - 1);
            if (!a.row(channel).allFinite())
                verdict.fail(fmt::format("A is not finite in dead channel {}", channel));
            a.row(channel).setZero();
            goldenA.row(channel).setZero();
        }
    }
    alignSigns(goldenA, a, b);
    const double factors = toleranceNumber(golden, "A_B_rtol_of_max", factorTolerance);
    compareToLargest(verdict, "A", goldenA, a, factors);
    if (bFormat.isPassthrough()) {
        compareToLargest(verdict, "B", goldenB, b, factors);
        Tolerance product;
        product.relative = golden.tolerance().find("AB_atol") ? 0 : factors;
        product.absolute = toleranceNumber(golden, "AB_atol", factors * (goldenA * goldenB).cwiseAbs().maxCoeff());
        compareValues(verdict, "A B",
                      valuesOf(golden.hasOutput("AB") ? golden.output("AB").toMatrixF64() : MatrixF64(goldenA * goldenB)),
                      valuesOf(MatrixF64(a * b)), product);
    } else {
        const JsonReader table = golden.params()["x_quantizer"];
        const JsonReader block = table["block_size"];
        const std::int64_t length
            = block.value().isArray() ? block.at(block.size() - 1).integer(1, INT64_MAX) : block.integer(1, INT64_MAX);
        compareStepped(verdict, "B", goldenB.cast<float>(), b, table["width"].integer(2, 8), 1, length);
    }
    const double values = toleranceNumber(golden, "sv_rtol_of_max", 1e-5);
    if (golden.hasOutput("sv_error"))
        compareToLargest(verdict, "sv_error", vectorOf(golden.output("sv_error")), decomposition.sigmaUnscaled, values);
    if (golden.hasOutput("sv_scaled_error"))
        compareToLargest(verdict, "sv_scaled_error", vectorOf(golden.output("sv_scaled_error")), decomposition.sigma, values);

    const MatrixF64 e = error.cast<double>().transpose();
    const MatrixF64 remaining = e - correction.a.cast<double>() * correction.b.cast<double>();
    const double relative = toleranceNumber(golden, "mse_rtol", errorTolerance);
    if (!golden.params().has("dead_channels"))  // there the official value holds the noise of A's dead rows
        compareDerived(golden, verdict, "mse", remaining.squaredNorm() / static_cast<double>(remaining.size()), relative);
    compareDerived(golden, verdict, "fro_error_before", e.norm(), relative);
    compareDerived(golden, verdict, "fro_error_after", remaining.norm(), relative);
    compareDerived(golden, verdict, "scaled_fro_before", std::sqrt(decomposition.totalEnergy), relative);
    compareDerived(golden, verdict, "scaled_fro_after", shapedNorm(remaining, scaling), relative);
    if (bFormat.isPassthrough())
        compareNumber(verdict, "residual energy", shapedNorm(remaining, scaling), std::sqrt(decomposition.residualEnergy(rank)),
                      1e-4);
}

// A singular R: the official factors are arbitrary and may be huge; the error on the calibration data is what counts.
void runSingularReconstruction(const Case &golden, Verdict &verdict)
{
    const Matrix weight = golden.input("W").toMatrix();
    const Matrix error = weight - quantizedWeight(golden, verdict, formatOf(golden.params()["w_quantizer"]), weight);
    SiteAccumulator accumulator(weight.cols(), {});
    for (std::size_t i = 0; golden.hasInput(fmt::format("batch{}", i)); ++i)
        accumulator.feed(rowsOf(golden.input(fmt::format("batch{}", i))));
    const auto stats = std::make_shared<const SiteStats>(accumulator.finish());
    compareNumber(verdict, "n_samples", static_cast<double>(golden.params()["n_samples"].integer(0, INT64_MAX)),
                  static_cast<double>(stats->tokens), 0);
    const ErrorDecomposition decomposition = decompose(error, Scaling(modeOf(golden), stats, weight.cols()), {}, {});
    const Index rank = golden.params()["rank"].integer(1, decomposition.maxRank());
    const auto plain = makeQuantizer({});
    const LowRankCorrection correction = decomposition.truncate(rank, *plain, *plain);
    const double optimal = derivedOf(golden)["optimal_output_error"].number();
    const double found = std::sqrt(outputError(error, &correction, *stats, {}));
    if (!(found <= 1.02 * optimal))
        verdict.fail(fmt::format("output error {:.9g} is more than 1.02 times the optimum {:.9g}", found, optimal));
    compareDerived(golden, verdict, "output_error_without_AB", std::sqrt(outputError(error, nullptr, *stats, {})),
                   errorTolerance);
    // What the official route does not promise: never worse than no correction, on any input.
    const MatrixF64 e = error.cast<double>().transpose();
    if (!((e - correction.a.cast<double>() * correction.b.cast<double>()).norm() <= e.norm() * (1 + 1e-6)))
        verdict.fail("the corrected weight is farther from W than the quantized one");
}

// [width, [rows, columns]] of the LQER cases; null is passthrough.
FormatSpec blockFp(const JsonReader &stated)
{
    if (stated.value().isNull())
        return {};
    const JsonReader block = stated.at(1);
    return {"block_fp",
            {{"width", stated.at(0).integer(2, 16)},
             {"block_size", std::vector<std::int64_t>{block.at(0).integer(-1, INT64_MAX), block.at(1).integer(-1, INT64_MAX)}}}};
}

void compareFactor(const Case &golden, Verdict &verdict, std::string_view output, std::string_view format, const MatrixF64 &found)
{
    const MatrixF64 expected = golden.output(output).toMatrixF64();
    const JsonReader stated = golden.params()[format];
    if (stated.value().isNull()) {
        compareToLargest(verdict, output, expected, found, factorTolerance);
        return;
    }
    const auto extent = [&](std::size_t i, Index whole) {
        const std::int64_t length = stated.at(1).at(i).integer(-1, INT64_MAX);
        return length < 0 ? whole : length;
    };
    compareStepped(verdict, output, expected.cast<float>(), found, stated.at(0).integer(2, 16), extent(0, found.rows()),
                   extent(1, found.cols()));
}

void runLqerApproximation(const Case &golden, Verdict &verdict, bool scaled)
{
    const Matrix weight = golden.input("W").toMatrix();
    const Matrix error = weight - quantizedWeight(golden, verdict, blockFp(golden.params()["W_quantizer"]), weight);
    const Scaling scaling = scaled ? Scaling::fromVector(ScalingKind::MeanAbs, vectorOf(golden.input("scale")))
                                   : Scaling(ScalingKind::Identity, nullptr, weight.cols());
    const ErrorDecomposition decomposition = decompose(error, scaling, {}, {});
    const Index rank = golden.params()["rank"].integer(1, decomposition.maxRank());

    // The sign of a component decides which way an exact tie rounds, so the official signs are taken before A and B are
    // quantized.
    ErrorDecomposition aligned = decomposition;
    alignSigns(golden.output("A").toMatrixF64(), aligned.a, aligned.b);
    const LowRankCorrection correction = aligned.truncate(rank, *makeQuantizer(blockFp(golden.params()["A_quantizer"])),
                                                          *makeQuantizer(blockFp(golden.params()["B_quantizer"])));
    const MatrixF64 a = correction.a.cast<double>();
    const MatrixF64 b = correction.b.cast<double>();
    compareFactor(golden, verdict, "A", "A_quantizer", a);
    compareFactor(golden, verdict, "B", "B_quantizer", b);

    const MatrixF64 product = a * b;
    const MatrixF64 expected = golden.output("A").toMatrixF64() * golden.output("B").toMatrixF64();
    compareNumber(verdict, "distance of A B", 0, (product - expected).norm(), 0,
                  toleranceNumber(golden, "AB_rel_fro", 0.02) * expected.norm());
    const MatrixF64 e = error.cast<double>().transpose();
    const double relative = toleranceNumber(golden, "l1_rtol", 0.02);
    const auto meanMagnitude = [](const MatrixF64 &m) { return m.cwiseAbs().mean(); };
    compareDerived(golden, verdict, "error_fro", e.norm(), errorTolerance);
    compareDerived(golden, verdict, "AB_fro", product.norm(), relative);
    compareDerived(golden, verdict, "resid_fro", (e - product).norm(), relative);
    compareDerived(golden, verdict, "true_l1_over_n", meanMagnitude(product - e), relative);
    // What the official code logs: for lqer-act the distance to the scaled error.
    const MatrixF64 logged = scaling.diagonal().cwiseSqrt().asDiagonal() * e;
    compareDerived(golden, verdict, "reported_l1_over_n", meanMagnitude(product - logged), relative);
}

FormatSpec tableOr(const JsonReader &params, std::string_view key, const FormatSpec &fallback)
{
    return params.has(key) ? formatOf(params[key]) : fallback;
}

void runLinear(const Case &golden, Verdict &verdict)
{
    const JsonReader &params = golden.params();
    const Tensor x = golden.input("x");
    const Matrix rows = rowsOf(x);
    const Matrix weight = golden.input("W").toMatrix();
    LinearFormats formats;
    formats.weight = formatOf(params["w_quantizer"]);
    formats.activation = formatOf(params["x_quantizer"]);
    formats.bias = tableOr(params, "b_quantizer", formats.activation);
    formats.xa = tableOr(params, "A_out_quantizer", formats.activation);
    formats.xab = tableOr(params, "B_out_quantizer", formats.activation);
    formats.flatActivations = x.shape().size() == 2;
    Vector bias;
    if (golden.hasInput("bias"))
        bias = vectorOf(golden.input("bias")).cast<float>();
    LowRankCorrection correction;
    if (golden.hasInput("A"))
        correction = {golden.input("A").toMatrix(), golden.input("B").toMatrix(), {}, {}};
    const CorrectedLinear linear(quantizedWeight(golden, verdict, formats.weight, weight), bias, correction, formats);
    if (golden.hasOutput("bias_q"))
        compareOutput(golden, verdict, "bias_q", listOf(linear.quantizedBias().cast<double>()), Tolerance{});
    // A batch is one window after another.
    const Index tokens = formats.flatActivations ? rows.rows() : x.shape()[1];
    Matrix y(rows.rows(), weight.rows());
    for (Index first = 0; first < rows.rows(); first += tokens)
        linear.apply(rows.middleRows(first, tokens), y.middleRows(first, tokens));
    compareOutput(golden, verdict, "y", valuesOf(y));
}

// The product of two quantized operands, (batch, m, k) and (batch, k, n).
void runProduct(const Case &golden, Verdict &verdict, std::string_view left, std::string_view right, bool transposeRight)
{
    const Tensor first = golden.input(left);
    const Tensor second = golden.input(right);
    const Index batch = first.shape().at(0);
    const Index m = first.shape().at(1);
    const Index k = first.shape().at(2);
    const Index n = second.shape().at(transposeRight ? 1 : 2);
    const Matrix a = quantized(formatOf(golden.params()["x_quantizer"]), rowsOf(first), {batch, m, k});
    Matrix b = rowsOf(second);
    if (transposeRight) {
        Matrix transposed(batch * k, n);
        for (Index i = 0; i < batch; ++i)
            transposed.middleRows(i * k, k) = b.middleRows(i * n, n).transpose();
        b = std::move(transposed);
    }
    b = quantized(formatOf(golden.params()["w_quantizer"]), b, {batch, k, n});
    Matrix y(batch * m, n);
    for (Index i = 0; i < batch; ++i)
        multiply(a.middleRows(i * m, m), b.middleRows(i * k, k), y.middleRows(i * m, m));
    compareOutput(golden, verdict, "y", valuesOf(y));
}

// The quantizer of a fine-tuning case: MXINT of so many bits, or the 2-bit table of a bitsandbytes type (numerics.md G).
FormatSpec adapterFormat(const Case &golden)
{
    const JsonReader &params = golden.params();
    const std::int64_t block = params["block_size"].integer(1, INT64_MAX);
    if (!params.has("bnb_quant_type"))
        return {"mxint", {{"width", params["num_bits"].integer(2, 8)}, {"block_size", block}}};
    return {"normalfloat",
            {{"num_bits", std::int64_t(2)},
             {"block_size", block},
             {"kernel", std::string("argmin")},
             {"table", params["bnb_quant_type"].string()}}};
}

void compareAdapter(const Case &golden, Verdict &verdict, const AdapterInit &found)
{
    if (golden.hasOutput("W_q"))
        compareToLargest(verdict, "W_q", golden.output("W_q").toMatrixF64(), found.base.cast<double>(), 1e-6);
    if (golden.hasOutput("lora_A")) {
        const double relative = toleranceNumber(golden, "rtol_of_max", factorTolerance);
        const MatrixF64 expectedA = golden.output("lora_A").toMatrixF64();
        const MatrixF64 expectedB = golden.output("lora_B").toMatrixF64();
        MatrixF64 a = found.loraA.cast<double>();
        MatrixF64 b = found.loraB.cast<double>();
        compareToLargest(verdict, "lora_B lora_A", expectedB * expectedA, b * a, relative);
        alignSigns(expectedB, b, a);
        compareToLargest(verdict, "lora_A", expectedA, a, relative);
        compareToLargest(verdict, "lora_B", expectedB, b, relative);
    }
    const JsonReader stated = derivedOf(golden)["error_f_norm"];
    std::vector<double> errors;
    if (stated.value().isArray())
        for (std::size_t i = 0; i < stated.size(); ++i)
            errors.push_back(stated.at(i).number());
    else
        errors.push_back(stated.number());
    Tolerance tolerance;
    tolerance.relative = toleranceNumber(golden, "error_rtol", errorTolerance);
    compareValues(verdict, "error_f_norm", errors, found.errors, tolerance);
}

void runLoftq(const Case &golden, Verdict &verdict)
{
    const Matrix weight = golden.input("W").toMatrix();
    const JsonReader &params = golden.params();
    compareAdapter(golden, verdict,
                   initLoftq(weight, *makeQuantizer(adapterFormat(golden)), params["reduced_rank"].integer(1, weight.rows()),
                             static_cast<int>(params["num_iters"].integer(1, 1000))));
}

void runQeraAdapter(const Case &golden, Verdict &verdict)
{
    const Matrix weight = golden.input("W").toMatrix();
    const Tensor stored = golden.input("scale");
    MatrixF64 scale(stored.shape()[0], stored.shape().size() == 2 ? stored.shape()[1] : 1);
    stored.copyTo(std::span(scale.data(), static_cast<std::size_t>(scale.size())));
    const Scaling scaling = scale.cols() == 1 ? Scaling::fromVector(ScalingKind::Diagonal, scale.col(0))
                                              : Scaling::fromAutocorrelation(scale * scale.transpose());
    compareAdapter(golden, verdict,
                   initQera(weight, *makeQuantizer(adapterFormat(golden)),
                            golden.params()["reduced_rank"].integer(1, weight.rows()), scaling));
}

void runQlora(const Case &golden, Verdict &verdict)
{
    compareAdapter(golden, verdict, initQlora(golden.input("W").toMatrix(), *makeQuantizer(adapterFormat(golden))));
}

}  // namespace

std::vector<CaseRunner> reconstructionCases()
{
    return {
        {"scale hooks", runScaleHooks},
        {"qera._compute_scales_and_error_for_fc", runReconstruction},
        {"qera rxx + _compute_scales_and_error_for_fc", runSingularReconstruction},
        {"lqer.lqer_svd.approximate", [](const Case &golden, Verdict &verdict) { runLqerApproximation(golden, verdict, false); }},
        {"lqer.lqer_act.approximate", [](const Case &golden, Verdict &verdict) { runLqerApproximation(golden, verdict, true); }},
        {"lqer.LinearFlexibleLqer.forward", runLinear},
        {"qera.LinearQERA.forward", runLinear},
        {"lqer.matmul_flexible", [](const Case &golden, Verdict &verdict) { runProduct(golden, verdict, "q", "k", true); }},
        {"lqer.bmm_flexible", [](const Case &golden, Verdict &verdict) { runProduct(golden, verdict, "p", "v", false); }},
        {"qera.init_lora_loftq", runLoftq},
        {"qera.init_lora_qera", runQeraAdapter},
        {"qera.init_lora_qlora", runQlora},
    };
}

}  // namespace lqer::golden
