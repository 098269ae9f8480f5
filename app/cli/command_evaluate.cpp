// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/evaluation_options.h"
#include "app/cli/model_options.h"
#include "app/cli/recipe_options.h"
#include "app/cli/report_tables.h"
#include "app/cli/task_options.h"
#include "app/cli/text_options.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/io/npy.h"

namespace lqer::cli {

namespace {

struct EvaluateCommand {
    ModelOptions model;
    RecipeOptions recipe;
    std::string dataFolder;
    TextOptions text{"evaluation"};
    EvaluationOptions evaluation;
    TaskOptions tasks;
    std::string calibration;
    std::string logProbabilities;
};

// A row per window, a column per target; targets that were not scored, or that a shorter window does not have, are 0.
Tensor logProbabilityTable(const TokenWindows &windows, const PerplexityReport &report)
{
    std::size_t columns = 0;
    const std::size_t rows = report.logProbabilities.size();
    for (std::size_t w = 0; w < rows; ++w)
        columns = std::max(columns, windows.windows[w].ids.size() - 1);
    Matrix table = Matrix::Zero(static_cast<Index>(rows), static_cast<Index>(columns));
    for (std::size_t w = 0; w < rows; ++w) {
        const std::vector<float> &values = report.logProbabilities[w];
        const auto first = static_cast<std::size_t>(windows.windows[w].firstScored - 1);
        std::copy(values.begin(), values.end(), table.data() + w * columns + first);
    }
    return Tensor::fromMatrix(table);
}

std::string perplexityText(const PerplexityReport &report)
{
    std::string text = dataLine(report) + '\n';
    const auto line = [&](const char *name, const std::string &value) { text += fmt::format("  {:<24}{}\n", name, value); };
    line("perplexity", formatWithError(report.perplexity, report.standardError));
    line("loss", fmt::format("{:.6f} nats per token{}", report.meanNll, report.weighting == LossWeighting::Batch ? ", mean over batches" : ""));
    line("bits per token", fmt::format("{:.4f}", report.bitsPerToken));
    if (report.words > 0)
        line("word perplexity", fmt::format("{} ({} words)", formatPerplexity(report.wordPerplexity), report.words));
    if (report.bytes > 0)
        line("bits per byte", fmt::format("{:.4f}", report.bitsPerByte));
    line("time", formatSeconds(report.seconds));
    return text;
}

std::string divergenceText(const DivergenceReport &report)
{
    std::string text = "Against the original model:\n";
    const auto line = [&](const char *name, const std::string &value) { text += fmt::format("  {:<24}{}\n", name, value); };
    line("KL divergence", fmt::format("{} nats (median {:.3g}, 99 % below {:.3g}, largest {:.3g})", formatWithError(report.kl.mean, report.kl.standardError),
                                      report.medianKl, report.kl99, report.maxKl));
    line("same most likely token", formatPercent(report.topAgreement.mean));
    line("change of probability", fmt::format("mean {}, RMS {}", formatPercent(report.deltaP.mean), formatPercent(report.rmsDeltaP.mean)));
    line("perplexity ratio", formatWithError(report.ratio.mean, report.ratio.standardError));
    return text;
}

std::shared_ptr<const EvaluationReport> measurePerplexity(Session &session, const EvaluateCommand &command, Opened &opened, const QuantizationRecipe *recipe,
                                                          const TokenWindows &windows)
{
    EvaluateOptions options = command.evaluation.options();
    options.calibration = command.calibration;
    options.perplexity.keepLogProbabilities = !command.logProbabilities.empty();
    return recipe ? session.engine().evaluate(*opened.model, *opened.project, *recipe, windows, options, session.context())
                  : session.engine().evaluateOriginal(*opened.model, windows, options, session.context());
}

int evaluateModel(Session &session, const EvaluateCommand &command)
{
    if (!command.logProbabilities.empty())
        requireWritable(command.logProbabilities);
    const bool quantized = command.recipe.isStated() || command.model.hasBase();
    if (command.evaluation.options().divergence && !quantized)
        throw Error(ErrorCode::Argument, "--divergence compares a quantized model with the original: give --recipe or --base too");
    const std::vector<TaskRequest> tasks = command.tasks.requests();
    const bool onText = tasks.empty() || command.text.isStated();
    if (!onText && (!command.logProbabilities.empty() || command.evaluation.options().divergence))
        throw Error(ErrorCode::Argument, "--logprobs and --divergence are measured on a text: give --text, --data-set or --tokens too");

    Opened opened = command.model.open(session);
    const std::shared_ptr<const TokenWindows> windows = onText ? command.text.windows(session, *opened.model) : nullptr;
    std::optional<QuantizationRecipe> recipe;
    if (quantized) {
        recipe = command.recipe.recipe(session, *opened.model);
        command.model.openProject(session, opened);
    }
    const QuantizationRecipe *chosen = recipe ? &*recipe : nullptr;
    std::string text;
    Json result = Json::object();
    if (onText) {
        const auto report = measurePerplexity(session, command, opened, chosen, *windows);
        const PerplexityReport &perplexity = report->perplexity.value();
        text += perplexityText(perplexity);
        if (report->divergence)
            text += divergenceText(*report->divergence);
        if (quantized) {
            const std::vector<NamedReport> named = {{shortReportName(*report), report}};
            text += '\n' + layerTable(named) + '\n' + modelTable(named);
        }
        if (!command.logProbabilities.empty()) {
            writeNpy(command.logProbabilities, logProbabilityTable(*windows, perplexity));
            text += fmt::format("{}: log-probabilities of {} windows\n", escaped(command.logProbabilities), perplexity.logProbabilities.size());
        }
        result.set("report", report->toJson());
    }
    if (!tasks.empty()) {
        TasksOptions options = command.tasks.options(command.dataFolder);
        options.calibration = command.calibration;
        options.forward.precision = command.evaluation.options().perplexity.forward.precision;
        const auto report = session.engine().evaluateTasks(*opened.model, opened.project.get(), chosen, tasks, options, session.context());
        EvaluationReport shown;
        shown.tasks = *report;
        text += (text.empty() ? "" : "\n") + taskTable({{quantized ? "quantized" : "original", std::make_shared<const EvaluationReport>(std::move(shown))}}) + '\n'
                + tasksLine(*report) + ", " + formatSeconds(report->seconds) + '\n';
        result.set("tasks", report->toJson());
    }
    if (quantized)
        opened.project->save();
    session.console().print(text);
    session.console().result("evaluate", std::move(result));
    return exitOk;
}

}  // namespace

void addEvaluateCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("evaluate", "Measure perplexity and downstream tasks, of the model as it is or as a recipe quantizes it");
    command->footer("Without a recipe: the checkpoint's own perplexity, nothing is written. With one: the quantized model's, with the corrections that\n"
                    "`lqer decompose` put into the project; the report is kept there.\n"
                    "Perplexities compare only within one convention: GPTQ's (joined), the LQER and QERA code's (sharded with --weighting batch) and lm-eval's\n"
                    "(word-perplexity) differ on the same model and text.\n"
                    "Tasks are lm-eval 0.4's, from the data sets' own fields as JSON lines: DIR/arc_easy.test.jsonl, DIR/arc_easy/test.jsonl or --tasks arc_easy=FILE.\n"
                    "Their reports are kept where MODEL is a project or a recipe is given. With --tasks, perplexity is measured only if a text is stated.\n\n"
                    "Examples:\n  lqer evaluate MODEL --text wiki.test.raw --window 2048\n"
                    "  lqer evaluate MODEL --tokens ids.npy --window 256 --logprobs logprobs.npy\n"
                    "  lqer evaluate MODEL --recipe l2qer-w4a8 --text wiki.test.raw --divergence\n"
                    "  lqer evaluate MODEL --data DIR --tasks arc_easy,piqa,arc_challenge:25 --limit 200");
    const auto options = std::make_shared<EvaluateCommand>();
    options->model.addModel(*command);
    options->model.addProject(*command);
    options->model.addBase(*command);
    options->recipe.add(*command, false);
    addDataFolder(*command, options->dataFolder, "Evaluation data");
    options->text.add(*command, 0, options->dataFolder);
    options->evaluation.add(*command);
    options->tasks.add(*command);
    command->add_option("--calibration", options->calibration, "Key of the statistics the corrections come from (default: the latest)")->type_name("KEY");
    command->add_option("--logprobs", options->logProbabilities,
                        "Log-probability of every predicted token, float32: a row per window, a column per target ids[1:]")
        ->type_name("OUT.npy");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return evaluateModel(session, *options); }; });
}

}  // namespace lqer::cli
