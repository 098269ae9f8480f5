// SPDX-License-Identifier: GPL-3.0-or-later
#include <QAccessible>
#include <QComboBox>
#include <QDockWidget>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMenuBar>
#include <QMessageBox>
#include <QProgressBar>
#include <QSettings>
#include <QSignalSpy>
#include <QSlider>
#include <QSpinBox>
#include <QStyleOptionSlider>
#include <QTabWidget>
#include <QTest>
#include <qcustomplot.h>

#include <algorithm>
#include <cmath>

#include "core/eval/hardware_cost.h"
#include "core/quant/quantizer.h"
#include "tests/studio/studio_driver.h"
#include "tests/support/shared_data.h"
#include "widgets/panels/compare_panel.h"
#include "widgets/panels/inspector_panel.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/plots/model_map.h"
#include "widgets/plots/residual_plot.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/session/preferences.h"
#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

using namespace lqer;
using namespace lqer::test;

class TestStudio : public QObject {
    Q_OBJECT

private slots:
    void aPersonQuantizesTheDemo();
    void everyModelOpens_data();
    void everyModelOpens();
    void aBrokenFolderLeavesTheProgramAsItWas();
    void everyWayToTheRankIsOneStepOfUndo();
    void editsReachTheirTarget_data();
    void editsReachTheirTarget();
    void recipesAreChosenFromTheMenu_data();
    void recipesAreChosenFromTheMenu();
    void otherScalingsAndFormatsAreLaidOver();
    void thePlotMenuIsAboutThePlotThatIsSeen();
    void cancellingARunLeavesAValidProject();
    void openingAnotherAsksBeforeARunStops();
    void theMeasuredErrorFollowsTheCalibration();
    void aRunPausesAndGoesOn();
    void closingWithARunningJobStopsIt();
    void theDemoIsOneClickAway();
    void recentFoldersAndDropsOpen();
    void aProjectThatWasNotClosedIsOffered_data();
    void aProjectThatWasNotClosedIsOffered();
    void theLayoutIsThereAgain();
    void tabReachesEveryControl();
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
    const auto *inspector = window.findChild<InspectorPanel *>();
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Weight format")), QStringLiteral("mxint3")));
    const FormatSpec mxint3 = withDefaults(FormatSpec::parse("mxint3"));
    QVERIFY(withDefaults(session.row(layer)->plan.formats.weight) == mxint3);
    QVERIFY(!session.row(layer)->ready);
    QVERIFY(studio.idle());
    QVERIFY(session.row(layer)->ready);

    // Undo and redo.
    QTest::keyClick(&window, Qt::Key_Z, Qt::ControlModifier);
    QVERIFY(withDefaults(session.row(layer)->plan.formats.weight) != mxint3);
    QTest::keyClick(&window, Qt::Key_Z, Qt::ControlModifier);
    QCOMPARE(static_cast<int>(session.row(layer)->plan.rank), before);
    QTest::keyClick(&window, Qt::Key_Y, Qt::ControlModifier);
    QTest::keyClick(&window, Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
    QVERIFY(withDefaults(session.row(layer)->plan.formats.weight) == mxint3);
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
    QVERIFY(session.table()->footprint.bytes <= bytesBefore);
    session.undoStack().undo();
    QVERIFY(studio.idle());

    // Evaluate, change, evaluate again, compare.
    QTest::keyClick(&window, Qt::Key_F7);
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(1));
    QVERIFY(session.isCurrent(*session.reports().front()));
    QVERIFY(session.reports().front()->perplexity->perplexity > 1);
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Apply to")), QStringLiteral("every layer")));
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Scaling")), QStringLiteral("exact")));
    QVERIFY(!session.isCurrent(*session.reports().front()));
    QVERIFY(studio.idle());
    QTest::keyClick(&window, Qt::Key_F7);
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(2));
    QTest::keyClick(&window, Qt::Key_M, Qt::ControlModifier);
    QCOMPARE(window.findChild<QTabWidget *>()->currentIndex(), 3);
    const auto labels = window.findChild<ComparePanel *>()->findChildren<QLabel *>();
    QVERIFY(std::ranges::any_of(labels, [](const QLabel *label) { return label->text().contains(QStringLiteral("moved and")) && label->text().contains(QStringLiteral("area")); }));

    // Save, close, reopen: the same state.
    QTest::keyClick(&window, Qt::Key_S, Qt::ControlModifier);
    QVERIFY(!session.isModified());
    const QuantizationRecipe recipe = session.recipe();
    const QString project = session.projectFolder();
    const std::size_t ready = session.table()->ready;
    const double perplexity = session.reports().back()->perplexity->perplexity;
    QTest::keyClick(&window, Qt::Key_W, Qt::ControlModifier);
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

