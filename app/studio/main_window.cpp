// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/studio/main_window.h"

#include <QActionGroup>
#include <QApplication>
#include <QCloseEvent>
#include <QDir>
#include <QDockWidget>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QMenuBar>
#include <QMessageBox>
#include <QMimeData>
#include <QProgressBar>
#include <QStackedWidget>
#include <QStatusBar>
#include <QTabWidget>
#include <QTimer>
#include <QToolBar>
#include <QTreeView>

#include <algorithm>

#include "core/base/error.h"
#include "core/recipe/bundled_recipes.h"
#include "widgets/controls/elided_label.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/preferences_dialog.h"
#include "widgets/dialogs/tasks_dialog.h"
#include "widgets/panels/activations_panel.h"
#include "widgets/panels/compare_panel.h"
#include "widgets/panels/inspector_panel.h"
#include "widgets/panels/layers_panel.h"
#include "widgets/panels/log_panel.h"
#include "widgets/panels/map_panel.h"
#include "widgets/panels/runs_panel.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/panels/weights_panel.h"
#include "widgets/panels/welcome_page.h"
#include "widgets/plots/plot.h"
#include "widgets/session/preferences.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/model_text.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr int memoryMilliseconds = 2000;  // between two looks at how much the program holds

}  // namespace

MainWindow::MainWindow(std::shared_ptr<Engine> engine, const QString &workFolder, const QString &demo, QWidget *parent)
    : QMainWindow(parent), m_session(std::make_unique<Session>(std::move(engine), workFolder)), m_demo(demo), m_pages(new QStackedWidget(this)),
      m_welcome(new WelcomePage(this)), m_views(new QTabWidget(this))
{
    setObjectName(QStringLiteral("main"));
    setWindowTitle(tr("LQER Studio"));
    setAcceptDrops(true);
    setDockOptions(AnimatedDocks | AllowNestedDocks | AllowTabbedDocks);
    setCorner(Qt::BottomLeftCorner, Qt::BottomDockWidgetArea);
    setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);

    m_spectrum = new SpectrumPanel(*m_session, this);
    m_activations = new ActivationsPanel(*m_session, this);
    m_weights = new WeightsPanel(*m_session, this);
    m_compare = new ComparePanel(*m_session, this);
    m_views->addTab(m_spectrum, tr("Spectrum"));
    m_views->addTab(m_activations, tr("Activations"));
    m_views->addTab(m_weights, tr("Weights"));
    m_views->addTab(m_compare, tr("Compare"));
    m_views->setTabToolTip(0, meaningOf(Term::Spectrum));
    m_views->setTabToolTip(1, meaningOf(Term::ChannelMagnitude));
    m_views->setTabToolTip(2, tr("The weight, what quantization lost, and what is left after the correction"));
    m_views->setTabToolTip(3, tr("Two runs layer by layer"));
    m_views->setDocumentMode(true);
    m_pages->addWidget(m_welcome);
    m_pages->addWidget(m_views);
    setCentralWidget(m_pages);

    makeDocks();
    makeActions();
    makeStatusBar();
    m_welcome->setDemoAvailable(!m_demo.isEmpty());

    connect(m_welcome, &WelcomePage::openRequested, this, &MainWindow::chooseAndOpen);
    connect(m_welcome, &WelcomePage::demoRequested, this, &MainWindow::openDemo);
    connect(m_welcome, &WelcomePage::recentRequested, this, &MainWindow::open);
    connect(m_runs, &RunsPanel::compareRequested, this, &MainWindow::showComparison);
    connect(m_session.get(), &Session::opened, this, [this] {
        preferences::addRecent(m_session->folder());
        preferences::setOpenProject(m_session->projectFolder());
        updateRecent();
        m_welcome->setStatus({});
        showDocks(true);
        updateForSession();
        m_spectrum->setFocus();
        if (std::exchange(m_runWhenOpened, false) && (m_session->calibration().isEmpty() || m_session->reports().empty()))
            m_session->runAll();
    });
    connect(m_session.get(), &Session::openFailed, this, [this](const QString &text) {
        m_runWhenOpened = false;
        m_welcome->setStatus(text);
        m_log->add(text);
        if (m_session->isOpen())
            QMessageBox::warning(this, tr("Open"), plainHtml(text));
    });
    connect(m_session.get(), &Session::closed, this, [this] {
        m_openState = saveState();
        showDocks(false);
        updateForSession();
    });
    connect(m_session.get(), &Session::recipeChanged, this, &MainWindow::updateForSession);
    connect(m_session.get(), &Session::tableChanged, this, &MainWindow::updateStatus);
    connect(m_session.get(), &Session::message, this, [this](const QString &text) {
        statusBar()->showMessage(text, 8000);
        m_log->add(text);
    });
    connect(&m_session->jobs(), &JobBridge::started, this, &MainWindow::updateStatus);
    connect(&m_session->jobs(), &JobBridge::progressed, this, &MainWindow::updateStatus);
    connect(m_session.get(), &Session::reportsChanged, this, &MainWindow::updateStages);
    auto *memoryTimer = new QTimer(this);
    connect(memoryTimer, &QTimer::timeout, this, &MainWindow::updateStatus);
    memoryTimer->start(memoryMilliseconds);
    updateRecent();
    resize(1280, 800);
    resetLayout();
    m_defaultState = saveState();
    restoreGeometry(preferences::geometry());
    restoreState(preferences::windowState());
    m_openState = saveState();
    showDocks(false);
    updateForSession();
}

