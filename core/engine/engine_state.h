// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/engine/engine.h"
#include "core/eval/quantized_forward.h"

namespace lqer {

struct Engine::State {
    explicit State(const EngineOptions &options);

    mutable ThreadPool pool;
    std::uint64_t memoryLimit;

    // What may be used now beyond what the process holds.
    std::uint64_t freeMemory() const;
};

// Whether the plan needs a decomposition.
inline bool isCorrected(const LayerPlan &plan)
{
    return plan.quantize && plan.rank > 0;
}

// What the recipe means for the model. Where W_q comes from a base, layers that it quantizes have no format of their own, and the others
// stay as they are.
LayerPlan planFor(const LoadedModel &model, const QuantizationRecipe &recipe, const LinearSite &site);
ModelPlan planFor(const LoadedModel &model, const QuantizationRecipe &recipe);
// W_q of a layer that the plan quantizes.
Matrix quantizedWeight(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, const Matrix &weight,
                       const TaskContext &context);

// W - W_q of it.
Matrix weightError(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, const Matrix &weight,
                   const TaskContext &context);

// The statistics to use: `wanted` if it says one (throws Error(NotFound) if the project does not have it complete), else the latest
// complete ones made from this checkpoint, else "".
std::string chooseCalibration(const Project &project, const LoadedModel &model, const std::string &wanted);

DecompositionKey decompositionKey(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, ScalingKind scaling,
                                  const std::string &calibration);

// Throws Error(Conflict) if a layer of the base is as far from the original as nothing at all would be. energy: ||W||^2, error:
// ||W - W_q||^2.
void requireQuantizationOf(double energy, double error, const QuantizedBase &base, const LinearSite &site);

// The site, or Error(NotFound) with the nearest name.
const LinearSite &requireSite(const LoadedModel &model, const std::string &layer);

// A model as a recipe changes it.
struct QuantizedModel {
    std::string calibration;        // the statistics that the corrections come from; "" where there are none or none are needed
    ModelPlan plan;
    CorrectionSource corrections;
    std::unique_ptr<ForwardHooks> hooks;
};
// Every evaluation of a recipe goes through here. Checks the recipe and that each layer it corrects has been decomposed up to its rank, or
// is in `dictionary` with this very rank if there is one. Refers to all its arguments.
QuantizedModel quantizedModel(const Engine &engine, const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                              const std::string &calibration, const CorrectionDictionary *dictionary, const TaskContext &context);

// A report with nothing measured yet: title ("": made from the recipe), where everything comes from, footprint. Without a recipe (both null) it is the
// original model's.
EvaluationReport startReport(const LoadedModel &model, const QuantizationRecipe *recipe, const QuantizedModel *changed, const std::string &title);
// Keeps it in the project; where that is read-only, a warning says so.
void keepReport(Project &project, const EvaluationReport &report);

// Whether a stored report is about the model with its base, or both have none.
bool hasBase(const Json &report, const LoadedModel &model);

// A report of the project that has measured all of this already, or null.
std::shared_ptr<const EvaluationReport> storedEvaluation(const Project &project, const LoadedModel &model, const QuantizationRecipe &recipe,
                                                         const std::string &calibration, const TokenWindows &windows,
                                                         const EvaluateOptions &options);

// Throws Error(Conflict) if the project is about another checkpoint.
void requireSameCheckpoint(const Project &project, const LoadedModel &model);

// Saves if something is unsaved; a failure is logged.
void saveAfterFailure(Project &project) noexcept;

// Runs a stage; if it ends early, what is finished is saved all the same.
template <typename Work>
auto savingProgress(Project &project, const Work &work)
{
    try {
        return work();
    } catch (...) {
        saveAfterFailure(project);
        throw;
    }
}

}  // namespace lqer