void TestStudio::everyWayToTheRankIsOneStepOfUndo()
{
    test::Studio studio(demo(), 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    QVERIFY(studio.openCalibrated());
    Session &session = studio.session();
    const auto *inspector = window.findChild<InspectorPanel *>();
    auto *number = test::named<QSpinBox>(inspector, QStringLiteral("Rank"));
    auto *slider = test::named<QSlider>(inspector, QStringLiteral("Rank slider"));
    QVERIFY(number && slider);
    const auto rank = [&] { return static_cast<int>(session.currentRow()->plan.rank); };

    number->setFocus();
    number->selectAll();
    QTest::keyClicks(number, QStringLiteral("17"));
    QTest::keyClick(number, Qt::Key_Return);
    QCOMPARE(rank(), 17);
    QCOMPARE(session.undoStack().count(), 1);
    // What the layer costs hardware follows its rank.
    const LayerCost cost = layerCost(session.currentRow()->site, session.currentRow()->plan, session.currentRow()->footprint, 1);
    const auto *moved = test::named<QLabel>(inspector, QStringLiteral("Bits moved by this layer"));
    QVERIFY2(moved->text().startsWith(quantityText(cost.movedBits(1), "bit")), qPrintable(moved->text()));
    QVERIFY(test::named<QLabel>(inspector, QStringLiteral("Relative area of this layer"))->text().startsWith(numberText(cost.area().value())));
    QVERIFY(test::named<QLabel>(inspector, QStringLiteral("Relative area of all layers and attention"))->text().contains(QStringLiteral("derived")));
    QTest::keyClick(slider, Qt::Key_PageUp);
    QVERIFY(rank() > 17);
    QCOMPARE(session.undoStack().count(), 2);
    // A drag of the slider: many moves, one step.
    QStyleOptionSlider option;
    option.initFrom(slider);
    option.minimum = slider->minimum();
    option.maximum = slider->maximum();
    option.sliderPosition = slider->sliderPosition();
    option.sliderValue = slider->value();
    const QPoint handle = slider->style()->subControlRect(QStyle::CC_Slider, &option, QStyle::SC_SliderHandle, slider).center();
    const int before = rank();
    QSignalSpy previewed(&session, &Session::rankPreviewed);
    QTest::mousePress(slider, Qt::LeftButton, Qt::NoModifier, handle);
    for (int step = 1; step <= 5; ++step)
        QTest::mouseMove(slider, handle + QPoint(4 * step, 0));
    QCOMPARE(rank(), before);
    QVERIFY(previewed.size() >= 4);
    QTest::mouseRelease(slider, Qt::LeftButton, Qt::NoModifier, handle + QPoint(20, 0));
    QVERIFY(rank() > before);
    QCOMPARE(session.undoStack().count(), 3);
    // Key and wheel on the plot.
    SpectrumPlot &spectrum = window.findChild<SpectrumPanel *>()->spectrum();
    const int now = rank();
    QTest::keyClick(&spectrum, Qt::Key_Left);
    QCOMPARE(rank(), now - 1);
    const QPointF centre = spectrum.canvas()->rect().center();
    QWheelEvent wheel(centre, spectrum.canvas()->mapToGlobal(centre), {}, QPoint(0, -120), Qt::NoButton, Qt::ShiftModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(spectrum.canvas(), &wheel);
    QCOMPARE(rank(), now - 2);
    QCOMPARE(session.undoStack().count(), 5);
    // The number has the focus: its own undo of text does not stand in the way.
    number->setFocus();
    for (int step = 0; step < 5; ++step)
        QTest::keyClick(number, Qt::Key_Z, Qt::ControlModifier);
    QCOMPARE(rank(), 32);
    QVERIFY(!session.undoStack().canUndo());
}

void TestStudio::editsReachTheirTarget_data()
{
    QTest::addColumn<QString>("target");
    QTest::addColumn<QString>("pattern");
    QTest::addColumn<int>("layers");
    QTest::newRow("this layer") << QStringLiteral("this layer") << QString() << 1;
    QTest::newRow("role") << QStringLiteral("q in every block") << QString() << 4;
    QTest::newRow("block") << QStringLiteral("all of block 0") << QString() << 7;
    QTest::newRow("every layer") << QStringLiteral("every layer") << QString() << 28;
    QTest::newRow("pattern") << QStringLiteral("names that match...") << QStringLiteral(".*mlp\\.(up|gate)_proj") << 8;
}

void TestStudio::editsReachTheirTarget()
{
    QFETCH(QString, target);
    QFETCH(QString, pattern);
    QFETCH(int, layers);
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    const auto *inspector = studio.window->findChild<InspectorPanel *>();
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Apply to")), target));
    if (!pattern.isEmpty())
        QTest::keyClicks(test::named<QLineEdit>(inspector, QStringLiteral("Name pattern")), pattern);
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Format of A and B")), QStringLiteral("float16")));
    const auto changed = std::count_if(session.table()->rows.begin(), session.table()->rows.end(), [](const LayerRow &row) { return row.plan.formats.a.name == "float16"; });
    QCOMPARE(static_cast<int>(changed), layers);
    QCOMPARE(session.undoStack().count(), 1);
}

void TestStudio::recipesAreChosenFromTheMenu_data()
{
    QTest::addColumn<QStringList>("path");
    QTest::addColumn<QString>("recipe");
    QTest::newRow("preset") << QStringList{QStringLiteral("Start from"), QStringLiteral("QERA-exact NF4")} << QStringLiteral("qera-exact-nf4");
    QTest::newRow("template of a model") << QStringList{QStringLiteral("Start from"), QStringLiteral("templates"), QStringLiteral("Mistral")} << QStringLiteral("lqer-mistral-7b");
}
void TestStudio::recipesAreChosenFromTheMenu()
{
    QFETCH(QStringList, path);
    QFETCH(QString, recipe);
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    const QuantizationRecipe before = session.recipe();
    const QMenuBar *bar = studio.window->menuBar();
    QAction *edit = bar->actions().at(1);
    QTest::mouseClick(studio.window->menuBar(), Qt::LeftButton, Qt::NoModifier, bar->actionGeometry(edit).center());
    QMenu *menu = edit->menu();
    for (const QString &words : path) {
        QTRY_VERIFY(menu->isVisible());
        const QList<QAction *> actions = menu->actions();
        const auto found = std::ranges::find_if(actions, [&](const QAction *action) { return action->text().contains(words); });
        QVERIFY2(found != actions.end(), qPrintable(words));
        QTest::mouseClick(menu, Qt::LeftButton, Qt::NoModifier, menu->actionGeometry(*found).center());
        if ((*found)->menu())
            menu = (*found)->menu();
    }
    QVERIFY(session.recipe() == withSensibleRanks(findRecipePreset(recipe.toStdString()), session.model()->transformer().linearSites()));
    QVERIFY(studio.idle());
    QTest::keyClick(studio.window.get(), Qt::Key_Z, Qt::ControlModifier);
    QVERIFY(session.recipe() == before);
    QVERIFY(studio.idle());
}

void TestStudio::otherScalingsAndFormatsAreLaidOver()
{
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(studio.openCalibrated());
    auto *panel = studio.window->findChild<SpectrumPanel *>();
    const auto toggle = [&](const QString &text) {
        for (QMenu *menu : {panel->comparisons(), panel->comparisons()->findChild<QMenu *>()})
            for (QAction *action : menu->actions())
                if (action->text() == text)
                    action->trigger();
    };
    const qsizetype before = panel->spectrum().curves().size();
    toggle(QStringLiteral("scaling exact"));
    toggle(QStringLiteral("scaling identity"));
    toggle(QStringLiteral("nf4"));
    QCOMPARE(panel->spectrum().curves().size(), before + 3);
    QVERIFY(studio.idle());
    for (const SpectrumCurve &curve : panel->spectrum().curves())
        QVERIFY2(!curve.sigma.empty(), qPrintable(curve.label));
    // The exact scaling leaves least of the output's error at every rank; it is the second of four curves (rank, own, exact, ...).
    const std::vector<PlotColumn> columns = panel->residual().columns();
    QCOMPARE(columns.size(), std::size_t(6));
    const auto exact = std::find_if(columns.begin(), columns.end(), [](const PlotColumn &column) { return column.title.contains(QLatin1String("exact")); });
    const auto identity = std::find_if(columns.begin(), columns.end(), [](const PlotColumn &column) { return column.title.contains(QLatin1String("identity")); });
    QVERIFY(exact != columns.end() && identity != columns.end());
    for (std::size_t k = 0; k < exact->values.size(); ++k)
        QVERIFY(exact->values[k] <= identity->values[k] * (1 + 1e-6) + 1e-9);
    toggle(QStringLiteral("Compare with &nothing"));
    QCOMPARE(panel->spectrum().curves().size(), before);
}

void TestStudio::thePlotMenuIsAboutThePlotThatIsSeen()
{
    test::Studio studio(demo(), 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    QVERIFY(studio.openCalibrated());
    const auto copied = [&] {
        QGuiApplication::clipboard()->clear();
        QTest::keyClick(&window, Qt::Key_C, Qt::ControlModifier | Qt::AltModifier);
        return QGuiApplication::clipboard()->text();
    };
    QVERIFY2(copied().startsWith(QLatin1String("\"component\"")), qPrintable(copied()));
    window.findChild<SpectrumPanel *>()->residual().setFocus();
    QVERIFY(copied().startsWith(QLatin1String("\"rank\"")));
    QTest::keyClick(&window, Qt::Key_2, Qt::ControlModifier);
    QVERIFY(copied().startsWith(QLatin1String("\"channel\"")));
    QTest::keyClick(&window, Qt::Key_1, Qt::ControlModifier);
    SpectrumPlot &spectrum = window.findChild<SpectrumPanel *>()->spectrum();
    QTest::keyClick(&window, Qt::Key_N, Qt::ControlModifier | Qt::AltModifier);
    QVERIFY(spectrum.isNormalised());
    spectrum.canvas()->xAxis->setRange(2, 3);
    QTest::keyClick(&window, Qt::Key_0, Qt::ControlModifier);
    QVERIFY(spectrum.canvas()->xAxis->range().lower < 1);
    // The next layer and back.
    const std::string first = studio.session().selection().front();
    QTest::keyClick(&window, Qt::Key_BracketRight, Qt::ControlModifier);
    QVERIFY(studio.session().selection().front() != first);
    QTest::keyClick(&window, Qt::Key_BracketLeft, Qt::ControlModifier);
    QCOMPARE(studio.session().selection().front(), first);
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
    // A perplexity that was on its way is not left standing.
    shortRuns(session);
    session.calibrate();
    QVERIFY(studio.idle());
    RunSettings settings = session.runSettings();
    settings.evaluationWindows = 0;
    session.setRunSettings(settings);
    session.evaluate();
    QVERIFY(studio.until([&] { return session.runningPerplexity() || !session.isRunning(); }));
    QVERIFY(session.isRunning());
    QTest::keyClick(studio.window.get(), Qt::Key_F5, Qt::ShiftModifier);
    QVERIFY(studio.idle());
    QVERIFY(session.reports().empty());
    QVERIFY(!session.runningPerplexity());
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
    bool asked = false;
    QTimer::singleShot(0, this, [&asked] {
        if (auto *box = qobject_cast<QMessageBox *>(QApplication::activeModalWidget())) {
            asked = true;
            box->button(QMessageBox::Yes)->click();
        }
    });
    studio.window->close();
    QVERIFY(asked);
    QVERIFY(!studio.window->isVisible());
    QVERIFY(!studio.session().isOpen());
}

void TestStudio::openingAnotherAsksBeforeARunStops()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    session.runAll();
    session.pauseRun(true);
    const QSignalSpy opened(&session, &Session::opened);
    int asked = 0;
    const auto answer = [&](QMessageBox::StandardButton word) {
        QTimer::singleShot(0, this, [&asked, word] {
            if (auto *box = qobject_cast<QMessageBox *>(QApplication::activeModalWidget())) {
                ++asked;
                box->button(word)->click();
            }
        });
    };
    answer(QMessageBox::No);
    studio.dropOnWindow(demo());
    QCOMPARE(asked, 1);
    QVERIFY(session.isRunning() && !session.isOpening());
    answer(QMessageBox::Yes);
    studio.dropOnWindow(demo());
    QCOMPARE(asked, 2);
    QVERIFY(studio.until([&] { return opened.size() == 1; }));
    QVERIFY(!session.isRunning());
    QVERIFY(studio.idle());
}

void TestStudio::theMeasuredErrorFollowsTheCalibration()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    shortRuns(session);
    // A scaling that needs no statistics is measured before there are any; of the output nothing is known then.
    LayerSettings settings;
    settings.scaling = ScalingKind::Identity;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, settings, QStringLiteral("Scaling"));
    QVERIFY(studio.idle());
    QVERIFY(session.realised() && !session.realised()->error.outputKnown);
    const auto *measured = test::named<QLabel>(studio.window.get(), QStringLiteral("Measured output error"));
    QCOMPARE(measured->text(), QStringLiteral("\u2013"));
    session.calibrate();
    QVERIFY(studio.idle());
    QVERIFY(session.realised() && session.realised()->error.outputKnown);
    QVERIFY2(measured->text().contains(QLatin1Char('%')), qPrintable(measured->text()));
}

