// SPDX-License-Identifier: GPL-3.0-or-later
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>
#include <qcustomplot.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "widgets/controls/rank_control.h"
#include "widgets/plots/channel_plot.h"
#include "widgets/plots/matrix_plot.h"
#include "widgets/plots/residual_plot.h"
#include "widgets/plots/runs_plot.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

// sigma_i = 1 / i, so that every energy is known.
std::vector<double> harmonic(int n)
{
    std::vector<double> sigma;
    for (int i = 1; i <= n; ++i)
        sigma.push_back(1.0 / i);
    return sigma;
}

double energy(const std::vector<double> &sigma, std::size_t from = 0)
{
    double sum = 0;
    for (std::size_t i = from; i < sigma.size(); ++i)
        sum += sigma[i] * sigma[i];
    return sum;
}

constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

// A curve of 512 components, the marker at rank 16, on the screen and drawn. totalEnergy: of the curve, 0 if unknown.
bool isShownWithCurve(SpectrumPlot &plot, double totalEnergy, std::size_t computed = all)
{
    plot.resize(800, 400);
    plot.setMaximumRank(512);
    plot.setCurves({{QStringLiteral("a"), harmonic(512), totalEnergy, true, computed}});
    plot.setRank(16);
    plot.show();
    if (!QTest::qWaitForWindowExposed(&plot))
        return false;
    plot.canvas()->replot();
    return true;
}

// What the plot says with the pointer at this component.
QString wordsAt(SpectrumPlot &plot, int component)
{
    QSignalSpy words(&plot, &Plot::cursorText);
    // Qt Test only moves the pointer, which the offscreen platform does not tell a window that is not under it.
    const QPoint place(static_cast<int>(std::lround(plot.canvas()->xAxis->coordToPixel(component))), plot.canvas()->axisRect()->center().y());
    QMouseEvent move(QEvent::MouseMove, place, plot.canvas()->mapToGlobal(place), Qt::NoButton, Qt::NoButton, Qt::NoModifier);
    QApplication::sendEvent(plot.canvas(), &move);
    return words.isEmpty() ? QString() : words.back().front().toString();
}

}  // namespace

class TestRankPlots : public QObject {
    Q_OBJECT

private slots:
    void draggingTheMarkerMovesTheRankAndEndsInOneChoice();
    void keysAndWheelMoveTheMarker();
    void aClickAwayFromTheMarkerDoesNotMoveIt();
    void capturedEnergyIsTheSumOfLeadingSquares();
    void errorLeftFallsToZeroAndBitsRise();
    void errorCurveFollowsCapturedEnergyThenTheSpectrum();
    void plotsOfOneLayerShareTheirRanks();
    void draggingTheBackgroundPans();
    void theCrosshairSaysValues();
    void estimatesAreDrawnApartAndNamed();
    void theMarkerGoesOverEstimates();
    void plotsAreSavedWholeOrNotAtAll();
    void csvHoldsEveryCurve();
    void zerosAreLeftOutOfTheLogarithmicAxis();
    void plotsFollowTheTheme();
    void rankControlAgreesWithItself();
    void outlierChannelsAreThoseFarAboveTheMedian();
    void picturesKeepEnergyAndCounts();
    void theFrontOfRunsIsMonotone();
    void runsThatLieOnEachOtherShareTheirLabel();
};

void TestRankPlots::draggingTheMarkerMovesTheRankAndEndsInOneChoice()
{
    SpectrumPlot plot;
    QVERIFY(isShownWithCurve(plot, energy(harmonic(512))));
    QSignalSpy moved(&plot, &RankPlot::rankMoved);
    QSignalSpy chosen(&plot, &RankPlot::rankChosen);
    const int y = plot.canvas()->axisRect()->center().y();
    const auto column = [&](int rank) { return static_cast<int>(std::lround(plot.canvas()->xAxis->coordToPixel(rank + 0.5))); };
    QTest::mousePress(plot.canvas(), Qt::LeftButton, Qt::NoModifier, QPoint(column(16), y));
    for (const int rank : {20, 40, 80, 160})
        QTest::mouseMove(plot.canvas(), QPoint(column(rank), y));
    QTest::mouseRelease(plot.canvas(), Qt::LeftButton, Qt::NoModifier, QPoint(column(160), y));
    QVERIFY(moved.size() >= 3);
    QCOMPARE(chosen.size(), 1);
    // One pixel is about one percent of the rank on this axis.
    QVERIFY(std::abs(plot.rank() - 160) <= 4);
    QCOMPARE(chosen.front().front().toInt(), plot.rank());
}

