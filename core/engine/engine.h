// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/engine/layer_table.h"
#include "core/engine/loaded_model.h"
#include "core/engine/memory_estimate.h"
#include "core/eval/downstream/evaluate_tasks.h"
#include "core/eval/report.h"
#include "core/export/export_run.h"
#include "core/linalg/precision.h"
#include "core/project/project.h"
#include "core/recipe/check.h"
#include "core/task/task_context.h"

namespace lqer {

class CorrectionDictionary;  // core/import/correction_dictionary.h

struct EngineOptions {
    std::size_t threads = 0;        // 0: the processors this process may use
    int niceness = 0;               // of the threads that compute, above the calling thread's (ThreadPool)
    std::uint64_t memoryLimit = 0;  // bytes this process may take; 0: nine tenths of what the machine has free
};

// The steps of the main job, in order.
enum class Stage { Calibrate, Decompose, Evaluate };
std::string_view toString(Stage stage);         // "calibrate", "decompose", "evaluate"
Stage stageFromString(std::string_view name);   // throws Error(Argument)

struct CalibrationResult {
    std::shared_ptr<const CalibrationStats> stats;  // without autocorrelation matrices
    bool reused = false;                            // it was in the project already, no forward pass was needed
    double seconds = 0;
};

struct DecomposeOptions {
    std::string calibration;   // key; "": the project's latest complete one, or none
    Index maxRank = 0;         // factors are kept up to this rank; 0: all of min(in, out) up to 256, else 256, and never less
                               // than the plan's rank
    SpectrumExtent spectrum = SpectrumExtent::Estimated;  // of layers that are computed (DecompositionOptions)
    bool extendSpectra = false;  // layers that the project has with less of their spectrum are computed again
    Precision precision = Precision::BFloat16;  // of the iteration's products (error_decomposition.h); no part of what a decomposition is
                                                // known by, so one that the project has is used whichever it was made with
};

struct DecomposeResult {
    std::string calibration;                // key that was used, "" without
    std::size_t computed = 0, reused = 0;   // decompositions
    std::vector<std::shared_ptr<const DecompositionRecord>> layers;  // in forward order
    double seconds = 0;
};

struct EvaluateOptions {
    std::string title;                // "": made from the recipe
    std::string calibration;          // as in DecomposeOptions
    PerplexityOptions perplexity;
    bool originalPerplexity = true;   // the unquantized model on the same windows; reused from the project's reports
    bool divergence = false;          // KL divergence and agreement with the original model: two more passes
    DivergenceOptions divergenceOptions;
    bool layerErrors = true;          // measured weight and output error of every layer, A and B as quantized
    bool store = true;                // keep the report in the project
    // A and B of every layer that the recipe corrects, of the recipe's rank, in place of the project's factors: no decomposition and no
    // statistics are needed then, and the report is not kept.
    std::shared_ptr<const CorrectionDictionary> corrections;
};

// What is asked of a model beyond its perplexity. Tasks: core/eval/downstream/task.h.
struct TasksOptions {
    std::string dataFolder;             // JSON lines of the tasks (core/eval/downstream/task_rows.h)
    std::int64_t limit = 0;             // the first items of each task; 0: all
    TaskRules rules;
    std::string title;                  // "": made from the recipe
    std::string calibration;            // as in DecomposeOptions
    std::shared_ptr<const CorrectionDictionary> corrections;  // as in EvaluateOptions
    Transformer::ForwardOptions forward;
    bool keepAnswers = false;           // TaskResult::answers
    bool store = true;                  // keep a report in the project, if there is one
};

struct RunRequest {
    QuantizationRecipe recipe;
    std::shared_ptr<const TokenWindows> calibrationWindows;
    CalibrationOptions calibration;
    DecomposeOptions decompose;
    std::shared_ptr<const TokenWindows> evaluationWindows;
    EvaluateOptions evaluate;
    bool plain = false;                 // also the recipe without any correction
    std::vector<ScalingKind> compare;   // also the recipe under each of these scalings
    Stage runUntil = Stage::Evaluate;
};

struct RunResult {
    std::shared_ptr<const CalibrationResult> calibration;          // null: nothing in the request needs statistics
    std::vector<std::shared_ptr<const DecomposeResult>> decompositions;  // one per report, in the same order
    // Plain first if asked for, then `compare` in its order, then the recipe (left out if `compare` has the same already).
    std::vector<std::shared_ptr<const EvaluationReport>> reports;
    std::shared_ptr<const LayerTable> table;                       // of the recipe
};

// The façade: everything a front end does with models, through values. Every function may be called from any thread; long ones
// take a TaskContext (context() below, or the one a Job hands out), throw Cancelled when asked to stop and leave the project
// valid, with everything finished so far in it. Two stages that write into the same project should not run at once: they would
// do the same work twice.
class Engine {
public:
    explicit Engine(const EngineOptions &options = {});
    ~Engine();
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    ThreadPool &pool() const;
    std::uint64_t memoryLimit() const;  // resolved, bytes
    // For work on the calling thread.
    TaskContext context(Progress *progress = nullptr, std::stop_token stop = {}) const;