void TestStudio::aRunPausesAndGoesOn()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    shortRuns(session);
    QTest::keyClick(studio.window.get(), Qt::Key_F5);
    QVERIFY(session.runningJob());
    QTest::keyClick(studio.window.get(), Qt::Key_F9);
    QVERIFY(session.runningJob()->isPaused());
    QTest::keyClick(studio.window.get(), Qt::Key_F9);
    QVERIFY(!session.runningJob()->isPaused());
    QVERIFY(studio.idle());
    QVERIFY(!session.calibration().isEmpty());
}

void TestStudio::theDemoIsOneClickAway()
{
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(QTest::qWaitForWindowExposed(studio.window.get()));
    QTest::mouseClick(button(studio.window.get(), QStringLiteral("Try the &demo")), Qt::LeftButton);
    QVERIFY(studio.until([&] { return studio.session().isOpen(); }));
    // What is missing is computed at once, and seen.
    QVERIFY(studio.session().isRunning());
    auto *bar = test::named<QProgressBar>(studio.window.get(), QStringLiteral("Progress of the running job"));
    QVERIFY(studio.until([&] { return test::named<QProgressBar>(studio.window.get(), QStringLiteral("Progress of the running job")) != nullptr; }) || bar);
    QTest::keyClick(studio.window.get(), Qt::Key_F5, Qt::ShiftModifier);
    QVERIFY(studio.idle());
}

