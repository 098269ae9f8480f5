// SPDX-License-Identifier: Apache-2.0
#include "core/export/report/report_view.h"

#include <algorithm>

#include "core/export/predicted_error.h"

namespace lqer {

namespace {

bool sameData(const PerplexityReport &x, const PerplexityReport &y)
{
    return x.dataHash == y.dataHash && x.windowOptions == y.windowOptions && x.weighting == y.weighting && x.batch == y.batch && x.unscored == y.unscored;
}

// Whether a report is of this plan's weights without any correction.
bool isPlainOf(const EvaluationReport &report, const ExportSource &source)
{
    if (!report.recipe)
        return false;
    const ModelPlan plan = report.recipe->planFor(source.model().linearSites());
    return std::ranges::all_of(source.model().linearSites(), [&](const LinearSite &site) {
        const LayerPlan &wanted = source.planFor(site), &found = plan.layers.at(site.name);
        return found.rank == 0 && found.quantize == wanted.quantize
            && (!wanted.quantize || (found.formats.weight == wanted.formats.weight && found.formats.activation == wanted.formats.activation));
    });
}

}  // namespace

ReportView::ReportView(const ExportSource &from) : source(from), main(from.measured())
{
    for (const auto &report : source.reports()) {
        RunView run{.number = runs.size() + 1, .name = shortReportName(*report), .report = report, .isMain = main && *report == *main};
        run.comparable = perplexity() && report->perplexity && report->fingerprint == source.fingerprint() && sameData(*report->perplexity, *perplexity());
        if (run.comparable && isPlainOf(*report, source))
            plain = report;
        runs.push_back(std::move(run));
    }
    footprint = lqer::footprint(source.model(), source.plan());
    cost = hardwareCost(source.model(), source.plan(), footprint, {});
    originalCost = hardwareCost(source.model(), {}, lqer::footprint(source.model(), {}), {});
    std::vector<LayerError> errors;
    for (std::size_t i = 0; i < footprint.layers.size(); ++i) {
        LayerView layer;
        layer.site = &source.model().linearSites()[i];
        layer.plan = source.planFor(*layer.site);
        layer.footprint = footprint.layers[i];
        layer.decomposition = source.decomposition(*layer.site);
        corrects = corrects || source.isCorrected(*layer.site);
        const LayerError *measured = nullptr;
        if (main)
            if (const auto found = std::ranges::find(main->layers, layer.site->name, &LayerError::layer); found != main->layers.end())
                measured = &*found;
        layer.measured = measured != nullptr;
        if (measured)
            layer.error = *measured;
        else if (layer.decomposition && layer.plan.rank <= layer.decomposition->maxRank)
            layer.error = predictedError(*layer.decomposition, layer.plan.rank);
        if (layer.error)
            errors.push_back(*layer.error);
        layers.push_back(std::move(layer));
    }
    total = totalError(errors);
    measuredErrors = std::ranges::all_of(layers, [](const LayerView &layer) { return !layer.error || layer.measured; });
}

const PerplexityReport *ReportView::perplexity() const
{
    return main && main->perplexity ? &*main->perplexity : nullptr;
}

const PerplexityReport *ReportView::original() const
{
    return main && main->original ? &*main->original : nullptr;
}

std::optional<double> ReportView::wonBack() const
{
    if (!corrects || !plain || !perplexity() || !original())
        return {};
    const double lost = plain->perplexity->headline() - original()->headline();
    if (!(lost > 0))
        return {};
    return (plain->perplexity->headline() - perplexity()->headline()) / lost;
}

std::vector<const LayerView *> ReportView::worstFirst() const
{
    std::vector<const LayerView *> order;
    for (const LayerView &layer : layers)
        if (layer.error)
            order.push_back(&layer);
    std::ranges::stable_sort(order, [this](const LayerView *x, const LayerView *y) { return before(*x) > before(*y); });
    return order;
}

double ReportView::before(const LayerView &layer) const
{
    return outputKnown() ? layer.error->relativeOutputError() : layer.error->relativeWeightError();
}

double ReportView::after(const LayerView &layer) const
{
    return outputKnown() ? layer.error->relativeCorrectedOutputError() : layer.error->relativeCorrectedWeightError();
}

}  // namespace lqer
