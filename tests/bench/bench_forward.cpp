// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "core/eval/quantized_forward.h"
#include "core/io/checkpoint.h"
#include "core/linalg/bf16_weight.h"
#include "core/model/transformer.h"
#include "tests/bench/bench.h"
#include "tests/bench/llama_bench.h"
#include "tests/support/random_llama.h"

namespace lqer::bench {

namespace {

// Windows of one length through one model: tokens per second without loading the weights, by what more windows take longer.
struct Windows {
    const Transformer &model;
    const test::RandomLlama &shape;
    std::int64_t length, count;

    double rate(ForwardHooks &hooks, Precision precision, ThreadPool *pool) const
    {
        const auto seconds = [&](std::int64_t windows) {
            const TokenWindows text = test::randomWindows(shape, windows, length, 5);
            Transformer::ForwardOptions options;
            options.precision = precision;
            TaskContext context;
            context.pool = pool;
            const auto work = [&] { model.forward(text.windows, hooks, options, {}, context); };
            return pool ? std::min(wallSeconds(work), wallSeconds(work)) : best(2, work);
        };
        // The same number for every thread.
        const std::int64_t threads = pool ? static_cast<std::int64_t>(pool->threads()) : 1;
        return static_cast<double>(count * length * threads) / (seconds((count + 1) * threads) - seconds(threads));
    }
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
        const Windows windows{model, shape, length, std::max<std::int64_t>(1, (large ? 2048 : 4096) / length)};
        ForwardHooks none;
        const auto mxint = w4a8(model, "mxint4", "mxint8"), blockFp = w4a8(model, "bfp4", "bfp8");
        for (ThreadPool *pool : {static_cast<ThreadPool *>(nullptr), &two}) {
            const int threads = pool ? 2 : 1;
            const std::string clock = pool ? "by the clock" : "";
            const auto subject = [&](std::string_view what) {
                return fmt::format("{}, window {}, {} thread{}, {}", name, length, threads, pool ? "s" : "", what);
            };
            const auto besideLlama = [&](std::string_view what, double ours, GgmlType type, double goal) {
                if (options.llamaBench.empty())
                    return;
                const LlamaRun run{folder, name, type, length, large ? 1 : 3};
                report.add({subject(what), "tok/s", ours, fmt::format("llama.cpp {}", toString(type)), llamaBenchRate(options, run, threads), goal, clock});
            };
            const double original = windows.rate(none, Precision::Float32, pool);
            if (!pool)
                report.add({subject("float"), "tok/s", original, "linear layers at the peak of float", peakFloatFlops() / flops, 0, "no output head"});
            else if (options.llamaBench.empty())
                report.add({subject("float"), "tok/s", original, "", 0, 0, clock});
            besideLlama("float", original, GgmlType::F32, 2);
            const double best = narrow ? windows.rate(none, Precision::BFloat16, pool) : original;
            if (narrow) {
                if (!pool)
                    report.add({subject("bf16"), "tok/s", best, "linear layers at the peak of bf16", peakBf16Flops() / flops, 0, "no output head"});
                else if (options.llamaBench.empty())
                    report.add({subject("bf16"), "tok/s", best, "", 0, 0, clock});
                besideLlama("bf16", best, GgmlType::BF16, 2);
            }
            const double quantized = windows.rate(*mxint, Precision::Float32, pool);
            report.add({subject("W mxint4 A mxint8 rank 32"), "tok/s", quantized, narrow ? "our bf16 original" : "our float original", best, 1.3, clock});
            besideLlama("W mxint4 A mxint8 rank 32", quantized, GgmlType::Q8_0, 4);
            if (!pool)
                report.add({subject("W bfp4 A bfp8 rank 32"), "tok/s", windows.rate(*blockFp, Precision::Float32, pool),
                            narrow ? "our bf16 original" : "our float original", best, 0, ""});
        }
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