void TestStudio::recentFoldersAndDropsOpen()
{
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(QTest::qWaitForWindowExposed(studio.window.get()));
    // A file of the checkpoint stands for its folder.
    studio.dropOnWindow(demo() + QStringLiteral("/config.json"));
    QVERIFY(studio.until([&] { return studio.session().isOpen(); }));
    QVERIFY(studio.idle());
    QTest::keyClick(studio.window.get(), Qt::Key_W, Qt::ControlModifier);
    QVERIFY(!studio.session().isOpen());
    auto *recent = test::named<QListWidget>(studio.window.get(), QStringLiteral("Recent checkpoints and projects"));
    QVERIFY(recent);
    QTest::mouseClick(recent->viewport(), Qt::LeftButton, Qt::NoModifier, recent->visualItemRect(recent->item(0)).center());
    QVERIFY(studio.until([&] { return studio.session().isOpen(); }));
    QCOMPARE(studio.session().folder(), demo());
    QVERIFY(studio.idle());
    // What is open already may be opened once more; this program's own lock is not in the way, and edits are kept.
    studio.session().chooseRank(3);
    const QSignalSpy opened(&studio.session(), &Session::opened);
    studio.dropOnWindow(demo());
    QVERIFY(studio.until([&] { return opened.size() == 1; }));
    QVERIFY(studio.idle());
    QVERIFY2(!studio.session().project()->isReadOnly(), studio.session().project()->readOnlyReason().c_str());
    QCOMPARE(studio.session().currentRow()->plan.rank, Index(3));
}

