// SPDX-License-Identifier: Apache-2.0
#include "core/export/export_source.h"

#include <algorithm>

#include "core/base/check.h"

namespace lqer {

const LayerPlan &ExportSource::planFor(const LinearSite &site) const
{
    const auto found = plan().layers.find(site.name);
    LQER_ASSERT(found != plan().layers.end());
    return found->second;
}

bool ExportSource::isCorrected(const LinearSite &site) const
{
    const LayerPlan &layer = planFor(site);
    return layer.quantize && layer.rank > 0;
}

Index ExportSource::largestRank() const
{
    Index largest = 0;
    for (const LinearSite &site : model().linearSites())
        if (isCorrected(site))
            largest = std::max(largest, planFor(site).rank);
    return largest;
}

std::shared_ptr<const EvaluationReport> ExportSource::measured() const
{
    std::shared_ptr<const EvaluationReport> newest;
    for (const auto &report : reports())
        if (report->perplexity && report->recipe && *report->recipe == recipe() && report->fingerprint == fingerprint())
            newest = report;
    return newest;
}

}  // namespace lqer