MainWindow::~MainWindow()
{
    // What runs ends while everything that listens is still whole.
    m_session->jobs().cancelAll();
    m_session->jobs().finishAll();
    m_session->close();
}

void MainWindow::makeDocks()
{
    const auto dock = [this](const QString &title, const char *name, QWidget *panel, Qt::DockWidgetArea area) {
        auto *made = new QDockWidget(title, this);
        made->setObjectName(QLatin1String(name));
        made->setWidget(panel);
        addDockWidget(area, made);
        m_docks << made;
        return made;
    };
    m_map = new MapPanel(*m_session, this);
    m_layers = new LayersPanel(*m_session, this);
    m_inspector = new InspectorPanel(*m_session, this);
    m_runs = new RunsPanel(*m_session, this);
    m_log = new LogPanel(this);
    dock(tr("Model map"), "map", m_map, Qt::LeftDockWidgetArea);
    dock(tr("Inspector"), "inspector", m_inspector, Qt::RightDockWidgetArea);
    dock(tr("Layers"), "layers", m_layers, Qt::BottomDockWidgetArea);
    dock(tr("Runs"), "runs", m_runs, Qt::BottomDockWidgetArea);
    dock(tr("Log"), "log", m_log, Qt::BottomDockWidgetArea);
}

void MainWindow::showDocks(bool shown)
{
    if (shown) {
        m_tools->show();
        restoreState(m_openState);
        return;
    }
    m_tools->hide();
    for (QDockWidget *dock : m_docks)
        dock->hide();
}

void MainWindow::resetLayout()
{
    const QList<Qt::DockWidgetArea> areas{Qt::LeftDockWidgetArea, Qt::RightDockWidgetArea, Qt::BottomDockWidgetArea, Qt::BottomDockWidgetArea, Qt::BottomDockWidgetArea};
    for (int i = 0; i < m_docks.size(); ++i) {
        m_docks[i]->setFloating(false);
        addDockWidget(areas[i], m_docks[i]);
        m_docks[i]->show();
    }
    tabifyDockWidget(m_docks[2], m_docks[3]);
    tabifyDockWidget(m_docks[3], m_docks[4]);
    m_docks[2]->raise();
    resizeDocks({m_docks[0], m_docks[1]}, {width() * 24 / 100, width() * 23 / 100}, Qt::Horizontal);
    resizeDocks({m_docks[2]}, {height() * 32 / 100}, Qt::Vertical);
}

