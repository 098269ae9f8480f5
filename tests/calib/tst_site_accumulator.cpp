// SPDX-License-Identifier: Apache-2.0
#include "core/calib/calibration_stats.h"

#include <QtTest>

#include <limits>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

CalibrationOptions optionsOf(std::int64_t batch, bool autocorrelation = true)
{
    CalibrationOptions options;
    options.batch = batch;
    options.autocorrelation = autocorrelation;
    return options;
}

}  // namespace

class TestSiteAccumulator : public QObject {
    Q_OBJECT

private slots:
    void statisticsAreWhatTheirNamesSay_data()
    {
        QTest::addColumn<int>("batch");
        QTest::newRow("window by window") << 1;
        QTest::newRow("two, the last one alone") << 2;
        QTest::newRow("all") << 5;
        QTest::newRow("more than there are") << 9;
    }
    void statisticsAreWhatTheirNamesSay()
    {
        QFETCH(int, batch);
        const std::vector<Index> lengths{7, 3, 11, 1, 8};
        SiteAccumulator accumulator(12, optionsOf(batch));
        Matrix all(30, 12);
        std::vector<Matrix> batches;
        Index row = 0;
        Index batchRow = 0;
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            const Matrix x = randomActivations(lengths[i], 12, static_cast<unsigned>(i));
            accumulator.feed(x);
            all.middleRows(row, x.rows()) = x;
            row += x.rows();
            if ((i + 1) % static_cast<std::size_t>(batch) == 0 || i + 1 == lengths.size()) {
                batches.push_back(all.middleRows(batchRow, row - batchRow));
                batchRow = row;
            }
        }
        const SiteStats stats = accumulator.finish();
        QCOMPARE(stats.tokens, std::int64_t(30));
        const MatrixF64 x = all.cast<double>();
        VectorF64 largestMean = VectorF64::Zero(12);
        for (const Matrix &b : batches)
            largestMean = largestMean.cwiseMax(b.cast<double>().cwiseAbs().colwise().mean().transpose());
        QVERIFY((stats.maxMeanAbs - largestMean).cwiseAbs().maxCoeff() < 1e-12 * largestMean.maxCoeff());
        QVERIFY((stats.sumSquares - x.cwiseAbs2().colwise().sum().transpose()).cwiseAbs().maxCoeff()
                < 1e-12 * stats.sumSquares.maxCoeff());
        QVERIFY(stats.maxAbs == VectorF64(x.cwiseAbs().colwise().maxCoeff().transpose()));
        const MatrixF64 r = x.transpose() * x;
        QVERIFY((stats.autocorrelation - r).cwiseAbs().maxCoeff() < 1e-5 * r.cwiseAbs().maxCoeff());  // float products
        QVERIFY(stats.autocorrelation == stats.autocorrelation.transpose());
        QVERIFY((stats.meanAutocorrelation() * 30.0 - stats.autocorrelation).cwiseAbs().maxCoeff()
                < 1e-12 * r.cwiseAbs().maxCoeff());
        QVERIFY((stats.diagonalScale().cwiseAbs2() * 30.0 - stats.sumSquares).cwiseAbs().maxCoeff()
                < 1e-12 * stats.sumSquares.maxCoeff());
    }

    void theLqerScaleIsClampedAndCentred()
    {
        SiteStats stats;
        stats.maxMeanAbs = VectorF64::Zero(4);
        stats.maxMeanAbs << 0.0, 2.0, 0.5, 1e-6;
        const VectorF64 scale = stats.lqerScale();
        QVERIFY(std::abs(scale.minCoeff() * scale.maxCoeff() - 1.0) < 1e-12);
        QCOMPARE(scale[0], scale[3]);
        QVERIFY(std::abs(scale[1] / scale[2] - 4.0) < 1e-12);
        QVERIFY(std::abs(scale[2] / scale[0] - 5000.0) < 1e-8);
    }

    void withoutAutocorrelationOnlyVectorsAreKept()
    {
        SiteAccumulator accumulator(5, optionsOf(1, false));
        accumulator.feed(randomMatrix(4, 5, 1));
        const SiteStats stats = accumulator.finish();
        QVERIFY(!stats.hasAutocorrelation());
        QVERIFY(stats.sumSquares.minCoeff() > 0);
    }

    void threadsChangeNoBit()
    {
        ThreadPool three(3);
        SiteAccumulator alone(1100, optionsOf(2)), together(1100, optionsOf(2));
        for (unsigned i = 0; i < 3; ++i) {
            const Matrix x = randomMatrix(20, 1100, i);
            alone.feed(x);
            together.feed(x, {&three});
        }
        const SiteStats a = alone.finish(), b = together.finish();
        QVERIFY(a.autocorrelation == b.autocorrelation && a.sumSquares == b.sumSquares && a.maxMeanAbs == b.maxMeanAbs);
    }

    void valuesThatAreNotFiniteAreNamed_data()
    {
        QTest::addColumn<float>("bad");
        QTest::addColumn<QString>("expected");
        QTest::newRow("NaN") << std::numeric_limits<float>::quiet_NaN() << "token 2, channel 3";
        QTest::newRow("infinity") << -std::numeric_limits<float>::infinity() << "token 2, channel 3";
        QTest::newRow("square overflows") << 1e30F << "channel 3 overflows";
    }
    void valuesThatAreNotFiniteAreNamed()
    {
        QFETCH(float, bad);
        QFETCH(QString, expected);
        SiteAccumulator accumulator(5, optionsOf(1));
        Matrix x = randomMatrix(4, 5, 1);
        x(2, 3) = bad;
        ErrorCode code{};
        const std::string message = errorOf([&] { accumulator.feed(x); }, &code);
        QVERIFY2(message.find(expected.toStdString()) != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Numeric);
    }

    void theKeyChangesWithEverythingTheNumbersDependOn()
    {
        CalibrationStats stats;
        stats.model = "m";
        stats.data = "d";
        stats.dataHash = "h";
        stats.windows = 4;
        stats.windowLength = 8;
        std::vector<std::string> keys{stats.key()};
        const auto changed = [&](auto &&change) {
            CalibrationStats other = stats;
            change(other);
            keys.push_back(other.key());
        };
        changed([](CalibrationStats &s) { s.model = "m2"; });
        changed([](CalibrationStats &s) { s.data = "d2"; });
        changed([](CalibrationStats &s) { s.dataHash = "h2"; });
        changed([](CalibrationStats &s) { s.windows = 5; });
        changed([](CalibrationStats &s) { s.windowLength = 9; });
        changed([](CalibrationStats &s) { s.options.batch = 3; });
        changed([](CalibrationStats &s) { s.options.autocorrelation = false; });
        std::sort(keys.begin(), keys.end());
        QVERIFY(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
        CalibrationStats limited = stats;
        limited.options.memoryLimit = 1000;
        QCOMPARE(limited.key(), stats.key());
    }
};

QTEST_GUILESS_MAIN(TestSiteAccumulator)
#include "tst_site_accumulator.moc"
