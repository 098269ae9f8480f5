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
constexpr std::size_t decomposing = 1;

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
    double blockWeights() const
    {
        const auto width = static_cast<double>(hidden);
        return 4 * width * width + 3 * width * (width * 11 / 4);
    }
    double tokens() const { return static_cast<double>(windows * windowLength); }
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
    decompose.spectrum = SpectrumExtent::Leading;
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

std::string readable(double seconds)
{
    if (seconds < 120)
        return fmt::format("{:.0f} s", seconds);
    return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.1f} h", seconds / 3600);
}

// One stage of one block at one width, without what the number of tokens does not change (reading and packing weights).
struct BlockCost {
    double weights = 0;
    double fixed = 0;     // seconds
    double perToken = 0;  // seconds
};

// From two runs of one block that differ in their tokens only. Decomposing knows no tokens.
std::array<BlockCost, 3> blockCosts(const Options &options, Sizes sizes, Precision precision)
{
    sizes.blocks = 1;
    sizes.windows = 2;
    const auto few = run(options, sizes, precision);
    const double fewTokens = sizes.tokens();
    sizes.windows = 6;
    const auto many = run(options, sizes, precision);
    std::array<BlockCost, 3> costs;
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
        costs[stage].weights = sizes.blockWeights();
        if (stage != decomposing)
            costs[stage].perToken = (many[stage].seconds - few[stage].seconds) / (sizes.tokens() - fewTokens);
        costs[stage].fixed = std::max(0.0, few[stage].seconds - costs[stage].perToken * fewTokens);
    }
    return costs;
}

// The seconds of a block that is `weights` large, by the power between two that were measured.
double carried(const BlockCost &small, const BlockCost &large, double weights, double BlockCost::*part)
{
    const double power = std::log(large.*part / (small.*part)) / std::log(large.weights / small.weights);
    return large.*part * std::pow(weights / large.weights, power);
}

}  // namespace

void benchGrowth(Report &report, const Options &options)
{
    // Three sizes of each extent about one middle.
    const std::vector<Sizes> depths = {{.blocks = 1}, {}, {.blocks = 4}};
    const std::vector<Sizes> lengths = {{.windows = 2}, {}, {.windows = 8}};
    const std::vector<Sizes> ranks = {{.rank = 16}, {}, {.rank = 64}};
    const auto follow = [&](const char *name, const std::vector<Sizes> &sizes, auto &&extent) {
        std::vector<double> extents;
        std::vector<std::array<Cost, 3>> costs;
        for (const Sizes &size : sizes) {
            extents.push_back(static_cast<double>(extent(size)));
            costs.push_back(run(options, size, Precision::Float32));
        }
        for (std::size_t stage = 0; stage < stages.size(); ++stage) {
            std::vector<double> seconds;
            std::string times, peaks;
            for (const auto &cost : costs) {
                seconds.push_back(cost[stage].seconds);
                times += fmt::format("{}{:.2f}", times.empty() ? "" : ", ", seconds.back());
                peaks += fmt::format("{}{:.0f}", peaks.empty() ? "" : ", ", cost[stage].bytes / 1e6);
            }
            report.add({fmt::format("{}: time against {}", stages[stage], name), "power", exponent(extents, seconds), "", 0, 0,
                        fmt::format("{} s; memory {} MB", times, peaks)});
        }
    };
    follow("blocks", depths, [](const Sizes &size) { return size.blocks; });
    follow("tokens", lengths, [](const Sizes &size) { return size.windows * windowLength; });
    follow("rank", ranks, [](const Sizes &size) { return size.rank; });

    // Width: one block each, up to the width of 7 B.
    std::vector<std::array<BlockCost, 3>> widths;
    for (const std::int64_t hidden : {1024, 2048, 4096})
        widths.push_back(blockCosts(options, {.hidden = hidden, .rank = 64}, Precision::Float32));
    for (std::size_t stage = 0; stage < stages.size(); ++stage) {
        double BlockCost::*const part = stage == decomposing ? &BlockCost::fixed : &BlockCost::perToken;
        std::vector<double> weights, seconds;
        std::string text;
        for (const auto &costs : widths) {
            weights.push_back(costs[stage].weights);
            seconds.push_back(costs[stage].*part);
            text += fmt::format("{}{:.3g}", text.empty() ? "" : ", ", seconds.back() * (stage == decomposing ? 1 : 1e3));
        }
        const char *const unit = stage == decomposing ? "block" : "token and block";
        report.add({fmt::format("{}: {} against its weights", stages[stage], unit), "power", exponent(weights, seconds), "", 0, 0,
                    text + (stage == decomposing ? " s" : " ms")});
    }
    double faster = 1;
    if (Bf16Weight::isSupported()) {
        const BlockCost narrow = blockCosts(options, {.hidden = 4096, .rank = 64}, Precision::BFloat16)[0];
        faster = widths.back()[0].perToken / narrow.perToken;
        report.add({"calibrate with R, bf16 beside float, 4096 wide", "ms a token", 1e3 * narrow.perToken, "float",
                    1e3 * widths.back()[0].perToken, 0, ""});
    }

    // 262,144 tokens of calibration, rank 64, 341,469 tokens of WikiText-2, in windows of 512: blocks times what a block of that size takes,
    // carried on from the two widest by the power between them.
    struct Model {
        const char *name;
        double blockWeights, blocks;
    };
    const auto dense = [](double hidden, double intermediate, double keys) {
        return 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * intermediate;
    };
    for (const Model &model : {Model{"7 B", dense(4096, 11008, 4096), 32}, Model{"13 B", dense(5120, 13824, 5120), 40},
                               Model{"70 B", dense(8192, 28672, 1024), 80}}) {
        const std::array<double, 3> tokens = {262144, 0, 341469};
        for (std::size_t stage = 0; stage < stages.size(); ++stage) {
            const BlockCost &small = widths[1][stage], &large = widths[2][stage];
            double seconds = 0;
            if (stage == decomposing)
                seconds = carried(small, large, model.blockWeights, &BlockCost::fixed);
            else
                seconds = large.fixed * model.blockWeights / large.weights
                          + tokens[stage] * carried(small, large, model.blockWeights, &BlockCost::perToken);
            seconds *= model.blocks;
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
