// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/model/architectures/architecture.h"
#include "core/model/forward_pass.h"
#include "core/model/layers.h"
#include "core/model/model_weights.h"

namespace lqer {

namespace {

// Positions whose scores over the vocabulary are computed in one product. A constant, because it is part of their rounding.
constexpr Index headRows = 128;

// Some rows of one window's scores.
struct HeadPart {
    std::size_t inGroup;
    Index row;
    Index rows;
};

void appendParts(std::size_t inGroup, Index begin, Index end, std::vector<HeadPart> &parts)
{
    for (Index row = begin; row < end; row += headRows)
        parts.push_back({inGroup, row, std::min(headRows, end - row)});
}

std::vector<ActivationSite> sharedInputs(const std::vector<LinearSite> &linears)
{
    std::vector<ActivationSite> sites;
    std::map<std::string, std::size_t> places;
    for (const LinearSite &linear : linears) {
        const auto [place, isNew] = places.emplace(linear.activationSite, sites.size());
        if (isNew)
            sites.push_back({linear.activationSite, linear.layer, linear.in, {}});
        sites[place->second].linears.push_back(linear.name);
    }
    return sites;
}

template <typename Site>
const Site *findNamed(const std::vector<Site> &sites, const std::map<std::string, std::size_t, std::less<>> &places,
                      std::string_view name)
{
    const auto found = places.find(name);
    return found == places.end() ? nullptr : &sites[found->second];
}

}  // namespace

struct Transformer::State {
    explicit State(std::shared_ptr<const Checkpoint> opened)
        : checkpoint(std::move(opened)), config(readModelConfig(checkpoint->config(), checkpoint->configPath())),
          weights(checkpoint, config, findArchitecture(config.family)->layout(config))
    {
        const ModelLayout &layout = weights.layout();
        if (layout.projectIn)
            linears.push_back(*layout.projectIn);
        for (const BlockTensors &block : layout.blocks)
            linears.insert(linears.end(), block.linears.begin(), block.linears.end());
        if (layout.projectOut)
            linears.push_back(*layout.projectOut);
        activations = sharedInputs(linears);
        for (std::size_t i = 0; i < linears.size(); ++i)
            linearPlaces.emplace(linears[i].name, i);
        for (std::size_t i = 0; i < activations.size(); ++i)
            activationPlaces.emplace(activations[i].name, i);
        warnings = config.warnings;
        warnings.insert(warnings.end(), weights.warnings().begin(), weights.warnings().end());
        for (const std::string &warning : warnings)
            logWarning(fmt::format("{}: {}", checkpoint->configPath(), warning));
    }

    // The windows without a last id that is one too many for learned positions: it is only a target and need not be run
    // (lm-eval's windows have a context and one more).
    std::vector<TokenWindow> runnable(std::span<const TokenWindow> windows) const
    {
        std::vector<TokenWindow> runnable(windows.begin(), windows.end());
        if (config.positions == PositionKind::Learned) {
            for (std::size_t w = 0; w < runnable.size(); ++w) {
                std::vector<TokenId> &ids = runnable[w].ids;
                if (static_cast<std::int64_t>(ids.size()) != config.maxPositions + 1)
                    continue;
                if (ids.back() < 0 || ids.back() >= config.vocabulary)
                    throw Error(ErrorCode::Argument, "", fmt::format("window {}", w),
                                fmt::format("token id {} at position {} is outside the vocabulary of {}", ids.back(),
                                            ids.size() - 1, config.vocabulary));
                ids.pop_back();
            }
        }
        return runnable;
    }

