// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/calib/calibration_stats.h"
#include "core/eval/quantized_forward.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/blas.h"
#include "core/linalg/gemm.h"
#include "core/quant/quantizer.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_data.h"
#include "tests/bench/official.h"

namespace lqer::bench {

namespace {

void openBlasLinear(const Matrix &x, const Matrix &w, Matrix &y)
{
    useSingleThreadedBlas();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blasInt(x.rows()), blasInt(w.rows()), blasInt(x.cols()), 1.0F, x.data(),
                blasInt(x.cols()), w.data(), blasInt(w.cols()), 0.0F, y.data(), blasInt(y.cols()));
}

}  // namespace

void benchKernels(Report &report, const Options &)
{
    report.add({"float multiply-adds from registers", "GFLOP/s", peakFloatFlops() / 1e9, "", 0, 0, "the peak of the rows below"});
    for (const auto &[tokens, in, out] : {std::tuple<Index, Index, Index>{2048, 4096, 4096}, {512, 768, 3072}, {32, 4096, 4096}}) {
        const Matrix x = normalMatrix(tokens, in, 1), w = normalMatrix(out, in, 2);
        Matrix y(tokens, out);
        const double flops = 2.0 * static_cast<double>(tokens * in * out);
        const Pair pair = alternate(5, [&] { multiplyTransposed(x, w, y); }, [&] { openBlasLinear(x, w, y); });
        const std::string subject = fmt::format("x W^T, {} tokens, {} to {}", tokens, in, out);
        report.add({subject, "GFLOP/s", flops / pair.ours / 1e9, "peak", peakFloatFlops() / 1e9, 0, ""});
        report.add({subject, "s", pair.ours, fmt::format("OpenBLAS ({})", openblas_get_corename()), pair.baseline, 0, ""});
        if (Bf16Weight::isSupported()) {
            const Bf16Weight weight(w);
            report.add({subject + ", bf16", "GFLOP/s", flops / best(5, [&] { weight.multiply(x, y); }) / 1e9, "peak of bf16",
                        peakBf16Flops() / 1e9, tokens > 32 ? 0.85 : 0, "rounding of x included"});
        }
    }
    for (const Index features : {Index(4096), Index(11008)}) {
        const Matrix x = normalMatrix(2048, features, 3);
        for (const Precision precision : {Precision::Float32, Precision::BFloat16}) {
            const bool narrow = precision == Precision::BFloat16;
            if (narrow && !Bf16Weight::isSupported())
                continue;
            CalibrationOptions calibration;
            calibration.precision = precision;
            SiteAccumulator accumulator(features, calibration);
            const double seconds = best(3, [&] { accumulator.feed(x); });
            report.add({fmt::format("statistics with R of 2048 tokens, {} channels, {}", features, toString(precision)), "GFLOP/s",
                        2048.0 * static_cast<double>(features * features) / seconds / 1e9, narrow ? "130 GFLOP/s" : "peak",
                        narrow ? 130 : peakFloatFlops() / 1e9, narrow ? 1 : 0.8, "useful half; sum in double included"});
        }
    }
}

void benchFormats(Report &report, const Options &)
{
    const double bandwidth = copyBandwidth() / 1e9;
    report.add({"memcpy, read and written", "GB/s", bandwidth, "", 0, 0, "the bandwidth of the rows below"});
    const Index out = 4096, in = 4096;
    const Matrix weight = heavyWeight(out, in, 1);
    const auto size = static_cast<std::size_t>(weight.size());
    const std::span<const float> values(weight.data(), size);
    Matrix result(out, in);
    const std::span<float> target(result.data(), size);
    const double gigabytes = 2.0 * 4.0 * static_cast<double>(size) / 1e9;
    const auto quantizeBands = [&](const Quantizer &quantizer) {  // as quantizeWeight() hands rows to threads
        for (Index row = 0; row < out; row += 64) {
            const auto first = static_cast<std::size_t>(row * in), count = static_cast<std::size_t>(64 * in);
            quantizer.quantize(values.subspan(first, count), {64, in}, target.subspan(first, count));
        }
    };
    for (const char *name : {"mxint4", "bfp4", "bfp8", "mxfp4", "mxfp8", "nvfp4", "mxint8", "int4-g128", "nf4", "fp4"}) {
        const auto quantizer = makeQuantizer(FormatSpec::parse(name));
        const bool compared = std::string_view(name) == "mxint4";
        const Pair pair = alternate(3, [&] { quantizeBands(*quantizer); }, [&] {
            if (compared)
                mxint4ByPasses(weight);
        });
        if (compared)
            report.add({"quantize mxint4, 4096x4096", "s", pair.ours, "official: one pass over memory per operation", pair.baseline, 100, ""});
        const double errorSeconds = best(3, [&] { quantizationError(*quantizer, weight, "weight", {}); });
        if (compared) {
            const double official = best(2, [&] { Matrix(weight - mxint4ByPasses(weight)); });
            report.add({"quantize mxint4 and error W - W_q, 4096x4096", "s", errorSeconds, "official passes, subtraction", official, 100,
                        "a new 64 MB result each, its pages cleared by the system"});
        }
        report.add({fmt::format("error W - W_q of {}, 4096x4096", name), "GB/s", gigabytes / errorSeconds, "memcpy", bandwidth, 0, "in one pass, a new result"});
        report.add({fmt::format("quantize {}, 4096x4096", name), "GB/s", gigabytes / pair.ours, "memcpy", bandwidth, 0, "float in, float out"});
    }
    for (const char *name : {"mxint4", "nf4"}) {
        const auto quantizer = makeQuantizer(FormatSpec::parse(name));
        const QuantizedWeight stored = quantizer->encode(values, {out, in});
        const double seconds = best(3, [&] { quantizer->decode(stored, target); });
        report.add({fmt::format("dequantize {}, 4096x4096", name), "GB/s",
                    (4.0 * static_cast<double>(size) + static_cast<double>(stored.codes.size() + stored.scales.size())) / seconds / 1e9, "memcpy",
                    bandwidth, 0, ""});
    }
}

}  // namespace lqer::bench
