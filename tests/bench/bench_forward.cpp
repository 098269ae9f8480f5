// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <limits>
#include <list>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/eval/quantized_forward.h"
#include "core/io/checkpoint.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/float_weight.h"
#include "core/linalg/int8_weight.h"
#include "core/model/transformer.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_data.h"
#include "tests/bench/llama_bench.h"
#include "tests/support/random_llama.h"

namespace lqer::bench {

namespace {

// Windows of one length through one model: tokens per second, without loading the weights, of the best of some groups of as many windows
// as there are threads.
struct Windows {
    const Transformer &model;
    const test::RandomLlama &shape;
    std::int64_t length, groups;

    double rate(ForwardHooks &hooks, Precision precision, ThreadPool *pool) const
    {
        const std::int64_t threads = pool ? static_cast<std::int64_t>(pool->threads()) : 1;
        const TokenWindows text = test::randomWindows(shape, (groups + 1) * threads, length, 5);
        Transformer::ForwardOptions options;
        options.precision = precision;
        options.group = static_cast<std::size_t>(threads);
        options.weightBudget = 1ULL << 40U;  // the first group loads, the others find the blocks there
        TaskContext context;
        context.pool = pool;
        const Stopwatch watch;
        double before = 0, least = std::numeric_limits<double>::max();
        const auto done = [&](std::size_t window, const Matrix &) {
            if ((window + 1) % static_cast<std::size_t>(threads) != 0)
                return;
            const double now = pool ? watch.seconds() : threadClock();
            if (window >= static_cast<std::size_t>(threads))
                least = std::min(least, now - before);
            before = now;
        };
        model.finalHidden(text.windows, hooks, options, done, context);
        return static_cast<double>(threads * length) / least;
    }
};

// The linear layers of a block alone, in the form of `Weight`: flop/s of one thread.
template <typename Weight, typename Rows>
double linearRate(const Transformer &model, Index tokens, const Quantizer *weightFormat, const Quantizer *inputFormat)
{
    struct Layer {
        Weight weight;
        Rows x;
        Matrix y;
    };
    const auto rounded = [](Matrix values, const Quantizer *format) {
        const std::span<float> flat(values.data(), static_cast<std::size_t>(values.size()));
        if (format)
            format->quantize(flat, {values.rows(), values.cols()}, flat);
        return values;
    };
    MatrixPool pool;
    std::list<Layer> layers;
    double flops = 0;
    for (const LinearSite &site : model.linearSites())
        if (site.layer == 0) {
            layers.push_back({Weight(rounded(model.readWeight(site), weightFormat)),
                              Rows(rounded(normalMatrix(tokens, site.in, 1), inputFormat), pool), Matrix(tokens, site.out)});
            flops += 2.0 * static_cast<double>(tokens * site.in * site.out);
        }
    return flops / best(3, [&] {
               for (Layer &layer : layers)
                   layer.weight.multiply(layer.x, layer.y);
           });
}

// Rows as FloatWeight takes them.
struct FloatRows : Matrix {
    FloatRows(Matrix values, MatrixPool &) : Matrix(std::move(values)) {}
};

double linearFlopsPerToken(const Transformer &model)
{
    double flops = 0;
    for (const LinearSite &site : model.linearSites())
        flops += 2.0 * static_cast<double>(site.in * site.out);
    return flops;
}

// W4A8 with a correction of rank 32, as the papers run it; its factors are of the right size and otherwise anything.
std::unique_ptr<QuantizedForward> w4a8(const Transformer &model, const char *weight, const char *activation)
{
    ModelPlan plan;
    LayerPlan layer;
    layer.rank = 32;
    layer.formats.weight = FormatSpec::parse(weight);
    layer.formats.activation = layer.formats.xa = layer.formats.xab = FormatSpec::parse(activation);
    layer.formats.a = layer.formats.b = FormatSpec::parse("mxint8");
    for (const LinearSite &site : model.linearSites())
        plan.layers.emplace(site.name, layer);
    const CorrectionSource source = [](const LinearSite &site, const LayerPlan &wanted) {
        const auto filled = [](Index rows, Index cols, const FormatSpec &format) {
            Matrix values(rows, cols);
            for (Index i = 0; i < values.size(); ++i)
                values.data()[i] = 1e-3F * static_cast<float>(i % 7 - 3);
            const std::span<float> flat(values.data(), static_cast<std::size_t>(values.size()));
            makeQuantizer(format)->quantize(flat, {rows, cols}, flat);
            return values;
        };
        return LowRankCorrection{filled(site.in, wanted.rank, wanted.formats.a), filled(wanted.rank, site.out, wanted.formats.b),
                                 wanted.formats.a, wanted.formats.b};
    };
    return std::make_unique<QuantizedForward>(std::move(plan), source, TaskContext{});
}

void measure(Report &report, const Options &options, const std::string &name, const test::RandomLlama &shape)
{
    const std::string folder = options.scratch + "/" + name;
    if (!std::filesystem::exists(folder + "/config.json"))
        test::writeRandomLlama(folder, shape);
    const Transformer model(std::make_shared<const Checkpoint>(folder));
    const double flops = linearFlopsPerToken(model);
    const bool large = shape.layers > 16;
    const bool narrow = Bf16Weight::isSupported();
    ThreadPool two(2);
    for (const std::int64_t length : {std::int64_t(512), std::int64_t(2048)}) {
        const Windows windows{model, shape, length, large ? (length > 512 ? 1 : 2) : 4};
        ForwardHooks none;
        const auto mxint = w4a8(model, "mxint4", "mxint8"), blockFp = w4a8(model, "bfp4", "bfp8");
        for (ThreadPool *pool : {static_cast<ThreadPool *>(nullptr), &two}) {
            const int threads = pool ? 2 : 1;
            const std::string clock = pool ? "by the clock" : "";
            const auto subject = [&](std::string_view what) {
                return fmt::format("{}, window {}, {} thread{}, {}", name, length, threads, pool ? "s" : "", what);
            };
            // A large model's long windows take llama.cpp minutes on one thread.
            const bool withLlama = !options.llamaBench.empty() && (pool || !large || length == 512);
            const auto besideLlama = [&](std::string_view what, double ours, GgmlType type, double goal) {
                if (!withLlama) {
                    if (pool)
                        report.add({subject(what), "tok/s", ours, "", 0, 0, clock});
                    return;
                }
                const LlamaRun run{folder, name, type, length, !large ? 3 : pool ? 2 : 1};
                report.add({subject(what), "tok/s", ours, fmt::format("llama.cpp {}", toString(type)), llamaBenchRate(options, run, threads), goal, clock});
            };
            const auto besidePeak = [&](std::string_view what, double ours, double peak) {
                if (!pool)
                    report.add({subject(what), "tok/s", ours, fmt::format("linear layers at the peak of {}", what), peak / flops, 0, "no output head"});
            };
            const double original = windows.rate(none, Precision::Float32, pool);
            besidePeak("float", original, peakFloatFlops());
            besideLlama("float", original, GgmlType::F32, 2);
            const double best = narrow ? windows.rate(none, Precision::BFloat16, pool) : original;
            if (narrow) {
                besidePeak("bf16", best, peakBf16Flops());
                besideLlama("bf16", best, GgmlType::BF16, 2);
            }
            const double quantized = windows.rate(*mxint, Precision::Float32, pool);
            report.add({subject("W mxint4 A mxint8 rank 32"), "tok/s", quantized, narrow ? "our bf16 original" : "our float original", best, 1.3, clock});
            if (withLlama)
                besideLlama("W mxint4 A mxint8 rank 32", quantized, GgmlType::Q8_0, 4);
            if (!pool && !large)
                report.add({subject("W bfp4 A bfp8 rank 32"), "tok/s", windows.rate(*blockFp, Precision::Float32, pool),
                            narrow ? "our bf16 original" : "our float original", best, 0, ""});
        }
        const std::string linears = fmt::format("{}, {} tokens, linear layers of a block alone, ", name, length);
        report.add({linears + "float", "GFLOP/s", linearRate<FloatWeight, FloatRows>(model, length, nullptr, nullptr) / 1e9, "peak of float",
                    peakFloatFlops() / 1e9, 0, ""});
        const double bf16 = narrow ? linearRate<Bf16Weight, Bf16Rows>(model, length, nullptr, nullptr) / 1e9 : 0;
        if (narrow)
            report.add({linears + "bf16", "GFLOP/s", bf16, "peak of bf16", peakBf16Flops() / 1e9, 0.85, ""});
        if (Int8Weight::isSupported())
            report.add({linears + "W mxint4 A mxint8", "GOP/s",
                        linearRate<Int8Weight, Int8Rows>(model, length, makeQuantizer(FormatSpec::parse("mxint4")).get(),
                                                         makeQuantizer(FormatSpec::parse("mxint8")).get())
                            / 1e9,
                        narrow ? "ours in bf16" : "", bf16, 0, "without correction"});
    }
}

}  // namespace

void benchForward(Report &report, const Options &options)
{
    measure(report, options, "m160", {.layers = 12, .hidden = 768, .intermediate = 3072, .heads = 12, .kvHeads = 12, .vocabulary = 4096, .positions = 2048});
    if (options.full)
        measure(report, options, "m1b", {.layers = 22, .hidden = 2048, .intermediate = 5632, .heads = 32, .kvHeads = 4, .vocabulary = 4096, .positions = 2048});
}

}  // namespace lqer::bench
