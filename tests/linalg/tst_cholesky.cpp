// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/decomposition.h"

#include <QtTest>

#include <cmath>
#include <limits>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Of `samples` random rows over columns of very different size.
MatrixF64 autocorrelation(Index order, Index samples, unsigned seed)
{
    MatrixF64 x = randomMatrixF64(samples, order, seed);
    for (Index j = 0; j < order; ++j)
        x.col(j) *= std::exp(0.7 * std::sin(static_cast<double>(j)));
    MatrixF64 r = MatrixF64::Zero(order, order);
    if (samples > 0)
        gram(x, r);
    return r;
}

double rebuildError(const MatrixF64 &factor, const MatrixF64 &r)
{
    MatrixF64 again = MatrixF64::Zero(r.rows(), r.cols());
    if (factor.cols() > 0)
        multiplyTransposed(factor, factor, again);
    return (again - r).cwiseAbs().maxCoeff() / std::max(r.cwiseAbs().maxCoeff(), std::numeric_limits<double>::min());
}

}  // namespace

class TestCholesky : public QObject {
    Q_OBJECT

private slots:
    void theFactorRebuildsTheMatrix_data()
    {
        QTest::addColumn<int>("order");
        QTest::addColumn<int>("samples");
        QTest::newRow("nothing") << 0 << 0;
        QTest::newRow("one element") << 1 << 3;
        QTest::newRow("full rank") << 25 << 60;
        QTest::newRow("rank 7 of 25") << 25 << 7;
        QTest::newRow("zero") << 25 << 0;
        QTest::newRow("a block of columns") << 96 << 200;
        QTest::newRow("several blocks, the last one short") << 300 << 400;
        QTest::newRow("a rank that ends with a block") << 300 << 192;
        QTest::newRow("a rank that ends within one") << 300 << 200;
        QTest::newRow("more than a tile of rows") << 700 << 650;
    }
    void theFactorRebuildsTheMatrix()
    {
        QFETCH(int, order);
        QFETCH(int, samples);
        const MatrixF64 r = autocorrelation(order, samples, 1);
        const MatrixF64 factor = semidefiniteFactor(r);
        QCOMPARE(factor.rows(), Index(order));
        QCOMPARE(factor.cols(), Index(std::min(samples, order)));
        if (order > 0)
            QVERIFY(rebuildError(factor, r) <= 1e-13);
    }

    // Which is what makes the rank numerical: of what is left of the diagonal, each column takes the largest element as its
    // pivot.
    void everyColumnTakesTheLargestElementThatIsLeft()
    {
        const MatrixF64 r = autocorrelation(260, 300, 2);
        const MatrixF64 factor = semidefiniteFactor(r);
        VectorF64 left = r.diagonal();
        for (Index k = 0; k < 260; ++k) {
            const double pivot = factor.col(k).cwiseAbs().maxCoeff();
            QVERIFY(std::abs(left.maxCoeff() - pivot * pivot) < 1e-12 * r.diagonal().maxCoeff());
            left -= factor.col(k).cwiseAbs2();
        }
        QVERIFY(left.cwiseAbs().maxCoeff() < 1e-12 * r.diagonal().maxCoeff());
    }

    void onlyTheLowerTriangleIsRead()
    {
        const MatrixF64 r = autocorrelation(130, 90, 3);
        MatrixF64 lower = r;
        lower.triangularView<Eigen::StrictlyUpper>().setConstant(17.0);
        QVERIFY(semidefiniteFactor(lower) == semidefiniteFactor(r));
    }

    void threeThreadsGiveTheSameBits()
    {
        ThreadPool three(3);
        const MatrixF64 r = autocorrelation(1100, 700, 4);
        QVERIFY(semidefiniteFactor(r, {&three}) == semidefiniteFactor(r));
    }

    void notFiniteIsANumericError()
    {
        MatrixF64 r = autocorrelation(5, 9, 5);
        r(3, 2) = r(2, 3) = std::numeric_limits<double>::quiet_NaN();
        ErrorCode code{};
        const std::string message = errorOf([&] { semidefiniteFactor(r); }, &code);
        QVERIFY2(message.find("(2, 3)") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Numeric);
    }

    // Between two polls lies a column of a block or a tile of the rest: the order or a thousandth of its cube.
    void aStopEndsTheWork()
    {
        const MatrixF64 r = autocorrelation(300, 250, 6);
        const long polls = pollsOf([&](const TaskContext &context) { semidefiniteFactor(r, context); });
        QVERIFY2(polls >= 250, qPrintable(QString::number(polls)));
    }
};

QTEST_GUILESS_MAIN(TestCholesky)
#include "tst_cholesky.moc"
