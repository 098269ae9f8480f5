// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/engine/engine_state.h"
#include "core/engine/estimates.h"
#include "core/engine/input_groups.h"
#include "core/engine/layer_decomposition.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

// One decomposition to be made.
struct PendingLayer {
    const LinearSite *site = nullptr;
    DecompositionKey key;
    DecompositionOptions options;
};

// Singular values of E before shaping are the same under every scaling: the most exact of the decompositions of the same error.
void takeKnownSpectrum(const Project &project, const DecompositionKey &key, DecompositionOptions &options)
{
    for (const ScalingKind scaling : {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact}) {
        DecompositionKey other = key;
        other.scaling = scaling;
        const auto record = project.decomposition(other);
        if (!record || record->sigmaUnscaled.size() != std::min(record->in, record->out))
            continue;
        if (options.sigmaUnscaled.size() == 0 || record->sigmaUnscaledExact > options.sigmaUnscaledExact) {
            options.sigmaUnscaled = record->sigmaUnscaled;
            options.sigmaUnscaledExact = record->sigmaUnscaledExact;
        }
    }
}

// A decomposition that is computed again, for more rank or more of its spectrum, holds no less of the other.
void keepWhatThereIs(const Project &project, const DecompositionKey &key, DecompositionOptions &options)
{
    const auto record = project.decomposition(key);
    if (!record)
        return;
    options.maxRank = std::max(options.maxRank, record->maxRank);
    options.spectrum = std::max(options.spectrum, record->spectrum());
}

// The statistics a layer needs: R where there is one, for `exact` and to measure output errors. Null without a calibration.
std::shared_ptr<const SiteStats> loadStatistics(Project &project, const std::string &calibration, const ActivationSite &input,
                                                const TaskContext &context)
{
    if (calibration.empty())
        return nullptr;
    auto stats = project.siteStats(calibration, input.name, context);
    if (!stats)
        throw Error(ErrorCode::NotFound, project.folder(), fmt::format("statistics of '{}'", input.name), "are not there: calibrate again");
    return stats;
}

}  // namespace

std::shared_ptr<const DecomposeResult> Engine::decompose(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                         const DecomposeOptions &options, const TaskContext &context) const
{
    requireSameCheckpoint(project, model);
    const Stopwatch watch;
    const Transformer &transformer = model.transformer();
    auto result = std::make_shared<DecomposeResult>();
    result->calibration = chooseCalibration(project, model, options.calibration);
    requireUsable(check(recipe, model, &project, result->calibration), recipe.name);

    std::vector<DecompositionKey> keys;
    std::vector<std::pair<const ActivationSite *, std::vector<PendingLayer>>> pending;
    context.beginStage("decomposing", transformer.linearSites().size());
    for (const InputGroup &group : inputGroups(transformer)) {
        std::vector<PendingLayer> layers;
        for (const LinearSite *site : group.linears) {
            context.checkStop();
            const LayerPlan plan = planFor(model, recipe, *site);
            if (!isCorrected(plan)) {
                context.advance();
                continue;
            }
            keys.push_back(decompositionKey(model, *site, plan.formats.weight, plan.scaling, result->calibration));
            DecompositionOptions layer = decompositionOptions(*site, plan, options);
            const SpectrumExtent least = options.extendSpectra ? std::min(layer.spectrum, attainableSpectrum(site->out, site->in, layer)) : SpectrumExtent::Leading;
            if (project.hasWholeDecomposition(keys.back(), plan.rank, least)) {
                ++result->reused;
                context.advance();
                continue;
            }
            keepWhatThereIs(project, keys.back(), layer);
            layers.push_back({site, keys.back(), std::move(layer)});
        }
        if (!layers.empty())
            pending.emplace_back(group.input, std::move(layers));
    }
    if (!pending.empty()) {
        project.requireWritable();
        estimateDecomposition(model, recipe, options).require("decomposing");
    }

    savingProgress(project, [&] {
        for (auto &[input, layers] : pending) {
            context.checkStop();
            std::vector<std::uint64_t> bytes;
            for (const PendingLayer &layer : layers)
                bytes.push_back(layerWorkBytes(*layer.site, layer.key.scaling, layer.options, m_state->pool.threads()));
            const std::uint64_t room = layersRoom(m_state->freeMemory(), input->features, m_state->pool.threads());
            const bool sideBySide = groupWork(bytes, room).sideBySide;
            const std::shared_ptr<const SiteStats> stats = loadStatistics(project, result->calibration, *input, context);
            const auto work = [&](std::size_t i) {
                PendingLayer &layer = layers[i];
                context.checkStop();
                context.setDetail(layer.site->name);
                takeKnownSpectrum(project, layer.key, layer.options);
                const LayerDecomposition done =
                    decomposeSite(model, *layer.site, layer.key, stats, layer.options, context.silent());
                project.storeDecomposition(done.record, done.decomposition);
                context.advance();
            };
            if (context.pool && sideBySide) {
                context.pool->run(layers.size(), work);
            } else {
                for (std::size_t i = 0; i < layers.size(); ++i)
                    work(i);
            }
            result->computed += layers.size();
        }
        if (result->computed > 0) {
            model.checkpoint().checkUnchanged();
            project.save();
        }
    });

    for (const DecompositionKey &key : keys)
        result->layers.push_back(project.decomposition(key));
    result->seconds = watch.seconds();
    return result;
}

std::shared_ptr<const DecompositionRecord> Engine::decomposeLayer(const LoadedModel &model, Project &project, const std::string &layer,
                                                                  const FormatSpec &weightFormat, ScalingKind scaling, Index rank,
                                                                  const DecomposeOptions &options, const TaskContext &context) const
{
    const LinearSite &site = requireSite(model, layer);
    QuantizationRecipe recipe;
    recipe.name = layer;
    recipe.defaults.quantize = false;
    LayerSettings &settings = recipe.layers[layer];
    settings.quantize = true;
    settings.weight = weightFormat;
    settings.scaling = scaling;
    settings.rank = rank > 0 ? rank : storedRank(options.maxRank, 1, site.in, site.out);
    return decompose(model, project, recipe, options, context)->layers.at(0);
}

std::shared_ptr<const LowRankCorrection> Engine::correction(const LoadedModel &model, Project &project, const std::string &layer,
                                                            const LayerPlan &plan, const std::string &calibration) const
{
    const LinearSite &site = requireSite(model, layer);
    const DecompositionKey key =
        decompositionKey(model, site, plan.formats.weight, plan.scaling, chooseCalibration(project, model, calibration));
    const auto decomposition = project.loadDecomposition(key);
    if (!decomposition || decomposition->maxRank() < plan.rank)
        throw Error(ErrorCode::NotFound, project.folder(), fmt::format("layer '{}'", layer),
                    fmt::format("has not been decomposed under '{}' up to rank {} yet", toString(plan.scaling), plan.rank));
    return std::make_shared<const LowRankCorrection>(
        decomposition->truncate(plan.rank, *makeQuantizer(plan.formats.a), *makeQuantizer(plan.formats.b)));
}

}  // namespace lqer
