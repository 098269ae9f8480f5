// SPDX-License-Identifier: GPL-3.0-or-later
// take_screenshots DEMO OUT [--every]: drives the studio on the demo checkpoint and saves what it looks like; --every: also each menu,
// dialog and state, for a designer's eye.
#include <QApplication>
#include <QComboBox>
#include <QDir>
#include <QDockWidget>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QMenuBar>
#include <QMessageBox>
#include <QTabWidget>
#include <QTextBrowser>
#include <QTemporaryDir>
#include <QTimer>
#include <qcustomplot.h>

#include <cstdio>

#include "tests/studio/studio_driver.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/preferences_dialog.h"
#include "widgets/dialogs/tasks_dialog.h"
#include "widgets/panels/layers_panel.h"
#include "widgets/panels/runs_panel.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

struct Camera {
    QDir out;
    bool good = true;

    void shoot(QWidget &widget, const QString &name)
    {
        // What was queued is drawn now: layouts and repaints by events, plots at once.
        QCoreApplication::processEvents();
        QCoreApplication::processEvents();  // what the first layout asked for
        for (QCustomPlot *plot : widget.findChildren<QCustomPlot *>())
            plot->replot(QCustomPlot::rpImmediateRefresh);
        const QString path = out.filePath(name + QStringLiteral(".png"));
        const bool saved = widget.grab().save(path);
        std::printf("%s %s\n", saved ? "saved" : "FAILED", qPrintable(path));
        good = good && saved;
    }
    // A dialog that waits for its button: shot, then closed. To be called before it is opened.
    void expectModal(const QString &name)
    {
        QTimer::singleShot(0, qApp, [this, name] {
            QWidget *dialog = QApplication::activeModalWidget();
            good = good && dialog;
            if (!dialog)
                return;
            shoot(*dialog, name);
            dialog->close();
        });
    }
};

void raise(const MainWindow &window, const char *dock)
{
    auto *found = window.findChild<QDockWidget *>(QLatin1String(dock));
    found->show();
    found->raise();
}

void scaleEverything(Session &session, ScalingKind scaling)
{
    LayerSettings settings;
    settings.scaling = scaling;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, settings, QStringLiteral("Scaling"));
}

void everyMenu(MainWindow &window, Camera &camera, const QString &theme)
{
    for (const QAction *action : window.menuBar()->actions()) {
        QMenu *menu = action->menu();
        menu->popup(window.mapToGlobal(QPoint(20, 20)));
        camera.shoot(*menu, QStringLiteral("menu-%1-%2").arg(menu->title().remove(QLatin1Char('&')).toLower(), theme));
        menu->hide();
    }
}

void everyDialog(MainWindow &window, Camera &camera, const QString &theme)
{
    PreferencesDialog preferences(&window);
    preferences.show();
    camera.shoot(preferences, QStringLiteral("preferences-") + theme);
    preferences.hide();
    window.activateWindow();
    camera.good &= QTest::qWaitForWindowActive(&window);
    camera.expectModal(QStringLiteral("about-") + theme);
    QTest::keyClick(&window, Qt::Key_F1);
}

void exportDialog(test::Studio &studio, Camera &camera, const QString &theme)
{
    QTemporaryDir place;
    studio.window->activateWindow();
    camera.good &= QTest::qWaitForWindowActive(studio.window.get());
    QTest::keyClick(studio.window.get(), Qt::Key_E, Qt::ControlModifier);
    auto *dialog = studio.window->findChild<ExportDialog *>();
    if (!dialog) {
        camera.good = false;
        return;
    }
    for (QLineEdit *edit : dialog->findChildren<QLineEdit *>())
        if (edit->accessibleName() == QLatin1String("Destination folder"))
            edit->setText(place.path());
    const auto *verdict = test::named<QLabel>(dialog, QStringLiteral("Result of the checks"));
    camera.good &= studio.until([&] { return !verdict->text().startsWith(QLatin1String("Checking")); });
    camera.shoot(*dialog, QStringLiteral("export-") + theme);
    QTest::keyClick(dialog, Qt::Key_Return);
    const auto *card = dialog->findChild<QTextBrowser *>();
    camera.good &= studio.until([&] { return card->isVisible(); });
    camera.shoot(*dialog, QStringLiteral("exported-") + theme);
    dialog->close();
    QCoreApplication::sendPostedEvents(nullptr, QEvent::DeferredDelete);
}

