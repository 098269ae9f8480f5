// SPDX-License-Identifier: Apache-2.0
// lqer_bench_memory [FOLDER [LAYERS [HIDDEN [INTERMEDIATE [LIMIT_MB]]]]]: makes up a LLaMA checkpoint larger than a limit of memory,
// calibrates, decomposes and evaluates it under that limit and prints the peak resident size of each stage beside what one decoder layer needs.
// RLIMIT_DATA stops what runs away; it counts reserved space, touched or not, so it lies above the limit by what OpenBLAS reserves.
// Exit code 1 if a peak is above the limit or above 1.1 times the prediction.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/engine/engine.h"
#include "tests/support/process_memory.h"
#include "tests/support/random_llama.h"

using namespace lqer;

namespace {

std::string bytes(std::uint64_t count)
{
    return formatBytes(static_cast<double>(count));
}

// Float32 weights of one block and the statistics of its inputs: what "one decoder layer's dense matrices" are.
std::uint64_t layerBytes(const LoadedModel &model)
{
    std::uint64_t total = 0;
    for (const LinearSite &site : model.transformer().linearSites())
        if (site.layer == 0)
            total += static_cast<std::uint64_t>(site.in * site.out) * sizeof(float);
    for (const ActivationSite &site : model.transformer().activationSites())
        if (site.layer == 0)
            total += static_cast<std::uint64_t>(site.features * site.features) * sizeof(double);
    return total;
}

struct Stages {
    bool good = true;
    std::uint64_t limit = 0;

    void report(const char *stage, std::uint64_t before, const MemoryEstimate &estimate, double seconds)
    {
        const std::uint64_t peak = test::peakMemory();
        const std::uint64_t predicted = before + estimate.bytes;
        const bool fits = peak <= limit && static_cast<double>(peak) <= 1.1 * static_cast<double>(predicted);
        good = good && fits;
        fmt::print("{:<12} peak {:>9}   predicted {:>9} (of it {} held before)   {:.0f} s   {}\n", stage, bytes(peak), bytes(predicted),
                   bytes(before), seconds, fits ? "ok" : "TOO MUCH");
        std::fflush(stdout);
    }
};

int measure(const std::string &folder, const test::RandomLlama &shape, std::uint64_t limit)
{
    test::returnFreedBlocks();
    // One thread: OpenBLAS reserves buffers for each, and 0.3.21 hangs when it cannot get them. Measured: VmData is 275 MB above RssAnon.
    constexpr rlim_t reservedByBlas = 320ULL << 20;
    const Engine engine(EngineOptions{.threads = 1, .memoryLimit = limit});
    const rlimit most{limit + reservedByBlas, limit + reservedByBlas};
    setrlimit(RLIMIT_DATA, &most);
    const TaskContext context = engine.context();
    const auto model = engine.load(folder + "/checkpoint", context);
    const auto project = engine.createProject(folder + "/bench.lqer", *model);
    fmt::print("checkpoint   {} in {} blocks of {}x{}\nlimit        {}\none layer    {} of float32 weights and float64 statistics\n",
               bytes(model->summary().bytes), shape.layers, shape.hidden, shape.intermediate, bytes(limit), bytes(layerBytes(*model)));
    if (model->summary().bytes <= limit)
        fmt::print("note: the checkpoint is not larger than the limit\n");

    Stages stages;
    stages.limit = limit;
    const TokenWindows windows = test::randomWindows(shape, 4, 64, 1);
    const MemoryEstimate calibration = engine.estimateCalibration(*model, windows, {});
    std::uint64_t before = residentMemory();
    test::resetPeak();
    const Stopwatch first;
    engine.calibrate(*model, *project, windows, {}, context);
    stages.report("calibrate", before, calibration, first.seconds());

    for (const ScalingKind scaling : {ScalingKind::MeanAbs, ScalingKind::Exact}) {
        QuantizationRecipe recipe;
        recipe.name = "bench";
        recipe.defaults.weight = FormatSpec::parse("mxint:width=4,block_size=32");
        recipe.defaults.scaling = scaling;
        recipe.defaults.rank = 32;
        DecomposeOptions options;
        options.maxRank = 32;
        options.spectrum = SpectrumExtent::Leading;
        const MemoryEstimate estimate = engine.estimateDecomposition(*model, recipe, options);
        before = residentMemory();
        test::resetPeak();
        const Stopwatch watch;
        engine.decompose(*model, *project, recipe, options, context);
        stages.report(std::string("decompose ").append(toString(scaling)).c_str(), before, estimate, watch.seconds());
        if (scaling != ScalingKind::Exact)
            continue;
        recipe.defaults.activation = FormatSpec::parse("mxint8");
        const EvaluateOptions evaluation;
        const MemoryEstimate evaluating = engine.estimateEvaluation(*model, &recipe, windows, evaluation);
        before = residentMemory();
        test::resetPeak();
        const Stopwatch another;
        engine.evaluate(*model, *project, recipe, windows, evaluation, context);
        stages.report("evaluate", before, evaluating, another.seconds());
    }
    return stages.good ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv)
{
    const auto argument = [&](int i, std::int64_t fallback) { return argc > i ? std::strtoll(argv[i], nullptr, 10) : fallback; };
    const std::string folder = argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / "lqer_bench_memory").string();
    test::RandomLlama shape;
    shape.layers = argument(2, 9);
    shape.hidden = argument(3, 1088);
    shape.intermediate = argument(4, 2944);
    shape.heads = shape.kvHeads = 16;
    shape.vocabulary = 1000;
    shape.positions = 128;
    const auto limit = static_cast<std::uint64_t>(argument(5, 240)) << 20;
    int status = 0;
    try {
        // In a process of its own, so that its memory does not count.
        if (const pid_t child = fork(); child == 0) {
            test::writeRandomLlama(folder + "/checkpoint", shape);
            _exit(0);
        }
        wait(&status);
        status = measure(folder, shape, limit);
    } catch (const std::exception &error) {
        fmt::print(stderr, "{}\n", error.what());
        status = 2;
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return status;
}
