// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/calib/calibration_stats.h"

namespace lqer {

namespace {

// One run of the windows through the model, collecting the sites of some blocks.
struct CalibrationPass {
    std::vector<const ActivationSite *> sites;
    Transformer::ForwardOptions forward;
};

// Collects the sites of one pass; a site is done when its last window has been seen.
class CalibrationHooks final : public ForwardHooks {
public:
    CalibrationHooks(const CalibrationPass &pass, std::size_t windows, const CalibrationOptions &options,
                     const SiteFinished &finished, const TaskContext &context)
        : m_windows(windows), m_options(options), m_finished(finished), m_context(context)
    {
        for (const ActivationSite *site : pass.sites)
            m_waiting.emplace(site->name, nullptr);
    }

    bool observes(const ActivationSite &site) const override { return m_waiting.contains(site.name); }

    void observe(const ActivationSite &site, std::size_t window, const ConstMatrixRef &x) override
    {
        const auto entry = m_waiting.find(site.name);
        LQER_ASSERT(entry != m_waiting.end());
        if (!entry->second)
            entry->second = std::make_unique<SiteAccumulator>(site.features, m_options);
        try {
            entry->second->feed(x, m_context);
        } catch (const Error &error) {
            throw Error(error.code(), "", fmt::format("input of '{}', window {}", site.name, window), error.what());
        }
        if (window + 1 < m_windows)
            return;
        SiteStats stats = entry->second->finish();
        m_waiting.erase(entry);
        m_finished(site, std::move(stats));
    }

    bool isComplete() const { return m_waiting.empty(); }

private:
    std::size_t m_windows;
    const CalibrationOptions &m_options;
    const SiteFinished &m_finished;
    const TaskContext &m_context;
    std::map<std::string, std::unique_ptr<SiteAccumulator>> m_waiting;  // null until the first window
};

std::uint64_t statisticsBytes(const ActivationSite &site, const CalibrationOptions &options)
{
    const auto features = static_cast<std::uint64_t>(site.features);
    return 8 * features * ((options.autocorrelation ? features : 0) + 4);
}

// What is collected in which pass. Sites outside the blocks (OPT-350m's projections) belong to the last pass, which runs the
// whole model.
std::vector<CalibrationPass> planPasses(const Transformer &model, const TokenWindows &windows, const CalibrationOptions &options,
                                        const TaskContext &context)
{
    std::map<std::int64_t, std::vector<const ActivationSite *>> byLayer;
    std::vector<const ActivationSite *> outside;
    for (const ActivationSite &site : model.activationSites())
        (site.layer >= 0 ? byLayer[site.layer] : outside).push_back(&site);
    const auto bytesOf = [&](const std::vector<const ActivationSite *> &sites) {
        std::uint64_t bytes = 0;
        for (const ActivationSite *site : sites)
            bytes += statisticsBytes(*site, options);
        return bytes;
    };

    std::uint64_t longest = 0;
    std::uint64_t tokens = 0;
    for (const TokenWindow &window : windows.windows) {
        longest = std::max<std::uint64_t>(longest, window.ids.size());
        tokens += window.ids.size();
    }
    const std::uint64_t tokenBytes = static_cast<std::uint64_t>(model.config().hidden) * sizeof(float);
    std::uint64_t largestBlock = bytesOf(outside);
    for (const auto &[layer, sites] : byLayer)
        largestBlock = std::max(largestBlock, bytesOf(sites));

    std::vector<CalibrationPass> passes(1);
    if (options.memoryLimit == 0 || tokens * tokenBytes + largestBlock <= options.memoryLimit) {
        for (const auto &[layer, sites] : byLayer)
            passes[0].sites.insert(passes[0].sites.end(), sites.begin(), sites.end());
        passes[0].sites.insert(passes[0].sites.end(), outside.begin(), outside.end());
        return passes;
    }

    // Groups as small as keeps every thread busy, so that as many blocks as possible share a pass.
    const std::size_t group = context.pool ? context.pool->threads() : 1;
    const std::uint64_t hiddenBytes = group * longest * tokenBytes;
    if (hiddenBytes + largestBlock > options.memoryLimit)
        throw Error(ErrorCode::Memory, fmt::format("calibration needs {} for the hidden states of {} windows and {} for the "
                                                   "statistics of one block; the limit is {}",
                                                   formatBytes(static_cast<double>(hiddenBytes)), group,
                                                   formatBytes(static_cast<double>(largestBlock)),
                                                   formatBytes(static_cast<double>(options.memoryLimit))));
    const std::uint64_t room = options.memoryLimit - hiddenBytes;
    std::uint64_t used = 0;
    const auto place = [&](const std::vector<const ActivationSite *> &sites, std::int64_t blocks) {
        const std::uint64_t bytes = bytesOf(sites);
        if (used + bytes > room) {
            passes.emplace_back();
            used = 0;
        }
        used += bytes;
        passes.back().sites.insert(passes.back().sites.end(), sites.begin(), sites.end());
        passes.back().forward = {.group = group, .blocks = blocks};
    };
    for (const auto &[layer, sites] : byLayer)
        place(sites, layer + 1);
    if (!outside.empty())
        place(outside, -1);
    return passes;
}

}  // namespace

void calibrate(const Transformer &model, const TokenWindows &windows, const CalibrationOptions &options,
               const SiteFinished &finished, const TaskContext &context)
{
    if (windows.windows.empty())
        throw Error(ErrorCode::Argument, "calibration needs at least one window of text");
    if (options.batch < 1)
        throw Error(ErrorCode::Argument, fmt::format("a calibration batch holds at least one window, not {}", options.batch));
    std::vector<CalibrationPass> passes = planPasses(model, windows, options, context);
    std::uint64_t steps = 0;
    for (const CalibrationPass &pass : passes)
        steps += model.forwardSteps(windows.windows.size(), pass.forward, false);
    for (CalibrationPass &pass : passes)
        pass.forward.precision = options.precision;
    context.beginStage("calibrating", steps);
    for (std::size_t i = 0; i < passes.size(); ++i) {
        if (passes.size() > 1)
            context.setDetail(fmt::format("pass {} of {}", i + 1, passes.size()));
        CalibrationHooks hooks(passes[i], windows.windows.size(), options, finished, context);
        model.forward(windows.windows, hooks, passes[i].forward, {}, context);
        LQER_ASSERT(hooks.isComplete());
    }
}

}  // namespace lqer
