// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/sweep.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/engine/estimates.h"
#include "core/eval/report_fields.h"
#include "core/io/atomic_file.h"
#include "core/io/atomic_folder.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t pointVersion = 1;
constexpr std::int64_t decompositionRank = 256;  // DecomposeOptions::maxRank's default

// One thing to measure: a point, or the original model on a point's evaluation data.
struct Task {
    const SweepPoint *point = nullptr;  // whose data it is
    bool original = false;
    std::shared_ptr<const TokenWindows> calibration, evaluation;
    std::string calibrationKey;
    std::string id;
    std::string path;
    std::shared_ptr<const EvaluationReport> report;  // once it is done
    std::vector<std::pair<std::string, double>> tasks;
    bool reused = false;
};

class Sweep {
public:
    Sweep(const Engine &engine, const LoadedModel &model, Project &project, const SweepPlan &plan, const std::vector<SweepPoint> &points,
          const SweepTasks &tasks, const SweepOptions &options, const TaskContext &context)
        : m_engine(engine), m_model(model), m_project(project), m_plan(plan), m_points(points), m_measureTasks(tasks), m_options(options), m_context(context)
    {
    }

    SweepResult run(const WindowsOf &calibration, const WindowsOf &evaluation)
    {
        std::error_code error;
        fs::create_directories(fs::path(m_options.folder) / "points", error);
        if (error)
            throw Error(ErrorCode::Io, m_options.folder, "", fmt::format("cannot be made ({})", error.message()));
        makeTasks(calibration, evaluation);
        for (auto &[id, task] : m_tasks)
            restore(task);
        calibrate();
        decompose();
        evaluate();
        return collect();
    }

private:
    void makeTasks(const WindowsOf &calibration, const WindowsOf &evaluation)
    {
        std::map<std::string, std::shared_ptr<const TokenWindows>> calibrations, evaluations;
        const auto windows = [](const WindowsOf &make, auto &known, const WindowChange &change) {
            auto &entry = known[fmt::format("{} {} {}", change.windows.value_or(-1), change.length.value_or(-1), change.convention ? toString(*change.convention) : "")];
            if (!entry)
                entry = make(change);
            return entry;
        };
        // One for all, so that factors do not depend on which points are left to do.
        for (const SweepPoint &point : m_points)
            for (const auto &[layer, plan] : point.recipe.planFor(m_model.transformer().linearSites()).layers)
                m_maxRank = std::max(m_maxRank, plan.rank);
        if (m_maxRank <= decompositionRank)
            m_maxRank = 0;
        for (const SweepPoint &point : m_points) {
            Task task;
            task.point = &point;
            task.calibration = windows(calibration, calibrations, point.data.calibration);
            task.evaluation = windows(evaluation, evaluations, point.data.evaluation);
            Task original = task;
            original.original = true;
            m_order.push_back(add(std::move(original)));
            m_order.push_back(add(std::move(task)));
        }
    }

    // Returns the id. Points that come to the same thing are one task.
    std::string add(Task task)
    {
        const SweepData &data = task.point->data;
        Json key = Json::object();
        key.set("version", pointVersion).set("model", m_model.summary().fingerprint).set("base", m_model.base() ? m_model.base()->fingerprint() : "");
        key.set("evaluation", task.evaluation->hash).set("weighting", toString(data.weighting)).set("batch", data.weighting == LossWeighting::Batch ? data.evaluationBatch : 0);
        Json names = Json::array();
        for (const std::string &name : m_plan.tasks)
            names.append(name);
        key.set("tasks", std::move(names)).set("task_limit", m_plan.taskLimit).set("few_shot", m_plan.fewShot ? Json(*m_plan.fewShot) : Json());
        if (!task.original) {
            QuantizationRecipe recipe = task.point->recipe;
            recipe.name.clear();
            key.set("recipe", recipe.toJson()).set("calibration", task.calibration->hash).set("calibration_batch", data.calibrationBatch);
            key.set("divergence", data.divergence).set("max_rank", m_maxRank);
        }
        task.id = Hasher().add(key.dump()).hex();
        task.path = (fs::path(m_options.folder) / "points" / (task.id + ".json")).string();
        const std::string id = task.id;
        m_tasks.try_emplace(id, std::move(task));
        return id;
    }

