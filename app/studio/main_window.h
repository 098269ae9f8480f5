// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QMainWindow>

#include <functional>
#include <memory>

class QAction;
class QActionGroup;
class QLabel;
class QMenu;
class QProgressBar;
class QStackedWidget;
class QTabWidget;
class QToolBar;

namespace lqer {

class ActivationsPanel;
class ComparePanel;
class Engine;
class ExportDialog;
class InspectorPanel;
class LayersPanel;
class LogPanel;
class MapPanel;
class Plot;
class RunsPanel;
class Session;
class SpectrumPanel;
class WeightsPanel;
class WelcomePage;

// Docks, menus, actions; no computation.
class MainWindow final : public QMainWindow {
    Q_OBJECT

public:
    // demo: folder of the demo checkpoint, "" if it is not there.
    MainWindow(std::shared_ptr<Engine> engine, const QString &workFolder, const QString &demo, QWidget *parent = nullptr);
    ~MainWindow() override;

    void open(const QString &folder);
    // Runs whatever is still missing as soon as the folder being opened is there: the first start on the demo.
    void runWhenOpened();
    // Offers to continue with what was open when the program ended without closing it.
    void offerRecovery();
    Session &session() { return *m_session; }

public slots:
    void chooseAndOpen();
    void openDemo();
    void saveAs();

protected:
    void closeEvent(QCloseEvent *event) override;
    void dragEnterEvent(QDragEnterEvent *event) override;
    void dropEvent(QDropEvent *event) override;

private:
    void makeDocks();
    void makeActions();
    void makePlotMenu();
    QAction *makeAction(QMenu *menu, const QString &text, const QKeySequence &keys, const QString &tip, std::function<void()> slot);
    void makeStatusBar();
    void showDocks(bool shown);
    void resetLayout();
    void updateForSession();
    void updateRecent();
    void updateStatus();
    void updateStages();
    void showComparison(int first, int second);
    // Asks if a stage runs; false: it goes on.
    bool stopRunning(const QString &title);
    // The layer `step` places further in forward order.
    void selectNeighbour(int step);
    // What the Plot menu is about: the plot with the focus, else the first one that is seen.
    Plot *currentPlot() const;
    void showAbout();
    void showPreferences();
    void showExport();
    void showTasks();
    template <typename Dialog>
    void showDialog();

    std::unique_ptr<Session> m_session;
    QString m_demo;
    bool m_runWhenOpened = false;
    QStackedWidget *m_pages;
    WelcomePage *m_welcome;
    QTabWidget *m_views;
    SpectrumPanel *m_spectrum;
    ActivationsPanel *m_activations;
    WeightsPanel *m_weights;
    ComparePanel *m_compare;
    MapPanel *m_map;
    LayersPanel *m_layers;
    InspectorPanel *m_inspector;
    RunsPanel *m_runs;
    LogPanel *m_log;
    QList<QDockWidget *> m_docks;
    QMenu *m_recent = nullptr;
    QList<QAction *> m_needOpen;
    QList<QAction *> m_needReports;
    QToolBar *m_tools;
    QAction *m_calibrate;
    QAction *m_decompose;
    QAction *m_evaluate;
    QAction *m_runAll;
    QAction *m_tasks;
    QAction *m_pause;
    QAction *m_stop;
    QLabel *m_model;
    QLabel *m_total;
    QLabel *m_memory;
    QLabel *m_job;
    QProgressBar *m_progress;
    QByteArray m_defaultState;
    QByteArray m_openState;  // of the docks while a checkpoint is open; the welcome page stands alone
};

}  // namespace lqer
