// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/qera_stages.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/output_error.h"
#include "core/export/dictionary_file.h"
#include "core/export/export_source.h"
#include "core/io/atomic_file.h"
#include "core/io/yaml.h"
#include "core/pipeline/csv_table.h"
#include "core/pipeline/official_text.h"
#include "core/pipeline/qera_recipe.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view errorsHeader = "layer_name,mse,rank";

bool needs(const QeraWork &work, ScalingKind kind)
{
    return std::ranges::any_of(
        work.correctedLayers(), [&](const LinearSite *site) { return work.recipe.planFor(*site).scaling == kind; });
}

bool needsStatistics(const QeraWork &work)
{
    return needs(work, ScalingKind::MeanAbs) || needs(work, ScalingKind::Diagonal) || needs(work, ScalingKind::Exact);
}

// numerics.md B.4 and E.1: 20 rows for every window, windows in whole batches.
LqerText calibrationText(const QeraConfig &config)
{
    LqerText text;
    text.dataSet = config.calibrationSet;
    text.maxLength = config.maxLength;
    text.batch = config.batch;
    text.samples = config.calibrationSamples;
    text.rawSamples = 20 * config.calibrationSamples;
    return text;
}

LqerText perplexityText(const QeraConfig &config)
{
    LqerText text;
    text.dataSet = config.perplexitySet;
    text.maxLength = config.maxLength;
    text.batch = config.batch;
    return text;
}

// The groups that QERA adds to lm-eval's. Stated examples replace the groups' own numbers, as in lm-eval.
std::vector<TaskRequest> taskRequests(const QeraConfig &config, std::vector<std::string> *notes)
{
    static const std::vector<std::pair<std::string, int>> classic
        = {{"boolq", 0}, {"commonsense_qa", 7}, {"winogrande", 5}, {"arc_challenge", 25}, {"mmlu", 5}, {"wikitext", 0}};
    std::vector<TaskRequest> requests;
    for (const std::string &name : config.tasks) {
        if (name == "qera_benchmark_classic") {
            // The splits that examples come from where they are not the task's own.
            for (const auto &[task, fewShot] : classic)
                requests.push_back({.task = task,
                    .fewShot = config.fewShot.value_or(fewShot),
                    .shotSplit = task == "arc_challenge" ? "validation" : ""});
            if (config.fewShot && notes)
                notes->push_back(fmt::format(
                    "lm_eval_num_fewshot: {} also for the tasks of {}, in place of their own numbers", *config.fewShot, name));
        } else if (name == "qera_benchmark_hard") {
            if (notes)
                notes->push_back(
                    fmt::format("lm_eval_tasks: {} is left out, its one task leaderboard_bbh is not known here", name));
        } else {
            requests.push_back({.task = name, .fewShot = config.fewShot});
        }
    }
    return requests;
}

TasksOptions tasksOptions(
    const QeraWork &work, const std::string &calibration, std::shared_ptr<const CorrectionDictionary> corrections)
{
    TasksOptions options;
    options.dataFolder = officialDataFolder(work.request.dataFolder);
    options.calibration = calibration;
    options.corrections = std::move(corrections);
    return options;
}

void requireData(const QeraWork &work, std::vector<std::string> &notes, const TaskContext &context)
{
    const QeraConfig &config = work.config();
    if (needsStatistics(work) && config.abDict.empty())
        findDataSet(officialDataFolder(work.request.dataFolder), config.calibrationSet, DataSplit::Train);
    if (!config.disablePerplexity)
        findDataSet(officialDataFolder(work.request.dataFolder), config.perplexitySet, DataSplit::Test);
    if (config.disableTasks)
        return;
    const LoadedModel &model = *work.model;
    if (!model.tokenizer())
        throw Error(ErrorCode::Unsupported, model.summary().folder, "",
            fmt::format("tasks need a tokenizer: {}", model.tokenizerProblem()));
    const TasksOptions options = tasksOptions(work, {}, nullptr);
    PreparedTasks(taskRequests(config, &notes), options.dataFolder, options.limit, options.rules, *model.tokenizer(),
        model.transformer().config().maxPositions, context);
}