    void restore(Task &task) const
    {
        std::error_code ignored;
        if (!fs::exists(task.path, ignored))
            return;
        try {
            const Json json = readJsonFile(task.path);
            const JsonReader reader(json, task.path);
            if (reader["id"].string() != task.id)
                reader["id"].fail("is another point's");
            auto report = std::make_shared<EvaluationReport>(EvaluationReport::fromJson(reader["report"].value(), task.path));
            if (!reader["tasks"].value().isObject())
                reader["tasks"].fail("is no table");
            for (const auto &[name, value] : reader["tasks"].value().asObject())
                task.tasks.emplace_back(name, readNumber(reader["tasks"], name));
            task.report = std::move(report);
            task.reused = true;
        } catch (const Error &error) {
            logWarning(fmt::format("measured again: {}", error.what()));
            task.tasks.clear();
        }
    }

    void calibrate()
    {
        std::map<std::string, std::string> keys;  // of windows and batch -> of the statistics
        for (auto &[id, task] : m_tasks) {
            if (task.original || task.report)
                continue;
            const std::int64_t batch = task.point->data.calibrationBatch;
            std::string &key = keys[fmt::format("{} {}", task.calibration->hash, batch)];
            if (key.empty())
                key = m_engine.calibrate(m_model, m_project, *task.calibration, {.batch = batch}, m_context)->stats->key();
            task.calibrationKey = key;
        }
    }

    void decompose()
    {
        for (auto &[id, task] : m_tasks)
            if (!task.original && !task.report)
                m_engine.decompose(m_model, m_project, task.point->recipe,
                                   {.calibration = task.calibrationKey, .maxRank = m_maxRank, .spectrum = SpectrumExtent::Leading}, m_context);
        if (m_project.isModified())
            m_project.save();
    }

    EvaluateOptions evaluateOptions(const Task &task, std::size_t group) const
    {
        const SweepData &data = task.point->data;
        EvaluateOptions options;
        options.calibration = task.calibrationKey;
        options.perplexity.weighting = data.weighting;
        options.perplexity.batch = data.evaluationBatch;
        options.perplexity.forward.group = options.divergenceOptions.forward.group = group;
        options.divergence = data.divergence;
        options.originalPerplexity = false;
        options.store = false;
        return options;
    }

    void evaluate()
    {
        std::vector<Task *> open;
        for (const std::string &id : m_order)
            if (Task &task = m_tasks.at(id); !task.report && std::ranges::find(open, &task) == open.end())
                open.push_back(&task);
        if (open.empty())
            return;
        // So many at once that all of them fit, each with its part of the memory for hidden states.
        std::size_t jobs = std::min({m_options.jobs > 0 ? m_options.jobs : m_engine.pool().threads(), open.size(), std::size_t(64)});
        std::uint64_t need = 0, free = 0;
        std::size_t group = 0;
        const auto measure = [&] {
            need = 0;
            for (const Task *task : open) {
                const MemoryEstimate whole = m_engine.estimateEvaluation(m_model, task->original ? nullptr : &task->point->recipe, *task->evaluation, evaluateOptions(*task, 1));
                free = whole.limit;
                group = fittingGroup(*task->evaluation, m_model.transformer().config(), m_engine.pool().threads(), free / jobs);
                if (group == 0)
                    group = task->evaluation->windows.size();
                need = std::max(need, m_engine.estimateEvaluation(m_model, task->original ? nullptr : &task->point->recipe, *task->evaluation, evaluateOptions(*task, group)).bytes);
            }
        };
        for (measure(); jobs > 1 && need * jobs > free; measure())
            --jobs;
        m_context.beginStage("evaluating", open.size());
        const TaskContext silent = m_context.silent();
        std::atomic<std::size_t> next = 0;
        std::exception_ptr failure;
        std::stop_source failed;  // of another point: no further ones are begun
        const auto work = [&] {
            while (true) {
                const std::size_t i = next.fetch_add(1);
                if (i >= open.size() || failed.stop_requested())
                    return;
                try {
                    measureOne(*open[i], jobs, silent);
                    const std::lock_guard lock(m_mutex);
                    m_context.advance();
                } catch (...) {
                    const std::lock_guard lock(m_mutex);
                    if (!failure)
                        failure = std::current_exception();
                    failed.request_stop();
                    return;
                }
            }
        };
        {
            std::vector<std::jthread> threads;
            for (std::size_t i = 1; i < jobs; ++i)
                threads.emplace_back(work);
            work();
        }
        if (failure)
            std::rethrow_exception(failure);
    }

