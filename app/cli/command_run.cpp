// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/evaluation_options.h"
#include "app/cli/model_options.h"
#include "app/cli/recipe_options.h"
#include "app/cli/report_tables.h"
#include "app/cli/text_options.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/quant/quantizer.h"

namespace lqer::cli {

namespace {

struct RunCommand {
    ModelOptions model;
    RecipeOptions recipe;
    std::string dataFolder;
    TextOptions calibrationText{"calibration", "calibration-"};
    TextOptions evaluationText{"evaluation", "evaluation-"};
    EvaluationOptions evaluation;
    std::int64_t calibrationBatch = 2;
    Index maxRank = 0;
    std::vector<std::string> compare = {"identity", "lqer", "diag", "exact"};
    bool alone = false;
    bool noLayers = false;
    std::string until = "evaluate";
};

RunRequest makeRequest(Session &session, const LoadedModel &model, const RunCommand &command)
{
    RunRequest request;
    request.runUntil = stageFromString(command.until);
    request.calibrationWindows = command.calibrationText.windows(session, model);
    request.calibration.batch = command.calibrationBatch;
    request.decompose.maxRank = command.maxRank;
    request.decompose.precision = command.evaluation.precision().value_or(request.decompose.precision);
    request.evaluate = command.evaluation.options();
    if (request.runUntil == Stage::Evaluate)
        request.evaluationWindows = command.evaluationText.windows(session, model);
    if (!command.alone) {
        request.plain = true;
        for (const std::string &name : command.compare)
            request.compare.push_back(scalingFromString(name));
    }
    return request;
}

std::string formatsLine(const QuantizationRecipe &recipe, const QuantizedBase *base)
{
    const auto name = [](const std::optional<FormatSpec> &spec) { return spec ? shortName(*spec) : std::string("as stored"); };
    const LayerSettings &defaults = recipe.defaults;
    return fmt::format("weights {}, activations {}, A and B {}, rank {}", base ? base->description() : name(defaults.weight), name(defaults.activation), name(defaults.a),
                       defaults.rank.value_or(0));
}

int runModel(Session &session, const RunCommand &command)
{
    Opened opened = command.model.open(session);
    const std::vector<QuantizationRecipe> recipes = command.recipe.recipes(session, *opened.model);
    RunRequest request = makeRequest(session, *opened.model, command);
    command.model.openProject(session, opened);
    Console &console = session.console();
    const ModelSummary &summary = opened.model->summary();
    console.print(fmt::format("{}: {}, {:.4g} M parameters, {} linear layers\n", escaped(summary.folder), escaped(summary.architecture),
                              static_cast<double>(summary.parameters) / 1e6, summary.linearLayers));

    Json runs = Json::array();
    std::string closing;
    for (const QuantizationRecipe &recipe : recipes) {
        request.recipe = recipe;
        const std::shared_ptr<const RunResult> result = session.engine().run(*opened.model, *opened.project, request, session.context());
        opened.project->save();

        std::vector<NamedReport> named;
        Json reports = Json::array();
        for (const auto &report : result->reports) {
            named.push_back({shortReportName(*report), report});
            reports.append(report->toJson());
        }
        runs.append(Json::object().set("recipe", recipe.toJson()).set("reports", std::move(reports)));
        console.print(fmt::format("\n{}\n{}\n", escaped(recipe.name), formatsLine(recipe, opened.model->base())));
        if (named.empty())
            continue;
        if (!command.noLayers)
            console.print('\n' + layerTable(named));
        const std::string table = modelTable(named);
        console.print('\n' + table);
        closing = dataLine(named.front().report->perplexity.value()) + '\n';
    }
    if (!closing.empty())
        console.print("\nPerplexity on " + closing + "Errors are relative: sqrt(squared error / squared norm), of the weights and of the layers' outputs on the calibration data.\n");
    console.print(fmt::format("Kept in {}: lqer report {}\n", escaped(opened.project->folder()), escaped(opened.project->folder())));
    console.result("run", Json::object().set("project", opened.project->folder()).set("runs", std::move(runs)));
    return exitOk;
}

}  // namespace

void addRunCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("run", "The main job: calibrate, decompose, evaluate; and a table of what was gained");
    command->footer("Compares the recipe with the original model, with plain quantization and with every scaling:\n"
                    "  plain     W_q alone\n"
                    "  identity  A and B from the error W - W_q itself\n"
                    "  lqer      ... weighted by the inputs' mean magnitude (L2QER)\n"
                    "  diag      ... by their mean square (QERA-approx)\n"
                    "  exact     ... by their whole autocorrelation (QERA-exact): the least output error a rank can give\n"
                    "What is in the project already is not computed again; interrupted or killed, the same command carries on.\n\n"
                    "Examples:\n  lqer run resources/demo\n  lqer run MODEL --calibration-text sample.txt --evaluation-text wiki.test.raw\n"
                    "  lqer run MODEL --weights mxint4,mxint3,mxint2 --rank 32 --no-layers\n  lqer run MODEL --recipe my.json --alone\n"
                    "  lqer run MODEL --base MODEL-Q4_K_M.gguf");
    const auto options = std::make_shared<RunCommand>();
    options->model.addModel(*command);
    options->model.addProject(*command);
    options->model.addBase(*command);
    options->recipe.add(*command, true);
    command->add_option("--compare", options->compare, "Scalings to compare")->delimiter(',')->capture_default_str()->type_name("NAMES");
    command->add_flag("--alone", options->alone, "Only the recipe: no plain quantization, no other scalings");
    command->add_flag("--no-layers", options->noLayers, "Without the table of layers");
    command->add_option("--until", options->until, "Stop after this stage: calibrate, decompose or evaluate")->capture_default_str()->type_name("STAGE");
    command->add_option("--max-rank", options->maxRank, "Keep factors up to this rank (0: all of a small layer, 256 of a large one)")
        ->type_name("K")
        ->check(CLI::NonNegativeNumber);
    addDataFolder(*command, options->dataFolder, "Calibration data");
    options->calibrationText.add(*command, 128, options->dataFolder);
    command->add_option("--calibration-batch", options->calibrationBatch, "Windows in a batch: the lqer statistic is the largest of the batches' means")
        ->capture_default_str()
        ->type_name("N")
        ->check(CLI::Range(1, 1 << 20))
        ->group("Calibration data");
    options->evaluationText.add(*command, 0, options->dataFolder);
    options->evaluation.add(*command);
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return runModel(session, *options); }; });
}

}  // namespace lqer::cli
