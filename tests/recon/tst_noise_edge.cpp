// SPDX-License-Identifier: Apache-2.0
#include "core/recon/noise_edge.h"

#include <QtTest>

#include <cmath>

#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

class TestNoiseEdge : public QObject {
    Q_OBJECT

private slots:
    // Table of Gavish and Donoho 2014 (omega for unknown noise). Its fourth decimal is not exact: quadrature gives 2.5014 at
    // 0.75.
    void thresholdsAreThePublishedOnes_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("cols");
        QTest::addColumn<double>("omega");
        QTest::newRow("0.05") << 50 << 1000 << 1.5194;
        QTest::newRow("0.10") << 100 << 1000 << 1.6089;
        QTest::newRow("0.50") << 1000 << 500 << 2.1711;
        QTest::newRow("0.75") << 750 << 1000 << 2.5011;
        QTest::newRow("1.00") << 64 << 64 << 2.8582;
    }
    void thresholdsAreThePublishedOnes()
    {
        QFETCH(int, rows);
        QFETCH(int, cols);
        QFETCH(double, omega);
        QVERIFY2(std::abs(gavishDonohoThreshold(rows, cols, 1.0) - omega) < 5e-4,
                 qPrintable(QString::number(gavishDonohoThreshold(rows, cols, 1.0))));
        QCOMPARE(gavishDonohoThreshold(rows, cols, 3.0), 3.0 * gavishDonohoThreshold(rows, cols, 1.0));
    }

    void halfOfTheEigenvaluesOfNoiseLieBelowTheMedian_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("cols");
        QTest::newRow("square") << 400 << 400;
        QTest::newRow("wide") << 300 << 900;
    }
    void halfOfTheEigenvaluesOfNoiseLieBelowTheMedian()
    {
        QFETCH(int, rows);
        QFETCH(int, cols);
        const VectorF64 sigma = singularValues(randomMatrixF64(rows, cols, 1));
        const double median = marchenkoPasturMedian(static_cast<double>(rows) / cols) * cols;
        const auto below = (sigma.array().square() < median).count();
        QVERIFY(std::abs(static_cast<double>(below) / rows - 0.5) < 0.01);
    }

    void noiseStaysBelowTheEdgeAndSignalAboveIsCounted()
    {
        const Index rows = 300, cols = 500;
        MatrixF64 noise = 0.02 * randomMatrixF64(rows, cols, 2);
        const NoiseLevel quiet = noiseLevel(singularValues(noise), rows, cols);
        // The law's variance is met to about 1 / n, the largest value fluctuates by n^(-2/3) about the edge.
        QVERIFY(std::abs(quiet.variance / 4e-4 - 1.0) < 0.02);
        QVERIFY(std::abs(quiet.edge / noiseEdge(rows, cols, 4e-4) - 1.0) < 0.01);
        QVERIFY(quiet.aboveEdge <= 1);
        QCOMPARE(quiet.aboveThreshold, Index(0));
        QVERIFY(quiet.threshold > quiet.edge);
        noise += 0.02 * randomMatrixF64(rows, 4, 3) * randomMatrixF64(4, cols, 4);
        const NoiseLevel loud = noiseLevel(singularValues(noise), rows, cols);
        QCOMPARE(loud.aboveThreshold, Index(4));
        QVERIFY(loud.aboveEdge >= 4 && loud.aboveEdge <= 5);
    }

    void theEdgeScalesWithTheSpread()
    {
        QCOMPARE(noiseEdge(100, 400, 0.25), 0.5 * (10.0 + 20.0));
        QCOMPARE(noiseEdge(100, 400, 0.0), 0.0);
        const NoiseLevel nothing = noiseLevel(VectorF64::Zero(5), 5, 9);
        QCOMPARE(nothing.aboveEdge + nothing.aboveThreshold, Index(0));
    }
};

QTEST_GUILESS_MAIN(TestNoiseEdge)
#include "tst_noise_edge.moc"
