// SPDX-License-Identifier: Apache-2.0
#include "core/engine/estimates.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/engine/engine_state.h"
#include "core/engine/input_groups.h"
#include "core/engine/layer_decomposition.h"

namespace lqer {

namespace {

constexpr std::uint64_t floatBytes = sizeof(float);
constexpr std::uint64_t doubleBytes = sizeof(double);

constexpr std::uint64_t productBytes = 4 << 20;  // that each thread's first products leave in use (BLAS, oneDNN), measured

MemoryEstimate sum(MemoryEstimate estimate, std::uint64_t limit)
{
    estimate.bytes = 0;
    for (const auto &[name, bytes] : estimate.parts)
        estimate.bytes += bytes;
    estimate.limit = limit;
    return estimate;
}

std::uint64_t bytesOf(std::int64_t count, std::uint64_t each)
{
    return static_cast<std::uint64_t>(count) * each;
}

// What an output head of this size and its blocks of logits take. Rows of logits go through in blocks (transformer.h).
std::uint64_t headBytes(const ModelConfig &config)
{
    return bytesOf(config.vocabulary * std::max(config.hidden, config.embeddingDim), 2 * floatBytes);
}

}  // namespace

std::uint64_t layerWorkBytes(const LinearSite &site, ScalingKind scaling, const DecompositionOptions &options, std::size_t threads)
{
    const std::uint64_t weight = bytesOf(site.in * site.out, floatBytes);
    const std::uint64_t factors = bytesOf((site.in + site.out) * options.maxRank, doubleBytes);
    return std::max({2 * weight,  // as stored and in float32; W and W_q
                     weight + outputErrorBytes(site.out, site.in, threads),
                     weight + decompositionBytes(site.out, site.in, scaling, options, threads),
                     weight + 2 * factors,  // what each direction captures
                     2 * factors});         // rounded to float32 and written
}

std::uint64_t layersRoom(std::uint64_t free, std::int64_t features, std::size_t threads)
{
    // If the statistics hold R, output errors are measured with it, whatever the scaling.
    return free - std::min(free, statisticsBytes(features, true) + threads * productBytes);
}

GroupWork groupWork(std::span<const std::uint64_t> layers, std::uint64_t room)
{
    GroupWork work;
    std::uint64_t largest = 0;
    for (const std::uint64_t bytes : layers) {
        work.bytes += bytes;
        largest = std::max(largest, bytes);
    }
    work.sideBySide = layers.size() > 1 && work.bytes <= room;
    if (!work.sideBySide)
        work.bytes = largest;
    return work;
}

std::uint64_t statisticsBytes(std::int64_t features, bool autocorrelation)
{
    return bytesOf(features * (autocorrelation ? features + 3 : 3), doubleBytes);
}

std::uint64_t largestBlockBytes(const Transformer &model)
{
    std::map<std::int64_t, std::uint64_t> blocks;
    std::uint64_t layer = 0;
    for (const LinearSite &site : model.linearSites()) {
        blocks[site.layer] += bytesOf(site.in * site.out, floatBytes);
        layer = std::max(layer, bytesOf(site.in * site.out, floatBytes));
    }
    std::uint64_t largest = 0;
    for (const auto &[number, bytes] : blocks)
        largest = std::max(largest, bytes);
    return largest + layer;
}

std::uint64_t windowWorkBytes(const ModelConfig &config, std::int64_t tokens)
{
    // Inputs kept for the observers, q, k, v and the two wide products; scores of one head at a time.
    return bytesOf(tokens * (6 * config.hidden + 3 * config.intermediate), floatBytes) + bytesOf(tokens * tokens, floatBytes);
}

std::int64_t longestWindow(const TokenWindows &windows)
{
    std::size_t longest = 0;
    for (const TokenWindow &window : windows.windows)
        longest = std::max(longest, window.ids.size());
    return static_cast<std::int64_t>(longest);
}

std::int64_t tokenCount(const TokenWindows &windows)
{
    std::size_t count = 0;
    for (const TokenWindow &window : windows.windows)
        count += window.ids.size();
    return static_cast<std::int64_t>(count);
}

std::size_t fittingGroup(const TokenWindows &windows, const ModelConfig &config, std::size_t threads, std::uint64_t free)
{
    const std::uint64_t all = bytesOf(tokenCount(windows) * config.hidden, floatBytes);
    if (all <= free / 4 || windows.windows.empty())
        return 0;
    const std::uint64_t each = std::max<std::uint64_t>(1, bytesOf(longestWindow(windows) * config.hidden, floatBytes));
    return std::max<std::size_t>(threads, free / 4 / each);
}

MemoryEstimate Engine::estimateCalibration(const LoadedModel &model, const TokenWindows &windows, const CalibrationOptions &options) const
{
    const ModelConfig &config = model.transformer().config();
    const auto threads = static_cast<std::uint64_t>(m_state->pool.threads());
    const std::uint64_t free = m_state->freeMemory();
    std::map<std::int64_t, std::uint64_t> byBlock;
    std::uint64_t packed = 0;  // half of one R, while its shard is written
    for (const ActivationSite &site : model.transformer().activationSites()) {
        const std::uint64_t bytes = statisticsBytes(site.features, options.autocorrelation);
        byBlock[site.layer] += bytes;
        packed = std::max(packed, bytes / 2);
    }
    MemoryEstimate estimate;
    std::uint64_t statistics = 0;
    for (const auto &[layer, bytes] : byBlock)
        if (bytes > statistics) {
            statistics = bytes;
            estimate.where = fmt::format("block {}", layer);
        }
    const std::uint64_t weights = largestBlockBytes(model.transformer());
    const std::uint64_t work = threads * windowWorkBytes(config, longestWindow(windows));
    // Where all hidden states do not fit, windows go through in groups of as many as there are threads.
    const std::uint64_t all = bytesOf(tokenCount(windows) * config.hidden, floatBytes);
    const std::uint64_t few = std::min(all, threads * bytesOf(longestWindow(windows) * config.hidden, floatBytes));
    const std::uint64_t room = options.memoryLimit > 0 ? options.memoryLimit : free - std::min(free, weights + work + packed);
    const std::uint64_t hidden = all + statistics <= room ? all : few;
    estimate.parts = {{"weights of one block", weights},
                      {"statistics of one block", statistics},
                      {"writing statistics", packed},
                      {"hidden states", hidden},
                      {"activations", work},
                      {"buffers of products", threads * productBytes}};
    return sum(std::move(estimate), free);
}

MemoryEstimate Engine::estimateDecomposition(const LoadedModel &model, const QuantizationRecipe &recipe, const DecomposeOptions &options) const
{
    const std::uint64_t free = m_state->freeMemory();
    MemoryEstimate largest;
    for (const InputGroup &group : inputGroups(model.transformer())) {
        std::vector<std::uint64_t> layers;
        std::string names;
        for (const LinearSite *site : group.linears) {
            const LayerPlan plan = planFor(model, recipe, *site);
            if (!isCorrected(plan))
                continue;
            layers.push_back(layerWorkBytes(*site, plan.scaling, decompositionOptions(*site, plan, options), m_state->pool.threads()));
            names += (names.empty() ? "" : ", ") + site->name;
        }
        if (layers.empty())
            continue;
        const std::uint64_t statistics = statisticsBytes(group.input->features, true);
        const GroupWork work = groupWork(layers, layersRoom(free, group.input->features, m_state->pool.threads()));
        MemoryEstimate estimate;
        estimate.where = names;
        // Reading R needs half of it again, but before any weight is there.
        estimate.parts = {{fmt::format("statistics of {} inputs", group.input->features), statistics},
                          {layers.size() == 1 ? "the layer and its decomposition" : "the layers and their decompositions",
                           std::max(work.bytes, statistics / 2)},
                          {"buffers of products", m_state->pool.threads() * productBytes}};
        estimate = sum(std::move(estimate), free);
        if (estimate.bytes > largest.bytes)
            largest = std::move(estimate);
    }
    largest.limit = free;
    return largest;
}

MemoryEstimate Engine::estimateEvaluation(const LoadedModel &model, const QuantizationRecipe *recipe, const TokenWindows &windows,
                                          const EvaluateOptions &options) const
{
    const ModelConfig &config = model.transformer().config();
    const std::size_t threads = m_state->pool.threads();
    const std::uint64_t free = m_state->freeMemory();
    const std::size_t asked = options.perplexity.forward.group;
    const std::size_t group = asked > 0 ? asked : fittingGroup(windows, config, threads, free);
    const std::int64_t grouped =
        group == 0 ? tokenCount(windows) : std::min(tokenCount(windows), static_cast<std::int64_t>(group) * longestWindow(windows));
    std::uint64_t factors = 0;
    if (recipe)
        for (const LinearSite &site : model.transformer().linearSites()) {
            const LayerPlan plan = planFor(model, *recipe, site);
            if (isCorrected(plan))
                factors = std::max(factors, bytesOf((site.in + site.out) * storedRank(0, plan.rank, site.in, site.out), 2 * doubleBytes));
        }
    MemoryEstimate estimate;
    estimate.where = "the largest block";
    estimate.parts = {{"weights of one block", largestBlockBytes(model.transformer()) * (recipe ? 2 : 1)},
                      {"factors of one layer", factors},
                      {"hidden states", bytesOf(grouped * config.hidden, (options.divergence ? 2 : 1) * floatBytes)},
                      {"activations", threads * windowWorkBytes(config, longestWindow(windows))},
                      {"output head", headBytes(config)}};
    return sum(std::move(estimate), free);
}

}  // namespace lqer
