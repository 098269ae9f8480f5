// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/engine/engine_state.h"
#include "core/engine/estimates.h"

namespace lqer {

std::shared_ptr<const TasksReport> Engine::evaluateTasks(const LoadedModel &model, Project *project, const QuantizationRecipe *recipe,
                                                         std::span<const TaskRequest> tasks, const TasksOptions &options, const TaskContext &context) const
{
    if (!model.tokenizer())
        throw Error(ErrorCode::Unsupported, model.summary().folder, "", fmt::format("tasks need a tokenizer: {}", model.tokenizerProblem()));
    if (project)
        requireSameCheckpoint(*project, model);
    else if (recipe)
        throw Error(ErrorCode::Argument, "tasks under a recipe need the project that holds its corrections");
    const Transformer &transformer = model.transformer();
    const ModelConfig &config = transformer.config();
    std::optional<QuantizedModel> changed;
    if (recipe)
        changed = quantizedModel(*this, model, *project, *recipe, options.calibration, options.corrections.get(), context);

    const PreparedTasks prepared(tasks, options.dataFolder, options.limit, options.rules, *model.tokenizer(), config.maxPositions, context);
    Transformer::ForwardOptions forward = options.forward;
    if (forward.group == 0)
        forward.group = fittingGroup(prepared.windows(), config, m_state->pool.threads(), m_state->freeMemory());
    EvaluateOptions estimated;
    estimated.perplexity.forward = forward;
    estimateEvaluation(model, recipe, prepared.windows(), estimated).require("evaluation of tasks");

    ForwardHooks unchanged;
    auto report = std::make_shared<const TasksReport>(
        prepared.run(transformer, changed ? *changed->hooks : unchanged, forward, context, options.keepAnswers));
    model.checkpoint().checkUnchanged();
    if (project && options.store && !options.corrections) {
        EvaluationReport kept = startReport(model, recipe, changed ? &*changed : nullptr, options.title);
        kept.tasks = *report;
        keepReport(*project, kept);
    }
    return report;
}

}  // namespace lqer
