// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/base/clock.h"
#include "core/engine/engine_state.h"
#include "core/engine/estimates.h"
#include "core/import/imatrix.h"

namespace lqer {

std::shared_ptr<const CalibrationResult> Engine::calibrate(const LoadedModel &model, Project &project, const TokenWindows &windows,
                                                           const CalibrationOptions &options, const TaskContext &context) const
{
    requireSameCheckpoint(project, model);
    const Stopwatch watch;
    CalibrationStats provenance;
    provenance.model = model.summary().fingerprint;
    provenance.data = windows.provenance();
    provenance.dataHash = windows.hash;
    provenance.windows = static_cast<std::int64_t>(windows.windows.size());
    provenance.windowLength = longestWindow(windows);
    provenance.options = options;
    auto result = std::make_shared<CalibrationResult>();
    const std::string key = provenance.key();
    if (project.isCalibrationComplete(key)) {
        result->stats = project.calibration(key);
        result->reused = true;
        return result;
    }

    const MemoryEstimate estimate = estimateCalibration(model, windows, options);
    estimate.require("calibration");
    CalibrationOptions effective = options;
    if (effective.memoryLimit == 0) {
        // Statistics and hidden states get what the others leave.
        std::uint64_t others = 0;
        for (const auto &[name, bytes] : estimate.parts)
            if (name != "statistics of one block" && name != "hidden states")
                others += bytes;
        effective.memoryLimit = estimate.limit - others;
    }

    project.beginCalibration(provenance);
    savingProgress(project, [&] {
        // Sites that a killed run finished are left as they are; the hidden states behind them have to be computed again.
        const auto present = project.calibration(key);
        lqer::calibrate(
            model.transformer(), windows, effective,
            [&](const ActivationSite &site, SiteStats stats) {
                context.setDetail(site.name);
                if (!present->sites.contains(site.name))
                    project.storeSiteStats(key, site.name, stats);
            },
            context);
        model.checkpoint().checkUnchanged();
        std::vector<std::string> names;
        for (const ActivationSite &site : model.transformer().activationSites())
            names.push_back(site.name);
        project.finishCalibration(key, names);
        project.save();
    });
    result->stats = project.calibration(key);
    result->seconds = watch.seconds();
    return result;
}

std::shared_ptr<const CalibrationResult> Engine::importImatrix(const LoadedModel &model, Project &project, const std::string &path,
                                                               const TaskContext &context) const
{
    requireSameCheckpoint(project, model);
    const Stopwatch watch;
    context.beginStage("reading the imatrix", 1);
    const CalibrationStats stats = readImatrix(path, model.transformer(), model.summary().fingerprint);
    auto result = std::make_shared<CalibrationResult>();
    const std::string key = stats.key();
    result->reused = project.isCalibrationComplete(key);
    if (!result->reused) {
        project.beginCalibration(stats);
        savingProgress(project, [&] {
            std::vector<std::string> names;
            for (const auto &[name, site] : stats.sites) {
                context.checkStop();
                project.storeSiteStats(key, name, site);
                names.push_back(name);
            }
            project.finishCalibration(key, names);
            project.save();
        });
    }
    context.advance();
    result->stats = project.calibration(key);
    result->seconds = watch.seconds();
    return result;
}

}  // namespace lqer
