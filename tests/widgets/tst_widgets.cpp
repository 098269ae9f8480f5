// SPDX-License-Identifier: GPL-3.0-or-later
#include <QAbstractItemModelTester>
#include <QCheckBox>
#include <QComboBox>
#include <QHelpEvent>
#include <QLineEdit>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTest>
#include <QTextDocument>
#include <QThread>
#include <QToolButton>
#include <QToolTip>

#include <atomic>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/quant/quantizer.h"
#include "widgets/controls/elided_label.h"
#include "widgets/controls/format_editor.h"
#include "widgets/controls/path_field.h"
#include "widgets/models/layer_model.h"
#include "widgets/plots/model_map.h"
#include "widgets/session/job_bridge.h"
#include "widgets/session/recipe_edit.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

std::vector<LinearSite> sites()
{
    std::vector<LinearSite> made;
    for (int block = 0; block < 3; ++block) {
        for (const auto &[role, name] : {std::pair{LinearRole::Query, "q_proj"}, std::pair{LinearRole::Up, "up_proj"}}) {
            LinearSite site;
            site.name = "model.layers." + std::to_string(block) + ".x." + name;
            site.layer = block;
            site.role = role;
            site.in = 32;
            site.out = role == LinearRole::Up ? 64 : 32;
            made.push_back(site);
        }
    }
    return made;
}

std::shared_ptr<LayerTable> table(double factor)
{
    auto made = std::make_shared<LayerTable>();
    double error = 1;
    for (const LinearSite &site : sites()) {
        LayerRow row;
        row.site = site;
        row.plan.rank = 4;
        row.ready = true;
        LayerError one;
        one.layer = site.name;
        one.weightEnergy = 100;
        one.weightError = error;
        one.outputKnown = true;
        one.outputEnergy = 100;
        one.outputError = error * 2;
        one.correctedOutputError = error * factor;
        row.error = one;
        row.footprint.stored.withCorrection = 4.25;
        made->rows.push_back(row);
        error += 1;
    }
    return made;
}

double contrast(const QColor &a, const QColor &b)
{
    const auto luminance = [](const QColor &color) {
        const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
        return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF());
    };
    const double high = std::max(luminance(a), luminance(b));
    const double low = std::min(luminance(a), luminance(b));
    return (high + 0.05) / (low + 0.05);
}

}  // namespace

class TestWidgets : public QObject {
    Q_OBJECT

private slots:
    void layerModelKeepsTheRulesOfModels_data();
    void layerModelKeepsTheRulesOfModels();
    void sharesOfTheErrorSumToOne();
    void layersAreFilteredByTextAndRole();
    void clicksAndKeysSelectInTheModelMap();
    void theMapHasRoomForMissingCells();
    void aWiderEditWinsOverEarlierOnes();
    void aBadPatternIsAnError();
    void everyFormatCanBeChosenAndShown();
    void activationFormatsKnowTheirBatch();
    void parametersAreEditedWithoutLosingTheFocus();
    void deliveriesArriveOnThisThreadAndOnlyFromTheNewestJob();
    void aResultArrivesThoughItsJobEndsWhileAnotherIsDelivered();
    void failuresCrossAsText();
    void aPathThatDoesNotFitShowsItsEndAndItsTipAllOfIt();
    void aLabelThatDoesNotFitGivesWayAndItsTipIsWhole();
    void anUncheckedBoxIsSeenInEveryTheme_data();
    void anUncheckedBoxIsSeenInEveryTheme();
    void markupInNamesIsShownNotDrawn();
    void numbersHaveUnits_data();
    void numbersHaveUnits();
    void textIsReadableInBothThemes();
    void everyTermIsExplained();
};

void TestWidgets::layerModelKeepsTheRulesOfModels_data()
{
    QTest::addColumn<int>("grouping");
    QTest::newRow("flat") << static_cast<int>(LayerModel::Grouping::None);
    QTest::newRow("block") << static_cast<int>(LayerModel::Grouping::Block);
    QTest::newRow("role") << static_cast<int>(LayerModel::Grouping::Role);
}

