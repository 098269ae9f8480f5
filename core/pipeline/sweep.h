// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/eval/hardware_cost.h"
#include "core/pipeline/sweep_plan.h"

namespace lqer {

// Text or tokens as windows, as the caller was told but for the change.
using WindowsOf = std::function<std::shared_ptr<const TokenWindows>(const WindowChange &change)>;
// Downstream tasks of a model under a recipe (null: the original) with these statistics, as numbers by column ("arc_easy acc").
using SweepTasks = std::function<std::vector<std::pair<std::string, double>>(const QuantizationRecipe *recipe, const std::string &calibration, const TaskContext &context)>;

struct SweepOptions {
    std::string folder;    // keeps points/, one file for each that is done
    std::size_t jobs = 0;  // points evaluated at once; 0: as many as threads and memory allow. Changes no number
};

// One line of the table.
struct SweepRow {
    std::vector<std::string> labels;                    // of the point; empty: the original model
    std::string id;                                     // of everything that decides the numbers
    std::shared_ptr<const EvaluationReport> report;
    HardwareCost cost;
    std::vector<std::pair<std::string, double>> tasks;
    bool best = false;                                  // no other point is smaller (stored bits per weight) and at least as good, or as small and better
};

struct SweepResult {
    SweepPlan plan;
    std::string model;           // name of the checkpoint's folder
    std::string fingerprint;
    std::vector<SweepRow> rows;  // the original of each evaluation data first, then the points in the plan's order
    std::size_t measured = 0, reused = 0;
};

// Measures every combination. They share the project, so statistics and decompositions are made once; what folder/points holds of the same
// checkpoint, data and settings is taken from there, so a sweep that was stopped or killed carries on and ends with the same rows to the last
// bit. Reports go to the project in the plan's order at the end. tasks: null if the plan has none.
SweepResult runSweep(const Engine &engine, const LoadedModel &model, Project &project, const SweepPlan &plan, const std::vector<SweepPoint> &points,
                     const WindowsOf &calibration, const WindowsOf &evaluation, const SweepTasks &tasks, const SweepOptions &options, const TaskContext &context);

// results.csv, results.h5, best.txt, report.html and plots (perplexity-bits.svg, and against rank and samples where these vary). No times in
// any of them: the same rows give the same bytes.
void writeSweepResults(const SweepResult &result, const std::string &folder);
std::string sweepCsv(const SweepResult &result);
// Which points are best at their size, for people.
std::string bestOfSweep(const SweepResult &result);

}  // namespace lqer