void TestStudio::aProjectThatWasNotClosedIsOffered_data()
{
    QTest::addColumn<qlonglong>("process");
    QTest::addColumn<bool>("offered");
    QTest::newRow("its process is gone") << qlonglong(0x3fffffff) << true;
    QTest::newRow("another program has it open") << qlonglong(getppid()) << false;
}

void TestStudio::aProjectThatWasNotClosedIsOffered()
{
    QFETCH(qlonglong, process);
    QFETCH(bool, offered);
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    Session &session = studio.session();
    LayerSettings settings;
    settings.rank = 5;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, settings, QStringLiteral("Rank 5"));
    const QString project = session.projectFolder();
    session.close();  // what autosave does once a second
    preferences::setOpenProject(project);
    QSettings().setValue(QStringLiteral("session/process"), process);
    bool asked = false;
    QTimer::singleShot(0, this, [&asked] {
        if (auto *box = qobject_cast<QMessageBox *>(QApplication::activeModalWidget())) {
            asked = true;
            QTest::mouseClick(box->button(QMessageBox::Yes), Qt::LeftButton);
        }
    });
    studio.window->offerRecovery();
    QCoreApplication::processEvents();
    QCOMPARE(asked, offered);
    if (!offered)
        return;
    QVERIFY(studio.until([&] { return session.isOpen(); }));
    QCOMPARE(session.currentRow()->plan.rank, Index(5));
    QVERIFY(session.isModified());
    QVERIFY(studio.idle());
}

