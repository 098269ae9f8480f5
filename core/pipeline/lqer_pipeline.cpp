// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/lqer_pipeline.h"

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/eval/downstream/evaluate_tasks.h"
#include "core/import/correction_dictionary.h"
#include "core/io/atomic_file.h"
#include "core/pipeline/config_overrides.h"
#include "core/pipeline/lqer_approximation.h"
#include "core/pipeline/lqer_folder.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/pipeline/official_text.h"
#include "core/pipeline/scale_dictionary.h"

namespace lqer {

namespace fs = std::filesystem;

namespace {

// A run with its place on the disk.
class Pipeline {
public:
    Pipeline(const Engine &engine, LqerConfig config, const LqerPipelineOptions &options, const TaskContext &context)
        : m_engine(engine), m_config(std::move(config)), m_options(options), m_context(context)
    {
    }

    LqerPipelineResult run()
    {
        for (const std::string &note : m_config.notes)
            logWarning(note);
        m_model = openLqerModel(m_engine, m_config, m_options, m_context);
        m_result.folder = lqerFolder(m_config, m_options, *m_model);
        if (!m_config.overwrite)
            carryOn();
        // What would only be found after hours of work.
        std::vector<std::string> notes;
        lqerRecipe(m_config, LqerStage::Evaluate, sites(), &notes);
        for (const std::string &note : notes)
            logWarning(note);
        const auto profiled = m_config.profiling ? windows(m_config.profile, DataSplit::Train) : nullptr;
        const auto scored = m_config.perplexityEvaluation ? windows(m_config.perplexity, DataSplit::Test) : nullptr;
        if (m_config.tasksEvaluation && m_model->tokenizer())
            PreparedTasks(taskRequests(), officialDataFolder(m_options.dataFolder), 0, {}, *m_model->tokenizer(),
                m_model->transformer().config().maxPositions, m_context);
        m_project = openLqerProject(m_engine, path("project.lqer"), *m_model);

        if (m_config.profiling)
            profile(*profiled);
        if (m_config.approximation)
            approximate();
        if (m_config.perplexityEvaluation)
            evaluatePerplexity(*scored);
        if (m_config.tasksEvaluation)
            evaluateTasks();
        addTags();
        saveLqerConfig(m_config.json, path("pipeline/config.toml"));
        m_result.config = m_config.json;
        return std::move(m_result);
    }

private:
    const std::vector<LinearSite> &sites() const { return m_model->transformer().linearSites(); }
    std::string path(std::string_view name) const { return (fs::path(m_result.folder) / name).string(); }
    void say(const std::string &line) const
    {
        if (m_options.say)
            m_options.say(line);
    }
    std::shared_ptr<const TokenWindows> windows(const LqerText &text, DataSplit split) const
    {
        return officialWindows(m_engine, *m_model, m_options.dataFolder, text, split, m_context);
    }

    // The same configuration was stopped here: its finished stages are not run again.
    void carryOn()
    {
        const std::optional<Json> saved = unfinishedRun(m_result.folder, m_config.json);
        if (!saved)
            return;
        const LqerConfig wanted = std::exchange(m_config, lqerConfigFrom(*saved, m_config.file));
        std::string done;
        for (const auto &[wasOn, isOn, stage] : {std::tuple(wanted.profiling, m_config.profiling, "profiling"),
                 std::tuple(wanted.approximation, m_config.approximation, "approximation"),
                 std::tuple(wanted.perplexityEvaluation, m_config.perplexityEvaluation, "perplexity"),
                 std::tuple(wanted.tasksEvaluation, m_config.tasksEvaluation, "tasks")})
            if (wasOn && !isOn)
                done += fmt::format("{}{}", done.empty() ? "" : ", ", stage);
        say(fmt::format("Carrying on with a run that was stopped; done already: {}", done));
    }