// As lm-eval has them.
Json tasksResult(const TasksReport &report)
{
    Json results = Json::object(), shots = Json::object(), samples = Json::object();
    const auto add = [&](const TaskResult &task, const std::string &alias) {
        Json metrics = Json::object().set("alias", alias);
        for (const TaskMetric &metric : task.metrics)
            metrics.set(fmt::format("{},none", metric.name), metric.value)
                .set(fmt::format("{}_stderr,none", metric.name), metric.standardError);
        results.set(task.task, std::move(metrics));
        shots.set(task.task, task.fewShot);
        samples.set(task.task, Json::object().set("original", task.items).set("effective", task.items));
    };
    for (const TaskResult &task : report.tasks) {
        add(task, task.task);
        for (const TaskResult &subject : task.subjects)
            add(subject, fmt::format(" - {}", subject.task));
    }
    return Json::object().set("n-samples", std::move(samples)).set("n-shot", std::move(shots)).set("results", std::move(results));
}

}  // namespace

std::vector<const LinearSite *> QeraWork::correctedLayers() const
{
    std::vector<const LinearSite *> layers;
    for (const LinearSite &site : model->transformer().linearSites()) {
        const LayerPlan plan = recipe.planFor(site);
        if (plan.quantize && plan.rank > 0)
            layers.push_back(&site);
    }
    return layers;
}

QeraWork openQera(const Engine &engine, const QeraRequest &request, const TaskContext &context)
{
    const std::string folder = request.modelFolder.empty() ? request.config.modelName : request.modelFolder;
    if (folder.empty())
        throw Error(ErrorCode::Argument, request.config.file, "key 'model_name'", "is missing: state it, or --model DIR");
    std::error_code error;
    if (request.modelFolder.empty() && !fs::is_directory(folder, error))
        throw Error(ErrorCode::NotFound, request.config.file, "key 'model_name'",
            fmt::format("'{}' is no local folder: say with --model DIR where the model lies", escaped(folder)));
    QeraWork work{engine, request, engine.load(folder, context), {}, request.config.notes};
    work.recipe = qeraRecipe(request.config, work.model->transformer().linearSites(), &work.notes);
    requireData(work, work.notes, context);
    return work;
}

std::shared_ptr<Project> openOrCreateProject(const Engine &engine, const std::string &folder, const LoadedModel &model)
{
    return Project::isProject(folder) ? engine.openProject(folder) : engine.createProject(folder, model);
}

std::shared_ptr<const CalibrationResult> calibrateQera(const QeraWork &work, Project &project, const TaskContext &context)
{
    if (!needsStatistics(work))
        return nullptr;
    const QeraConfig &config = work.config();
    const auto windows = officialWindows(
        work.engine, *work.model, work.request.dataFolder, calibrationText(config), DataSplit::Train, context, config.workers);
    CalibrationOptions options;
    options.batch = config.batch;
    options.autocorrelation = needs(work, ScalingKind::Exact);
    return work.engine.calibrate(*work.model, project, *windows, options, context);
}

void writeApproximationErrors(const std::string &path, std::span<const ApproximationError> rows)
{
    std::string text = fmt::format("{}\n", errorsHeader);
    for (const ApproximationError &row : rows)
        text += fmt::format("{},{},{}\n", row.layer, Json(row.mse).dump(), row.rank);
    writeFileAtomically(path, text);
}

std::vector<ApproximationError> readApproximationErrors(const std::string &path)
{
    std::vector<ApproximationError> rows;
    for (const CsvRow &row : readCsv(path, errorsHeader))
        rows.push_back({row.text(0), row.number(1), row.integer(2)});
    return rows;
}