void TestWidgets::layerModelKeepsTheRulesOfModels()
{
    QFETCH(int, grouping);
    LayerModel model;
    LayerFilter filter;
    filter.setSourceModel(&model);
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    QAbstractItemModelTester filterTester(&filter, QAbstractItemModelTester::FailureReportingMode::QtTest);
    model.setGrouping(static_cast<LayerModel::Grouping>(grouping));
    model.setTable(table(0.5));
    model.setTable(table(0.25));
    filter.setText(QStringLiteral("layers.1"));
    filter.setText({});
    for (const LinearSite &site : sites()) {
        const QModelIndex index = model.indexOf(site.name);
        QVERIFY(index.isValid());
        QCOMPARE(index.data(LayerModel::NameRole).toString().toStdString(), site.name);
    }
    model.setTable(nullptr);
    QCOMPARE(model.rowCount(), 0);
}

void TestWidgets::sharesOfTheErrorSumToOne()
{
    const auto made = table(0.5);
    double sum = 0;
    for (const LayerRow &row : made->rows)
        sum += valueOf(LayerMetric::ErrorShare, row, remainingError(*made));
    QVERIFY(std::abs(sum - 1) < 1e-12);
}

void TestWidgets::layersAreFilteredByTextAndRole()
{
    LayerModel model;
    LayerFilter filter;
    filter.setSourceModel(&model);
    model.setTable(table(0.5));
    const auto leaves = [&] {
        int count = 0;
        for (int group = 0; group < filter.rowCount(); ++group)
            count += filter.rowCount(filter.index(group, 0));
        return count;
    };
    QCOMPARE(leaves(), 6);
    filter.setText(QStringLiteral("LAYERS.2"));
    QCOMPARE(leaves(), 2);
    filter.setRole(QStringLiteral("up"));
    QCOMPARE(leaves(), 1);
    filter.setText({});
    QCOMPARE(leaves(), 3);
}

void TestWidgets::clicksAndKeysSelectInTheModelMap()
{
    ModelMap map;
    map.resize(400, 300);
    map.setAxes({QStringLiteral("0"), QStringLiteral("1")}, {QStringLiteral("q"), QStringLiteral("up")});
    map.setCells({{0, 0, 1, {}, {}}, {0, 1, 2, {}, {}}, {1, 0, 3, {}, {}}, {1, 1, 4, {}, {}}});
    map.show();
    QVERIFY(QTest::qWaitForWindowExposed(&map));
    QSignalSpy changed(&map, &ModelMap::selectionChanged);
    QTest::mouseClick(&map, Qt::LeftButton, Qt::NoModifier, map.cellRect(1, 0).center().toPoint());
    QCOMPARE(map.selection(), std::vector<int>{2});
    QTest::mouseClick(&map, Qt::LeftButton, Qt::ControlModifier, map.cellRect(0, 1).center().toPoint());
    QCOMPARE(map.selection(), (std::vector<int>{2, 1}));
    QTest::mouseClick(&map, Qt::LeftButton, Qt::NoModifier, map.cellRect(0, 0).center().toPoint());
    QTest::mouseClick(&map, Qt::LeftButton, Qt::ShiftModifier, map.cellRect(1, 1).center().toPoint());
    QCOMPARE(map.selection().size(), std::size_t(4));
    QTest::mouseClick(&map, Qt::LeftButton, Qt::NoModifier, map.cellRect(0, 0).center().toPoint());
    QTest::keyClick(&map, Qt::Key_Right);
    QCOMPARE(map.selection(), std::vector<int>{1});
    QTest::keyClick(&map, Qt::Key_Down);
    QCOMPARE(map.selection(), std::vector<int>{3});
    QTest::keyClick(&map, Qt::Key_Down);
    QCOMPARE(map.selection(), std::vector<int>{3});
    QVERIFY(changed.size() >= 6);
}

