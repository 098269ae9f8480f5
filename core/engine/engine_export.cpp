// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <span>

#include <fmt/format.h>

#include "core/engine/engine_state.h"
#include "core/io/atomic_folder.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

// A checkpoint under a recipe with a project's statistics and factors.
class ProjectExport final : public ExportSource {
public:
    ProjectExport(const Engine &engine, const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                  std::string calibration)
        : m_engine(engine), m_model(model), m_project(project), m_recipe(recipe), m_calibration(std::move(calibration)),
          m_plan(lqer::planFor(model, recipe))
    {
    }

    const Transformer &model() const override { return m_model.transformer(); }
    std::string modelName() const override
    {
        return std::filesystem::path(resolvedPath(m_model.summary().folder)).filename().string();
    }
    std::string fingerprint() const override { return m_model.summary().fingerprint; }
    const QuantizationRecipe &recipe() const override { return m_recipe; }
    const ModelPlan &plan() const override { return m_plan; }

    ExportLayer layer(const LinearSite &site, const LayerParts &parts, const TaskContext &context) const override
    {
        const LayerPlan &plan = planFor(site);
        ExportLayer layer;
        if (parts.original || parts.quantized || parts.encoded) {
            layer.original = model().readWeight(site, context);
            if (plan.quantize) {
                // W_q of an existing quantization is float32 as it is read: its codes are their own bits.
                const bool given = m_model.base() != nullptr;
                if (parts.quantized || (parts.encoded && given))
                    layer.quantized = quantizedWeight(m_model, site, plan.formats.weight, layer.original, context);
                if (parts.encoded) {
                    const Matrix &weight = given ? layer.quantized : layer.original;
                    const std::span<const float> values(weight.data(), static_cast<std::size_t>(weight.size()));
                    layer.encoded = makeQuantizer(plan.formats.weight)->encode(values, {weight.rows(), weight.cols()});
                }
                if (!parts.quantized)
                    layer.quantized.resize(0, 0);
            } else if (parts.quantized) {
                layer.quantized = layer.original;
            }
            if (!parts.original)
                layer.original.resize(0, 0);
        }
        if (parts.correction && isCorrected(site))
            layer.correction = *m_engine.correction(m_model, m_project, site.name, plan, m_calibration);
        if (parts.bias && site.hasBias) {
            layer.bias = model().readBias(site);
            if (plan.quantize) {
                const std::span<float> values(layer.bias.data(), static_cast<std::size_t>(layer.bias.size()));
                makeQuantizer(plan.formats.bias)->quantize(values, {layer.bias.size()}, values);
            }
        }
        return layer;
    }

    std::shared_ptr<const CalibrationStats> statistics() const override
    {
        return m_calibration.empty() ? nullptr : m_project.calibration(m_calibration);
    }
    std::shared_ptr<const SiteStats> siteStatistics(const std::string &activationSite) const override
    {
        return m_calibration.empty() ? nullptr : m_project.siteStats(m_calibration, activationSite);
    }
    std::shared_ptr<const DecompositionRecord> decomposition(const LinearSite &site) const override
    {
        return isCorrected(site) ? m_project.decomposition(key(site)) : nullptr;
    }
    std::shared_ptr<const ErrorDecomposition> factors(const LinearSite &site) const override
    {
        return isCorrected(site) ? m_project.loadDecomposition(key(site)) : nullptr;
    }
    // Those about the same W_q: another base under the same recipe is another model.
    std::vector<std::shared_ptr<const EvaluationReport>> reports() const override
    {
        auto reports = m_engine.reports(m_project);
        std::erase_if(reports, [&](const auto &report) {
            return m_model.base() ? !report->base || report->base->fingerprint != m_model.base()->fingerprint()
                                  : report->base.has_value();
        });
        return reports;
    }

private:
    DecompositionKey key(const LinearSite &site) const
    {
        const LayerPlan &plan = planFor(site);
        return decompositionKey(m_model, site, plan.formats.weight, plan.scaling, m_calibration);
    }

    const Engine &m_engine;
    const LoadedModel &m_model;
    Project &m_project;
    QuantizationRecipe m_recipe;
    std::string m_calibration;
    ModelPlan m_plan;
};

}  // namespace

std::unique_ptr<const ExportSource> Engine::exportSource(const LoadedModel &model, Project &project,
                                                         const QuantizationRecipe &recipe, const std::string &calibration) const
{
    requireSameCheckpoint(project, model);
    return std::make_unique<const ProjectExport>(*this, model, project, recipe, chooseCalibration(project, model, calibration));
}

ExportForecast Engine::forecastExport(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                      const ExportRequest &request, const std::string &calibration) const
{
    return lqer::forecastExport(*exportSource(model, project, recipe, calibration), request);
}

std::shared_ptr<const ExportResult> Engine::exportModel(const LoadedModel &model, Project &project,
                                                        const QuantizationRecipe &recipe, const ExportRequest &request,
                                                        const TaskContext &context, const std::string &calibration) const
{
    requireSameCheckpoint(project, model);
    const std::string statistics = chooseCalibration(project, model, calibration);
    requireUsable(check(recipe, model, &project, statistics), recipe.name);
    const ProjectExport source(*this, model, project, recipe, statistics);
    const Exporter &exporter = findExporter(request.target);
    std::vector<std::string> untouchable{project.folder()};
    if (model.base())
        untouchable.push_back(model.base()->path());
    requireExportable(exporter, source, request, untouchable);
    DecomposeOptions options;
    options.calibration = statistics;
    decompose(model, project, recipe, options, context);
    return std::make_shared<const ExportResult>(runExport(exporter, source, request, untouchable, context));
}

}  // namespace lqer