QAction *MainWindow::makeAction(QMenu *menu, const QString &text, const QKeySequence &keys, const QString &tip, std::function<void()> slot)
{
    QAction *action = menu->addAction(text);
    action->setShortcut(keys);
    action->setStatusTip(tip);
    action->setToolTip(keys.isEmpty() ? tip : tr("%1 (%2)").arg(tip, keys.toString(QKeySequence::NativeText)));
    connect(action, &QAction::triggered, this, std::move(slot));
    return action;
}

void MainWindow::makeActions()
{
    m_tools = addToolBar(tr("Tool bar"));
    m_tools->setObjectName(QStringLiteral("tools"));
    m_tools->setMovable(false);
    m_tools->setToolButtonStyle(Qt::ToolButtonTextOnly);

    QMenu *file = menuBar()->addMenu(tr("&File"));
    QAction *openAction = makeAction(file, tr("&Open..."), QKeySequence::Open, tr("Open a checkpoint or a project"), [this] { chooseAndOpen(); });
    m_recent = file->addMenu(tr("Open &recent"));
    QAction *demo = makeAction(file, tr("Open the &demo"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_D), tr("Open the checkpoint that comes with the program"), [this] { openDemo(); });
    demo->setEnabled(!m_demo.isEmpty());
    file->addSeparator();
    QAction *saveAction = makeAction(file, tr("&Save"), QKeySequence::Save, tr("Save the recipe in its project"), [this] {
        try {
            m_session->save();
        } catch (const Error &error) {
            QMessageBox::warning(this, tr("Save"), plainHtml(safeText(error.what())));
        }
    });
    m_needOpen << saveAction;
    m_needOpen << makeAction(file, tr("Save project &as..."), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_S), tr("Copy the project to a folder of its own and go on there"), [this] { saveAs(); });
    QAction *exportAction = makeAction(file, tr("&Export..."), QKeySequence(Qt::CTRL | Qt::Key_E), tr("Write the quantized model for other programs"), [this] { showExport(); });
    exportAction->setIconText(tr("Export"));
    m_needOpen << exportAction;
    m_needOpen << makeAction(file, tr("&Close"), QKeySequence(Qt::CTRL | Qt::Key_W), tr("Close the checkpoint"), [this] {
        if (!stopRunning(tr("Close")))
            return;
        m_session->close();
        preferences::setOpenProject({});
    });
    file->addSeparator();
    makeAction(file, tr("&Quit"), QKeySequence(Qt::CTRL | Qt::Key_Q), tr("Save and quit"), [this] { close(); });

    QMenu *edit = menuBar()->addMenu(tr("&Edit"));
    QAction *undo = m_session->undoStack().createUndoAction(this, tr("&Undo"));
    undo->setShortcut(QKeySequence::Undo);
    undo->setIconText(tr("Undo"));  // what would be undone belongs into the menu; the tool bar keeps its width
    QAction *redo = m_session->undoStack().createRedoAction(this, tr("&Redo"));
    redo->setShortcuts({QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_Z), QKeySequence(Qt::CTRL | Qt::Key_Y)});
    redo->setIconText(tr("Redo"));
    edit->addAction(undo);
    edit->addAction(redo);
    edit->addSeparator();
    m_needOpen << makeAction(edit, tr("Select &all layers"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_A), tr("Select every linear layer"), [this] {
        std::vector<std::string> layers;
        for (const LayerRow &row : m_session->table()->rows)
            layers.push_back(row.site.name);
        m_session->select(std::move(layers));
    });
    m_needOpen << makeAction(edit, tr("&Next layer"), QKeySequence(Qt::CTRL | Qt::Key_BracketRight), tr("Select the next layer in forward order"), [this] { selectNeighbour(1); });
    m_needOpen << makeAction(edit, tr("&Previous layer"), QKeySequence(Qt::CTRL | Qt::Key_BracketLeft), tr("Select the layer before in forward order"), [this] { selectNeighbour(-1); });
    m_needOpen << makeAction(edit, tr("&Find layers"), QKeySequence::Find, tr("Filter the list of layers"), [this] {
        m_docks[2]->show();
        m_docks[2]->raise();
        m_layers->focusFilter();
    });
    QAction *distribute = makeAction(edit, tr("&Distribute rank by benefit"), QKeySequence(Qt::CTRL | Qt::Key_B),
                                    tr("Move rank from layers where it buys little to layers where it buys much; the size stays"), [this] { m_session->distributeRank(); });
    distribute->setIconText(tr("Distribute rank"));
    m_needOpen << distribute;
    QMenu *presets = edit->addMenu(tr("Start from a recipe"));
    const auto offer = [this](QMenu *menu, const RecipePreset &preset) {
        m_needOpen << makeAction(menu, safeText(preset.title), {}, safeText(preset.meaning), [this, recipe = preset.recipe, title = preset.title] {
            m_session->setRecipe(withSensibleRanks(recipe, m_session->model()->transformer().linearSites()), tr("Recipe %1").arg(safeText(title)));
        });
        menu->setToolTipsVisible(true);
    };
    for (const RecipePreset &preset : recipePresets())
        offer(presets, preset);
    presets->addSeparator();
    QMenu *templates = presets->addMenu(tr("LQER's &templates for one model each"));
    for (const RecipePreset &preset : bundledRecipes())
        offer(templates, preset);
    edit->addSeparator();
    makeAction(edit, tr("&Preferences..."), QKeySequence(Qt::CTRL | Qt::Key_Comma), tr("Theme, threads, memory, folders"), [this] { showPreferences(); });

    QMenu *run = menuBar()->addMenu(tr("&Run"));
    m_calibrate = makeAction(run, tr("&Calibrate"), QKeySequence(Qt::Key_F5), meaningOf(Term::Calibration), [this] { m_session->calibrate(); });
    m_decompose = makeAction(run, tr("&Decompose"), QKeySequence(Qt::Key_F6), meaningOf(Term::Decomposition), [this] { m_session->decompose(); });
    m_evaluate = makeAction(run, tr("&Evaluate"), QKeySequence(Qt::Key_F7), meaningOf(Term::Perplexity), [this] { m_session->evaluate(); });
    m_runAll = makeAction(run, tr("&All that is missing"), QKeySequence(Qt::Key_F8), tr("Calibrate, decompose and evaluate: whatever is not done yet"), [this] { m_session->runAll(); });
    m_runAll->setIconText(tr("Run all"));
    m_tasks = makeAction(run, tr("Downstream &tasks..."), QKeySequence(Qt::CTRL | Qt::Key_T), meaningOf(Term::TaskAccuracy), [this] { showTasks(); });
    m_tasks->setIconText(tr("Tasks"));
    m_needOpen << m_tasks;
    run->addSeparator();
    m_pause = makeAction(run, tr("&Pause"), QKeySequence(Qt::Key_F9), tr("Let the running stage wait, or go on"), [this] { m_session->pauseRun(m_pause->isChecked()); });
    m_pause->setCheckable(true);
    m_stop = makeAction(run, tr("&Stop"), QKeySequence(Qt::SHIFT | Qt::Key_F5), tr("Stop whatever is running; finished layers are kept"), [this] { m_session->jobs().cancelAll(); });
    run->addSeparator();
    m_needReports << makeAction(run, tr("Co&mpare the last two runs"), QKeySequence(Qt::CTRL | Qt::Key_M), tr("Two runs layer by layer"), [this] {
        const int last = static_cast<int>(m_session->reports().size()) - 1;
        showComparison(last - 1, last);
    });

    QMenu *view = menuBar()->addMenu(tr("&View"));
    for (int i = 0; i < m_views->count(); ++i)
        makeAction(view, m_views->tabText(i), QKeySequence(Qt::CTRL | static_cast<Qt::Key>(Qt::Key_1 + i)), m_views->tabToolTip(i), [this, i] { m_views->setCurrentIndex(i); });
    view->addSeparator();
    for (int i = 0; i < m_docks.size(); ++i) {
        QAction *toggle = m_docks[i]->toggleViewAction();
        toggle->setShortcut(QKeySequence(Qt::CTRL | Qt::ALT | static_cast<Qt::Key>(Qt::Key_1 + i)));
        view->addAction(toggle);
    }
    m_tools->toggleViewAction()->setShortcut(QKeySequence(Qt::CTRL | Qt::ALT | Qt::Key_T));
    view->addAction(m_tools->toggleViewAction());
    makeAction(view, tr("&Reset layout"), QKeySequence(Qt::CTRL | Qt::ALT | Qt::Key_0), tr("Put the docks back where they were at first"), [this] { restoreState(m_defaultState); });
    view->addSeparator();
    QMenu *themes = view->addMenu(tr("&Theme"));
    auto *group = new QActionGroup(this);
    const std::pair<ThemeMode, QString> modes[] = {{ThemeMode::System, tr("Like the &system")}, {ThemeMode::Light, tr("&Light")}, {ThemeMode::Dark, tr("&Dark")}};
    int key = Qt::Key_7;
    for (const auto &[mode, title] : modes) {
        QAction *action = makeAction(themes, title, QKeySequence(Qt::CTRL | static_cast<Qt::Key>(key++)), tr("Colours of the program"), [chosen = mode] {
            preferences::setThemeMode(chosen);
            applyTheme(*qApp, chosen);
        });
        action->setCheckable(true);
        action->setChecked(mode == preferences::themeMode());
        group->addAction(action);
    }
    makePlotMenu();

    QMenu *help = menuBar()->addMenu(tr("&Help"));
    makeAction(help, tr("&About LQER Studio"), QKeySequence(Qt::Key_F1), tr("Version, papers, licences"), [this] { showAbout(); });

    // The way from left to right.
    m_tools->addActions({openAction, saveAction});
    m_tools->addSeparator();
    m_tools->addActions({undo, redo});
    m_tools->addSeparator();
    m_tools->addActions({m_calibrate, m_decompose, m_evaluate, m_runAll, m_pause, m_stop});
    m_tools->addSeparator();
    m_tools->addActions({distribute, exportAction});
}