    void measureOne(Task &task, std::size_t jobs, const TaskContext &context)
    {
        context.checkStop();
        const QuantizationRecipe *recipe = task.original ? nullptr : &task.point->recipe;
        const std::uint64_t free = m_engine.estimateEvaluation(m_model, recipe, *task.evaluation, evaluateOptions(task, 1)).limit;
        const std::size_t group = fittingGroup(*task.evaluation, m_model.transformer().config(), m_engine.pool().threads(), free / jobs);
        EvaluateOptions options = evaluateOptions(task, group == 0 ? task.evaluation->windows.size() : group);
        options.title = task.original ? "original" : recipe->name;
        auto report = task.original ? m_engine.evaluateOriginal(m_model, *task.evaluation, options, context)
                                    : m_engine.evaluate(m_model, m_project, *recipe, *task.evaluation, options, context);
        if (m_measureTasks)
            task.tasks = m_measureTasks(recipe, task.calibrationKey, context);
        Json values = Json::object();
        for (const auto &[name, value] : task.tasks)
            values.set(name, value);
        const Json json = Json::object().set("version", pointVersion).set("id", task.id).set("report", report->toJson()).set("tasks", std::move(values));
        AtomicFile file(task.path);
        file.write(json.dump(1));
        file.commit();
        task.report = std::move(report);
    }

    SweepResult collect()
    {
        SweepResult result;
        result.plan = m_plan;
        result.model = fs::path(resolvedPath(m_model.summary().folder)).filename().string();
        result.fingerprint = m_model.summary().fingerprint;
        std::map<std::string, bool> shown;
        const Transformer &transformer = m_model.transformer();
        for (std::size_t i = 0; i < m_order.size(); ++i) {
            const Task &task = m_tasks.at(m_order[i]);
            const bool first = !std::exchange(shown[task.id], true);
            if (first)
                ++(task.reused ? result.reused : result.measured);
            if (task.original && !first)
                continue;
            // A point takes its own names: the one that was measured may have been called otherwise.
            const SweepPoint &point = m_points[i / 2];
            auto report = std::make_shared<EvaluationReport>(*task.report);
            SweepRow row;
            if (!task.original) {
                row.labels = point.labels;
                report->recipe = point.recipe;
                report->title = point.recipe.name;
                report->original = m_tasks.at(m_order[i - 1]).report->perplexity;
            }
            row.id = task.id;
            row.cost = reportCost(transformer, result.fingerprint, *report, {}).value();
            row.tasks = task.tasks;
            row.report = std::move(report);
            result.rows.push_back(std::move(row));
        }
        std::ranges::stable_partition(result.rows, [](const SweepRow &row) { return row.labels.empty(); });
        markBest(result.rows);
        storeReports(result.rows);
        return result;
    }

    static void markBest(std::vector<SweepRow> &rows)
    {
        const auto bits = [](const SweepRow &row) { return row.report->footprint->stored.withCorrection; };
        const auto loss = [](const SweepRow &row) { return row.report->perplexity->headline(); };
        const auto sameData = [](const SweepRow &x, const SweepRow &y) {
            return x.report->perplexity->dataHash == y.report->perplexity->dataHash && x.report->perplexity->weighting == y.report->perplexity->weighting;
        };
        for (SweepRow &row : rows)
            row.best = !row.labels.empty() && std::ranges::none_of(rows, [&](const SweepRow &other) {
                return !other.labels.empty() && sameData(other, row) && bits(other) <= bits(row) && loss(other) <= loss(row) && (bits(other) < bits(row) || loss(other) < loss(row));
            });
    }

    void storeReports(const std::vector<SweepRow> &rows)
    {
        if (m_project.isReadOnly())
            return;
        std::vector<Json> stored;
        for (const StoredReport &report : m_project.reports())
            stored.push_back(*report.report);
        for (const SweepRow &row : rows) {
            if (row.labels.empty())
                continue;
            Json json = row.report->toJson();
            if (std::ranges::find(stored, json) != stored.end())
                continue;
            m_project.storeReport(json);
            stored.push_back(std::move(json));
        }
        m_project.save();
    }

    const Engine &m_engine;
    const LoadedModel &m_model;
    Project &m_project;
    const SweepPlan &m_plan;
    const std::vector<SweepPoint> &m_points;
    const SweepTasks &m_measureTasks;
    const SweepOptions &m_options;
    const TaskContext m_context;
    Index m_maxRank = 0;
    std::map<std::string, Task> m_tasks;  // by id
    std::vector<std::string> m_order;     // original and point in turn, in the plan's order
    std::mutex m_mutex;
};

}  // namespace

SweepResult runSweep(const Engine &engine, const LoadedModel &model, Project &project, const SweepPlan &plan, const std::vector<SweepPoint> &points,
                     const WindowsOf &calibration, const WindowsOf &evaluation, const SweepTasks &tasks, const SweepOptions &options, const TaskContext &context)
{
    if (points.empty())
        throw Error(ErrorCode::Argument, "nothing to sweep over");
    return Sweep(engine, model, project, plan, points, tasks, options, context).run(calibration, evaluation);
}

}  // namespace lqer