std::vector<ApproximationError> approximateQera(const QeraWork &work, Project &project, std::span<const LinearSite *const> layers,
    const std::string &calibration, const std::string &errorsPath, const std::string &factorsPath, const TaskContext &context)
{
    // Only these layers, and no more than is written: the leading factors.
    QuantizationRecipe recipe = work.recipe;
    for (const LinearSite *site : work.correctedLayers())
        if (std::ranges::find(layers, site) == layers.end())
            recipe.layers[site->name].rank = 0;
    DecomposeOptions options;
    options.calibration = calibration;
    options.spectrum = SpectrumExtent::Leading;
    options.maxRank = 1;
    work.engine.decompose(*work.model, project, recipe, options, context);

    const std::unique_ptr<const ExportSource> source = work.engine.exportSource(*work.model, project, recipe, calibration);
    std::vector<std::pair<const LinearSite *, Index>> ranks;
    for (const LinearSite *site : layers)
        ranks.emplace_back(site, source->planFor(*site).rank);
    DictionaryWriter writer(factorsPath, ranks);
    std::vector<ApproximationError> rows;
    context.beginStage("writing A and B", layers.size());
    for (const auto &[site, rank] : ranks) {
        context.checkStop();
        context.setDetail(site->name);
        const ExportLayer layer
            = source->layer(*site, {.original = true, .quantized = true, .correction = true}, context.silent());
        const LayerError error
            = layerError(site->name, layer.original, layer.quantized, &layer.correction, nullptr, context.silent());
        rows.push_back({site->name, error.correctedWeightError / static_cast<double>(site->in * site->out), rank});
        writer.write(*site, layer.correction);
        context.advance();
    }
    AtomicFile &factors = writer.finished();
    writeApproximationErrors(errorsPath, rows);
    factors.commit();
    return rows;
}

QuantizationRecipe withRanksOf(
    const QuantizationRecipe &recipe, const CorrectionDictionary &corrections, const LoadedModel &model)
{
    QuantizationRecipe changed = recipe;
    for (const LinearSite &site : model.transformer().linearSites()) {
        const LayerPlan plan = recipe.planFor(site);
        if (plan.quantize && corrections.contains(site.name) && plan.rank != corrections.rank(site.name))
            changed.layers[site.name].rank = corrections.rank(site.name);
    }
    return changed;
}

QeraResults evaluateQera(const QeraWork &work, Project &project, const std::string &calibration,
    std::shared_ptr<const CorrectionDictionary> corrections, const std::string &folder, const TaskContext &context)
{
    const QeraConfig &config = work.config();
    QeraResults results;
    const std::vector<TaskRequest> tasks = config.disableTasks ? std::vector<TaskRequest>() : taskRequests(config, nullptr);
    if (!config.disablePerplexity) {
        const LqerText text = perplexityText(config);
        const auto windows
            = officialWindows(work.engine, *work.model, work.request.dataFolder, text, DataSplit::Test, context, config.workers);
        EvaluateOptions options;
        options.calibration = calibration;
        options.perplexity = officialPerplexity(*work.model, text);
        options.originalPerplexity = false;
        options.layerErrors = false;
        options.corrections = corrections;
        results.perplexity = work.engine.evaluate(*work.model, project, work.recipe, *windows, options, context);
        if (!folder.empty())
            writeFileAtomically(
                fmt::format("{}/{}", folder, perplexityFile), toYaml(officialResult(*results.perplexity->perplexity)));
    }
    if (!tasks.empty())
        results.tasks = work.engine.evaluateTasks(
            *work.model, &project, &work.recipe, tasks, tasksOptions(work, calibration, corrections), context);
    if (!config.disableTasks && !folder.empty())
        writeFileAtomically(fmt::format("{}/{}", folder, tasksFile),
            toYaml(results.tasks ? tasksResult(*results.tasks) : Json::object().set("results", Json::object())));
    return results;
}

bool isEvaluated(const QeraConfig &config, const std::string &folder)
{
    std::error_code error;
    return (config.disablePerplexity || fs::exists(fmt::format("{}/{}", folder, perplexityFile), error))
        && (config.disableTasks || fs::exists(fmt::format("{}/{}", folder, tasksFile), error));
}

}  // namespace lqer