void MainWindow::makePlotMenu()
{
    QMenu *menu = menuBar()->addMenu(tr("&Plot"));
    const auto onPlot = [this](auto work) {
        return [this, work] {
            if (Plot *plot = currentPlot())
                work(*plot);
        };
    };
    const auto add = [&](const QString &text, const QKeySequence &keys, const QString &tip, auto work) { m_needOpen << makeAction(menu, text, keys, tip, onPlot(work)); };
    add(tr("Show &everything"), QKeySequence(Qt::CTRL | Qt::Key_0), tr("Undo zooming and panning of the plot (a double click does the same)"), [](Plot &plot) { plot.resetView(); });
    menu->addSeparator();
    const std::pair<QAction *, int> switches[] = {{m_spectrum->normalisedAction(), Qt::Key_N}, {m_spectrum->unshapedAction(), Qt::Key_B}};
    for (const auto &[action, key] : switches) {
        action->setShortcut(QKeySequence(Qt::CTRL | Qt::ALT | static_cast<Qt::Key>(key)));
        menu->addAction(action);
        m_needOpen << action;
    }
    menu->addMenu(m_spectrum->comparisons());
    menu->addSeparator();
    add(tr("&Copy picture"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_C), tr("The plot as a picture for the clipboard"), [](Plot &plot) { plot.copyImage(); });
    add(tr("Copy &numbers"), QKeySequence(Qt::CTRL | Qt::ALT | Qt::Key_C), tr("What the plot shows as comma-separated values"), [](Plot &plot) { plot.copyData(); });
    menu->addSeparator();
    add(tr("Save as &PNG..."), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_P), tr("The plot as a picture"), [](Plot &plot) { plot.askAndSave(Plot::FileKind::Png); });
    add(tr("Save as P&DF..."), QKeySequence(Qt::CTRL | Qt::ALT | Qt::Key_P), tr("The plot as a document of lines"), [](Plot &plot) { plot.askAndSave(Plot::FileKind::Pdf); });
    add(tr("Save numbers as CS&V..."), QKeySequence(Qt::CTRL | Qt::ALT | Qt::Key_V), tr("What the plot shows as comma-separated values"), [](Plot &plot) { plot.askAndSave(Plot::FileKind::Csv); });
}

