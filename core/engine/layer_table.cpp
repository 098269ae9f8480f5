// SPDX-License-Identifier: Apache-2.0
#include "core/engine/layer_table.h"

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/engine/engine_state.h"
#include "core/export/predicted_error.h"

namespace lqer {

namespace {

// Measured errors by layer, from the newest report of the same recipe and statistics.
std::map<std::string, LayerError> measuredErrors(const Project &project, const LoadedModel &model, const QuantizationRecipe &recipe,
                                                 const std::string &calibration)
{
    const Json wantedRecipe = recipe.toJson();
    const Json wantedCalibration = calibration;
    std::map<std::string, LayerError> measured;
    const std::vector<StoredReport> reports = project.reports();
    for (auto stored = reports.rbegin(); stored != reports.rend() && measured.empty(); ++stored) {
        const Json *storedRecipe = stored->report->find("recipe");
        const Json *storedCalibration = stored->report->find("calibration");
        const Json *layers = stored->report->find("layers");
        if (!storedRecipe || !storedCalibration || !layers || !layers->isArray() || *storedCalibration != wantedCalibration
            || *storedRecipe != wantedRecipe || !hasBase(*stored->report, model))
            continue;
        try {
            const JsonReader reader(*layers, project.folder(), "reports/" + stored->id);
            for (std::size_t i = 0; i < reader.size(); ++i) {
                LayerError error = LayerError::fromJson(reader.at(i));
                measured.emplace(error.layer, error);
            }
        } catch (const Error &error) {
            logWarning(error.what());
            measured.clear();
        }
    }
    return measured;
}

}  // namespace

std::shared_ptr<const LayerTable> Engine::layerTable(const LoadedModel &model, const Project &project, const QuantizationRecipe &recipe,
                                                     const std::string &calibration) const
{
    const Transformer &transformer = model.transformer();
    auto table = std::make_shared<LayerTable>();
    table->calibration = chooseCalibration(project, model, calibration);
    const ModelPlan plan = planFor(model, recipe);
    table->footprint = footprint(transformer, plan, model.base());
    const auto measured = measuredErrors(project, model, recipe, table->calibration);
    for (std::size_t i = 0; i < transformer.linearSites().size(); ++i) {
        LayerRow row;
        row.site = transformer.linearSites()[i];
        row.plan = plan.layers.at(row.site.name);
        row.footprint = table->footprint.layers.at(i);
        std::vector<ScalingKind> kinds{row.plan.scaling};
        if (!isCorrected(row.plan))
            kinds = {ScalingKind::Exact, ScalingKind::Diagonal, ScalingKind::MeanAbs, ScalingKind::Identity};
        for (const ScalingKind kind : kinds) {
            row.decomposition =
                project.decomposition(decompositionKey(model, row.site, row.plan.formats.weight, kind, table->calibration));
            if (row.decomposition)
                break;
        }
        row.ready = !isCorrected(row.plan) || (row.decomposition && row.decomposition->maxRank >= row.plan.rank);
        if (row.decomposition && row.plan.quantize)
            row.error = predictedError(*row.decomposition, row.ready ? row.plan.rank : 0);
        if (const auto found = measured.find(row.site.name); found != measured.end())
            row.measured = found->second;
        table->ready += row.ready ? 1 : 0;
        table->rows.push_back(std::move(row));
    }
    return table;
}

}  // namespace lqer
