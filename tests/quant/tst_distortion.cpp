// SPDX-License-Identifier: Apache-2.0
#include <QTest>
#include <cmath>
#include <limits>

#include "core/quant/distortion.h"

using namespace lqer;

class TestDistortion : public QObject
{
    Q_OBJECT

private slots:
    void measuresByHand()
    {
        const float x[] = {3.0F, -4.0F, 0.0F}, y[] = {3.0F, -2.0F, 1.0F};
        const Distortion d = distortion(x, y);
        QCOMPARE(d.errorEnergy, 5.0);
        QCOMPARE(d.signalEnergy, 25.0);
        QCOMPARE(d.maxError, 2.0);
        QCOMPARE(d.maxErrorIndex, std::size_t(1));
        QCOMPARE(d.relativeSquaredError(), 0.2);
        QCOMPARE(d.meanSquaredError(), 5.0 / 3.0);
        QCOMPARE(d.sqnr(), 10 * std::log10(5.0));
    }

    void noErrorIsInfinitelyGood()
    {
        const float x[] = {1.0F, 2.0F};
        QCOMPARE(distortion(x, x).relativeSquaredError(), 0.0);
        QCOMPARE(distortion(x, x).sqnr(), std::numeric_limits<double>::infinity());
        QCOMPARE(distortion({}, {}).meanSquaredError(), 0.0);
    }

    void errorWithoutSignalIsInfinitelyBad()
    {
        const float x[] = {0.0F}, y[] = {1.0F};
        QCOMPARE(distortion(x, y).relativeSquaredError(), std::numeric_limits<double>::infinity());
        QCOMPARE(distortion(x, y).sqnr(), -std::numeric_limits<double>::infinity());
    }

    void smallErrorsBesideLargeOnesCount()
    {
        // In float32 the small squares would vanish beside the large one.
        std::vector<float> x(1001, 1e-4F), y(1001, 0.0F);
        x[0] = 1.0F;
        QVERIFY(std::abs(distortion(x, y).errorEnergy - (1.0 + 1000 * 1e-8)) < 1e-12);
    }
};

QTEST_GUILESS_MAIN(TestDistortion)
#include "tst_distortion.moc"