void TestRankPlots::keysAndWheelMoveTheMarker()
{
    SpectrumPlot plot;
    plot.resize(800, 400);
    plot.setMaximumRank(64);
    plot.setCurves({{QStringLiteral("a"), harmonic(64), 0, true}});
    plot.setRank(10);
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    QTest::keyClick(&plot, Qt::Key_Right);
    QCOMPARE(plot.rank(), 11);
    QTest::keyClick(&plot, Qt::Key_PageUp);
    QCOMPARE(plot.rank(), 19);
    QTest::keyClick(&plot, Qt::Key_Left);
    QCOMPARE(plot.rank(), 18);
    QTest::keyClick(&plot, Qt::Key_PageDown);
    QTest::keyClick(&plot, Qt::Key_PageDown);
    QTest::keyClick(&plot, Qt::Key_PageDown);
    QCOMPARE(plot.rank(), 0);
    const QPointF centre = plot.canvas()->rect().center();
    QWheelEvent wheel(centre, plot.canvas()->mapToGlobal(centre), {}, QPoint(0, 120), Qt::NoButton, Qt::ShiftModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(plot.canvas(), &wheel);
    QCOMPARE(plot.rank(), 1);
}

void TestRankPlots::aClickAwayFromTheMarkerDoesNotMoveIt()
{
    SpectrumPlot plot;
    QVERIFY(isShownWithCurve(plot, 0));
    const QPoint away(static_cast<int>(plot.markerPixel()) + 60, plot.canvas()->axisRect()->center().y());
    QTest::mouseClick(plot.canvas(), Qt::LeftButton, Qt::NoModifier, away);
    QCOMPARE(plot.rank(), 16);
}

void TestRankPlots::capturedEnergyIsTheSumOfLeadingSquares()
{
    SpectrumPlot plot;
    plot.setMaximumRank(4);
    plot.setCurves({{QStringLiteral("a"), {2, 1, 1, 0}, 6, true}});
    QCOMPARE(plot.capturedEnergy(0), 0.0);
    QCOMPARE(plot.capturedEnergy(1), 4.0 / 6);
    QCOMPARE(plot.capturedEnergy(3), 1.0);
}

void TestRankPlots::errorLeftFallsToZeroAndBitsRise()
{
    ResidualPlot plot;
    ErrorCurve curve;
    curve.output = true;
    for (int k = 0; k <= 100; ++k)
        curve.left.push_back(0.1 * std::sqrt(energy(harmonic(100), static_cast<std::size_t>(k)) / energy(harmonic(100))));
    plot.setMaximumRank(100);
    plot.setCurves({{QStringLiteral("own"), curve}}, 4.25, 0.01);
    QCOMPARE(plot.residual(0), 0.1);
    QCOMPARE(plot.residual(100), 0.0);
    QCOMPARE(plot.residual(10), curve.left[10]);
    QCOMPARE(plot.bits(0), 4.25);
    QCOMPARE(plot.bits(100), 5.25);
    QCOMPARE(plot.csv().section(QLatin1Char('\n'), 0, 1), QStringLiteral("\"rank\",\"own, error left\",\"bits per weight\"\n0,0.1,4.25"));
    plot.clear();
    QVERIFY(std::isnan(plot.residual(3)));
}

// The error of a decomposition against rank: from captured energies up to the kept rank, from the spectrum beyond it.
void TestRankPlots::errorCurveFollowsCapturedEnergyThenTheSpectrum()
{
    DecompositionRecord record;
    record.in = 6;
    record.out = 4;
    record.maxRank = 2;
    record.outputKnown = true;
    record.outputEnergy = 100;
    record.outputError = 16;
    record.weightEnergy = 1;
    record.sigma = VectorF64{{3, 2, 1, 1}};
    record.outputCaptured = VectorF64{{7, 5}};
    const ErrorCurve curve = errorCurve(record);
    QVERIFY(curve.output);
    QCOMPARE(curve.left.size(), std::size_t(5));
    QCOMPARE(curve.at(0), 0.4);
    QCOMPARE(curve.at(1), 0.3);
    QCOMPARE(curve.at(2), 0.2);
    QCOMPARE(curve.at(3), 0.2 * std::sqrt(0.5));
    QCOMPARE(curve.at(4), 0.0);
    QCOMPARE(curve.at(99), 0.0);
    // Without statistics it speaks of the weight.
    record.outputKnown = false;
    record.weightError = 0.25;
    record.weightCaptured = VectorF64{{0.09, 0.07}};
    QVERIFY(!errorCurve(record).output);
    QCOMPARE(errorCurve(record).at(0), 0.5);
    QCOMPARE(errorCurve(record).at(1), 0.4);
    record.weightEnergy = 0;
    QVERIFY(std::isnan(errorCurve(record).at(0)));
}

void TestRankPlots::plotsOfOneLayerShareTheirRanks()
{
    SpectrumPlot spectrum;
    ResidualPlot residual;
    spectrum.shareRanksWith(residual);
    for (RankPlot *plot : {static_cast<RankPlot *>(&spectrum), static_cast<RankPlot *>(&residual)}) {
        plot->resize(700, 300);
        plot->setMaximumRank(512);
        plot->show();
        QVERIFY(QTest::qWaitForWindowExposed(plot));
    }
    ErrorCurve curve;
    curve.left.assign(513, 0.1);
    residual.setCurves({{QStringLiteral("a"), curve}}, 4, 0.01);
    spectrum.setCurves({{QStringLiteral("a"), harmonic(512), energy(harmonic(512)), true}});
    spectrum.setRank(32);
    residual.setRank(32);
    const auto draw = [&] {
        spectrum.canvas()->replot();
        residual.canvas()->replot();
    };
    draw();
    QCOMPARE(spectrum.markerPixel(), residual.markerPixel());
    // Zooming one with the wheel takes the other along.
    const double before = spectrum.canvas()->xAxis->range().size();
    const QPointF centre = spectrum.canvas()->axisRect()->center();
    QWheelEvent wheel(centre, spectrum.canvas()->mapToGlobal(centre), {}, QPoint(0, 120), Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(spectrum.canvas(), &wheel);
    draw();
    QVERIFY(spectrum.canvas()->xAxis->range().size() < before);
    QVERIFY(residual.canvas()->xAxis->range() == spectrum.canvas()->xAxis->range());
    // Home shows everything again.
    QTest::keyClick(&spectrum, Qt::Key_Home);
    QCOMPARE(spectrum.canvas()->xAxis->range().size(), before);
    QVERIFY(residual.canvas()->xAxis->range() == spectrum.canvas()->xAxis->range());
}

void TestRankPlots::draggingTheBackgroundPans()
{
    SpectrumPlot plot;
    QVERIFY(isShownWithCurve(plot, 0));
    const QCPRange before = plot.canvas()->xAxis->range();
    const QPoint start(static_cast<int>(plot.markerPixel()) + 80, plot.canvas()->axisRect()->center().y());
    QTest::mousePress(plot.canvas(), Qt::LeftButton, Qt::NoModifier, start);
    QTest::mouseMove(plot.canvas(), start + QPoint(40, 0));
    QTest::mouseMove(plot.canvas(), start + QPoint(80, 0));
    QTest::mouseRelease(plot.canvas(), Qt::LeftButton, Qt::NoModifier, start + QPoint(80, 0));
    QVERIFY(plot.canvas()->xAxis->range().lower < before.lower);
    QCOMPARE(plot.rank(), 16);
    QTest::mouseDClick(plot.canvas(), Qt::LeftButton, Qt::NoModifier, start);
    QVERIFY(plot.canvas()->xAxis->range() == before);
}

void TestRankPlots::theCrosshairSaysValues()
{
    SpectrumPlot plot;
    plot.resize(800, 400);
    plot.setMaximumRank(64);
    plot.setCurves({{QStringLiteral("own"), harmonic(64), energy(harmonic(64)), true}});
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    plot.canvas()->replot();
    const QString words = wordsAt(plot, 4);
    QVERIFY2(words.contains(QStringLiteral("own: 0.250")) && !words.contains(QStringLiteral("estimated")), qPrintable(words));
}

void TestRankPlots::estimatesAreDrawnApartAndNamed()
{
    SpectrumPlot plot;
    QVERIFY(isShownWithCurve(plot, energy(harmonic(512)), 64));
    const auto legend = [&] {
        QStringList names;
        for (int i = 0; i < plot.canvas()->legend->itemCount(); ++i)
            if (auto *item = qobject_cast<QCPPlottableLegendItem *>(plot.canvas()->legend->item(i)))
                names << item->plottable()->name();
        return names;
    };
    QCOMPARE(legend(), QStringList({QStringLiteral("a"), QStringLiteral("estimated")}));
    const QCPGraph *computed = plot.canvas()->graph(2), *estimated = plot.canvas()->graph(3);
    QCOMPARE(computed->dataCount(), 64);
    QCOMPARE(estimated->dataCount(), 512 - 63);  // from the last computed value
    QCOMPARE(estimated->data()->at(0)->key, 64.0);
    QVERIFY(computed->pen().style() == Qt::SolidLine && estimated->pen().style() == Qt::CustomDashLine);
    QVERIFY(computed->pen().color() == estimated->pen().color());

    const QString before = wordsAt(plot, 60), behind = wordsAt(plot, 300);
    QVERIFY2(before.contains(QStringLiteral("captured")) && !before.contains(QStringLiteral("about")), qPrintable(before));
    QVERIFY2(behind.contains(QStringLiteral("a: about 0.0033")) && behind.contains(QStringLiteral(", estimated"))
                 && behind.contains(QStringLiteral("captured up to here: about")), qPrintable(behind));
    QVERIFY(plot.csv().startsWith(QStringLiteral("\"component\",\"a\",\"a, estimated\",\"captured energy\"\n1,1,,")));
    QVERIFY(plot.csv().contains(QStringLiteral("\n100,,0.01,")));

    // A curve of estimates only, beside one that is computed, and none at all.
    plot.setCurves({{QStringLiteral("a"), harmonic(512), 0, true}, {QStringLiteral("plain"), harmonic(512), 0, false, 0}});
    QCOMPARE(legend(), QStringList({QStringLiteral("a"), QStringLiteral("plain, estimated")}));
    QVERIFY(!wordsAt(plot, 300).contains(QStringLiteral("a: about")));
    QVERIFY(wordsAt(plot, 1).contains(QStringLiteral("plain: about")));
    plot.setCurves({{QStringLiteral("a"), harmonic(512), 0, true}});
    QCOMPARE(legend(), QStringList({QStringLiteral("a")}));
}

void TestRankPlots::theMarkerGoesOverEstimates()
{
    SpectrumPlot plot;
    QVERIFY(isShownWithCurve(plot, energy(harmonic(512)), 64));
    const auto flag = [&] {
        for (int i = 0; i < plot.canvas()->itemCount(); ++i)
            if (const auto *text = qobject_cast<QCPItemText *>(plot.canvas()->item(i)); text && text->text().startsWith(QStringLiteral("rank")))
                return text->text();
        return QString();
    };
    QSignalSpy chosen(&plot, &RankPlot::rankChosen);
    const int y = plot.canvas()->axisRect()->center().y();
    const auto column = [&](int rank) { return static_cast<int>(std::lround(plot.canvas()->xAxis->coordToPixel(rank + 0.5))); };
    QTest::mousePress(plot.canvas(), Qt::LeftButton, Qt::NoModifier, QPoint(column(16), y));
    QTest::mouseMove(plot.canvas(), QPoint(column(40), y));
    QVERIFY2(!flag().contains(QStringLiteral("about")), qPrintable(flag()));
    QTest::mouseMove(plot.canvas(), QPoint(column(200), y));
    QVERIFY2(flag().contains(QStringLiteral("about")), qPrintable(flag()));
    QTest::mouseRelease(plot.canvas(), Qt::LeftButton, Qt::NoModifier, QPoint(column(200), y));
    QCOMPARE(chosen.size(), 1);
    QVERIFY(plot.isEstimated(plot.rank()) && !plot.isEstimated(64) && !plot.isEstimated(0));
}

void TestRankPlots::plotsAreSavedWholeOrNotAtAll()
{
    SpectrumPlot plot;
    plot.resize(500, 300);
    plot.setMaximumRank(3);
    plot.setCurves({{QStringLiteral("a"), {3, 2, 1}, 0, true}});
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    QTemporaryDir folder;
    const auto first = [&](const QString &name, int bytes) {
        QFile file(folder.filePath(name));
        return file.open(QIODevice::ReadOnly) ? file.read(bytes) : QByteArray();
    };
    plot.savePng(folder.filePath(QStringLiteral("a.png")));
    QCOMPARE(first(QStringLiteral("a.png"), 4), QByteArray("\x89PNG"));
    QCOMPARE(QImage(folder.filePath(QStringLiteral("a.png"))).size(), QSize(1000, 600));
    plot.savePdf(folder.filePath(QStringLiteral("a.pdf")));
    QCOMPARE(first(QStringLiteral("a.pdf"), 5), QByteArray("%PDF-"));
    plot.saveCsv(folder.filePath(QStringLiteral("a.csv")));
    QCOMPARE(first(QStringLiteral("a.csv"), 100000), plot.csv().toUtf8());
    QCOMPARE(QDir(folder.path()).entryList(QDir::Files).size(), 3);
    for (const auto save : {&Plot::savePng, &Plot::savePdf, &Plot::saveCsv})
        QVERIFY_EXCEPTION_THROWN((plot.*save)(folder.filePath(QStringLiteral("missing/a"))), Error);
}

void TestRankPlots::csvHoldsEveryCurve()
{
    SpectrumPlot plot;
    plot.setMaximumRank(3);
    plot.setCurves({{QStringLiteral("first"), {3, 2, 1}, 0, true}, {QStringLiteral("say \"hi\""), {1, 0.5}, 0, true}});
    QCOMPARE(plot.csv(), QStringLiteral("\"component\",\"first\",\"say \"\"hi\"\"\",\"captured energy\"\n1,3,1,0.642857143\n2,2,0.5,0.928571429\n3,1,,1\n"));
}

void TestRankPlots::zerosAreLeftOutOfTheLogarithmicAxis()
{
    SpectrumPlot plot;
    plot.setMaximumRank(4);
    plot.setCurves({{QStringLiteral("a"), {1, 0.5, 0, 0}, 0, true}});
    QCOMPARE(plot.canvas()->graph(2)->dataCount(), 2);  // the first two: captured energy
    QVERIFY(plot.canvas()->yAxis->range().lower > 0);
    plot.setCurves({{QStringLiteral("none"), {0, 0}, 0, true}});
    QVERIFY(plot.canvas()->yAxis->range().lower > 0);
}

void TestRankPlots::plotsFollowTheTheme()
{
    SpectrumPlot plot;
    plot.resize(400, 300);
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    for (const ThemeMode mode : {ThemeMode::Dark, ThemeMode::Light}) {
        applyTheme(*qApp, mode);
        QCoreApplication::processEvents();
        plot.canvas()->replot();
        const QColor corner = plot.canvas()->toPixmap().toImage().pixelColor(2, 2);
        QCOMPARE(corner.rgb(), theme().panel.rgb());
    }
}

void TestRankPlots::rankControlAgreesWithItself()
{
    RankControl control;
    control.setMaximum(4096);
    QSignalSpy chosen(&control, &RankControl::rankChosen);
    for (const int rank : {0, 1, 7, 32, 1000, 4096}) {
        control.setRank(rank);
        QCOMPARE(control.rank(), rank);
    }
    QCOMPARE(chosen.size(), 0);
    auto *number = control.findChild<QSpinBox *>();
    number->setFocus();
    number->selectAll();
    QTest::keyClicks(number, QStringLiteral("48"));
    QTest::keyClick(number, Qt::Key_Return);
    QCOMPARE(control.rank(), 48);
    QCOMPARE(chosen.size(), 1);
    control.setMaximum(16);
    QCOMPARE(control.rank(), 16);
}

void TestRankPlots::outlierChannelsAreThoseFarAboveTheMedian()
{
    ChannelPlot plot;
    std::vector<double> values(50, 1.0);
    values[7] = 6.5;
    values[20] = 100;
    values[30] = 5.9;
    plot.setChannels(values, QStringLiteral("root mean square"));
    QCOMPARE(plot.outliers(), (std::vector<int>{20, 7}));
}

void TestRankPlots::picturesKeepEnergyAndCounts()
{
    Matrix matrix(300, 500);
    for (Index r = 0; r < matrix.rows(); ++r)
        for (Index c = 0; c < matrix.cols(); ++c)
            matrix(r, c) = static_cast<float>(std::sin(static_cast<double>(r * 500 + c)));
    const MatrixPicture picture = pictureOf(matrix);
    double count = 0;
    for (const double bin : picture.histogram)
        count += bin;
    QCOMPARE(count, 150000.0);
    QVERIFY(std::abs(picture.rootMeanSquare - std::sqrt(matrix.cast<double>().squaredNorm() / 150000)) < 1e-9);
    QCOMPARE(picture.cells.rows(), Index(192));
    QVERIFY(picture.limit <= 1.0 && picture.limit > 0.99);
    QCOMPARE(pictureOf(Matrix::Zero(3, 4)).rootMeanSquare, 0.0);
}

void TestRankPlots::theFrontOfRunsIsMonotone()
{
    RunsPlot plot;
    plot.setPoints({{QStringLiteral("a"), 3e6, 5.0, false}, {QStringLiteral("b"), 1e6, 7.0, false}, {QStringLiteral("c"), 2e6, 8.0, true}}, 4.5);
    const QCPGraph *front = plot.canvas()->graph(0);
    QCOMPARE(front->dataCount(), 2);
    QCOMPARE(front->data()->at(0)->value, 7.0);
    QCOMPARE(front->data()->at(1)->value, 5.0);
}

void TestRankPlots::runsThatLieOnEachOtherShareTheirLabel()
{
    RunsPlot plot;
    plot.resize(400, 300);
    // As three measurements of two recipes that are hardly different, and one elsewhere.
    plot.setPoints({{QStringLiteral("a"), 2e6, 5.0, false, 1}, {QStringLiteral("b"), 1e6, 7.0, false, 2}, {QStringLiteral("c"), 2e6, 4.999, true, 3}, {QStringLiteral("a"), 2e6, 5.0, false, 4}},
                   4.5);
    plot.canvas()->replot();
    QStringList shown;
    for (int i = 0; i < plot.canvas()->itemCount(); ++i)
        if (const auto *label = qobject_cast<QCPItemText *>(plot.canvas()->item(i)); label && label->visible() && label->text().front().isDigit())
            shown << label->text();
    shown.sort();
    QCOMPARE(shown, QStringList({QStringLiteral("1, 3, 4"), QStringLiteral("2")}));
}

QTEST_MAIN(TestRankPlots)
#include "tst_rank_plots.moc"
