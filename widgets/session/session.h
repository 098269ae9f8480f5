// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QStringList>
#include <QTimer>
#include <QUndoStack>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "widgets/session/job_bridge.h"
#include "widgets/session/recipe_edit.h"

namespace lqer {

// Texts and amounts for calibration and evaluation, kept in the project.
struct RunSettings {
    QString calibrationText;
    QString evaluationText;
    int windowLength = 0;          // tokens; 0: the model's context, at most 2048
    int calibrationWindows = 64;
    int evaluationWindows = 0;     // 0: the whole text
    SpectrumExtent spectrum = SpectrumExtent::Estimated;  // of large layers that are decomposed
    bool divergence = true;        // also KL divergence and agreement with the original
    friend bool operator==(const RunSettings &, const RunSettings &) = default;
};

// What downstream tasks are asked, kept in the project.
struct TaskSettings {
    QString folder;         // with the tasks' JSON lines
    QStringList tasks;      // names in taskDefinitions()
    int fewShot = 0;        // solved examples in front of every item
    int limit = 0;          // items of each task; 0: all
    bool bos = false;       // special tokens as the tokenizer adds them
    bool original = false;  // also the model as it is in the checkpoint
    friend bool operator==(const TaskSettings &, const TaskSettings &) = default;
};

// What was measured of one layer with its factors as they will be stored.
struct RealisedError {
    std::string layer;
    LayerPlan plan;
    QString calibration;  // key of the statistics it was measured with
    LayerError error;
};

// One opened checkpoint with its project, and everything a person does to it. The only object panels talk to; lives on the GUI
// thread. Long work runs as jobs; what it finds arrives through the signals.
class Session final : public QObject {
    Q_OBJECT

public:
    // workFolder: where projects of checkpoints live until they are saved elsewhere.
    Session(std::shared_ptr<Engine> engine, QString workFolder, QObject *parent = nullptr);
    ~Session() override;

    // A checkpoint's or a project's folder; in the background. Ends in opened() or openFailed().
    void open(const QString &folder);
    void close();
    bool isOpen() const { return m_model != nullptr; }
    bool isOpening() const { return m_jobs.isBusy(QStringLiteral("open")); }
    QString folder() const;         // of the checkpoint
    QString projectFolder() const;
    QString title() const;          // name for the window

    // Copies the project to `folder` and goes on there. Throws Error.
    void saveAs(const QString &folder);
    // Writes the recipe under its name and the project. Throws Error.
    void save();
    bool isModified() const { return m_recipe != m_savedRecipe; }

    Engine &engine() const { return *m_engine; }
    JobBridge &jobs() { return m_jobs; }
    const JobBridge &jobs() const { return m_jobs; }
    QUndoStack &undoStack() { return m_undo; }
    const std::shared_ptr<const LoadedModel> &model() const { return m_model; }
    const std::shared_ptr<Project> &project() const { return m_project; }

    const QuantizationRecipe &recipe() const { return m_recipe; }
    // What the recipe means for every layer; never null while open.
    const std::shared_ptr<const LayerTable> &table() const { return m_table; }
    const LayerRow *row(const std::string &layer) const;
    const QString &calibration() const { return m_calibration; }  // key of the statistics in use, "" before
    // Small vectors of every site; null before calibration.
    const std::shared_ptr<const CalibrationStats> &statistics() const { return m_statistics; }

    // Layers in the order they were chosen; the first is the one the panels show.
    const std::vector<std::string> &selection() const { return m_selection; }
    const LayerRow *currentRow() const { return m_selection.empty() ? nullptr : row(m_selection.front()); }
    void select(std::vector<std::string> layers);

    // Edits: one step of undo each; a format or scaling that is not decomposed yet is, in the background.
    void apply(const RecipeTarget &target, const LayerSettings &settings, const QString &what);
    void setRecipe(const QuantizationRecipe &recipe, const QString &what);
    // Gives every decomposed layer the rank that removes most relative output error for the bits that all corrections take now
    // (math.md, "Cost of a rank, benefit of a rank"; a layer's weight is one over its output energy). One step of undo.
    void distributeRank();
    // While a marker is dragged: the rank that the panels show for the current layer, without a step of undo.
    void previewRank(int rank);
    void chooseRank(int rank);  // of all selected layers, ends the preview
    int shownRank() const;      // of the current layer, preview included

