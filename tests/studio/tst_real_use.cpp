// SPDX-License-Identifier: GPL-3.0-or-later
// A person with a mouse and nothing else finds, for each model, a recipe that is nearer to the original than the one it began with and
// not larger: drop the folder and the texts onto the window, run all, "exact" for every layer, distribute the rank, evaluate. Prints
// what came of it.
#include <QComboBox>
#include <QDockWidget>
#include <QLineEdit>
#include <QTest>

#include <cmath>

#include "tests/studio/studio_driver.h"
#include "tests/support/shared_data.h"
#include "widgets/panels/inspector_panel.h"
#include "widgets/panels/runs_panel.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

// Of the layers' measured output errors, each relative to its output: what distributing rank lowers.
double rootMeanSquareError(const EvaluationReport &report)
{
    double squares = 0;
    for (const LayerError &layer : report.layers)
        squares += std::pow(layer.relativeCorrectedOutputError(), 2);
    return std::sqrt(squares / static_cast<double>(report.layers.size()));
}

}  // namespace

class TestRealUse : public QObject {
    Q_OBJECT

private slots:
    void initTestCase();
    void aBetterRecipeOfTheSameSizeByMouse_data();
    void aBetterRecipeOfTheSameSizeByMouse();
};

void TestRealUse::initTestCase()
{
    LQER_NEED_SHARED();
}

void TestRealUse::aBetterRecipeOfTheSameSizeByMouse_data()
{
    QTest::addColumn<QString>("calibration");
    QTest::addColumn<QString>("evaluation");
    QTest::addColumn<int>("windows");
    const QString stories = QStringLiteral("text/tinystories_valid_open.txt");
    const QString train = QStringLiteral("text/shakespeare_train.txt");
    const QString valid = QStringLiteral("text/shakespeare_valid_open.txt");
    const QString ids = QStringLiteral("models/capp-gpt2/reference/parts.G.windows.npy");  // it has no tokenizer
    for (const char *model : {"stories260k", "stories260k-f16", "tinystories-656k", "tinystories-656k-f16", "tinystories-656k-bf16", "tinystories-656k-sharded"})
        QTest::newRow(model) << stories << stories << 16;
    QTest::newRow("shakespeare-opt") << train << valid << 128;
    QTest::newRow("shakespeare-gpt2") << train << valid << 64;
    QTest::newRow("names-gpt2") << QStringLiteral("text/names_open.txt") << QStringLiteral("text/names_open.txt") << 128;
    QTest::newRow("capp-gpt2") << ids << ids << 0;
}

void TestRealUse::aBetterRecipeOfTheSameSizeByMouse()
{
    QFETCH(QString, calibration);
    QFETCH(QString, evaluation);
    QFETCH(int, windows);
    const QString shared = QString::fromStdString(test::sharedFolder()) + QLatin1Char('/');
    test::Studio studio({}, 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));
    Session &session = studio.session();

    studio.dropOnWindow(shared + QStringLiteral("models/") + QString::fromLatin1(QTest::currentDataTag()));
    QVERIFY(studio.until([&] { return session.isOpen(); }));
    window.findChild<QDockWidget *>(QStringLiteral("runs"))->raise();
    const auto *runs = window.findChild<RunsPanel *>();
    QVERIFY(studio.until([&] { return runs->isVisible(); }));
    test::drop(test::named<QLineEdit>(runs, QStringLiteral("Calibration text")), shared + calibration);
    test::drop(test::named<QLineEdit>(runs, QStringLiteral("Evaluation text")), shared + evaluation);
    QCOMPARE(session.runSettings().evaluationText, shared + evaluation);
    // Only to keep the test short.
    RunSettings settings = session.runSettings();
    settings.calibrationWindows = 32;
    settings.evaluationWindows = windows;
    session.setRunSettings(settings);

    QVERIFY(studio.clickTool(QStringLiteral("Run all")));
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(1));

    const auto *inspector = window.findChild<InspectorPanel *>();
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Apply to")), QStringLiteral("every layer")));
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(inspector, QStringLiteral("Scaling")), QStringLiteral("exact")));
    QVERIFY(studio.idle());
    QVERIFY(studio.clickTool(QStringLiteral("Distribute rank")));
    QVERIFY(studio.idle());
    QVERIFY(studio.clickTool(QStringLiteral("Evaluate")));
    QVERIFY(studio.idle());
    QCOMPARE(session.reports().size(), std::size_t(2));

    const EvaluationReport &first = *session.reports()[0];
    const EvaluationReport &mine = *session.reports()[1];
    QVERIFY(first.divergence && mine.divergence);
    qInfo("KL default %.5f, mine %.5f; perplexity original %.4f, default %.4f (%llu bytes), mine %.4f (%llu bytes)", first.divergence->kl.mean,
          mine.divergence->kl.mean, first.original->headline(), first.perplexity->headline(),
          static_cast<unsigned long long>(first.footprint->bytes), mine.perplexity->headline(), static_cast<unsigned long long>(mine.footprint->bytes));
    QVERIFY(mine.footprint->bytes <= first.footprint->bytes);
    QVERIFY(rootMeanSquareError(mine) < rootMeanSquareError(first));
    // KL divergence from the original, not perplexity: on some of these models quantization changes perplexity by less than the standard
    // error of so short a text, and now and then for the better.
    QVERIFY(mine.divergence->kl.mean < first.divergence->kl.mean);
}

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    applyTheme(application, ThemeMode::Light);
    TestRealUse test;
    return QTest::qExec(&test, argc, argv);
}
#include "tst_real_use.moc"
