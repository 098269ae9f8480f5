// SPDX-License-Identifier: GPL-3.0-or-later
#include <QSignalSpy>
#include <QTest>
#include <qcustomplot.h>

#include <cmath>

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

}  // namespace

class TestRankPlots : public QObject {
    Q_OBJECT

private slots:
    void draggingTheMarkerMovesTheRankAndEndsInOneChoice();
    void keysAndWheelMoveTheMarker();
    void aClickAwayFromTheMarkerDoesNotMoveIt();
    void capturedEnergyIsTheSumOfLeadingSquares();
    void residualFallsFromOneToZeroAndBitsRise();
    void energyBeyondTheKnownSingularValuesIsLeft();
    void csvHoldsEveryCurve();
    void zerosAreLeftOutOfTheLogarithmicAxis();
    void plotsFollowTheTheme();
    void rankControlAgreesWithItself();
    void outlierChannelsAreThoseFarAboveTheMedian();
    void picturesKeepEnergyAndCounts();
    void theFrontOfRunsIsMonotone();
};

void TestRankPlots::draggingTheMarkerMovesTheRankAndEndsInOneChoice()
{
    SpectrumPlot plot;
    plot.resize(800, 400);
    plot.setMaximumRank(512);
    plot.setCurves({{QStringLiteral("a"), harmonic(512), energy(harmonic(512)), true}});
    plot.setRank(16);
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    plot.canvas()->replot();
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
    plot.resize(800, 400);
    plot.setMaximumRank(512);
    plot.setCurves({{QStringLiteral("a"), harmonic(512), 0, true}});
    plot.setRank(16);
    plot.show();
    QVERIFY(QTest::qWaitForWindowExposed(&plot));
    plot.canvas()->replot();
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

void TestRankPlots::residualFallsFromOneToZeroAndBitsRise()
{
    ResidualPlot plot;
    const std::vector<double> sigma = harmonic(100);
    plot.setMaximumRank(100);
    plot.setCurve(sigma, energy(sigma), 4.25, 0.01);
    QCOMPARE(plot.residual(0), 1.0);
    QCOMPARE(plot.residual(100), 0.0);
    for (int k = 1; k <= 100; ++k)
        QVERIFY(plot.residual(k) <= plot.residual(k - 1));
    QVERIFY(std::abs(plot.residual(10) - std::sqrt(energy(sigma, 10) / energy(sigma))) < 1e-12);
    QCOMPARE(plot.bits(0), 4.25);
    QCOMPARE(plot.bits(100), 5.25);
}

void TestRankPlots::energyBeyondTheKnownSingularValuesIsLeft()
{
    ResidualPlot plot;
    plot.setMaximumRank(2);
    plot.setCurve({1, 1}, 4, 4, 0.1);  // half of the energy is in components nobody computed
    QVERIFY(std::abs(plot.residual(2) - std::sqrt(0.5)) < 1e-12);
}

void TestRankPlots::csvHoldsEveryCurve()
{
    SpectrumPlot plot;
    plot.setMaximumRank(3);
    plot.setCurves({{QStringLiteral("first"), {3, 2, 1}, 0, true}, {QStringLiteral("say \"hi\""), {1, 0.5}, 0, true}});
    QCOMPARE(plot.csv(), QStringLiteral("\"component\",\"first\",\"say \"\"hi\"\"\"\n1,3,1\n2,2,0.5\n3,1,\n"));
}

void TestRankPlots::zerosAreLeftOutOfTheLogarithmicAxis()
{
    SpectrumPlot plot;
    plot.setMaximumRank(4);
    plot.setCurves({{QStringLiteral("a"), {1, 0.5, 0, 0}, 0, true}});
    QCOMPARE(plot.canvas()->graph(0)->dataCount(), 2);
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

QTEST_MAIN(TestRankPlots)
#include "tst_rank_plots.moc"