Plot *MainWindow::currentPlot() const
{
    for (QWidget *widget = QApplication::focusWidget(); widget; widget = widget->parentWidget())
        if (auto *plot = qobject_cast<Plot *>(widget))
            return plot;
    for (const QWidget *view : {m_views->currentWidget(), static_cast<QWidget *>(m_runs)}) {
        Plot *topmost = nullptr;
        for (Plot *plot : view->findChildren<Plot *>()) {
            const auto place = [](const Plot &one) {
                const QPoint corner = one.mapToGlobal(QPoint());
                return std::pair(corner.y(), corner.x());
            };
            if (plot->isVisible() && (!topmost || place(*plot) < place(*topmost)))
                topmost = plot;
        }
        if (topmost)
            return topmost;
    }
    return nullptr;
}

void MainWindow::selectNeighbour(int step)
{
    const auto &rows = m_session->table()->rows;
    const auto found = std::find_if(rows.begin(), rows.end(), [this](const LayerRow &row) { return &row == m_session->currentRow(); });
    const std::ptrdiff_t place = found == rows.end() ? 0 : found - rows.begin() + step;
    if (place >= 0 && place < static_cast<std::ptrdiff_t>(rows.size()))
        m_session->select({rows[static_cast<std::size_t>(place)].site.name});
}

