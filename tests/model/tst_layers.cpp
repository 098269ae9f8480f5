// SPDX-License-Identifier: Apache-2.0
#include "core/model/layers.h"

#include <QtTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace lqer;

namespace {

std::vector<float> spread(std::size_t count, float width, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<float> values(count);
    for (float &v : values)
        v = (static_cast<float>(random()) * 0x1p-31F - 1.0F) * width;
    return values;
}

}  // namespace

class TestLayers : public QObject {
    Q_OBJECT

private slots:
    void softmaxAgreesWithDouble_data()
    {
        QTest::addColumn<int>("count");
        QTest::addColumn<float>("width");
        QTest::addColumn<float>("divisor");
        QTest::newRow("one") << 1 << 3.0F << 1.0F;
        QTest::newRow("fewer than a vector") << 5 << 3.0F << 1.0F;
        QTest::newRow("a vector and some") << 37 << 10.0F << 8.0F;
        QTest::newRow("many, wide") << 2048 << 120.0F << 1.0F;
        QTest::newRow("many, divided") << 2048 << 100.0F << 11.3137085F;
    }
    void softmaxAgreesWithDouble()
    {
        QFETCH(int, count);
        QFETCH(float, width);
        QFETCH(float, divisor);
        std::vector<float> values = spread(static_cast<std::size_t>(count), width, 1);
        std::vector<double> expected;
        for (const float v : values)
            expected.push_back(static_cast<double>(v) / static_cast<double>(divisor));
        const double most = *std::max_element(expected.begin(), expected.end());
        double sum = 0;
        for (const double v : expected)
            sum += std::exp(v - most);
        softmax(values, divisor);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double exponent = expected[i] - most;
            const double wanted = std::exp(exponent) / sum;
            // exp to 2 units in the last place, the division two more; of the exponent the difference to the largest, the factor
            // in the divisor's place and their product are rounded to float; below the smallest normal number nothing is promised.
            QVERIFY2(std::abs(static_cast<double>(values[i]) - wanted) <= (3e-7 - 1.8e-7 * exponent) * wanted + 2e-38,
                     qPrintable(QString::number(i)));
        }
    }

    void siluAgreesWithDouble()
    {
        std::vector<float> values = spread(1001, 100.0F, 2);
        values.insert(values.end(), {0.0F, -0.0F, 1e-30F, -1e-30F, 1e30F, -1e30F});
        Matrix x = Eigen::Map<const Matrix>(values.data(), 1, static_cast<Index>(values.size()));
        activate(Activation::Silu, x);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto v = static_cast<double>(values[i]);
            const double wanted = v / (1 + std::exp(-v));
            // Far below zero exp is held at 2^127, where the result is as good as zero beside what it is added to.
            QVERIFY2(std::abs(static_cast<double>(x(0, static_cast<Index>(i))) - wanted) <= 3e-7 * std::abs(wanted) + 1e-7 * (v < -80 ? 1e-27 * -v : 0.0),
                     qPrintable(QString("%1: %2").arg(v).arg(static_cast<double>(x(0, static_cast<Index>(i))))));
        }
    }

    void whatIsNoNumberStaysNoNumber()
    {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        for (const std::size_t place : {std::size_t(0), std::size_t(20), std::size_t(36)}) {
            std::vector<float> values = spread(37, 3.0F, 3);
            values[place] = nan;
            QVERIFY(std::isnan(logSoftmaxAt(values, 5)));
            Matrix x = Eigen::Map<const Matrix>(values.data(), 1, 37);
            activate(Activation::Silu, x);
            QVERIFY(std::isnan(x(0, static_cast<Index>(place))));
            QVERIFY(std::isfinite(x(0, 7)));
            softmax(values);
            QVERIFY(std::isnan(values[7]));
        }
    }

    void logSoftmaxAgreesWithDouble()
    {
        const std::vector<float> values = spread(32001, 30.0F, 4);
        double sum = 0;
        for (const float v : values)
            sum += std::exp(static_cast<double>(v));
        for (const std::size_t index : {std::size_t(0), std::size_t(31999), std::size_t(32000)}) {
            const double wanted = static_cast<double>(values[index]) - std::log(sum);
            QVERIFY(std::abs(static_cast<double>(logSoftmaxAt(values, index)) - wanted) < 2e-6 * (1 + std::abs(wanted)));
        }
    }
};

QTEST_GUILESS_MAIN(TestLayers)
#include "tst_layers.moc"
