// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/spectrum.h"

#include <QtTest>

#include "core/linalg/decomposition.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Columns of log-normal size, as an error weighted by its inputs has them.
Matrix graded(Index rows, Index cols, unsigned seed)
{
    Matrix matrix = randomMatrix(rows, cols, seed);
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    for (Index j = 0; j < cols; ++j)
        matrix.col(j) *= static_cast<float>(std::exp(0.7 * normal(engine)));
    return matrix;
}

}  // namespace

class TestSpectrum : public QObject {
    Q_OBJECT

private slots:
    // Against LAPACK's gesdd in double.
    void everyValueAgreesWithLapack_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("cols");
        QTest::newRow("one element") << 1 << 1;
        QTest::newRow("below one block") << 20 << 20;
        QTest::newRow("one block") << 32 << 32;
        QTest::newRow("one more") << 33 << 33;
        QTest::newRow("several blocks, the last one short") << 300 << 300;
        QTest::newRow("a little taller") << 130 << 100;
        QTest::newRow("tall") << 700 << 150;
        QTest::newRow("wide") << 150 << 400;
        QTest::newRow("a row") << 1 << 50;
        QTest::newRow("a column") << 50 << 1;
        QTest::newRow("nothing") << 0 << 7;
    }
    void everyValueAgreesWithLapack()
    {
        QFETCH(int, rows);
        QFETCH(int, cols);
        const Matrix matrix = graded(rows, cols, 1);
        const VectorF64 expected = singularValues(matrix.cast<double>());
        const VectorF64 found = allSingularValues(matrix, {});
        QCOMPARE(found.size(), expected.size());
        if (found.size() == 0)
            return;
        QVERIFY(std::is_sorted(found.begin(), found.end(), std::greater<>()));
        QVERIFY((found - expected).cwiseAbs().maxCoeff() < 1e-6 * expected[0]);
        // The small ones are far better than that bound: 1e-3 of themselves at the 99 % index.
        const Index late = std::min<Index>(expected.size() - 1, expected.size() * 99 / 100);
        QVERIFY2(std::abs(found[late] / expected[late] - 1) < 1e-4, qPrintable(QString::number(found[late] / expected[late] - 1)));
    }

    void deadChannelsAndZerosAreHarmless()
    {
        Matrix matrix = graded(200, 160, 2);
        matrix.col(0).setZero();
        matrix.col(77).setZero();
        matrix.row(5).setZero();
        const VectorF64 found = allSingularValues(matrix, {});
        QVERIFY((found - singularValues(matrix.cast<double>())).cwiseAbs().maxCoeff() < 1e-6 * found[0]);
        QVERIFY(found[158] < 1e-6 * found[0]);
        QCOMPARE(allSingularValues(Matrix::Zero(90, 70), {}).maxCoeff(), 0.0);
    }

    void threeThreadsGiveTheSameBits()
    {
        ThreadPool three(3);
        const Matrix matrix = graded(1300, 600, 3);
        QVERIFY(allSingularValues(matrix, {&three}) == allSingularValues(matrix, {}));
    }

    void aRequestedStopEndsTheWork()
    {
        std::stop_source source;
        source.request_stop();
        QVERIFY_EXCEPTION_THROWN(allSingularValues(graded(40, 40, 4), {nullptr, nullptr, source.get_token()}), Cancelled);
    }
};

QTEST_GUILESS_MAIN(TestSpectrum)
#include "tst_spectrum.moc"