void MainWindow::showComparison(int first, int second)
{
    m_compare->compare(first, second);
    m_views->setCurrentWidget(m_compare);
}

void MainWindow::makeStatusBar()
{
    const auto label = [this](const QString &name) {
        auto *made = new QLabel(this);
        made->setTextFormat(Qt::PlainText);
        made->setAccessibleName(name);
        return made;
    };
    m_model = new ElidedLabel(this);
    m_model->setAccessibleName(tr("Checkpoint"));
    m_total = label(tr("Recipe as a whole"));
    m_job = label(tr("Running job"));
    m_progress = new QProgressBar(this);
    m_progress->setMaximumWidth(140);
    m_progress->setMaximumHeight(14);
    m_progress->setTextVisible(false);
    m_progress->setAccessibleName(tr("Progress of the running job"));
    m_memory = label(tr("Memory in use"));
    m_memory->setToolTip(tr("Memory this program holds"));
    statusBar()->addWidget(m_model, 1);
    statusBar()->addPermanentWidget(m_job);
    statusBar()->addPermanentWidget(m_progress);
    statusBar()->addPermanentWidget(m_total);
    statusBar()->addPermanentWidget(m_memory);
}

void MainWindow::updateForSession()
{
    const bool open = m_session->isOpen();
    m_pages->setCurrentIndex(open ? 1 : 0);
    for (QAction *action : m_needOpen)
        action->setEnabled(open);
    if (open) {
        m_model->setText(m_session->project()->isReadOnly() ? tr("%1, read-only: %2").arg(m_session->title(), safeText(m_session->project()->readOnlyReason())) : m_session->title());
        m_model->setToolTip(detailsText(m_session->model()->summary()) + QLatin1Char('\n') + tr("project: %1").arg(m_session->projectFolder()));
        setWindowTitle(tr("%1[*] \u2013 LQER Studio").arg(m_session->title()));
    } else {
        m_model->clear();
        setWindowTitle(tr("LQER Studio"));
    }
    setWindowModified(open && m_session->isModified());
    updateStatus();
}