void TestWidgets::theMapHasRoomForMissingCells()
{
    ModelMap map;
    map.resize(300, 200);
    map.setAxes({QStringLiteral("0")}, {QStringLiteral("q"), QStringLiteral("up")});
    map.setCells({{0, 1, std::numeric_limits<double>::quiet_NaN(), QStringLiteral("?"), {}}});
    QCOMPARE(map.cellAt(0, 0), -1);
    QCOMPARE(map.cellAt(0, 1), 0);
    QVERIFY(!map.grab().isNull());
}

void TestWidgets::aWiderEditWinsOverEarlierOnes()
{
    const auto all = sites();
    QuantizationRecipe recipe;
    LayerSettings rank8;
    rank8.rank = 8;
    LayerSettings rank16;
    rank16.rank = 16;
    LayerSettings exact;
    exact.scaling = ScalingKind::Exact;
    RecipeTarget one;
    one.layers = {all[1].name};
    recipe = withSettings(recipe, one, rank8, all);
    recipe = withSettings(recipe, one, exact, all);
    QCOMPARE(recipe.planFor(all[1]).rank, Index(8));
    QCOMPARE(recipe.planFor(all[3]).rank, Index(0));
    RecipeTarget role;
    role.kind = RecipeTarget::Kind::Role;
    role.role = LinearRole::Up;
    recipe = withSettings(recipe, role, rank16, all);
    QCOMPARE(recipe.planFor(all[1]).rank, Index(16));
    QCOMPARE(recipe.planFor(all[3]).rank, Index(16));
    QCOMPARE(recipe.planFor(all[0]).rank, Index(0));
    QVERIFY(recipe.planFor(all[1]).scaling == ScalingKind::Exact);  // what the wider edit does not state stays
    RecipeTarget block;
    block.kind = RecipeTarget::Kind::Block;
    block.block = 0;
    recipe = withSettings(recipe, block, rank8, all);
    QCOMPARE(recipe.planFor(all[0]).rank, Index(8));
    QCOMPARE(recipe.planFor(all[1]).rank, Index(8));
    QCOMPARE(recipe.planFor(all[3]).rank, Index(16));
    RecipeTarget everything;
    everything.kind = RecipeTarget::Kind::All;
    recipe = withSettings(recipe, everything, rank16, all);
    for (const LinearSite &site : all)
        QCOMPARE(recipe.planFor(site).rank, Index(16));
    QVERIFY(recipe.rules.empty());
}

void TestWidgets::aBadPatternIsAnError()
{
    RecipeTarget pattern;
    pattern.kind = RecipeTarget::Kind::Pattern;
    pattern.pattern = "(";
    LayerSettings settings;
    settings.rank = 1;
    QVERIFY_EXCEPTION_THROWN(withSettings({}, pattern, settings, sites()), Error);
}

void TestWidgets::everyFormatCanBeChosenAndShown()
{
    FormatEditor editor(FormatUse::Weight);
    QSignalSpy chosen(&editor, &FormatEditor::formatChosen);
    for (const FormatInfo &info : formats()) {
        for (const auto &[name, spec] : info.presets) {
            editor.setFormat(spec);
            QCOMPARE(editor.findChild<QComboBox *>()->currentText().toStdString(), name);
            QVERIFY(editor.format() == spec);
        }
    }
    QCOMPARE(chosen.size(), 0);
}

