// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/session/session.h"

#include <QDir>
#include <QFileInfo>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/eval/quantized_forward.h"
#include "core/quant/quantizer.h"
#include "core/recon/allocation.h"
#include "widgets/text/number_text.h"
#include "widgets/text/recipe_text.h"

namespace lqer {

namespace {

constexpr int draftMilliseconds = 1000;
constexpr int longestDefaultWindow = 2048;
const QString openTag = QStringLiteral("open");
const QString runTag = QStringLiteral("run");
const QString refillTag = QStringLiteral("refill");
const QString realiseTag = QStringLiteral("realise");
const QString exportTag = QStringLiteral("export");
const QString forecastTag = QStringLiteral("forecast");

Json toJson(const RunSettings &settings)
{
    Json json = Json::object();
    json.set("calibrationText", settings.calibrationText.toStdString());
    json.set("evaluationText", settings.evaluationText.toStdString());
    json.set("windowLength", settings.windowLength);
    json.set("calibrationWindows", settings.calibrationWindows);
    json.set("evaluationWindows", settings.evaluationWindows);
    json.set("spectrum", toString(settings.spectrum));
    json.set("divergence", settings.divergence);
    return json;
}

RunSettings runSettingsFrom(const JsonReader &json, RunSettings fallback)
{
    RunSettings settings;
    constexpr std::int64_t most = 1 << 30;
    settings.calibrationText = QString::fromStdString(json.string("calibrationText", fallback.calibrationText.toStdString()));
    settings.evaluationText = QString::fromStdString(json.string("evaluationText", fallback.evaluationText.toStdString()));
    settings.windowLength = static_cast<int>(json.integer("windowLength", 0, most, fallback.windowLength));
    settings.calibrationWindows = static_cast<int>(json.integer("calibrationWindows", 1, most, fallback.calibrationWindows));
    settings.evaluationWindows = static_cast<int>(json.integer("evaluationWindows", 0, most, fallback.evaluationWindows));
    settings.spectrum = spectrumExtentFromString(json.string("spectrum", std::string(toString(fallback.spectrum))));
    settings.divergence = json.boolean("divergence", fallback.divergence);
    return settings;
}

Json toJson(const TaskSettings &settings)
{
    Json tasks = Json::array();
    for (const QString &task : settings.tasks)
        tasks.append(task.toStdString());
    Json json = Json::object();
    json.set("folder", settings.folder.toStdString());
    json.set("tasks", std::move(tasks));
    json.set("fewShot", settings.fewShot);
    json.set("limit", settings.limit);
    json.set("bos", settings.bos);
    json.set("original", settings.original);
    return json;
}

TaskSettings taskSettingsFrom(const JsonReader &json)
{
    TaskSettings settings;
    settings.folder = QString::fromStdString(json.string("folder", {}));
    const JsonReader tasks = json["tasks"];
    for (std::size_t i = 0; i < tasks.size(); ++i)
        settings.tasks << QString::fromStdString(std::string(taskDefinition(tasks.at(i).string()).name));
    settings.fewShot = static_cast<int>(json.integer("fewShot", 0, 100, 0));
    settings.limit = static_cast<int>(json.integer("limit", 0, 1 << 20, 0));
    settings.bos = json.boolean("bos", false);
    settings.original = json.boolean("original", false);
    return settings;
}

// Texts that lie beside a checkpoint under their usual names.
RunSettings defaultRunSettings(const QString &checkpoint)
{
    RunSettings settings;
    const QDir folder(checkpoint);
    if (folder.exists(QStringLiteral("calibration.txt")))
        settings.calibrationText = folder.absoluteFilePath(QStringLiteral("calibration.txt"));
    if (folder.exists(QStringLiteral("evaluation.txt")))
        settings.evaluationText = folder.absoluteFilePath(QStringLiteral("evaluation.txt"));
    return settings;
}

QuantizationRecipe startingRecipe(const LoadedModel &model)
{
    return withSensibleRanks(defaultRecipe(), model.transformer().linearSites());
}

// Of a text, or of token ids for a model whose tokenizer is not there.
std::shared_ptr<const TokenWindows> windowsOf(const Engine &engine, const LoadedModel &model, const QString &path, const WindowOptions &options, const TaskContext &context)
{
    if (path.endsWith(QLatin1String(".npy"), Qt::CaseInsensitive))
        return engine.tokenWindows(model, path.toStdString(), options, context);
    return engine.windows(model, TextSource{path.toStdString(), "text"}, options, context);
}

bool needsDecomposition(const LayerRow &row)
{
    return row.plan.quantize && !row.ready;
}

}  // namespace

struct Session::Opened {
    std::shared_ptr<const LoadedModel> model;
    std::shared_ptr<Project> project;
};

Session::Session(std::shared_ptr<Engine> engine, QString workFolder, QObject *parent)
    : QObject(parent), m_engine(std::move(engine)), m_workFolder(std::move(workFolder)), m_jobs(m_engine->pool())
{
    m_draftTimer.setSingleShot(true);
    m_draftTimer.setInterval(draftMilliseconds);
    connect(&m_draftTimer, &QTimer::timeout, this, &Session::saveDraft);
    connect(&m_jobs, &JobBridge::finished, this, [this](const std::shared_ptr<Job> &job) {
        const QString tag = QString::fromStdString(job->tag());
        if (tag == runTag && std::exchange(m_running, nullptr))
            emit runningPerplexityChanged();  // what was found so far is nobody's once the run stopped
        if (job->state() != JobState::Failed)
            return;
        const QString text = QString::fromStdString(job->error());
        if (tag == openTag) {
            emit openFailed(text);
            return;
        }
        if (tag == exportTag || tag == forecastTag)
            emit exportFailed(text);
        emit message(tr("%1: %2").arg(QString::fromStdString(job->title()), text));
    });
}

Session::~Session()
{
    m_jobs.cancelAll();
    m_jobs.finishAll();
    saveDraft();
}

QString Session::folder() const
{
    return m_model ? QString::fromStdString(m_model->summary().folder) : QString();
}

QString Session::projectFolder() const
{
    return m_project ? QString::fromStdString(m_project->folder()) : QString();
}

QString Session::title() const
{
    return m_model ? QFileInfo(QDir(folder()).absolutePath()).fileName() : QString();
}

void Session::open(const QString &folder)
{
    const QString absolute = QFileInfo(folder).absoluteFilePath();
    auto engine = m_engine;
    m_jobs.start(
        JobLane::Interactive, openTag, tr("Opening %1").arg(QFileInfo(absolute).fileName()),
        [this, engine, absolute, work = m_workFolder](const TaskContext &context) -> JobBridge::Delivery {
            Opened found;
            const std::string path = absolute.toStdString();
            if (Project::isProject(path)) {
                found.project = engine->openProject(path);
                found.model = engine->loadFor(*found.project, context);
            } else {
                found.model = engine->load(path, context);
                // The same checkpoint finds its project again, whatever it was called.
                const QString name = QStringLiteral("%1-%2.lqer").arg(QFileInfo(absolute).fileName(), QString::fromStdString(found.model->summary().fingerprint).left(8));
                const QString projectFolder = QDir(work).absoluteFilePath(name);
                QDir().mkpath(work);
                found.project = Project::isProject(projectFolder.toStdString()) ? engine->openProject(projectFolder.toStdString())
                                                                               : engine->createProject(projectFolder.toStdString(), *found.model);
                if (found.project->checkpoint().folder != path && !found.project->isReadOnly())
                    engine->relocate(*found.project, *found.model);
            }
            return [this, found] { install(found); };
        });
}

void Session::install(const Opened &found)
{
    // A project that was open here already held itself back; once it is closed it can be had to write, with what closing saved.
    const bool again = m_project && m_project->folder() == found.project->folder() && !m_project->isReadOnly();
    close();
    m_model = found.model;
    m_project = found.project;
    if (again) {
        try {
            m_project = m_engine->openProject(m_project->folder());
        } catch (const Error &error) {
            emit message(safeText(error.what()));
        }
    }
    const QString checkpoint = QString::fromStdString(m_model->checkpoint().folder());
    m_runSettings = defaultRunSettings(checkpoint);
    m_taskSettings = {};
    m_taskSettings.folder = qEnvironmentVariable("LQER_DATA");
    m_savedRecipe = m_recipe = startingRecipe(*m_model);
    const Json settings = m_project->settings();
    try {
        const JsonReader json(settings, "project settings");
        if (settings.isObject() && json.has("run"))
            m_runSettings = runSettingsFrom(json["run"], m_runSettings);
        if (settings.isObject() && json.has("tasks"))
            m_taskSettings = taskSettingsFrom(json["tasks"]);
        if (settings.isObject() && json.has("saved"))
            m_savedRecipe = QuantizationRecipe::fromJson(json["saved"].value(), "project settings");
        if (settings.isObject() && json.has("draft"))
            m_recipe = QuantizationRecipe::fromJson(json["draft"].value(), "project settings");
    } catch (const Error &error) {
        logWarning(std::string("settings of the project are not used: ") + error.what());
    }
    m_undo.clear();
    refreshStatistics();
    refreshReports();
    refreshTable();
    if (!m_table->rows.empty())
        m_selection = {m_table->rows.front().site.name};
    for (const std::string &note : m_project->notes())
        emit message(safeText(note));
    for (const std::string &warning : m_model->summary().warnings)
        emit message(safeText(warning));
    emit opened();
    emit recipeChanged();
    emit selectionChanged();
    realise();
}

void Session::close()
{
    if (!isOpen())
        return;
    m_jobs.cancelAll();
    m_jobs.finishAll();
    saveDraft();
    m_selection.clear();
    m_previewedRank.reset();
    m_realised.reset();
    m_running.reset();
    m_reports.clear();
    m_statistics.reset();
    m_calibration.clear();
    m_table.reset();
    m_undo.clear();
    m_project.reset();
    m_model.reset();
    emit closed();
}

void Session::saveDraft()
{
    m_draftTimer.stop();
    if (!m_project || m_project->isReadOnly())
        return;
    Json settings = Json::object();
    settings.set("run", toJson(m_runSettings));
    settings.set("tasks", toJson(m_taskSettings));
    settings.set("saved", m_savedRecipe.toJson());
    settings.set("draft", m_recipe.toJson());
    if (settings == m_project->settings() && !m_project->isModified())
        return;
    m_project->setSettings(settings);
    try {
        m_project->save();
    } catch (const Error &error) {
        emit message(tr("Autosave failed: %1").arg(safeText(error.what())));
    }
}

void Session::save()
{
    if (!m_project)
        return;
    m_savedRecipe = m_recipe;
    m_project->storeRecipe(m_recipe);
    saveDraft();
    emit recipeChanged();
}

void Session::saveAs(const QString &folder)
{
    if (!m_project)
        return;
    m_jobs.cancelAll();
    m_jobs.finishAll();
    save();
    const QDir source(projectFolder());
    const QDir target(folder);
    if (target.exists() && !target.isEmpty())
        throw Error(ErrorCode::Conflict, folder.toStdString(), {}, "the folder is not empty: choose another name");
    const auto copyTree = [](const auto &self, const QDir &from, const QString &to) -> void {
        QDir().mkpath(to);
        for (const QFileInfo &entry : from.entryInfoList(QDir::Files | QDir::Dirs | QDir::NoDotAndDotDot)) {
            const QString place = to + QLatin1Char('/') + entry.fileName();
            if (entry.isDir())
                self(self, QDir(entry.absoluteFilePath()), place);
            else if (!QFile::copy(entry.absoluteFilePath(), place))
                throw Error(ErrorCode::Io, place.toStdString(), {}, "could not be written: is there room on the disk?");
        }
    };
    try {
        copyTree(copyTree, source, folder);
    } catch (const Error &) {
        QDir(folder).removeRecursively();
        throw;
    }
    m_project = m_engine->openProject(folder.toStdString());
    emit message(tr("Saved as %1").arg(folder));
    emit recipeChanged();
}

const LayerRow *Session::row(const std::string &layer) const
{
    if (!m_table)
        return nullptr;
    const auto found = std::find_if(m_table->rows.begin(), m_table->rows.end(), [&](const LayerRow &one) { return one.site.name == layer; });
    return found == m_table->rows.end() ? nullptr : &*found;
}

void Session::refreshTable()
{
    m_table = m_engine->layerTable(*m_model, *m_project, m_recipe, m_calibration.toStdString());
    emit tableChanged();
}

void Session::refreshStatistics()
{
    m_statistics.reset();
    m_calibration.clear();
    for (const std::string &key : m_project->calibrationKeys())
        if (m_project->isCalibrationComplete(key))
            m_calibration = QString::fromStdString(key);
    if (!m_calibration.isEmpty())
        m_statistics = m_project->calibration(m_calibration.toStdString());
    emit statisticsChanged();
}

void Session::refreshReports()
{
    m_reports = m_engine->reports(*m_project);
    m_reportIds.clear();
    for (const StoredReport &stored : m_project->reports())
        m_reportIds.push_back(stored.id);
    emit reportsChanged();
}

void Session::removeReport(std::size_t index)
{
    if (index >= m_reports.size() || m_reportIds.size() != m_reports.size())
        return;
    m_project->removeReport(m_reportIds[index]);
    m_draftTimer.start();
    refreshReports();
}

bool Session::isCurrent(const EvaluationReport &report) const
{
    return report.recipe && *report.recipe == m_recipe;
}

void Session::select(std::vector<std::string> layers)
{
    std::erase_if(layers, [this](const std::string &layer) { return row(layer) == nullptr; });
    if (layers == m_selection)
        return;
    const bool otherCurrent = layers.empty() || m_selection.empty() || layers.front() != m_selection.front();
    m_selection = std::move(layers);
    if (otherCurrent)
        m_previewedRank.reset();
    emit selectionChanged();
    realise();
}

void Session::apply(const RecipeTarget &target, const LayerSettings &settings, const QString &what)
{
    if (!isOpen())
        return;
    setRecipe(withSettings(m_recipe, target, settings, m_model->transformer().linearSites()), tr("%1 of %2").arg(what, target.describe()));
}

void Session::setRecipe(const QuantizationRecipe &recipe, const QString &what)
{
    m_previewedRank.reset();
    if (!isOpen() || recipe == m_recipe)
        return;
    m_undo.push(new RecipeEdit(what, m_recipe, recipe, [this](const QuantizationRecipe &changed) { installRecipe(changed); }));
}

void Session::installRecipe(const QuantizationRecipe &recipe)
{
    m_recipe = recipe;
    m_previewedRank.reset();
    refreshTable();
    m_draftTimer.start();
    emit recipeChanged();
    refill();
    realise();
}

void Session::previewRank(int rank)
{
    m_previewedRank = rank;
    emit rankPreviewed(rank);
}

void Session::chooseRank(int rank)
{
    m_previewedRank.reset();
    if (m_selection.empty())
        return;
    // A layer cannot have more components than it has rows or columns.
    QuantizationRecipe after = m_recipe;
    for (const std::string &layer : m_selection) {
        const LayerRow *chosen = row(layer);
        if (chosen)
            after.layers[layer].rank = std::min<Index>(rank, std::min(chosen->site.in, chosen->site.out));
    }
    RecipeTarget target;
    target.layers = m_selection;
    setRecipe(after, tr("Rank %1 of %2").arg(rank).arg(target.describe()));
}

void Session::distributeRank()
{
    if (!isOpen())
        return;
    // A and B are stored in blocks: steps of a few components keep them full.
    constexpr Index step = 4;
    std::vector<std::string> layers;
    std::vector<RankCandidate> candidates;
    double budget = 0;
    for (const LayerRow &row : m_table->rows) {
        const auto &record = row.decomposition;
        if (!row.plan.quantize || !row.ready || !record || !record->outputKnown || record->outputEnergy <= 0 || record->totalEnergy <= 0)
            continue;
        const Index rank = std::max<Index>(1, row.plan.rank);
        LayerPlan plan = row.plan;
        plan.rank = rank;
        const double bits = 8.0 * static_cast<double>(layerFootprint(row.site, plan, row.footprint.originalBytes, 0).correctionBytes)
            / static_cast<double>(rank * (row.site.in + row.site.out));
        budget += bits * static_cast<double>(row.plan.rank * (row.site.in + row.site.out));
        RankCandidate candidate;
        candidate.sigma = record->sigma.head(std::min<Index>(record->maxRank, record->sigma.size()));
        candidate.in = row.site.in;
        candidate.out = row.site.out;
        candidate.weight = record->outputError / record->totalEnergy / record->outputEnergy;
        candidate.aBits = candidate.bBits = bits;
        layers.push_back(row.site.name);
        candidates.push_back(std::move(candidate));
    }
    if (candidates.empty() || budget <= 0) {
        emit message(tr("Nothing to distribute: calibrate and decompose first, with some rank."));
        return;
    }
    // Factors of some ranks fill their blocks worse than others: the budget shrinks until the model is not larger than it was.
    const auto &transformer = m_model->transformer();
    QuantizationRecipe after;
    for (int attempt = 0; attempt < 8; ++attempt) {
        const RankAllocation allocation = allocateRanks(candidates, budget, step);
        after = m_recipe;
        for (std::size_t i = 0; i < layers.size(); ++i)
            after.layers[layers[i]].rank = allocation.ranks[i];
        const double tooMuch = 8 * (static_cast<double>(footprint(transformer, after.planFor(transformer.linearSites())).bytes) - static_cast<double>(m_table->footprint.bytes));
        if (tooMuch <= 0)
            break;
        budget = std::max(0.0, budget - tooMuch);
    }
    setRecipe(after, tr("Distribute rank by benefit"));
}

int Session::shownRank() const
{
    if (m_previewedRank)
        return *m_previewedRank;
    const LayerRow *current = currentRow();
    return current ? static_cast<int>(current->plan.rank) : 0;
}

void Session::setRunSettings(const RunSettings &settings)
{
    if (settings == m_runSettings)
        return;
    m_runSettings = settings;
    m_draftTimer.start();
    emit runSettingsChanged();
}

void Session::setTaskSettings(const TaskSettings &settings)
{
    if (settings == m_taskSettings)
        return;
    m_taskSettings = settings;
    m_draftTimer.start();
}

WindowOptions Session::windowOptions(int windows) const
{
    WindowOptions options;
    const auto context = static_cast<int>(m_model->summary().contextLength);
    options.length = m_runSettings.windowLength > 0 ? m_runSettings.windowLength : std::min(context, longestDefaultWindow);
    options.maxWindows = windows;
    return options;
}

DecomposeOptions Session::decomposeOptions() const
{
    DecomposeOptions options;
    options.calibration = m_calibration.toStdString();
    options.spectrum = m_runSettings.spectrum;
    return options;
}

std::shared_ptr<Job> Session::runningJob() const
{
    for (const std::shared_ptr<Job> &job : m_jobs.active())
        if (job->tag() == runTag.toStdString() || job->tag() == exportTag.toStdString())
            return job;
    return nullptr;
}

QString Session::runningTitle() const
{
    return isOpen() ? recipeText(m_runningRecipe, m_model->transformer().linearSites()) : QString();
}

void Session::pauseRun(bool paused)
{
    if (const auto job = runningJob())
        job->setPaused(paused);
}

void Session::calibrate()
{
    startStages(true, false, false, tr("Calibrating"));
}

void Session::decompose()
{
    startStages(false, true, false, tr("Decomposing"));
}

void Session::evaluate()
{
    startStages(false, true, true, tr("Evaluating"));
}

void Session::runAll()
{
    startStages(true, true, true, tr("Calibrating, decomposing, evaluating"));
}

void Session::startStages(bool calibrate, bool decompose, bool evaluate, const QString &title)
{
    if (!isOpen())
        return;
    if (calibrate && m_runSettings.calibrationText.isEmpty()) {
        emit message(tr("Choose a calibration text first (Runs panel)."));
        return;
    }
    if (evaluate && m_runSettings.evaluationText.isEmpty()) {
        emit message(tr("Choose an evaluation text first (Runs panel)."));
        return;
    }
    m_jobs.cancel(refillTag);
    m_running.reset();
    m_runningRecipe = m_recipe;
    auto engine = m_engine;
    auto model = m_model;
    auto project = m_project;
    m_jobs.start(JobLane::Batch, runTag, title,
                 [this, engine, model, project, calibrate, decompose, evaluate, recipe = m_recipe, name = runningTitle().toStdString(), settings = m_runSettings,
                  calibrationWindows = windowOptions(m_runSettings.calibrationWindows), evaluationWindows = windowOptions(m_runSettings.evaluationWindows),
                  calibration = m_calibration.toStdString()](const TaskContext &context) -> JobBridge::Delivery {
                     std::string key = calibration;
                     if (calibrate) {
                         const auto windows = windowsOf(*engine, *model, settings.calibrationText, calibrationWindows, context);
                         key = engine->calibrate(*model, *project, *windows, CalibrationOptions{}, context)->stats->key();
                         m_jobs.post([this] {
                             refreshStatistics();
                             refreshTable();
                         });
                     }
                     if (decompose) {
                         DecomposeOptions options;
                         options.calibration = key;
                         options.spectrum = settings.spectrum;
                         options.extendSpectra = !evaluate;  // a measurement does not need more of them
                         engine->decompose(*model, *project, recipe, options, context);
                         m_jobs.post([this] { refreshTable(); });
                     }
                     std::shared_ptr<const EvaluationReport> report;
                     if (evaluate) {
                         const auto windows = windowsOf(*engine, *model, settings.evaluationText, evaluationWindows, context);
                         EvaluateOptions options;
                         options.title = name;
                         options.calibration = key;
                         options.divergence = settings.divergence;
                         // Groups of windows let the running value appear while the rest is still computed.
                         options.perplexity.forward.group = std::max<std::size_t>(8, windows->windows.size() / 20);
                         options.perplexity.afterGroup = [this](const PerplexityReport &soFar) {
                             auto shared = std::make_shared<const PerplexityReport>(soFar);
                             m_jobs.post([this, shared] {
                                 m_running = shared;
                                 emit runningPerplexityChanged();
                             });
                         };
                         report = engine->evaluate(*model, *project, recipe, *windows, options, context);
                     }
                     return [this, report] {
                         m_running.reset();
                         refreshTable();
                         if (report)
                             refreshReports();
                         emit runningPerplexityChanged();
                         realise();
                         refill();
                     };
                 });
}

void Session::evaluateTasks()
{
    if (!isOpen() || isRunning() || m_taskSettings.tasks.isEmpty())
        return;
    m_jobs.cancel(refillTag);
    m_running.reset();
    m_runningRecipe = m_recipe;
    m_jobs.start(JobLane::Batch, runTag, tr("Evaluating tasks"),
                 [this, engine = m_engine, model = m_model, project = m_project, recipe = m_recipe, name = runningTitle().toStdString(), settings = m_taskSettings,
                  decomposition = decomposeOptions()](const TaskContext &context) -> JobBridge::Delivery {
                     std::vector<TaskRequest> requests;
                     for (const QString &task : settings.tasks)
                         requests.push_back({task.toStdString(), settings.fewShot});
                     TasksOptions options;
                     options.dataFolder = settings.folder.toStdString();
                     options.limit = settings.limit;
                     options.rules.bos = settings.bos;
                     options.calibration = decomposition.calibration;
                     engine->decompose(*model, *project, recipe, decomposition, context);
                     m_jobs.post([this] { refreshTable(); });
                     if (settings.original) {
                         engine->evaluateTasks(*model, project.get(), nullptr, requests, options, context);
                         m_jobs.post([this] { refreshReports(); });
                     }
                     options.title = name;
                     engine->evaluateTasks(*model, project.get(), &recipe, requests, options, context);
                     return [this] {
                         refreshTable();
                         refreshReports();
                         realise();
                         refill();
                     };
                 });
}

void Session::forecastExport(const QuantizationRecipe &recipe, const ExportRequest &request)
{
    if (!isOpen())
        return;
    m_jobs.start(JobLane::Interactive, forecastTag, tr("Checking the export"),
                 [this, engine = m_engine, model = m_model, project = m_project, recipe, request, calibration = m_calibration.toStdString()](const TaskContext &) -> JobBridge::Delivery {
                     const ExportForecast forecast = engine->forecastExport(*model, *project, recipe, request, calibration);
                     return [this, forecast] { emit exportForecast(forecast); };
                 });
}

void Session::exportModel(const QuantizationRecipe &recipe, const ExportRequest &request)
{
    if (!isOpen() || isRunning())
        return;
    m_jobs.cancel(refillTag);
    m_jobs.start(JobLane::Batch, exportTag, tr("Exporting"),
                 [this, engine = m_engine, model = m_model, project = m_project, recipe, request, options = decomposeOptions()](const TaskContext &context) -> JobBridge::Delivery {
                     engine->decompose(*model, *project, recipe, options, context);
                     const auto result = engine->exportModel(*model, *project, recipe, request, context, options.calibration);
                     return [this, result] {
                         refreshTable();
                         emit exportDone(result);
                         emit message(tr("Exported to %1").arg(QString::fromStdString(result->path)));
                         realise();
                         refill();
                     };
                 });
}

void Session::refill()
{
    if (!isOpen() || isRunning())
        return;
    std::vector<std::string> missing;
    for (const std::string &layer : m_selection)
        if (const LayerRow *chosen = row(layer); chosen && needsDecomposition(*chosen))
            missing.push_back(layer);
    for (const LayerRow &one : m_table->rows)
        if (needsDecomposition(one) && std::find(missing.begin(), missing.end(), one.site.name) == missing.end())
            missing.push_back(one.site.name);
    // Scalings that need statistics wait for a calibration.
    std::erase_if(missing, [this](const std::string &layer) { return row(layer)->plan.scaling != ScalingKind::Identity && m_calibration.isEmpty(); });
    if (missing.empty() || m_project->isReadOnly()) {
        m_jobs.cancel(refillTag);
        return;
    }
    auto engine = m_engine;
    auto model = m_model;
    auto project = m_project;
    m_jobs.start(JobLane::Interactive, refillTag, pluralText(static_cast<qint64>(missing.size()), tr("Decomposing %1 layer"), tr("Decomposing %1 layers")),
                 [this, engine, model, project, missing, recipe = m_recipe, options = decomposeOptions()](const TaskContext &context) -> JobBridge::Delivery {
                     context.beginStage("decomposing", missing.size());
                     for (std::size_t i = 0; i < missing.size(); ++i) {
                         context.checkStop();
                         context.setDetail(missing[i]);
                         const LinearSite *site = model->transformer().findLinear(missing[i]);
                         const LayerPlan plan = recipe.planFor(*site);
                         engine->decomposeLayer(*model, *project, missing[i], plan.formats.weight, plan.scaling, plan.rank, options, context.silent());
                         context.advance();
                         // The layer being looked at fills in at once, the others now and then.
                         if (i == 0 || i % 16 == 0)
                             m_jobs.post([this] {
                                 if (isOpen())
                                     refreshTable();
                             });
                     }
                     return [this] {
                         refreshTable();
                         realise();
                     };
                 });
}

void Session::realise()
{
    const LayerRow *current = currentRow();
    if (!current || !current->plan.quantize || !current->ready) {
        m_realised.reset();
        emit realisedChanged();
        return;
    }
    if (isRealised(*current))
        return;
    auto engine = m_engine;
    auto model = m_model;
    auto project = m_project;
    m_jobs.start(JobLane::Interactive, realiseTag, tr("Measuring %1").arg(safeText(current->site.name)),
                 [this, engine, model, project, site = current->site, plan = current->plan, calibration = m_calibration.toStdString()](const TaskContext &context) -> JobBridge::Delivery {
                     const Matrix weight = model->transformer().readWeight(site, context);
                     const Matrix quantized = quantizeWeight(*makeQuantizer(plan.formats.weight), weight, site.weightTensor, context);
                     context.checkStop();
                     std::shared_ptr<const LowRankCorrection> correction;
                     if (plan.rank > 0)
                         correction = engine->correction(*model, *project, site.name, plan, calibration);
                     std::shared_ptr<const SiteStats> stats;
                     if (!calibration.empty())
                         stats = project->siteStats(calibration, site.activationSite, context);
                     auto found = std::make_shared<RealisedError>(RealisedError{site.name, plan, QString::fromStdString(calibration),
                                                                                layerError(site.name, weight, quantized, correction.get(), stats.get(), context)});
                     return [this, found] {
                         m_realised = *found;
                         emit realisedChanged();
                     };
                 });
}

std::optional<RealisedError> Session::realised() const
{
    const LayerRow *current = currentRow();
    return current && isRealised(*current) ? m_realised : std::nullopt;
}

bool Session::isRealised(const LayerRow &row) const
{
    return m_realised && m_realised->layer == row.site.name && m_realised->plan == row.plan && m_realised->calibration == m_calibration;
}

std::shared_ptr<const DecompositionRecord> Session::overlay(const std::string &layer, const FormatSpec &format, ScalingKind scaling)
{
    if (!isOpen() || (scaling != ScalingKind::Identity && m_calibration.isEmpty()))
        return nullptr;
    const LinearSite *site = m_model->transformer().findLinear(layer);
    if (!site)
        return nullptr;
    const DecompositionKey key{layer, m_model->weightFingerprint(*site), withDefaults(format), scaling, m_calibration.toStdString()};
    if (auto known = m_project->decomposition(key))
        return known;
    auto engine = m_engine;
    auto model = m_model;
    auto project = m_project;
    const QString tag = QStringLiteral("overlay:%1").arg(QString::fromStdString(key.text()));
    if (!m_project->isReadOnly() && !m_jobs.isBusy(tag))
        m_jobs.start(JobLane::Interactive, tag, tr("Decomposing %1").arg(safeText(layer)),
                     [this, engine, model, project, layer, format, scaling, options = decomposeOptions()](const TaskContext &context) -> JobBridge::Delivery {
                         engine->decomposeLayer(*model, *project, layer, format, scaling, 0, options, context);
                         return [this] { emit overlayReady(); };
                     });
    return nullptr;
}

}  // namespace lqer