void MainWindow::updateStatus()
{
    m_memory->setText(tr("memory %1").arg(bytesText(static_cast<double>(residentMemory()))));
    const auto active = m_session->jobs().active();
    m_progress->setVisible(!active.empty());
    m_job->setVisible(!active.empty());
    if (!active.empty()) {
        const Job &job = *active.front();
        const std::uint64_t total = job.progress().total();
        m_job->setText(QString::fromStdString(job.title()));
        m_progress->setRange(0, total > 0 ? 1000 : 0);
        if (total > 0)
            m_progress->setValue(static_cast<int>(1000 * std::min(job.progress().done(), total) / total));
    }
    updateStages();
    if (m_session->isOpen() && m_session->table()) {
        const Footprint &whole = m_session->table()->footprint;
        m_total->setText(tr("%1 per weight, %2 of %3").arg(bitsText(whole.stored.withCorrection), bytesText(static_cast<double>(whole.bytes)), bytesText(static_cast<double>(whole.originalBytes))));
        m_total->setToolTip(meaningOf(Term::BitsPerWeight) + QLatin1Char('\n') + meaningOf(Term::Footprint));
    } else {
        m_total->clear();
    }
}

void MainWindow::updateStages()
{
    const bool open = m_session->isOpen();
    const std::shared_ptr<Job> job = m_session->runningJob();
    for (QAction *action : {m_calibrate, m_decompose, m_evaluate, m_runAll})
        action->setEnabled(open && !job);
    m_pause->setEnabled(job != nullptr);
    m_pause->setChecked(job && job->isPaused());
    m_stop->setEnabled(!m_session->jobs().active().empty());
    for (QAction *action : m_needReports)
        action->setEnabled(m_session->reports().size() >= 2);
    if (!open || !m_session->table())
        return;
    // How far it is stands on the tool bar: a mark, a count, or that the recipe changed since.
    const LayerTable &table = *m_session->table();
    const auto &reports = m_session->reports();
    const bool current = std::any_of(reports.begin(), reports.end(), [this](const auto &report) { return report->perplexity && m_session->isCurrent(*report); });
    const QString done = QStringLiteral(" \u2713");
    const auto say = [](QAction *action, const QString &text) {
        if (action->iconText() != text)
            action->setIconText(text);
    };
    say(m_calibrate, tr("Calibrate") + (m_session->calibration().isEmpty() ? QString() : done));
    say(m_decompose, tr("Decompose") + (table.ready == table.rows.size() ? done : tr(" %1/%2").arg(table.ready).arg(table.rows.size())));
    say(m_evaluate, tr("Evaluate") + (current ? done : reports.empty() ? QString() : tr(" (stale)")));
}

void MainWindow::updateRecent()
{
    const QStringList recent = preferences::recent();
    m_welcome->setRecent(recent);
    m_recent->clear();
    for (const QString &folder : recent)
        m_recent->addAction(QString(folder).replace(QLatin1Char('&'), QLatin1String("&&")), this, [this, folder] { open(folder); });
    m_recent->setEnabled(!recent.isEmpty());
}

void MainWindow::open(const QString &folder)
{
    if (!QFileInfo::exists(folder)) {
        preferences::removeRecent(folder);
        updateRecent();
    }
    if (!stopRunning(tr("Open"))) {
        m_runWhenOpened = false;
        return;
    }
    m_welcome->setStatus(tr("Opening %1 ...").arg(folder));
    m_session->open(folder);
}

void MainWindow::runWhenOpened()
{
    m_runWhenOpened = true;
}

void MainWindow::chooseAndOpen()
{
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a checkpoint or a project"), m_session->isOpen() ? m_session->folder() : QDir::homePath());
    if (!folder.isEmpty())
        open(folder);
}

