// SPDX-License-Identifier: GPL-3.0-or-later
#include <QAccessible>
#include <QComboBox>
#include <QDockWidget>
#include <QLabel>
#include <QMenuBar>
#include <QSignalSpy>
#include <QTabWidget>
#include <QTest>
#include <qcustomplot.h>

#include <cmath>

#include "tests/studio/studio_driver.h"
#include "tests/support/shared_data.h"
#include "widgets/models/layer_model.h"
#include "widgets/panels/inspector_panel.h"
#include "widgets/panels/layers_panel.h"
#include "widgets/panels/map_panel.h"
#include "widgets/panels/runs_panel.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/plots/model_map.h"
#include "widgets/plots/residual_plot.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

QString demo()
{
    return QString::fromStdString(test::sourcePath("resources/demo"));
}

// Few windows: the numbers do not matter here, what happens does.
void shortRuns(Session &session)
{
    RunSettings settings = session.runSettings();
    settings.windowLength = 64;
    settings.calibrationWindows = 8;
    settings.evaluationWindows = 8;
    session.setRunSettings(settings);
}

}  // namespace

class TestStudio : public QObject {
    Q_OBJECT

private slots:
    void aPersonQuantizesTheDemo();
    void everyModelOpens_data();
    void everyModelOpens();
    void aBrokenFolderLeavesTheProgramAsItWas();
    void cancellingARunLeavesAValidProject();
    void closingWithARunningJobStopsIt();
    void everyControlHasAName();
    void everyActionHasAShortcutOrAMenu();
};