// What LQER uses for activations is a preset there, and choosing a preset gives what LQER uses.
void TestWidgets::activationFormatsKnowTheirBatch()
{
    const FormatSpec activations = FormatSpec::parse("block_fp:width=8,block_size=1x16,skip_first_dim=true");
    QCOMPARE(formatText(activations, FormatUse::Activation), QStringLiteral("bfp8"));
    QCOMPARE(formatText(activations, FormatUse::Weight), QStringLiteral("bfp8, skip first dim true"));
    QCOMPARE(formatText(FormatSpec::parse("mxint4:block_size=64")), QStringLiteral("mxint4, block size 64"));
    FormatEditor editor(FormatUse::Activation);
    editor.show();
    auto *picker = editor.findChild<QComboBox *>();
    picker->setFocus();
    picker->setCurrentIndex(0);
    QSignalSpy chosen(&editor, &FormatEditor::formatChosen);
    QTest::keyClicks(picker, QStringLiteral("bfp6"));
    QVERIFY(!chosen.isEmpty());
    QVERIFY(withDefaults(editor.format()) == withDefaults(FormatSpec::parse("bfp6:skip_first_dim=true")));
}

void TestWidgets::parametersAreEditedWithoutLosingTheFocus()
{
    FormatEditor editor(FormatUse::Weight);
    editor.setFormat(FormatSpec::parse("mxint4"));
    editor.show();
    QVERIFY(QTest::qWaitForWindowExposed(&editor));
    QTest::mouseClick(editor.findChild<QToolButton *>(), Qt::LeftButton);
    QSpinBox *width = nullptr;
    for (QSpinBox *spin : editor.findChildren<QSpinBox *>())
        if (spin->accessibleName() == QLatin1String("width") && spin->isVisible())
            width = spin;
    QVERIFY(width);
    QSignalSpy chosen(&editor, &FormatEditor::formatChosen);
    QTest::keyClick(width, Qt::Key_Up);
    QTest::keyClick(width, Qt::Key_Up);
    QCOMPARE(chosen.size(), 2);
    QVERIFY(width->isVisible());
    QVERIFY(withDefaults(editor.format()) == withDefaults(FormatSpec::parse("mxint6")));
    QCOMPARE(editor.findChild<QComboBox *>()->currentText(), QStringLiteral("mxint6"));
}

void TestWidgets::deliveriesArriveOnThisThreadAndOnlyFromTheNewestJob()
{
    ThreadPool pool(1);
    JobBridge bridge(pool);
    std::vector<int> delivered;
    QThread *deliveredOn = nullptr;
    for (int i = 0; i < 5; ++i)
        bridge.start(JobLane::Interactive, QStringLiteral("drag"), QStringLiteral("drag"), [&, i](const TaskContext &context) -> JobBridge::Delivery {
            context.checkStop();
            return [&, i] {
                delivered.push_back(i);
                deliveredOn = QThread::currentThread();
            };
        });
    bridge.finishAll();
    QVERIFY(!delivered.empty());
    QCOMPARE(delivered.back(), 4);
    QCOMPARE(deliveredOn, QThread::currentThread());
    QVERIFY(bridge.active().empty());
}

void TestWidgets::aResultArrivesThoughItsJobEndsWhileAnotherIsDelivered()
{
    ThreadPool pool(1);
    JobBridge bridge(pool);
    std::atomic<bool> delivering = false;
    int delivered = 0;
    int finished = 0;
    connect(&bridge, &JobBridge::finished, this, [&] { ++finished; });
    std::shared_ptr<Job> job;  // the loop below asks it
    job = bridge.start(JobLane::Batch, QStringLiteral("run"), QStringLiteral("run"), [&](const TaskContext &) -> JobBridge::Delivery {
        bridge.post([&] {
            delivering = true;
            delivering.notify_all();
            while (job->state() != JobState::Done)
                QThread::yieldCurrentThread();
        });
        delivering.wait(false);
        return [&] { ++delivered; };
    });
    QVERIFY(QTest::qWaitFor([&] { return finished > 0; }));
    QCOMPARE(delivered, 1);
    QCOMPARE(finished, 1);
    QVERIFY(bridge.active().empty());
}