    // Opens a Hugging Face folder: config, tensor headers, tokenizer. A tokenizer that cannot be used is no reason to fail.
    std::shared_ptr<const LoadedModel> load(const std::string &folder, const TaskContext &context) const;

    // The model with W_q from an existing quantization of it: a GGUF file or a folder packed by GPTQ, AWQ or compressed-tensors. Given to
    // the functions below in the model's place, only corrections are computed. Throws Error that names tensor and mismatch.
    std::shared_ptr<const LoadedModel> withBase(const LoadedModel &model, const std::string &path, const TaskContext &context) const;

    // Throws Error(Unsupported) with the reason if the model has no tokenizer.
    std::shared_ptr<const TokenWindows> windows(const LoadedModel &model, const TextSource &source, const WindowOptions &options,
                                                const TaskContext &context) const;
    std::shared_ptr<const TokenWindows> tokenWindows(const LoadedModel &model, const std::string &npyPath,
                                                     const WindowOptions &options, const TaskContext &context) const;

    std::shared_ptr<Project> createProject(const std::string &folder, const LoadedModel &model) const;
    std::shared_ptr<Project> openProject(const std::string &folder) const;
    // The checkpoint the project is about. Throws Error(NotFound) if it is not where it was, Error(Conflict) if it has changed.
    std::shared_ptr<const LoadedModel> loadFor(const Project &project, const TaskContext &context) const;
    // The checkpoint lies elsewhere now. Throws Error(Conflict) if that folder's is another one.
    void relocate(Project &project, const LoadedModel &model) const;

    // Peak of resident memory that a stage will need beyond what is in use.
    MemoryEstimate estimateCalibration(const LoadedModel &model, const TokenWindows &windows, const CalibrationOptions &options) const;
    MemoryEstimate estimateDecomposition(const LoadedModel &model, const QuantizationRecipe &recipe, const DecomposeOptions &options) const;
    MemoryEstimate estimateEvaluation(const LoadedModel &model, const QuantizationRecipe *recipe, const TokenWindows &windows,
                                      const EvaluateOptions &options) const;

    // Problems of using the recipe on this model, with the project's statistics if there is a project.
    std::vector<RecipeProblem> check(const QuantizationRecipe &recipe, const LoadedModel &model, const Project *project = nullptr,
                                     const std::string &calibration = {}) const;

    // Stage 1. Keeps the statistics in the project, site by site; does nothing if they are there.
    std::shared_ptr<const CalibrationResult> calibrate(const LoadedModel &model, Project &project, const TokenWindows &windows,
                                                       const CalibrationOptions &options, const TaskContext &context) const;