void TestStudio::aPersonQuantizesTheDemo()
{
    test::Studio studio(demo(), 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));

    // Open.
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    QCOMPARE(session.model()->summary().family, std::string("llama"));
    QVERIFY(session.table()->ready < session.table()->rows.size());

    // Calibrate by key; the layers are decomposed in the background by themselves.
    shortRuns(session);
    QTest::keyClick(&window, Qt::Key_F5);
    QVERIFY(session.isRunning());
    QVERIFY(studio.idle());
    QVERIFY(!session.calibration().isEmpty());
    QCOMPARE(session.table()->ready, session.table()->rows.size());

    // Select a layer by clicking the map.
    auto *map = window.findChild<ModelMap *>();
    QTest::mouseClick(map, Qt::LeftButton, Qt::NoModifier, map->cellRect(1, 4).center().toPoint());
    QCOMPARE(session.selection().size(), std::size_t(1));
    const std::string layer = session.selection().front();
    QCOMPARE(session.row(layer)->site.layer, std::int64_t(1));
    QVERIFY(studio.idle());
    QVERIFY(session.realised().has_value());

    // Drag the rank marker.
    SpectrumPlot &spectrum = window.findChild<SpectrumPanel *>()->spectrum();
    spectrum.canvas()->replot();
    const int before = session.shownRank();
    QCOMPARE(spectrum.rank(), before);
    const int y = spectrum.canvas()->axisRect()->center().y();
    const auto pixel = [&](int rank) { return QPoint(static_cast<int>(std::lround(spectrum.canvas()->xAxis->coordToPixel(rank + 0.5))), y); };
    QTest::mousePress(spectrum.canvas(), Qt::LeftButton, Qt::NoModifier, pixel(before));
    QTest::mouseMove(spectrum.canvas(), pixel(before / 2));
    QTest::mouseMove(spectrum.canvas(), pixel(4));
    QCOMPARE(static_cast<int>(session.row(layer)->plan.rank), before);  // not before it is let go
    QTest::mouseRelease(spectrum.canvas(), Qt::LeftButton, Qt::NoModifier, pixel(4));
    const int dragged = static_cast<int>(session.row(layer)->plan.rank);
    QVERIFY(dragged >= 3 && dragged <= 5);
    QCOMPARE(session.undoStack().count(), 1);
    QVERIFY(studio.idle());
    // Predicted from the spectrum and measured agree: factors of 8 bits change little.
    const auto realised = session.realised();
    QVERIFY(realised.has_value());
    const double predicted = session.row(layer)->error->relativeCorrectedOutputError();
    QVERIFY(std::abs(realised->error.relativeCorrectedOutputError() - predicted) < 0.05 * predicted + 1e-4);

    // Change the format; it is decomposed in the background.
    LayerSettings format;
    format.weight = FormatSpec::parse("mxint3");
    RecipeTarget target;
    target.layers = {layer};
    session.apply(target, format, QStringLiteral("Format mxint3"));
    QVERIFY(!session.row(layer)->ready);
    QVERIFY(studio.idle());
    QVERIFY(session.row(layer)->ready);

    // Undo and redo.
    QTest::keyClick(&window, Qt::Key_Z, Qt::ControlModifier);
    QVERIFY(session.row(layer)->plan.formats.weight != *format.weight);
    QTest::keyClick(&window, Qt::Key_Z, Qt::ControlModifier);
    QCOMPARE(static_cast<int>(session.row(layer)->plan.rank), before);
    session.undoStack().redo();
    session.undoStack().redo();
    QVERIFY(session.row(layer)->plan.formats.weight == *format.weight);
    QVERIFY(studio.idle());

    // Rank goes where it buys most, for no more bits.
    const auto lost = [&] {
        double sum = 0;
        for (const LayerRow &row : session.table()->rows)
            sum += row.error->correctedOutputError / row.error->outputEnergy;
        return sum;
    };
    const double lostBefore = lost();
    const std::uint64_t bytesBefore = session.table()->footprint.bytes;
    QTest::keyClick(&window, Qt::Key_B, Qt::ControlModifier);
    QVERIFY(studio.idle());
    QVERIFY(lost() < lostBefore);
    QVERIFY(static_cast<double>(session.table()->footprint.bytes) <= 1.01 * static_cast<double>(bytesBefore));
    session.undoStack().undo();
    QVERIFY(studio.idle());

    // Evaluate, change, evaluate again, compare.
    QTest::keyClick(&window, Qt::Key_F7);
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(1));
    QVERIFY(session.isCurrent(*session.reports().front()));
    QVERIFY(session.reports().front()->perplexity->perplexity > 1);
    LayerSettings exact;
    exact.scaling = ScalingKind::Exact;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, exact, QStringLiteral("Scaling exact"));
    QVERIFY(!session.isCurrent(*session.reports().front()));
    QVERIFY(studio.idle());
    QTest::keyClick(&window, Qt::Key_F7);
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(2));
    emit window.findChild<RunsPanel *>()->compareRequested(0, 1);
    QCOMPARE(window.findChild<QTabWidget *>()->currentIndex(), 3);

    // Save, close, reopen: the same state.
    QTest::keyClick(&window, Qt::Key_S, Qt::ControlModifier);
    QVERIFY(!session.isModified());
    const QuantizationRecipe recipe = session.recipe();
    const QString project = session.projectFolder();
    const std::size_t ready = session.table()->ready;
    const double perplexity = session.reports().back()->perplexity->perplexity;
    session.close();
    QVERIFY(!session.isOpen());
    QVERIFY(studio.openAndWait(project));
    QVERIFY(session.recipe() == recipe);
    QCOMPARE(session.table()->ready, ready);
    QCOMPARE(session.reports().size(), std::size_t(2));
    QCOMPARE(session.reports().back()->perplexity->perplexity, perplexity);
}

void TestStudio::everyModelOpens_data()
{
    QTest::addColumn<QString>("model");
    for (const char *model : {"tinystories-656k", "stories260k", "shakespeare-opt", "shakespeare-gpt2", "names-gpt2", "capp-gpt2"})
        QTest::newRow(model) << QString::fromLatin1(model);
}

