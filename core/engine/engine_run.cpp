// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/base/error.h"
#include "core/engine/engine_state.h"

namespace lqer {

namespace {

// Every recipe the request asks about, in the order of its reports.
std::vector<QuantizationRecipe> variants(const RunRequest &request, std::span<const LinearSite> sites)
{
    std::vector<QuantizationRecipe> all;
    if (request.plain)
        all.push_back(withoutCorrection(request.recipe));
    const ModelPlan own = request.recipe.planFor(sites);
    bool hasOwn = false;
    for (const ScalingKind scaling : request.compare) {
        QuantizationRecipe variant = withScaling(request.recipe, scaling);
        // The recipe under its own scaling is the recipe: one report, under its own name.
        const bool same = variant.planFor(sites) == own;
        hasOwn = hasOwn || same;
        all.push_back(same ? request.recipe : std::move(variant));
    }
    if (!hasOwn)
        all.push_back(request.recipe);
    return all;
}

}  // namespace

std::shared_ptr<const RunResult> Engine::run(const LoadedModel &model, Project &project, const RunRequest &request,
                                             const TaskContext &context) const
{
    requireSameCheckpoint(project, model);
    const std::vector<LinearSite> &sites = model.transformer().linearSites();
    requireUsable(check(request.recipe, model), request.recipe.name);
    project.storeRecipe(request.recipe);

    auto result = std::make_shared<RunResult>();
    DecomposeOptions decomposing = request.decompose;
    if (request.calibrationWindows) {
        result->calibration = calibrate(model, project, *request.calibrationWindows, request.calibration, context);
        if (decomposing.calibration.empty())
            decomposing.calibration = result->calibration->stats->key();
    }
    if (request.runUntil == Stage::Calibrate)
        return result;

    const std::vector<QuantizationRecipe> recipes = variants(request, sites);
    for (const QuantizationRecipe &recipe : recipes)
        result->decompositions.push_back(decompose(model, project, recipe, decomposing, context));
    result->table = layerTable(model, project, request.recipe, decomposing.calibration);
    if (request.runUntil == Stage::Decompose)
        return result;

    if (!request.evaluationWindows)
        throw Error(ErrorCode::Argument, "there is no text to evaluate on");
    EvaluateOptions evaluating = request.evaluate;
    if (evaluating.calibration.empty())
        evaluating.calibration = decomposing.calibration;
    for (const QuantizationRecipe &recipe : recipes) {
        if (recipes.size() > 1)
            evaluating.title.clear();  // each by what it is
        auto report = storedEvaluation(project, model, recipe, chooseCalibration(project, model, evaluating.calibration),
                                       *request.evaluationWindows, evaluating);
        result->reports.push_back(report ? report
                                         : evaluate(model, project, recipe, *request.evaluationWindows, evaluating, context));
    }
    result->table = layerTable(model, project, request.recipe, decomposing.calibration);
    return result;
}

}  // namespace lqer