void TestStudio::theLayoutIsThereAgain()
{
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    QVERIFY(studio.window->findChild<QDockWidget *>(QStringLiteral("map"))->isVisible());
    QTest::keyClick(studio.window.get(), Qt::Key_1, Qt::ControlModifier | Qt::AltModifier);
    QVERIFY(!studio.window->findChild<QDockWidget *>(QStringLiteral("map"))->isVisible());
    studio.window->close();
    MainWindow again(studio.engine, studio.folder.path() + QStringLiteral("/work"), demo());
    again.show();
    again.open(demo());
    QVERIFY(studio.until([&] { return again.session().isOpen() && again.session().jobs().active().empty(); }));
    QVERIFY(!again.findChild<QDockWidget *>(QStringLiteral("map"))->isVisible());
    QVERIFY(again.findChild<QDockWidget *>(QStringLiteral("inspector"))->isVisible());
    QTest::keyClick(&again, Qt::Key_0, Qt::ControlModifier | Qt::AltModifier);
    QVERIFY(again.findChild<QDockWidget *>(QStringLiteral("map"))->isVisible());
}

void TestStudio::tabReachesEveryControl()
{
    test::Studio studio(demo(), 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    QVERIFY(studio.openAndWait(demo()));
    window.activateWindow();
    QVERIFY(QTest::qWaitForWindowActive(&window));
    QSet<const QWidget *> wanted;
    for (QWidget *widget : window.findChildren<QWidget *>()) {
        const bool tab = widget->focusPolicy() & Qt::TabFocus;
        // A proxy's owner passes the focus on; what Qt builds inside its controls is reached through them.
        if (tab && widget->isVisible() && widget->isEnabled() && !widget->focusProxy() && !widget->objectName().startsWith(QLatin1String("qt_")) && !widget->inherits("QScrollArea"))
            wanted.insert(widget);
    }
    QVERIFY(wanted.size() > 15);
    window.findChild<SpectrumPanel *>()->spectrum().setFocus();
    for (int i = 0; i < 300 && !wanted.isEmpty(); ++i) {
        wanted.remove(QApplication::focusWidget());
        QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
    }
    for (const QWidget *widget : wanted)
        qWarning("not reached: %s %s", widget->metaObject()->className(), qPrintable(widget->accessibleName()));
    QVERIFY(wanted.isEmpty());
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
                if (!action->text().contains(QLatin1String("recent")) && !action->text().contains(QLatin1String("recipe")) && !action->text().contains(QLatin1String("ompare")))
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