    const RunSettings &runSettings() const { return m_runSettings; }
    void setRunSettings(const RunSettings &settings);
    const TaskSettings &taskSettings() const { return m_taskSettings; }
    void setTaskSettings(const TaskSettings &settings);

    void calibrate();
    void decompose();
    void evaluate();
    void runAll();              // what is missing of the three
    void evaluateTasks();       // decomposes what is missing first
    bool isRunning() const { return runningJob() != nullptr; }
    std::shared_ptr<Job> runningJob() const;  // a stage or an export; null when none runs
    void pauseRun(bool paused);

    // What exporting a recipe would say and take: exportForecast() or exportFailed(). A newer question replaces an older one.
    void forecastExport(const QuantizationRecipe &recipe, const ExportRequest &request);
    // Decomposes what is missing and writes; ends in exportDone() or exportFailed(), or in neither if it was stopped.
    void exportModel(const QuantizationRecipe &recipe, const ExportRequest &request);

    // Stored measurements, oldest first.
    const std::vector<std::shared_ptr<const EvaluationReport>> &reports() const { return m_reports; }
    void removeReport(std::size_t index);
    // True if the report's recipe is the present one.
    bool isCurrent(const EvaluationReport &report) const;
    // The running job's report so far; null when none runs.
    const std::shared_ptr<const PerplexityReport> &runningPerplexity() const { return m_running; }
    // Whose it is, in words, and whether the recipe is still that one.
    QString runningTitle() const;
    bool isRunningCurrent() const { return m_runningRecipe == m_recipe; }
    // Newest measurement of the current layer under its present plan; none yet: empty.
    std::optional<RealisedError> realised() const;

    // The decomposition of the current layer under another format or scaling, for overlays: from the project, or computed in the
    // background (overlayReady()). Null until it is there.
    std::shared_ptr<const DecompositionRecord> overlay(const std::string &layer, const FormatSpec &format, ScalingKind scaling);

signals:
    void opened();
    void openFailed(const QString &message);
    void closed();
    void tableChanged();
    void selectionChanged();
    void recipeChanged();
    void rankPreviewed(int rank);
    void realisedChanged();
    void statisticsChanged();
    void reportsChanged();
    void runningPerplexityChanged();
    void runSettingsChanged();
    void overlayReady();
    void exportForecast(const lqer::ExportForecast &forecast);
    void exportDone(const std::shared_ptr<const lqer::ExportResult> &result);
    void exportFailed(const QString &message);
    // Something a person should know: shown in the status bar and the log.
    void message(const QString &text);

private:
    struct Opened;
    void install(const Opened &found);
    void installRecipe(const QuantizationRecipe &recipe);
    void refreshTable();
    void refreshStatistics();
    void refreshReports();
    void refill();            // decompose what the recipe needs and the project lacks, current layer first
    void realise();           // measure the current layer with quantized factors
    bool isRealised(const LayerRow &row) const;
    void saveDraft();
    WindowOptions windowOptions(int windows) const;
    DecomposeOptions decomposeOptions() const;
    void startStages(bool calibrate, bool decompose, bool evaluate, const QString &title);

    std::shared_ptr<Engine> m_engine;
    QString m_workFolder;
    std::shared_ptr<const LoadedModel> m_model;
    std::shared_ptr<Project> m_project;
    QuantizationRecipe m_recipe;
    QuantizationRecipe m_savedRecipe;
    QUndoStack m_undo;
    std::shared_ptr<const LayerTable> m_table;
    QString m_calibration;
    std::shared_ptr<const CalibrationStats> m_statistics;
    std::vector<std::string> m_selection;
    std::optional<int> m_previewedRank;
    RunSettings m_runSettings;
    TaskSettings m_taskSettings;
    std::vector<std::shared_ptr<const EvaluationReport>> m_reports;
    std::vector<std::string> m_reportIds;
    std::shared_ptr<const PerplexityReport> m_running;
    QuantizationRecipe m_runningRecipe;
    std::optional<RealisedError> m_realised;
    QTimer m_draftTimer;
    // Last: its jobs use everything above.
    JobBridge m_jobs;
};

}  // namespace lqer
