// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/engine/engine_state.h"
#include "core/engine/estimates.h"
#include "core/engine/input_groups.h"
#include "core/import/correction_dictionary.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

// "lqer, rank 32", "exact, rank 8-32", "plain".
std::string describePlan(const ModelPlan &plan)
{
    std::set<std::string_view> scalings;
    Index least = 0;
    Index most = 0;
    for (const auto &[name, layer] : plan.layers) {
        if (!isCorrected(layer))
            continue;
        scalings.insert(toString(layer.scaling));
        least = least == 0 ? layer.rank : std::min(least, layer.rank);
        most = std::max(most, layer.rank);
    }
    if (scalings.empty())
        return "plain";
    std::string text;
    for (const std::string_view scaling : scalings)
        text += fmt::format("{}{}", text.empty() ? "" : " + ", scaling);
    return least == most ? fmt::format("{}, rank {}", text, most) : fmt::format("{}, rank {}-{}", text, least, most);
}

// Which tokens were left out is no part of a report, so a report does not tell whether they were the same.
bool canBeReused(const PerplexityOptions &options)
{
    return options.samples == 0 && !options.unscored && !options.keepLogProbabilities;
}

bool isSameMeasurement(const PerplexityReport &report, const TokenWindows &windows, const PerplexityOptions &options)
{
    return report.dataHash == windows.hash && report.windowOptions == windows.options && report.weighting == options.weighting && report.precision == options.forward.precision
           && report.windowTokens.size() == windows.windows.size()
           && (options.weighting == LossWeighting::Token || report.batch == options.batch);
}

// The original model on the same windows, if a stored report has measured it.
std::optional<PerplexityReport> storedOriginal(const Project &project, const LoadedModel &model, const TokenWindows &windows,
                                               PerplexityOptions options)
{
    options.keepLogProbabilities = false;  // the original's are not asked for
    if (!canBeReused(options))
        return std::nullopt;
    for (const StoredReport &stored : project.reports()) {
        const Json *fingerprint = stored.report->find("fingerprint");
        if (!fingerprint || *fingerprint != Json(model.summary().fingerprint) || !stored.report->find("original"))
            continue;
        try {
            EvaluationReport report = EvaluationReport::fromJson(*stored.report, project.folder());
            if (report.original && isSameMeasurement(*report.original, windows, options))
                return report.original;
        } catch (const Error &error) {
            logWarning(fmt::format("a stored report is not used: {}", error.what()));
        }
    }
    return std::nullopt;
}

PerplexityReport originalPerplexity(const Transformer &model, const TokenWindows &windows, PerplexityOptions options,
                                    const TaskContext &context)
{
    ForwardHooks unchanged;
    return evaluatePerplexity(model, windows, unchanged, options, context);
}

}  // namespace

bool hasBase(const Json &report, const LoadedModel &model)
{
    const Json *base = report.find("base");
    const Json *fingerprint = base ? base->find("fingerprint") : nullptr;
    return model.base() ? fingerprint && *fingerprint == Json(model.base()->fingerprint()) : !fingerprint;
}

QuantizedModel quantizedModel(const Engine &engine, const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                              const std::string &calibration, const CorrectionDictionary *dictionary, const TaskContext &context)
{
    QuantizedModel changed;
    if (!dictionary)
        changed.calibration = chooseCalibration(project, model, calibration);
    requireUsable(engine.check(recipe, model, dictionary ? nullptr : &project, changed.calibration), recipe.name);
    changed.plan = planFor(model, recipe);
    if (dictionary) {
        dictionary->requireFits(model.transformer().linearSites());
        for (const auto &[name, layer] : changed.plan.layers)
            if (isCorrected(layer) && dictionary->rank(name) != layer.rank)
                throw Error(ErrorCode::Shape, dictionary->description(), fmt::format("layer '{}'", name),
                            dictionary->contains(name) ? fmt::format("has rank {}, the recipe's is {}", dictionary->rank(name), layer.rank)
                                                       : std::string("has no A and B here"));
        changed.corrections = [dictionary](const LinearSite &site, const LayerPlan &) { return dictionary->read(site.name); };
    } else {
        for (const auto &[name, layer] : changed.plan.layers) {
            context.checkStop();
            if (isCorrected(layer)
                && !project.hasWholeDecomposition(
                    decompositionKey(model, requireSite(model, name), layer.formats.weight, layer.scaling, changed.calibration), layer.rank))
                throw Error(ErrorCode::NotFound, project.folder(), fmt::format("layer '{}'", name),
                            fmt::format("has not been decomposed under '{}' up to rank {} yet", toString(layer.scaling), layer.rank));
        }
        changed.corrections = [&engine, &model, &project, key = changed.calibration](const LinearSite &site, const LayerPlan &layer) {
            return *engine.correction(model, project, site.name, layer, key);
        };
    }
    const auto weights = [&model, silent = context.silent()](const LinearSite &site, const LayerPlan &layer, const Matrix &weight) {
        return quantizedWeight(model, site, layer.formats.weight, weight, silent);
    };
    changed.hooks = std::make_unique<QuantizedForward>(changed.plan, changed.corrections, context.silent(), weights);
    return changed;
}