void TestWidgets::failuresCrossAsText()
{
    ThreadPool pool(1);
    JobBridge bridge(pool);
    QSignalSpy failed(&bridge, &JobBridge::failed);
    bridge.start(JobLane::Batch, QStringLiteral("x"), QStringLiteral("Reading"), [](const TaskContext &) -> JobBridge::Delivery { throw Error(ErrorCode::Format, "file.x", "byte 3", "is broken"); });
    bridge.finishAll();
    QCOMPARE(failed.size(), 1);
    QCOMPARE(failed.front().at(1).toString(), QStringLiteral("file.x, byte 3: is broken"));
}

void TestWidgets::aPathThatDoesNotFitShowsItsEndAndItsTipAllOfIt()
{
    QWidget window;
    PathField field(PathField::Kind::File, QStringLiteral("Text"), {}, &window);
    field.resize(200, field.sizeHint().height());
    field.setToolTip(QStringLiteral("What is read."));
    window.show();
    auto *edit = field.findChild<QLineEdit *>();
    edit->clearFocus();
    // Where the path is cut stands an ellipsis, whatever was there.
    const auto front = [&](QChar letter) {
        field.setPath(QLatin1Char('/') + QString(200, letter) + QStringLiteral("/<b>calibration.txt"));
        return edit->grab().toImage().copy(0, 0, 8, edit->height());
    };
    const QImage wide = front(QLatin1Char('W'));
    QCOMPARE(front(QLatin1Char('i')), wide);
    field.setPath(QStringLiteral("WWW"));
    QVERIFY(edit->grab().toImage().copy(0, 0, 8, edit->height()) != wide);

    field.setPath(QStringLiteral("/a/<b>calibration.txt"));
    QHelpEvent help(QEvent::ToolTip, QPoint(5, 5), edit->mapToGlobal(QPoint(5, 5)));
    QCoreApplication::sendEvent(edit, &help);
    QCOMPARE(QToolTip::text(), QStringLiteral("<p>/a/&lt;b&gt;calibration.txt</p><p>What is read.</p>"));
    QToolTip::hideText();
}

void TestWidgets::aLabelThatDoesNotFitGivesWayAndItsTipIsWhole()
{
    ElidedLabel label;
    label.setText(QStringLiteral("model.layers.0.<b>self_attn.q_proj and 2 more"));
    const int whole = label.sizeHint().width();
    QVERIFY(label.minimumSizeHint().width() < whole / 2);
    const auto tip = [&label](int width) {
        label.resize(width, label.sizeHint().height());
        label.show();
        QHelpEvent help(QEvent::ToolTip, QPoint(5, 5), label.mapToGlobal(QPoint(5, 5)));
        QCoreApplication::sendEvent(&label, &help);
        const QString text = QToolTip::text();
        QToolTip::hideText();
        return text;
    };
    QCOMPARE(tip(whole / 2), QStringLiteral("<p>model.layers.0.&lt;b&gt;self_attn.q_proj and 2 more</p>"));
    // The end is still to be seen: the right edge is not blank.
    const QImage picture = label.grab().toImage();
    const QImage end = picture.copy(picture.width() - 12, 0, 12, picture.height());
    QImage blank(end.size(), end.format());
    blank.fill(picture.pixelColor(0, 0));
    QVERIFY(end != blank);
}

void TestWidgets::anUncheckedBoxIsSeenInEveryTheme_data()
{
    QTest::addColumn<ThemeMode>("mode");
    QTest::newRow("light") << ThemeMode::Light;
    QTest::newRow("dark") << ThemeMode::Dark;
}

void TestWidgets::anUncheckedBoxIsSeenInEveryTheme()
{
    QFETCH(ThemeMode, mode);
    applyTheme(*qApp, mode);
    QCheckBox box;
    box.resize(box.sizeHint());
    const QImage picture = box.grab().toImage();
    const int window = theme().window.lightness();
    int most = 0;
    for (int y = 0; y < picture.height(); ++y)
        for (int x = 0; x < picture.width(); ++x)
            most = std::max(most, std::abs(picture.pixelColor(x, y).lightness() - window));
    QVERIFY2(most > 40, qPrintable(QString::number(most)));
    applyTheme(*qApp, ThemeMode::Light);
}

