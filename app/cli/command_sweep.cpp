// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <set>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/evaluation_options.h"
#include "app/cli/model_options.h"
#include "app/cli/recipe_options.h"
#include "app/cli/session.h"
#include "app/cli/text_options.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/io/file.h"
#include "core/io/toml.h"
#include "core/pipeline/recipe_files.h"
#include "core/pipeline/sweep.h"
#include "core/pipeline/sweep_presets.h"

namespace lqer::cli {

namespace {

constexpr std::uint64_t fileLimit = 16ULL << 20;

struct SweepCommand {
    std::string model;
    std::string folder;
    std::string recipe, file, preset;
    std::vector<std::string> over;
    std::size_t jobs = 0;
    std::string dataFolder;
    TextOptions calibration{"calibration", "calibration-"};
    TextOptions evaluation{"evaluation", "evaluation-"};
    std::vector<std::string> tasks;
    std::optional<int> fewShot;
    std::int64_t limit = -1;  // not stated
    bool list = false;
};

int listPresets(Session &session, const std::string &name)
{
    if (!name.empty()) {
        session.console().print(findSweepPreset(name).json + '\n');
        session.console().result("sweep", Json::object().set("preset", parseJson(findSweepPreset(name).json, name)));
        return exitOk;
    }
    TextTable table({{"preset", TextTable::Align::Left}, {"what it measures", TextTable::Align::Left}});
    Json names = Json::array();
    for (const SweepPreset &preset : sweepPresets()) {
        table.addRow({preset.name, preset.meaning});
        names.append(preset.name);
    }
    session.console().print(table.toString() + "\n`lqer sweep NAME --list` prints one as a sweep file to begin one's own with.\n");
    session.console().result("sweep", Json::object().set("presets", std::move(names)));
    return exitOk;
}

SweepPlan planOf(const SweepCommand &command, const FindRecipe &find)
{
    SweepPlan plan;
    if (!command.file.empty()) {
        const std::string text = readTextFile(command.file, fileLimit);
        plan = sweepPlanFromJson(command.file.ends_with(".toml") ? parseToml(text, command.file) : parseJson(text, command.file), command.file, find);
    } else if (!command.preset.empty()) {
        plan = sweepPlanFromJson(parseJson(findSweepPreset(command.preset).json, command.preset), command.preset, find);
    } else {
        plan.name = "sweep";
        plan.base = defaultRecipe();
    }
    if (!command.recipe.empty())
        plan.base = find(command.recipe);
    for (const std::string &text : command.over) {
        SweepAxis axis = parseSweepAxis(text);
        const auto same = std::ranges::find(plan.axes, axis.key, &SweepAxis::key);
        if (same == plan.axes.end())
            plan.axes.push_back(std::move(axis));
        else
            *same = std::move(axis);
    }
    if (!command.tasks.empty())
        plan.tasks = command.tasks;
    if (command.limit >= 0)
        plan.taskLimit = command.limit;
    if (command.fewShot)
        plan.fewShot = command.fewShot;
    if (plan.axes.empty())
        throw Error(ErrorCode::Argument, "nothing to vary: give --over KEY=VALUE,VALUE, --file FILE or --preset NAME (--list shows them)");
    return plan;
}

// Every metric of every task as a column of its own, with its standard error where one is stated.
SweepTasks tasksOf(Session &session, const LoadedModel &model, Project &project, const SweepPlan &plan, const std::string &dataFolder)
{
    if (plan.tasks.empty())
        return {};
    if (dataFolder.empty())
        throw Error(ErrorCode::Argument, "tasks need the folder with their data: --data DIR, or LQER_DATA in the environment");
    return [&session, &model, &project, &plan, dataFolder](const QuantizationRecipe *recipe, const std::string &calibration, const TaskContext &context) {
        std::vector<TaskRequest> requests;
        for (const std::string &task : plan.tasks)
            requests.push_back({.task = task, .fewShot = plan.fewShot});
        TasksOptions options;
        options.dataFolder = dataFolder;
        options.limit = plan.taskLimit;
        options.calibration = calibration;
        options.store = false;
        const auto report = session.engine().evaluateTasks(model, recipe ? &project : nullptr, recipe, requests, options, context);
        std::vector<std::pair<std::string, double>> values;
        for (const TaskResult &task : report->tasks)
            for (const TaskMetric &metric : task.metrics) {
                values.emplace_back(fmt::format("{} {}", task.task, metric.name), metric.value);
                if (metric.standardError > 0)
                    values.emplace_back(fmt::format("{} {}_stderr", task.task, metric.name), metric.standardError);
            }
        return values;
    };
}

std::string resultTable(const SweepResult &result)
{
    std::vector<TextTable::Column> columns;
    for (const SweepAxis &axis : result.plan.axes)
        columns.push_back({escaped(axis.key, 30), TextTable::Align::Left});
    columns.insert(columns.end(), {{"W", TextTable::Align::Right, "bits per weight"}, {"W + A B", TextTable::Align::Right, "bits per weight"}, {"weight", TextTable::Align::Right, "relative error"},
                                   {"output", TextTable::Align::Right, "relative error"}, {"perplexity"}, {"increase"}, {"area"}});
    std::vector<std::string> tasks;
    for (const SweepRow &row : result.rows)
        for (const auto &[name, value] : row.tasks)
            if (!name.ends_with("stderr") && std::ranges::find(tasks, name) == tasks.end()) {
                tasks.push_back(name);
                columns.push_back({escaped(name, 30)});
            }
    columns.push_back({"", TextTable::Align::Left});
    TextTable table(columns);
    for (const SweepRow &row : result.rows) {
        const EvaluationReport &report = *row.report;
        std::vector<std::string> cells;
        for (std::size_t a = 0; a < result.plan.axes.size(); ++a)
            cells.push_back(row.labels.empty() ? (a == 0 ? "original" : "") : escaped(row.labels[a], 40));
        const LayerError total = totalError(report.layers);
        const AverageBits &bits = report.footprint->stored;
        cells.insert(cells.end(), {formatBits(bits.weights), bits.withCorrection > bits.weights ? formatBits(bits.withCorrection) : ""});
        cells.push_back(row.labels.empty() ? "" : formatPercent(total.relativeCorrectedWeightError()));
        cells.push_back(row.labels.empty() ? "" : total.outputKnown ? formatPercent(total.relativeCorrectedOutputError()) : "-");
        cells.push_back(formatPerplexity(report.perplexity->headline()));
        cells.push_back(row.labels.empty() ? "" : fmt::format("{:+.2f} %", 100 * (report.perplexity->headline() / report.original->headline() - 1)));
        cells.push_back(row.cost.total.area() ? formatNumber(*row.cost.total.area()) : "-");
        for (const std::string &task : tasks) {
            const auto found = std::ranges::find(row.tasks, task, &std::pair<std::string, double>::first);
            cells.push_back(found == row.tasks.end() ? "" : formatNumber(found->second));
        }
        cells.emplace_back(row.best ? "best" : "");
        table.addRow(std::move(cells));
    }
    return table.toString();
}

int sweep(Session &session, const SweepCommand &command)
{
    if (command.list)
        return listPresets(session, command.model);
    if (command.model.empty())
        throw Error(ErrorCode::Argument, "MODEL is required");
    const std::shared_ptr<const LoadedModel> model = session.engine().load(command.model, session.context());
    // A preset, a recipe file, or one of the papers' configurations.
    const FindRecipe find = [&](const std::string &name) {
        if (!hasRecipeExtension(name))
            return findRecipe(name);
        std::vector<std::string> notes;
        QuantizationRecipe recipe = readRecipeFile(name, model->transformer().linearSites(), notes);
        for (const std::string &note : notes)
            session.console().note(fmt::format("{}: {}", name, note));
        if (recipe.name.empty())
            recipe.name = std::filesystem::path(name).stem().string();
        return recipe;
    };
    const SweepPlan plan = planOf(command, find);
    const std::vector<SweepPoint> points = sweepPoints(plan, model->transformer().linearSites(), find);
    std::string folder = command.folder;
    if (folder.empty())
        folder = std::filesystem::weakly_canonical(command.model).filename().string() + ".sweep";
    // Recipes and texts are looked at before anything is made.
    for (const SweepPoint &point : points)
        requireUsable(session.engine().check(point.recipe, *model), point.recipe.name);
    const auto windowsOf = [&](const TextOptions &text) {
        return [&session, &model, &text](const WindowChange &change) { return text.windows(session, *model, change); };
    };
    windowsOf(command.calibration)(points.front().data.calibration);
    windowsOf(command.evaluation)(points.front().data.evaluation);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const std::string projectFolder = folder + "/project.lqer";
    const std::shared_ptr<Project> project = Project::isProject(projectFolder) ? session.engine().openProject(projectFolder) : session.engine().createProject(projectFolder, *model);
    project->requireWritable();

    Console &console = session.console();
    console.print(fmt::format("{}: {} combinations of {}\n", escaped(command.model), points.size(), escaped(plan.base.name)));
    const SweepOptions options{.folder = folder, .jobs = command.jobs};
    const SweepResult result = runSweep(session.engine(), *model, *project, plan, points, windowsOf(command.calibration), windowsOf(command.evaluation),
                                        tasksOf(session, *model, *project, plan, command.dataFolder), options, session.context());
    writeSweepResults(result, folder);
    if (result.reused > 0)
        console.note(fmt::format("{} of {} measurements were there already", result.reused, result.reused + result.measured));
    const PerplexityReport &data = *result.rows.front().report->perplexity;
    console.print(fmt::format("\n{}\n{}\nPerplexity on {}: {} windows of {} tokens, convention {}\nTable, page and plots: {}/results.csv, results.h5, report.html, *.svg\n", resultTable(result),
                              bestOfSweep(result), escaped(data.source), data.windows, data.windowOptions.length, toString(data.windowOptions.convention), escaped(folder)));
    Json rows = Json::array();
    for (const SweepRow &row : result.rows) {
        Json labels = Json::array();
        for (const std::string &label : row.labels)
            labels.append(label);
        Json tasks = Json::object();
        for (const auto &[name, value] : row.tasks)
            tasks.set(name, value);
        rows.append(Json::object().set("labels", std::move(labels)).set("best", row.best).set("perplexity", row.report->perplexity->headline())
                        .set("bits_per_weight", row.report->footprint->stored.withCorrection).set("tasks", std::move(tasks)));
    }
    console.result("sweep", Json::object().set("folder", folder).set("measured", static_cast<std::uint64_t>(result.measured)).set("reused", static_cast<std::uint64_t>(result.reused)).set("rows", std::move(rows)));
    return exitOk;
}

}  // namespace

void addSweepCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("sweep", "Many settings of one model in one table: ranks, formats, scalings, samples");
    command->footer("Every combination of the lists is measured; statistics and decompositions are shared. Stopped or killed, the same command carries on and ends\n"
                    "with the same table. Keys: rank, scaling, weight, activation, bias, a, b, factors, attention (formats), a format's parameter (weight.width),\n"
                    "recipe (a whole one), samples (calibration windows), calibration.* and evaluation.* (windows, length, convention, batch), and any path of keys\n"
                    "into the recipe, separated by ':'.\n\n"
                    "Examples:\n  lqer sweep resources/demo --over rank=4,8,16 --over scaling=identity,exact\n"
                    "  lqer sweep MODEL --recipe qera-exact-mxint4 --over weight=mxint4,mxint3 --over samples=32,128 --evaluation-text wiki.test.raw\n"
                    "  lqer sweep MODEL --preset papers-table --calibration-text sample.txt --evaluation-text wiki.test.raw\n"
                    "  lqer sweep --list; lqer sweep papers-table --list > my.json; lqer sweep MODEL --file my.json");
    const auto options = std::make_shared<SweepCommand>();
    command->add_option("model", options->model, "Folder of a checkpoint (config.json, *.safetensors)")->type_name("MODEL");
    command->add_option("--out,-o", options->folder, "Folder for the table and what is computed (default: NAME.sweep here)")->type_name("FOLDER");
    command->add_option("--over", options->over, "A list to vary, KEY=VALUE,VALUE,...; may be repeated")->type_name("KEY=LIST")->allow_extra_args(false);
    command->add_option("--recipe,-r", options->recipe, "What the lists change: a recipe file, an LQER (.toml) or QERA (.yaml) configuration, or a preset (default: l2qer-w4a8)")->type_name("RECIPE");
    CLI::Option *file = command->add_option("--file", options->file, "Sweep file, JSON or TOML");
    file->type_name("FILE");
    command->add_option("--preset", options->preset, "A sweep that comes with the program")->type_name("NAME")->excludes(file);
    command->add_flag("--list", options->list, "The presets; with a name in MODEL's place, that one as a sweep file");
    command->add_option("--jobs,-j", options->jobs, "Combinations evaluated at once (0: as threads and memory allow); the results do not depend on it")->type_name("N")->check(CLI::Range(0, 64));
    command->add_option("--tasks", options->tasks, "Downstream tasks to measure too, from the folder of --data: arc_easy,piqa,...")->delimiter(',')->type_name("NAMES");
    command->add_option("--num-fewshot", options->fewShot, "Examples in front of every question (default: the task's own number)")->type_name("N")->check(CLI::Range(0, 1000));
    command->add_option("--limit", options->limit, "Only the first N questions of each task (0: all)")->type_name("N")->check(CLI::NonNegativeNumber);
    addDataFolder(*command, options->dataFolder, "Calibration data");
    options->calibration.add(*command, 128, options->dataFolder);
    options->evaluation.add(*command, 0, options->dataFolder);
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return sweep(session, *options); }; });
}

}  // namespace lqer::cli