EvaluationReport startReport(const LoadedModel &model, const QuantizationRecipe *recipe, const QuantizedModel *changed, const std::string &title)
{
    EvaluationReport report;
    report.model = model.summary().folder;
    report.fingerprint = model.summary().fingerprint;
    report.created = utcNow();
    if (!recipe) {
        report.title = title.empty() ? "original" : title;
        report.footprint = footprint(model.transformer(), {});
        return report;
    }
    report.title = title.empty() ? describePlan(changed->plan) : title;
    report.calibration = changed->calibration;
    report.recipe = *recipe;
    if (model.base())
        report.base = ReportedBase{std::filesystem::absolute(model.base()->path()).lexically_normal().string(), model.base()->description(), model.base()->fingerprint()};
    report.footprint = footprint(model.transformer(), changed->plan, model.base());
    return report;
}

void keepReport(Project &project, const EvaluationReport &report)
{
    if (project.isReadOnly()) {
        logWarning(fmt::format("the report was not stored: {}", project.readOnlyReason()));
        return;
    }
    project.storeReport(report.toJson());
    project.save();
}

std::shared_ptr<const EvaluationReport> storedEvaluation(const Project &project, const LoadedModel &model, const QuantizationRecipe &recipe,
                                                         const std::string &calibration, const TokenWindows &windows,
                                                         const EvaluateOptions &options)
{
    if (!canBeReused(options.perplexity))
        return nullptr;
    const Json wanted = recipe.toJson();
    for (const StoredReport &stored : project.reports()) {
        const Json *storedRecipe = stored.report->find("recipe");
        if (!storedRecipe || *storedRecipe != wanted || !hasBase(*stored.report, model))
            continue;
        try {
            auto report = std::make_shared<EvaluationReport>(EvaluationReport::fromJson(*stored.report, project.folder()));
            if (report->fingerprint == model.summary().fingerprint && report->calibration == calibration && report->perplexity
                && isSameMeasurement(*report->perplexity, windows, options.perplexity)
                && (report->original || !options.originalPerplexity) && (!report->layers.empty() || !options.layerErrors)
                && (report->divergence || !options.divergence))
                return report;
        } catch (const Error &error) {
            logWarning(fmt::format("a stored report is not used: {}", error.what()));
        }
    }
    return nullptr;
}

std::shared_ptr<const EvaluationReport> Engine::evaluateOriginal(const LoadedModel &model, const TokenWindows &windows,
                                                                 const EvaluateOptions &options, const TaskContext &context) const
{
    estimateEvaluation(model, nullptr, windows, options).require("evaluation");
    PerplexityOptions perplexity = options.perplexity;
    if (perplexity.forward.group == 0)
        perplexity.forward.group = fittingGroup(windows, model.transformer().config(), m_state->pool.threads(), m_state->freeMemory());
    auto report = std::make_shared<EvaluationReport>(startReport(model, nullptr, nullptr, options.title));
    report->original = originalPerplexity(model.transformer(), windows, perplexity, context);
    report->perplexity = report->original;
    model.checkpoint().checkUnchanged();
    return report;
}

std::shared_ptr<const EvaluationReport> Engine::evaluate(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                         const TokenWindows &windows, const EvaluateOptions &options,
                                                         const TaskContext &context) const
{
    requireSameCheckpoint(project, model);
    const Transformer &transformer = model.transformer();
    QuantizedModel changed = quantizedModel(*this, model, project, recipe, options.calibration, options.corrections.get(), context);
    const ModelPlan &plan = changed.plan;
    estimateEvaluation(model, &recipe, windows, options).require("evaluation");

    PerplexityOptions perplexity = options.perplexity;
    DivergenceOptions divergence = options.divergenceOptions;
    const std::size_t group = fittingGroup(windows, transformer.config(), m_state->pool.threads(), m_state->freeMemory());
    for (Transformer::ForwardOptions *forward : {&perplexity.forward, &divergence.forward})
        if (forward->group == 0)
            forward->group = group;

    auto report = std::make_shared<EvaluationReport>(startReport(model, &recipe, &changed, options.title));
    if (options.originalPerplexity) {
        report->original = storedOriginal(project, model, windows, perplexity);
        if (!report->original) {
            PerplexityOptions original = perplexity;
            original.keepLogProbabilities = false;
            report->original = originalPerplexity(transformer, windows, original, context);
        }
    }
    report->perplexity = evaluatePerplexity(transformer, windows, *changed.hooks, perplexity, context);
    if (options.divergence)
        report->divergence = evaluateDivergence(transformer, windows, *changed.hooks, divergence, context);

    if (options.layerErrors) {
        context.beginStage("measuring layer errors", plan.layers.size());
        for (const InputGroup &inputs : inputGroups(transformer)) {
            context.checkStop();
            const auto stats = changed.calibration.empty() ? nullptr : project.siteStats(changed.calibration, inputs.input->name, context);
            for (const LinearSite *site : inputs.linears) {
                context.checkStop();
                context.setDetail(site->name);
                const LayerPlan &layer = plan.layers.at(site->name);
                if (layer.quantize) {
                    const Matrix weight = transformer.readWeight(*site, context);
                    const Matrix quantized =
                        quantizedWeight(model, *site, layer.formats.weight, weight, context.silent());
                    std::optional<LowRankCorrection> correcting;
                    if (isCorrected(layer))
                        correcting = changed.corrections(*site, layer);
                    report->layers.push_back(
                        layerError(site->name, weight, quantized, correcting ? &*correcting : nullptr, stats.get(), context.silent()));
                }
                context.advance();
            }
        }
    }
    model.checkpoint().checkUnchanged();
    if (options.store && !options.corrections)
        keepReport(project, *report);
    return report;
}

}  // namespace lqer