    std::shared_ptr<const Checkpoint> checkpoint;
    ModelConfig config;
    ModelWeights weights;
    std::vector<LinearSite> linears;
    std::vector<ActivationSite> activations;
    std::map<std::string, std::size_t, std::less<>> linearPlaces;
    std::map<std::string, std::size_t, std::less<>> activationPlaces;
    std::vector<std::string> warnings;
};

Transformer::Transformer(std::shared_ptr<const Checkpoint> checkpoint) : m_state(std::make_unique<State>(std::move(checkpoint)))
{
}
Transformer::~Transformer() = default;

const ModelConfig &Transformer::config() const { return m_state->config; }
const Checkpoint &Transformer::checkpoint() const { return *m_state->checkpoint; }
const ModelLayout &Transformer::layout() const { return m_state->weights.layout(); }
const std::vector<LinearSite> &Transformer::linearSites() const { return m_state->linears; }
const std::vector<ActivationSite> &Transformer::activationSites() const { return m_state->activations; }
std::int64_t Transformer::parameters() const { return m_state->weights.parameters(); }
const std::vector<std::string> &Transformer::warnings() const { return m_state->warnings; }
Matrix Transformer::readWeight(const LinearSite &site, const TaskContext &context) const { return m_state->weights.weight(site, context); }
Vector Transformer::readBias(const LinearSite &site) const { return m_state->weights.bias(site); }

const LinearSite *Transformer::findLinear(std::string_view name) const
{
    return findNamed(m_state->linears, m_state->linearPlaces, name);
}

const ActivationSite *Transformer::findActivation(std::string_view name) const
{
    return findNamed(m_state->activations, m_state->activationPlaces, name);
}

std::uint64_t Transformer::forwardSteps(std::size_t windows, const ForwardOptions &options, bool withHead) const
{
    const bool all = options.blocks < 0;
    return windows * (static_cast<std::uint64_t>(all ? m_state->config.layers : options.blocks) + (all && withHead ? 1 : 0));
}

void Transformer::forward(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                          const LogitsSink &logits, const TaskContext &context) const
{
    ForwardPass pass(m_state->config, m_state->weights, m_state->activations, windows, hooks, options, context);
    if (!logits) {
        pass.run({});
        return;
    }
    pass.run([&](const WindowGroup &group, const LogitRows &logitRows) {
        std::vector<HeadPart> parts;
        for (std::size_t i = 0; i < group.hidden.size(); ++i)
            appendParts(i, 0, group.hidden[i].rows(), parts);
        const std::size_t chunk = context.pool ? context.pool->threads() : 1;
        for (std::size_t begin = 0; begin < parts.size(); begin += chunk) {
            const std::size_t count = std::min(chunk, parts.size() - begin);
            std::vector<Matrix> scores(count);
            parallelFor(context.silent(), static_cast<Index>(count), 1, [&](Index i, Index) {
                const HeadPart &part = parts[begin + static_cast<std::size_t>(i)];
                scores[static_cast<std::size_t>(i)] = logitRows(part.inGroup, part.row, part.rows);
            });
            for (std::size_t i = 0; i < count; ++i) {
                const HeadPart &part = parts[begin + i];
                logits(group.first + part.inGroup, part.row, scores[i]);
                if (part.row + part.rows == group.hidden[part.inGroup].rows())
                    context.advance();
            }
        }
    });
}

std::vector<std::vector<float>> Transformer::logProbabilities(std::span<const TokenWindow> windows, ForwardHooks &hooks,
                                                              const ForwardOptions &options, const TaskContext &context) const
{
    std::vector<std::vector<float>> results(windows.size());
    logProbabilities(
        windows, hooks, options, [&](std::size_t w, std::vector<float> scores) { results[w] = std::move(scores); }, context);
    return results;
}

void Transformer::logProbabilities(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                                   const ScoresSink &scores, const TaskContext &context) const
{
    LQER_ASSERT(options.blocks < 0);
    for (std::size_t w = 0; w < windows.size(); ++w) {
        if (windows[w].firstScored < 1)
            throw Error(ErrorCode::Argument, "", fmt::format("window {}", w),
                        "the first token has nothing before it to score it by");
    }
    const std::vector<TokenWindow> inputs = m_state->runnable(windows);
    ForwardPass pass(m_state->config, m_state->weights, m_state->activations, inputs, hooks, options, context);
    pass.run([&](const WindowGroup &group, const LogitRows &logitRows) {
        // Row r holds the scores of the token at r + 1.
        std::vector<HeadPart> parts;
        std::vector<std::vector<float>> results(group.hidden.size());
        for (std::size_t i = 0; i < group.hidden.size(); ++i) {
            const TokenWindow &window = windows[group.first + i];
            const auto ids = static_cast<Index>(window.ids.size());
            results[i].resize(static_cast<std::size_t>(std::max<Index>(0, ids - window.firstScored)));
            appendParts(i, window.firstScored - 1, ids - 1, parts);
        }
        parallelFor(context.silent(), static_cast<Index>(parts.size()), 1, [&](Index p, Index) {
            const HeadPart &part = parts[static_cast<std::size_t>(p)];
            const std::size_t w = group.first + part.inGroup;
            const TokenWindow &window = windows[w];
            const Matrix logits = logitRows(part.inGroup, part.row, part.rows);
            const auto vocabulary = static_cast<std::size_t>(logits.cols());
            for (Index row = 0; row < part.rows; ++row) {
                const Index target = part.row + row + 1;
                const std::span<const float> values(&logits(row, 0), vocabulary);
                if (countNonFinite(values) > 0)
                    throw Error(ErrorCode::Numeric, "", fmt::format("window {}, position {}", w, target - 1),
                                "the model's scores are not finite");
                results[part.inGroup][static_cast<std::size_t>(target - window.firstScored)] =
                    logSoftmaxAt(values, static_cast<std::size_t>(window.ids[static_cast<std::size_t>(target)]));
            }
        });
        context.advance(group.hidden.size());
        for (std::size_t i = 0; i < results.size(); ++i)
            scores(group.first + i, std::move(results[i]));
    });
}

void Transformer::finalHidden(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                              const HiddenSink &hidden, const TaskContext &context) const
{
    LQER_ASSERT(options.blocks < 0);
    const std::vector<TokenWindow> inputs = m_state->runnable(windows);
    ForwardPass pass(m_state->config, m_state->weights, m_state->activations, inputs, hooks, options, context);
    pass.runHidden([&](WindowGroup &group) {
        for (std::size_t i = 0; i < group.hidden.size(); ++i)
            hidden(group.first + i, std::move(group.hidden[i]));
    });
}

void Transformer::checkValues(const TaskContext &context) const { m_state->weights.checkValues(context); }
Matrix Transformer::readHead(const TaskContext &context) const
{
    return m_state->weights.matrix(m_state->weights.layout().head, context);
}

}  // namespace lqer