// Two tasks of the folder LQER_DATA, run on both models; then the dialog and the runs.
void tasksDialog(test::Studio &studio, Camera &camera, const QString &theme)
{
    MainWindow &window = *studio.window;
    Session &session = studio.session();
    TaskSettings settings = session.taskSettings();
    settings.tasks = QStringList{QStringLiteral("arc_easy"), QStringLiteral("lambada_openai")};
    settings.limit = 50;
    settings.original = true;
    session.setTaskSettings(settings);
    window.activateWindow();
    camera.good &= QTest::qWaitForWindowActive(&window);
    QTest::keyClick(&window, Qt::Key_T, Qt::ControlModifier);
    auto *dialog = window.findChild<TasksDialog *>();
    if (!dialog) {
        camera.good = false;
        return;
    }
    camera.shoot(*dialog, QStringLiteral("tasks-") + theme);
    QTest::keyClick(dialog, Qt::Key_Return);
    camera.good &= studio.until([&] { return !session.isRunning() || session.runningJob()->progress().stage() == "evaluating tasks"; });
    camera.shoot(*dialog, QStringLiteral("tasks-running-") + theme);
    camera.good &= studio.idle();
    camera.shoot(*dialog, QStringLiteral("tasks-done-") + theme);
    dialog->close();
    QCoreApplication::sendPostedEvents(nullptr, QEvent::DeferredDelete);
    raise(window, "runs");
    window.resize(1920, 1200);
    window.activateWindow();
    camera.good &= QTest::qWaitForWindowActive(&window);
    QTest::keyClick(&window, Qt::Key_M, Qt::ControlModifier);
    camera.shoot(window, QStringLiteral("tasks-compared-") + theme);
    raise(window, "layers");
    window.findChild<QTabWidget *>()->setCurrentIndex(0);
}

}  // namespace

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    const QStringList arguments = application.arguments();
    const bool every = arguments.size() == 4 && arguments[3] == QLatin1String("--every");
    if (arguments.size() != 3 && !every) {
        std::fprintf(stderr, "usage: take_screenshots DEMO OUT [--every]\n");
        return 2;
    }
    const QString demo = QDir(arguments[1]).absolutePath();
    Camera camera{QDir(arguments[2])};
    QDir().mkpath(camera.out.path());
    applyTheme(application, ThemeMode::Light);
    test::Studio studio(demo);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    camera.good = QTest::qWaitForWindowExposed(&window);
    if (every) {
        camera.shoot(window, QStringLiteral("welcome-light"));
        applyTheme(application, ThemeMode::Dark);
        camera.shoot(window, QStringLiteral("welcome-dark"));
        applyTheme(application, ThemeMode::Light);
        window.open(QStringLiteral("/a/folder/that/is/not/there"));
        camera.good &= studio.idle();
        camera.shoot(window, QStringLiteral("welcome-error"));
        window.open(demo);
        camera.shoot(window, QStringLiteral("welcome-opening"));
    }
    camera.good &= studio.openAndWait(demo);
    Session &session = studio.session();
    auto *views = window.findChild<QTabWidget *>();
    RunSettings settings = session.runSettings();
    settings.evaluationWindows = 48;
    session.setRunSettings(settings);
    if (every) {
        for (int i = 0; i < views->count(); ++i) {
            views->setCurrentIndex(i);
            camera.shoot(window, QStringLiteral("fresh-%1").arg(i));
        }
        views->setCurrentIndex(0);
        raise(window, "runs");
        session.calibrate();
        session.pauseRun(true);  // at once: the demo is calibrated in a moment
        camera.good &= session.isRunning();
        camera.shoot(window, QStringLiteral("calibrating-paused"));
        session.pauseRun(false);
        camera.good &= studio.idle();
        session.evaluate();
        camera.good &= studio.until([&] { return session.runningPerplexity() != nullptr || !session.isRunning(); });
        camera.shoot(window, QStringLiteral("evaluating"));
        camera.expectModal(QStringLiteral("close-running"));
        QTest::keyClick(&window, Qt::Key_W, Qt::ControlModifier);
        camera.good &= studio.idle();
        camera.shoot(window, QStringLiteral("one-run"));
    }
    session.runAll();
    camera.good &= studio.idle();
    // A second recipe to compare with: the exact scaling everywhere.
    scaleEverything(session, ScalingKind::Exact);
    camera.good &= studio.idle();
    if (every)
        camera.shoot(window, QStringLiteral("stale"));
    session.evaluate();
    camera.good &= studio.idle();
    raise(window, "layers");
    session.select({session.table()->rows[session.table()->rows.size() / 2].site.name});
    camera.good &= studio.idle();

    for (const auto &[mode, name] : {std::pair{ThemeMode::Light, QStringLiteral("light")}, std::pair{ThemeMode::Dark, QStringLiteral("dark")}}) {
        applyTheme(application, mode);
        for (const QSize size : {QSize(1280, 800), QSize(1920, 1200)}) {
            window.resize(size);
            camera.good &= studio.until([&] { return window.size() == size; });
            views->setCurrentIndex(0);
            camera.shoot(window, QStringLiteral("main-%1-%2x%3").arg(name).arg(size.width()).arg(size.height()));
            if (every) {
                raise(window, "runs");
                camera.shoot(window, QStringLiteral("runs-%1-%2").arg(name).arg(size.width()));
                raise(window, "log");
                camera.shoot(window, QStringLiteral("log-%1-%2").arg(name).arg(size.width()));
                raise(window, "layers");
            }
            if (size.width() == 1280 && !every)
                continue;
            static const char *tabs[] = {"spectrum", "activations", "weights", "compare"};
            for (int i = 1; i < 4; ++i) {
                views->setCurrentIndex(i);
                camera.good &= studio.idle();
                const QString shot = QStringLiteral("%1-%2").arg(QLatin1String(tabs[i]), name);
                camera.shoot(*views->currentWidget(), size.width() == 1280 ? shot + QStringLiteral("-1280") : shot);
            }
        }
        views->setCurrentIndex(0);
        camera.shoot(*window.findChild<SpectrumPanel *>(), QStringLiteral("spectrum-") + name);
        if (!every)
            continue;
        exportDialog(studio, camera, name);
        if (!session.taskSettings().folder.isEmpty())
            tasksDialog(studio, camera, name);
        everyMenu(window, camera, name);
        everyDialog(window, camera, name);
        window.resize(1280, 800);
        auto *spectrum = window.findChild<SpectrumPanel *>();
        for (QAction *action : spectrum->comparisons()->actions())
            if (action->isCheckable())
                action->setChecked(true);
        camera.good &= studio.idle();
        camera.shoot(window, QStringLiteral("compared-") + name);
        spectrum->normalisedAction()->setChecked(true);
        session.select({session.table()->rows[0].site.name, session.table()->rows[5].site.name, session.table()->rows[9].site.name});
        camera.good &= studio.idle();
        camera.shoot(window, QStringLiteral("several-") + name);
        for (QAction *action : spectrum->comparisons()->actions())
            action->setChecked(false);
        spectrum->normalisedAction()->setChecked(false);
        auto *filter = window.findChild<LayersPanel *>()->findChild<QLineEdit *>();
        QTest::keyClicks(filter, QStringLiteral("nothing like it"));
        camera.shoot(window, QStringLiteral("filter-empty-") + name);
        filter->clear();
        session.select({session.table()->rows[session.table()->rows.size() / 2].site.name});
        camera.good &= studio.idle();
    }
    return camera.good ? 0 : 1;
}