void MainWindow::openDemo()
{
    if (m_demo.isEmpty())
        return;
    runWhenOpened();
    open(m_demo);
}

void MainWindow::saveAs()
{
    QString folder = QFileDialog::getSaveFileName(this, tr("Save project as"), QDir::homePath() + QLatin1Char('/') + m_session->title() + QStringLiteral(".lqer"), tr("Project folders (*.lqer)"));
    if (folder.isEmpty())
        return;
    if (!folder.endsWith(QLatin1String(".lqer")))
        folder += QLatin1String(".lqer");
    if (!stopRunning(tr("Save project as")))
        return;
    try {
        m_session->saveAs(folder);
        preferences::addRecent(folder);
        preferences::setOpenProject(folder);
        updateRecent();
    } catch (const Error &error) {
        QMessageBox::warning(this, tr("Save project as"), plainHtml(safeText(error.what())));
    }
}

void MainWindow::offerRecovery()
{
    const QString folder = preferences::abandonedProject();
    if (folder.isEmpty() || !QFileInfo::exists(folder))
        return;
    preferences::setOpenProject({});
    const auto answer = QMessageBox::question(this, tr("Continue?"), plainHtml(tr("LQER Studio did not close properly last time. Everything up to the last moments before is kept.\n\nContinue with %1?").arg(QFileInfo(folder).fileName())));
    if (answer == QMessageBox::Yes)
        open(folder);
}

bool MainWindow::stopRunning(const QString &title)
{
    return !m_session->isRunning()
        || QMessageBox::question(this, title, tr("A job is running. Stop it? Finished layers are kept, and the job goes on there next time."),
                                 QMessageBox::Yes | QMessageBox::No, QMessageBox::No) == QMessageBox::Yes;
}

void MainWindow::closeEvent(QCloseEvent *event)
{
    if (!stopRunning(tr("Quit"))) {
        event->ignore();
        return;
    }
    m_session->close();
    preferences::setWindow(saveGeometry(), m_openState);
    preferences::setOpenProject({});
    event->accept();
}

void MainWindow::dragEnterEvent(QDragEnterEvent *event)
{
    const QList<QUrl> urls = event->mimeData()->urls();
    if (urls.size() == 1 && urls.front().isLocalFile())
        event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent *event)
{
    const QFileInfo dropped(event->mimeData()->urls().front().toLocalFile());
    // A file of the checkpoint stands for its folder.
    open(dropped.isDir() ? dropped.absoluteFilePath() : dropped.absolutePath());
    event->acceptProposedAction();
}

void MainWindow::showPreferences()
{
    PreferencesDialog dialog(this);
    if (dialog.exec() == QDialog::Accepted)
        applyTheme(*qApp, preferences::themeMode());
}

// One of its kind at a time; the window behind it stays usable.
template <typename Dialog>
void MainWindow::showDialog()
{
    auto *dialog = findChild<Dialog *>();
    if (!dialog) {
        dialog = new Dialog(*m_session, this);
        dialog->setAttribute(Qt::WA_DeleteOnClose);
    }
    dialog->show();
    dialog->raise();
    dialog->activateWindow();
}

void MainWindow::showExport()
{
    showDialog<ExportDialog>();
}

void MainWindow::showTasks()
{
    showDialog<TasksDialog>();
}

void MainWindow::showAbout()
{
    QMessageBox::about(this, tr("About LQER Studio"),
                       tr("<h3>LQER Studio %1</h3><p>Low-rank quantization error reconstruction: W \u2248 W<sub>q</sub> + A\u00b7B.</p>"
                          "<p>After LQER (Zhang et al., ICML 2024) and QERA (Zhang et al., ICLR 2025).</p>"
                          "<p>The studio is licensed under the GPL, version 3 or later; the engine and the command line under the Apache License 2.0. "
                          "Plots by QCustomPlot, window by Qt.</p>")
                           .arg(QCoreApplication::applicationVersion()));
}

}  // namespace lqer
