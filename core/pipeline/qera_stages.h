// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/import/correction_dictionary.h"
#include "core/pipeline/qera_config.h"

namespace lqer {

// What QERA's two pipelines are given.
struct QeraRequest {
    QeraConfig config;
    std::string modelFolder;  // where the model lies; "": the configuration's model_name is a folder
    std::string dataFolder;  // with the data sets and tasks
};

// A request with its model opened and its layers decided.
struct QeraWork {
    const Engine &engine;
    QeraRequest request;
    std::shared_ptr<const LoadedModel> model;
    QuantizationRecipe recipe;
    std::vector<std::string> notes;  // one line each

    const QeraConfig &config() const { return request.config; }
    // Those that get A and B, in forward order.
    std::vector<const LinearSite *> correctedLayers() const;
};

// Throws Error(NotFound) if the model is no local folder, and what qeraRecipe() throws. Data sets and tasks are looked for now, before hours
// are spent; a fault in a task's rows is found here, too.
QeraWork openQera(const Engine &engine, const QeraRequest &request, const TaskContext &context);

// The project in `folder`, made if it is not there.
std::shared_ptr<Project> openOrCreateProject(const Engine &engine, const std::string &folder, const LoadedModel &model);

// Statistics of every input on the calibration set, as the official data loader cuts it. Null if no scaling needs them.
std::shared_ptr<const CalibrationResult> calibrateQera(const QeraWork &work, Project &project, const TaskContext &context);

// A row of approximation_error.csv.
struct ApproximationError {
    std::string layer;
    double mse = 0;  // mean of (W - W_q - (A B)^T)^2
    Index rank = 0;
    friend bool operator==(const ApproximationError &, const ApproximationError &) = default;
};
// layer_name,mse,rank; doubles as Python writes them.
void writeApproximationErrors(const std::string &path, std::span<const ApproximationError> rows);
// Throws Error(Format) naming file and line.
std::vector<ApproximationError> readApproximationErrors(const std::string &path);

// A and B of these layers: decomposed, if the project does not have them, and written. The table is there before the factors are.
std::vector<ApproximationError> approximateQera(const QeraWork &work, Project &project, std::span<const LinearSite *const> layers,
    const std::string &calibration, const std::string &errorsPath, const std::string &factorsPath, const TaskContext &context);

struct QeraResults {
    std::shared_ptr<const EvaluationReport> perplexity;  // null: not asked for
    std::shared_ptr<const TasksReport> tasks;  // null: not asked for
};
// The recipe with the ranks of these A and B.
QuantizationRecipe withRanksOf(
    const QuantizationRecipe &recipe, const CorrectionDictionary &corrections, const LoadedModel &model);
// Perplexity and downstream tasks as far as they are asked for, and their files in `folder` ("": none). corrections: A and B in place of the
// project's.
QeraResults evaluateQera(const QeraWork &work, Project &project, const std::string &calibration,
    std::shared_ptr<const CorrectionDictionary> corrections, const std::string &folder, const TaskContext &context);
// Whether every file that evaluateQera() would write is there.
bool isEvaluated(const QeraConfig &config, const std::string &folder);

inline constexpr const char *errorsFile = "approximation_error.csv";
inline constexpr const char *factorsFile = "AB_dict.safetensors";
inline constexpr const char *perplexityFile = "perplexity_results.yaml";
inline constexpr const char *tasksFile = "lm_eval_results.yaml";
inline constexpr const char *configFile = "config.yaml";
inline constexpr const char *resultFiles[] = {errorsFile, factorsFile, perplexityFile, tasksFile, configFile};
inline constexpr const char *projectFolder = "project.lqer";

}  // namespace lqer