void TestStudio::everyModelOpens()
{
    LQER_NEED_SHARED();
    QFETCH(QString, model);
    test::Studio studio({}, 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(studio.openAndWait(QString::fromStdString(test::sharedFolder()) + QStringLiteral("/models/") + model));
    QVERIFY(!studio.session().table()->rows.empty());
    QVERIFY(!studio.window->grab().isNull());
}

void TestStudio::aBrokenFolderLeavesTheProgramAsItWas()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    QTemporaryDir empty;
    QSignalSpy failed(&studio.session(), &Session::openFailed);
    // The message box of a failed open waits for its button.
    QTimer::singleShot(0, this, [&studio] {
        auto *timer = new QTimer(studio.window.get());
        QObject::connect(timer, &QTimer::timeout, timer, [] {
            if (QWidget *box = QApplication::activeModalWidget())
                box->close();
        });
        timer->start(20);
    });
    studio.window->open(empty.path());
    QVERIFY(test::Studio::until([&] { return failed.size() == 1; }));
    QVERIFY(failed.front().front().toString().contains(QStringLiteral("config.json")));
    QVERIFY(studio.session().isOpen());
}

void TestStudio::cancellingARunLeavesAValidProject()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    session.runAll();
    QVERIFY(test::Studio::until([&] { return !session.jobs().active().empty() && session.jobs().active().front()->progress().done() > 0; }));
    QTest::keyClick(studio.window.get(), Qt::Key_F5, Qt::ShiftModifier);
    QVERIFY(studio.idle());
    QVERIFY(session.reports().empty());
    const QString project = session.projectFolder();
    session.close();
    QVERIFY(studio.openAndWait(project));
}

void TestStudio::closingWithARunningJobStopsIt()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    studio.session().runAll();
    QVERIFY(studio.session().isRunning());
    QTimer::singleShot(0, this, [] {
        if (auto *box = qobject_cast<QMessageBox *>(QApplication::activeModalWidget()))
            box->button(QMessageBox::Yes)->click();
    });
    studio.window->close();
    QVERIFY(!studio.window->isVisible());
    QVERIFY(!studio.session().isOpen());
}

void TestStudio::everyControlHasAName()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    for (QWidget *widget : studio.window->findChildren<QWidget *>()) {
        // What Qt builds inside its own controls and docks speaks through them.
        if (widget->focusPolicy() == Qt::NoFocus || widget->objectName().startsWith(QLatin1String("qt_")) || !widget->isVisible())
            continue;
        QAccessibleInterface *interface = QAccessible::queryAccessibleInterface(widget);
        QVERIFY(interface);
        const bool container = qobject_cast<QTabWidget *>(widget) || widget->inherits("QTabBar") || widget->inherits("QScrollArea") || widget->inherits("QDockWidget")
            || widget->inherits("QMenuBar") || widget->inherits("QHeaderView") || widget->inherits("QSplitter") || widget->parentWidget()->inherits("QAbstractSpinBox")
            || widget->parentWidget()->inherits("QComboBox") || widget->parentWidget()->inherits("QTabBar");
        QVERIFY2(container || !interface->text(QAccessible::Name).isEmpty(), widget->metaObject()->className());
    }
}

void TestStudio::everyActionHasAShortcutOrAMenu()
{
    test::Studio studio(demo(), 2);
    QSet<QString> shortcuts;
    const auto visit = [&](const auto &self, const QMenu *menu) -> void {
        for (const QAction *action : menu->actions()) {
            if (action->isSeparator())
                continue;
            if (action->menu()) {
                // Presets and recent folders are lists, their menu is the way there.
                if (!action->text().contains(QLatin1String("recent")) && !action->text().contains(QLatin1String("recipe")))
                    self(self, action->menu());
                continue;
            }
            QVERIFY2(!action->shortcut().isEmpty(), qPrintable(action->text()));
            const QString keys = action->shortcut().toString();
            QVERIFY2(!shortcuts.contains(keys), qPrintable(keys));
            shortcuts.insert(keys);
        }
    };
    for (const QAction *action : studio.window->menuBar()->actions())
        visit(visit, action->menu());
    QVERIFY(shortcuts.size() > 15);
}

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    applyTheme(application, ThemeMode::Light);
    TestStudio test;
    return QTest::qExec(&test, argc, argv);
}
#include "tst_studio.moc"