void TestWidgets::markupInNamesIsShownNotDrawn()
{
    const QString name = QStringLiteral("<img src='file:///x.png'> & co\nsecond line");
    QVERIFY(Qt::mightBeRichText(name));  // what a tool tip would make of it
    QTextDocument shown;
    shown.setHtml(plainHtml(name));
    QCOMPARE(shown.toPlainText(), name);
}

void TestWidgets::numbersHaveUnits_data()
{
    QTest::addColumn<QString>("made");
    QTest::addColumn<QString>("expected");
    QTest::newRow("number") << numberText(0.012345) << QStringLiteral("0.0123");
    QTest::newRow("unknown") << numberText(std::numeric_limits<double>::quiet_NaN()) << QStringLiteral("\u2013");
    QTest::newRow("count") << countText(2016960) << QStringLiteral("2,016,960");
    QTest::newRow("percent") << percentText(0.1234) << QStringLiteral("12.3\u00a0%");
    QTest::newRow("unknown percent") << percentText(std::numeric_limits<double>::infinity()) << QStringLiteral("\u2013");
    QTest::newRow("parameters") << shortCountText(1.32e6) << QStringLiteral("1.32\u00a0M");
    QTest::newRow("few") << shortCountText(999) << QStringLiteral("999");
    QTest::newRow("thousands") << shortCountText(36864) << QStringLiteral("36.9\u00a0k");
    QTest::newRow("bytes") << bytesText(2170000) << QStringLiteral("2.17\u00a0MB");
    QTest::newRow("duration") << durationText(200) << QStringLiteral("3\u00a0min\u00a020\u00a0s");
    QTest::newRow("negative duration") << durationText(-1) << QStringLiteral("\u2013");
    QTest::newRow("bits") << bitsText(4.254) << QStringLiteral("4.25\u00a0bits");
    QTest::newRow("perplexity") << perplexityText(5.6711, 0.031) << QStringLiteral("5.671\u00a0\u00b1\u00a00.031");
    QTest::newRow("unsafe") << safeText("a\x1b[31mb") << QStringLiteral("a\\u001b[31mb");
}

void TestWidgets::numbersHaveUnits()
{
    QFETCH(QString, made);
    QFETCH(QString, expected);
    QCOMPARE(made, expected);
}

void TestWidgets::textIsReadableInBothThemes()
{
    for (const ThemeMode mode : {ThemeMode::Light, ThemeMode::Dark}) {
        applyTheme(*qApp, mode);
        const Theme &t = theme();
        for (const QColor &background : {t.window, t.panel, t.base, t.alternate}) {
            QVERIFY(contrast(t.text, background) >= 4.5);
            QVERIFY(contrast(t.mutedText, background) >= 4.5);
            QVERIFY(contrast(t.error, background) >= 4.5);
        }
        QVERIFY(contrast(t.accentText, t.accent) >= 4.5);
        for (const QColor &series : t.series)
            QVERIFY2(contrast(series, t.base) >= 3, qPrintable(series.name()));
        for (int i = 0; i <= 20; ++i)
            QVERIFY(contrast(t.textOn(t.sequential(i / 20.0)), t.sequential(i / 20.0)) >= 3.5);
    }
    applyTheme(*qApp, ThemeMode::Light);
}

void TestWidgets::everyTermIsExplained()
{
    for (int term = 0; term <= static_cast<int>(Term::BlockSize); ++term) {
        QVERIFY2(meaningOf(static_cast<Term>(term)).size() > 20, qPrintable(QString::number(term)));
        QVERIFY(!titleOf(static_cast<Term>(term)).isEmpty());
    }
}

QTEST_MAIN(TestWidgets)
#include "tst_widgets.moc"