    // Stage 1 without a forward pass: keeps what an imatrix file of llama.cpp says of the inputs (mean squares only, so nothing for
    // scalings lqer and exact).
    std::shared_ptr<const CalibrationResult> importImatrix(const LoadedModel &model, Project &project, const std::string &path,
                                                           const TaskContext &context) const;

    // Stage 2. Decomposes the error of every layer the recipe corrects; what is in the project already is left alone.
    std::shared_ptr<const DecomposeResult> decompose(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                     const DecomposeOptions &options, const TaskContext &context) const;
    // One layer. rank: the least rank its factors must be kept up to.
    std::shared_ptr<const DecompositionRecord> decomposeLayer(const LoadedModel &model, Project &project, const std::string &layer,
                                                              const FormatSpec &weightFormat, ScalingKind scaling, Index rank,
                                                              const DecomposeOptions &options, const TaskContext &context) const;

    // A and B of one layer from the stored factors: truncated to the plan's rank and quantized. Throws Error(NotFound) if it has not been
    // decomposed yet (or not up to this rank).
    std::shared_ptr<const LowRankCorrection> correction(const LoadedModel &model, Project &project, const std::string &layer,
                                                        const LayerPlan &plan, const std::string &calibration = {}) const;

    // Stage 3. What the recipe does to the model; every layer it corrects must have been decomposed.
    std::shared_ptr<const EvaluationReport> evaluate(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                     const TokenWindows &windows, const EvaluateOptions &options,
                                                     const TaskContext &context) const;
    // The model as it is in the checkpoint. Needs no project.
    std::shared_ptr<const EvaluationReport> evaluateOriginal(const LoadedModel &model, const TokenWindows &windows,
                                                             const EvaluateOptions &options, const TaskContext &context) const;

    // Downstream tasks. recipe: null for the model as it is in the checkpoint; else every layer it corrects must have been decomposed in the
    // project. project: null where there is none to keep the report in. Needs a tokenizer.
    std::shared_ptr<const TasksReport> evaluateTasks(const LoadedModel &model, Project *project, const QuantizationRecipe *recipe,
                                                     std::span<const TaskRequest> tasks, const TasksOptions &options, const TaskContext &context) const;

    // All stages up to request.runUntil. What is in the project already is reused: statistics, decompositions and reports of
    // the same recipe on the same windows (unless log-probabilities are asked for, which reports do not keep).
    std::shared_ptr<const RunResult> run(const LoadedModel &model, Project &project, const RunRequest &request,
                                         const TaskContext &context) const;

    // What the recipe means for every layer, from stored values only: fast enough for every move of a slider.
    std::shared_ptr<const LayerTable> layerTable(const LoadedModel &model, const Project &project, const QuantizationRecipe &recipe,
                                                 const std::string &calibration = {}) const;

    // The view of model, recipe and project that targets read. Refers to all three.
    std::unique_ptr<const ExportSource> exportSource(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                     const std::string &calibration = {}) const;
    // What an export would say and take, before anything is computed. Throws Error(Argument) on an unknown target or option.
    ExportForecast forecastExport(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe, const ExportRequest &request,
                                  const std::string &calibration = {}) const;
    // Writes the quantized, corrected model for other programs (exporters() lists the targets). Layers that the recipe corrects and that
    // are not decomposed yet are decomposed first. `request.path` is whole afterwards or what it was before.
    std::shared_ptr<const ExportResult> exportModel(const LoadedModel &model, Project &project, const QuantizationRecipe &recipe,
                                                    const ExportRequest &request, const TaskContext &context,
                                                    const std::string &calibration = {}) const;

    // Stored reports, oldest first. One that cannot be read is left out with a warning in the log.
    std::vector<std::shared_ptr<const EvaluationReport>> reports(const Project &project) const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

// The recipe with every layer under this scaling, and the recipe without any correction.
QuantizationRecipe withScaling(const QuantizationRecipe &recipe, ScalingKind scaling);
QuantizationRecipe withoutCorrection(const QuantizationRecipe &recipe);

}  // namespace lqer