    void addTags()
    {
        Json tags = Json::array();
        for (const std::string &tag : textsOfWandb())
            tags.append(tag);
        for (const std::string &tag : m_options.tags)
            tags.append(tag);
        if (!tags.asArray().empty())
            setConfigValue(m_config.json, "wandb:tags", std::move(tags), true);
    }
    std::vector<std::string> textsOfWandb() const
    {
        std::vector<std::string> tags;
        const Json *const found = findConfigValue(m_config.json, "wandb:tags");
        if (found && found->isArray())
            for (const Json &tag : found->asArray())
                if (tag.isString())
                    tags.push_back(tag.asString());
        return tags;
    }

    void finish(const char *flag, const char *name)
    {
        setConfigValue(m_config.json, flag, false, true);
        saveLqerConfig(m_config.json, path(fmt::format("pipeline/config_after_{}.toml", name)));
    }

    void profile(const TokenWindows &windows)
    {
        say(fmt::format("Profiling: {} windows of {} tokens of {}, in batches of {}", windows.windows.size(),
            m_config.profile.maxLength, escaped(windows.source), m_config.profile.batch));
        const auto calibrated = m_engine.calibrate(
            *m_model, *m_project, windows, {.batch = m_config.profile.batch, .autocorrelation = false}, m_context);
        m_project->save();
        const std::string file = path("profile/scale_dict.safetensors");
        fs::create_directories(path("profile"));
        writeScaleDictionary(file, *calibrated->stats, m_model->transformer());
        m_config.scaleDict = file;
        setConfigValue(m_config.json, "profile:scale_dict", file, true);
        finish("enable_profiling", "profiling");
    }

    void approximate()
    {
        const std::vector<const LinearSite *> layers = lqerLayers(m_config, sites());
        say(fmt::format(
            "Approximating: {} layers, {}", layers.size(), m_config.scaling == ScalingKind::MeanAbs ? "lqer-act" : "lqer-svd"));
        fs::create_directories(path("approximate"));
        const ApproximationFiles files{path("approximate/low_rank_dict.safetensors"),
            m_options.keepErrors ? path("approximate/error_T_dict.safetensors") : std::string()};
        const std::vector<ApproximationRow> rows
            = approximateLayers(m_engine, m_config, *m_model, *m_project, layers, files, m_context);
        writeApproximationTable(path("approximate/results.csv"), rows);
        writeApproximationSummary(path("approximate/results_summary.csv"), rows);
        m_config.lowRankDict = {files.lowRank};
        setConfigValue(m_config.json, "evaluate:low_rank_dict", files.lowRank, true);
        if (!files.errors.empty())
            setConfigValue(m_config.json, "visualize:error_T_dict", files.errors, true);
        finish("enable_approximation", "approximation");
    }

    // A and B from low_rank_dict; null under disable_lqer. The recipe's ranks become the dictionary's.
    std::shared_ptr<const CorrectionDictionary> corrections(QuantizationRecipe &recipe) const
    {
        if (m_config.disableLqer)
            return nullptr;
        auto dictionary = std::make_shared<const CorrectionDictionary>(lowRankFiles());
        dictionary->requireFits(sites());
        std::size_t others = 0;
        for (const LinearSite &site : sites()) {
            const Index rank = recipe.planFor(site).rank;
            if (rank == 0 || rank == dictionary->rank(site.name))
                continue;
            recipe.layers[site.name].rank = dictionary->rank(site.name);
            ++others;
        }
        if (others > 0)
            logWarning(fmt::format("{}: {} layers have another rank than the configuration says, or none: as the file has it",
                escaped(dictionary->description()), others));
        return dictionary;
    }

    std::vector<std::string> lowRankFiles() const
    {
        const std::string own = path("approximate/low_rank_dict.safetensors");
        std::vector<std::string> files;
        try {
            if (m_config.lowRankDict.empty())
                throw Error(ErrorCode::NotFound, m_config.file, "key 'evaluate'", "lacks 'low_rank_dict'");
            for (const std::string &file : m_config.lowRankDict)
                files.push_back(tensorFile(file));
        } catch (const Error &error) {
            std::error_code missing;
            if (error.code() != ErrorCode::NotFound || !fs::exists(own, missing))
                throw;
            logWarning(fmt::format("{}: {} is used", error.what(), own));
            files = {own};
        }
        return files;
    }

