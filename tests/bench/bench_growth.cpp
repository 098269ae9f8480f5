// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "core/engine/engine.h"
#include "core/linalg/bf16_weight.h"
#include "tests/bench/bench.h"
#include "tests/support/process_memory.h"
#include "tests/support/random_llama.h"

namespace lqer::bench {

namespace {

constexpr std::int64_t windowLength = 512;
constexpr std::array<const char *, 3> stages = {"calibrate with R", "decompose, exact", "evaluate W4A8"};

// What a run's time depends on.
struct Extents {
    double blockWeights = 0;  // of the linear layers of one block
    double blocks = 0, tokens = 0, rank = 0;
};

struct Cost {
    double seconds = 0;  // processor time of one thread
    double bytes = 0;    // resident at its peak, above what was before
};

struct Sizes {
    std::int64_t hidden = 1024, blocks = 2, windows = 4;
    Index rank = 32;

    test::RandomLlama shape() const
    {
        return {.layers = blocks, .hidden = hidden, .intermediate = hidden * 11 / 4, .heads = hidden / 64, .kvHeads = hidden / 64, .vocabulary = 512,
                .positions = windowLength};
    }
    Extents extents() const
    {
        const auto width = static_cast<double>(hidden);
        return {4 * width * width + 3 * width * (width * 11 / 4), static_cast<double>(blocks), static_cast<double>(windows * windowLength),
                static_cast<double>(rank)};
    }
};

Cost measured(const std::function<void()> &work)
{
    Cost cost;
    const std::uint64_t before = residentMemory();
    test::resetPeak();
    cost.seconds = threadSeconds(work);
    cost.bytes = static_cast<double>(test::peakMemory() - std::min(test::peakMemory(), before));
    return cost;
}

std::array<Cost, 3> run(const Options &options, const Sizes &sizes, Precision precision)
{
    const test::RandomLlama shape = sizes.shape();
    const std::string checkpoint = fmt::format("{}/growth-{}x{}", options.scratch, sizes.hidden, sizes.blocks);
    if (!std::filesystem::exists(checkpoint + "/config.json"))
        test::writeRandomLlama(checkpoint, shape);
    const std::string folder = options.scratch + "/growth.lqer";
    std::filesystem::remove_all(folder);
    const Engine engine(EngineOptions{.threads = 1});
    const TaskContext context = engine.context();
    const auto model = engine.load(checkpoint, context);
    const auto project = engine.createProject(folder, *model);
    const TokenWindows windows = test::randomWindows(shape, sizes.windows, windowLength, 7);

    QuantizationRecipe recipe;
    recipe.name = "growth";
    recipe.defaults.weight = FormatSpec::parse("mxint4");
    recipe.defaults.activation = FormatSpec::parse("mxint8");
    recipe.defaults.scaling = ScalingKind::Exact;
    recipe.defaults.rank = sizes.rank;
    CalibrationOptions calibration;
    calibration.precision = precision;
    DecomposeOptions decompose;
    decompose.maxRank = sizes.rank;
    decompose.fullSpectrum = false;
    EvaluateOptions evaluate;
    evaluate.originalPerplexity = evaluate.layerErrors = false;
    std::array<Cost, 3> costs = {measured([&] { engine.calibrate(*model, *project, windows, calibration, context); }),
                                 measured([&] { engine.decompose(*model, *project, recipe, decompose, context); }),
                                 measured([&] { engine.evaluate(*model, *project, recipe, windows, evaluate, context); })};
    std::filesystem::remove_all(folder);
    return costs;
}

// The power of `extent` that costs grow with: the line of least squares through their logarithms.
double exponent(const std::vector<double> &extent, const std::vector<double> &cost)
{
    double meanX = 0, meanY = 0;
    const auto count = static_cast<double>(extent.size());
    for (std::size_t i = 0; i < extent.size(); ++i) {
        meanX += std::log(extent[i]) / count;
        meanY += std::log(cost[i]) / count;
    }
    double product = 0, square = 0;
    for (std::size_t i = 0; i < extent.size(); ++i) {
        product += (std::log(extent[i]) - meanX) * (std::log(cost[i]) - meanY);
        square += (std::log(extent[i]) - meanX) * (std::log(extent[i]) - meanX);
    }
    return product / square;
}

struct Growth {
    double weights = 1, blocks = 1, tokens = 1, rank = 0;
};

std::string readable(double seconds)
{
    return seconds < 120 ? fmt::format("{:.0f} s", seconds) : seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace

void benchGrowth(Report &report, const Options &options)
{
    // Three sizes of each extent about one middle; depth and rank also at the largest width, which the predictions start from.
    const std::vector<Sizes> widths = {{.hidden = 512}, {}, {.hidden = 2048}};
    const std::vector<Sizes> depths = {{.blocks = 1}, {}, {.blocks = 4}};
    const std::vector<Sizes> lengths = {{.windows = 2}, {}, {.windows = 8}};
    const std::vector<Sizes> ranks = {{.rank = 16}, {}, {.rank = 64}};
    std::array<Growth, 3> growth;
    std::array<Cost, 3> largest;
    const auto follow = [&](const char *name, const std::vector<Sizes> &sizes, double Extents::*extent, double Growth::*power) {
        std::vector<double> extents;
        std::vector<std::array<Cost, 3>> costs;
        for (const Sizes &size : sizes) {
            extents.push_back(size.extents().*extent);
            costs.push_back(run(options, size, Precision::Float32));
        }
        for (std::size_t stage = 0; stage < stages.size(); ++stage) {
            std::vector<double> seconds, bytes;
            std::string times, peaks;
            for (const auto &cost : costs) {
                seconds.push_back(cost[stage].seconds);
                bytes.push_back(std::max(1.0, cost[stage].bytes));
                times += fmt::format("{}{:.2f}", times.empty() ? "" : ", ", seconds.back());
                peaks += fmt::format("{}{:.0f}", peaks.empty() ? "" : ", ", bytes.back() / 1e6);
            }
            growth[stage].*power = exponent(extents, seconds);
            report.add({fmt::format("{}: time against {}", stages[stage], name), "power", growth[stage].*power, "", 0, 0,
                        fmt::format("{} s; memory {} MB, power {:.2f}", times, peaks, exponent(extents, bytes))});
            if (sizes.back().hidden == 2048)
                largest[stage] = costs.back()[stage];
        }
    };
    follow("weights of a block", widths, &Extents::blockWeights, &Growth::weights);
    follow("blocks", depths, &Extents::blocks, &Growth::blocks);
    follow("tokens", lengths, &Extents::tokens, &Growth::tokens);
    follow("rank", ranks, &Extents::rank, &Growth::rank);
    double faster = 1;
    if (Bf16Weight::isSupported()) {
        const double narrow = run(options, widths.back(), Precision::BFloat16)[0].seconds;
        faster = largest[0].seconds / narrow;
        report.add({"calibrate with R, bf16 beside float, the widest", "s", narrow, "float", largest[0].seconds, 0, ""});
    }

    // From the widest that was measured, by the powers, to 262,144 tokens of calibration, rank 64 and 341,469 tokens of WikiText-2.
    struct Model {
        const char *name;
        double blockWeights, blocks;
    };
    const auto dense = [](double hidden, double intermediate, double keys) {
        return 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * intermediate;
    };
    const Extents from = widths.back().extents();
    for (const Model &model : {Model{"7 B", dense(4096, 11008, 4096), 32}, Model{"13 B", dense(5120, 13824, 5120), 40},
                               Model{"70 B", dense(8192, 28672, 1024), 80}}) {
        const std::array<double, 3> tokens = {262144, from.tokens, 341469};
        for (std::size_t stage = 0; stage < stages.size(); ++stage) {
            const Growth &by = growth[stage];
            const double seconds = largest[stage].seconds * std::pow(model.blockWeights / from.blockWeights, by.weights)
                                   * std::pow(model.blocks / from.blocks, by.blocks) * std::pow(tokens[stage] / from.tokens, stage == 1 ? 0 : by.tokens)
                                   * std::pow(64 / from.rank, by.rank);
            std::string text;
            for (const auto &[cores, efficiency] : {std::pair(2, 0.95), {16, 0.9}, {64, 0.75}})
                text += fmt::format("{}{} on {} cores", text.empty() ? "" : ", ", readable(seconds / (cores * efficiency)), cores);
            if (stage == 0)
                text += fmt::format("; bf16 {:.1f} times faster", faster);
            report.add({fmt::format("{}: {}, predicted, one core", model.name, stages[stage]), "s", seconds, "", 0, 0, text});
        }
    }
}

}  // namespace lqer::bench
