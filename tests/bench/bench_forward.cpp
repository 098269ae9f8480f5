// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <fmt/format.h>

#include "core/eval/quantized_forward.h"
#include "core/io/checkpoint.h"
#include "core/model/transformer.h"
#include "tests/bench/bench.h"
#include "tests/bench/llama_bench.h"
#include "tests/support/random_llama.h"

namespace lqer::bench {

namespace {

// Tokens per second of one thread without loading the weights: what more windows take longer.
double tokensPerSecond(const Transformer &model, const test::RandomLlama &shape, ForwardHooks &hooks, std::int64_t length, std::int64_t windows)
{
    const auto seconds = [&](std::int64_t count) {
        const TokenWindows text = test::randomWindows(shape, count, length, 5);
        return best(2, [&] { model.forward(text.windows, hooks, {}, {}, {}); });
    };
    return static_cast<double>((windows - 1) * length) / (seconds(windows) - seconds(1));
}

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
    for (const std::int64_t length : {std::int64_t(512), std::int64_t(2048)}) {
        const std::int64_t windows = std::max<std::int64_t>(2, (shape.layers > 16 ? 2048 : 4096) / length + 1);
        ForwardHooks none;
        const double original = tokensPerSecond(model, shape, none, length, windows);
        report.add({fmt::format("{}, window {}, float", name, length), "tok/s", original, "linear layers at the processor's peak", peakFloatFlops() / flops, 0,
                    "no output head"});
        if (!options.llamaBench.empty())
            report.add({fmt::format("{}, window {}, float", name, length), "tok/s", original, "llama.cpp f32, 1 thread",
                        llamaBenchRate(options, folder, name, length), 2, ""});
        for (const auto &[weight, activation] : {std::pair("mxint4", "mxint8"), std::pair("bfp4", "bfp8")}) {
            const auto hooks = w4a8(model, weight, activation);
            report.add({fmt::format("{}, window {}, W {} A {} rank 32", name, length, weight, activation), "tok/s",
                        tokensPerSecond(model, shape, *hooks, length, windows), "our float original", original, 1.3, ""});
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