    void evaluatePerplexity(const TokenWindows &windows)
    {
        say(fmt::format("Evaluating perplexity: {} windows of {} tokens of {}{}", windows.windows.size(),
            m_config.perplexity.maxLength, escaped(windows.source), m_config.disableLqer ? ", without A and B" : ""));
        QuantizationRecipe recipe = lqerRecipe(m_config, LqerStage::Evaluate, sites());
        EvaluateOptions options;
        options.corrections = corrections(recipe);
        options.perplexity = officialPerplexity(*m_model, m_config.perplexity);
        options.originalPerplexity = options.layerErrors = false;
        const auto report = m_engine.evaluate(*m_model, *m_project, recipe, windows, options, m_context);
        m_result.perplexity = officialResult(report->perplexity.value());
        std::string name = m_config.perplexity.dataSet;
        std::ranges::replace(name, '/', '_');
        fs::create_directories(path("evaluate_perplexity"));
        writeFileAtomically(path(fmt::format("evaluate_perplexity/{}.json", name)), m_result.perplexity->dump(4));
        finish("enable_perplexity_evaluation", "perplexity_evaluation");
    }

    std::vector<TaskRequest> taskRequests() const;
    void evaluateTasks();

    const Engine &m_engine;
    LqerConfig m_config;
    const LqerPipelineOptions &m_options;
    const TaskContext &m_context;
    std::shared_ptr<const LoadedModel> m_model;
    std::shared_ptr<Project> m_project;
    LqerPipelineResult m_result;
};

std::vector<TaskRequest> Pipeline::taskRequests() const
{
    std::vector<TaskRequest> requests;
    for (const std::string &task : m_config.tasks.tasks)
        requests.push_back({.task = task, .fewShot = m_config.tasks.fewShot});
    return requests;
}

void Pipeline::evaluateTasks()
{
    say(fmt::format("Evaluating {} tasks, {}-shot", m_config.tasks.tasks.size(), m_config.tasks.fewShot));
    QuantizationRecipe recipe = lqerRecipe(m_config, LqerStage::Evaluate, sites());
    TasksOptions options;
    options.dataFolder = officialDataFolder(m_options.dataFolder);
    options.corrections = corrections(recipe);
    const std::shared_ptr<const TasksReport> report
        = m_engine.evaluateTasks(*m_model, m_project.get(), &recipe, taskRequests(), options, m_context);

    Json results = Json::object();
    m_result.taskTable.clear();
    double sum = 0;
    for (const TaskResult &task : report->tasks) {
        Json metrics = Json::object();
        for (const TaskMetric &metric : task.metrics)
            metrics.set(metric.name, metric.value).set(metric.name + "_stderr", metric.standardError);
        const TaskMetric *const accuracy = task.find("acc");
        sum += accuracy ? accuracy->value : 0;
        m_result.taskTable += fmt::format("{:<16} acc {}\n", task.task,
            accuracy ? fmt::format("{:.4f} +- {:.4f}", accuracy->value, accuracy->standardError) : "-");
        results.set(task.task, std::move(metrics));
    }
    m_result.taskTable += fmt::format("{:<16} acc {:.4f}\n", "mean", sum / static_cast<double>(report->tasks.size()));
    m_result.tasks
        = Json::object()
              .set("results", std::move(results))
              .set("config", Json::object().set("model", m_config.modelName).set("num_fewshot", m_config.tasks.fewShot));

    // An earlier result stays, as in the official code.
    fs::create_directories(path("evaluate_harness_downstream"));
    std::string file = path("evaluate_harness_downstream/harness_results.json");
    std::error_code error;
    for (int n = 0; fs::exists(file, error); ++n)
        file = path(fmt::format("evaluate_harness_downstream/harness_results_{}.json", n));
    writeFileAtomically(file, m_result.tasks->dump(4));
    finish("enable_harness_downstream_evaluation", "harness_downstream_evaluation");
}

}  // namespace

LqerPipelineResult runLqerPipeline(
    const Engine &engine, LqerConfig config, const LqerPipelineOptions &options, const TaskContext &context)
{
    return Pipeline(engine, std::move(config), options, context).run();
}

}  // namespace lqer
