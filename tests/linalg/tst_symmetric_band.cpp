// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/symmetric_band.h"

#include <QtTest>

#include <algorithm>
#include <limits>

#include <Eigen/Eigenvalues>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// As bandEigenvalues() takes it, and in full.
MatrixF64 randomBand(Index n, Index width, unsigned seed)
{
    MatrixF64 band = randomMatrixF64(n, width + 1, seed);
    for (Index j = 0; j < n; ++j)
        band.row(j).tail(std::max<Index>(0, width + 1 - (n - j))).setZero();
    return band;
}

MatrixF64 inFull(const MatrixF64 &band)
{
    MatrixF64 full = MatrixF64::Zero(band.rows(), band.rows());
    for (Index j = 0; j < band.rows(); ++j)
        for (Index d = 0; d < std::min(band.cols(), band.rows() - j); ++d)
            full(j + d, j) = full(j, j + d) = band(j, d);
    return full;
}

// By Eigen, which has it from nobody we use.
VectorF64 eigenvaluesByEigen(const MatrixF64 &matrix)
{
    return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(matrix, Eigen::EigenvaluesOnly).eigenvalues();
}

bool agree(const VectorF64 &found, const VectorF64 &expected)
{
    // Rounding of both in units of the largest; at order 1030 Eigen's values are 1.6e-13 from LAPACK's, ours 1.4e-14.
    return found.size() == expected.size() && std::is_sorted(found.begin(), found.end())
           && (found - expected).cwiseAbs().maxCoeff()
                  <= 5e-13 * std::max(expected.cwiseAbs().maxCoeff(), std::numeric_limits<double>::min());
}

}  // namespace

class TestSymmetricBand : public QObject {
    Q_OBJECT

private slots:
    void everyValueAgreesWithEigen_data()
    {
        QTest::addColumn<int>("order");
        QTest::addColumn<int>("width");
        QTest::newRow("one element") << 1 << 0;
        QTest::newRow("a diagonal") << 9 << 0;
        QTest::newRow("two") << 2 << 1;
        QTest::newRow("tridiagonal") << 40 << 1;
        QTest::newRow("two diagonals below") << 40 << 2;
        QTest::newRow("narrow") << 101 << 5;
        QTest::newRow("as many as groups of sweeps and one more") << 19 << 4;
        QTest::newRow("wide") << 70 << 32;
        QTest::newRow("full") << 30 << 29;
        QTest::newRow("wider than the matrix") << 7 << 12;
    }
    void everyValueAgreesWithEigen()
    {
        QFETCH(int, order);
        QFETCH(int, width);
        const MatrixF64 band = randomBand(order, width, 1);
        QVERIFY(agree(bandEigenvalues(band, {}), eigenvaluesByEigen(inFull(band))));
    }

    void nothingHasNoValues() { QCOMPARE(bandEigenvalues(MatrixF64(0, 3), {}).size(), Index(0)); }

    // Values over many orders of magnitude, either way round; elements near the ends of the exponent; zeros that split it.
    void hardMatricesAgreeWithEigen_data()
    {
        QTest::addColumn<double>("ratio");
        QTest::addColumn<double>("scale");
        QTest::addColumn<bool>("split");
        QTest::newRow("graded down") << 0.7 << 1.0 << false;
        QTest::newRow("graded up") << 1.4 << 1.0 << false;
        QTest::newRow("huge") << 1.0 << 1e300 << false;
        QTest::newRow("tiny") << 1.0 << 1e-300 << false;
        QTest::newRow("in parts") << 1.0 << 1.0 << true;
        QTest::newRow("zero") << 1.0 << 0.0 << false;
    }
    void hardMatricesAgreeWithEigen()
    {
        QFETCH(double, ratio);
        QFETCH(double, scale);
        QFETCH(bool, split);
        MatrixF64 band = randomBand(90, 6, 2);
        for (Index j = 0; j < 90; ++j)
            band.row(j) *= scale * std::pow(ratio, j);
        if (split)
            for (Index j = 20; j < 30; ++j)
                band.row(j).tail(6).setZero();
        QVERIFY(agree(bandEigenvalues(band, {}), eigenvaluesByEigen(inFull(band))));
    }

    void valuesThatAreEqualAreFoundAsOften()
    {
        MatrixF64 band = MatrixF64::Zero(60, 4);
        band.col(0).setConstant(2);
        band.col(3).head(57).setConstant(-1);  // three chains of twenty
        const VectorF64 values = bandEigenvalues(band, {});
        QVERIFY(agree(values, eigenvaluesByEigen(inFull(band))));
        QVERIFY(values[2] - values[0] < 1e-14 && values[3] - values[2] > 1e-3);
    }

    void notFiniteIsANumericError()
    {
        MatrixF64 band = randomBand(20, 3, 3);
        band(7, 2) = std::numeric_limits<double>::quiet_NaN();
        ErrorCode code{};
        QVERIFY(!errorOf([&] { bandEigenvalues(band, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Numeric);
    }

    void aReducedMatrixHasTheSameValues_data()
    {
        QTest::addColumn<int>("order");
        QTest::addColumn<int>("width");
        QTest::newRow("one element") << 1 << 4;
        QTest::newRow("below the width") << 3 << 4;
        QTest::newRow("the width and one") << 5 << 4;
        QTest::newRow("a short last block") << 50 << 8;
        QTest::newRow("to one diagonal") << 30 << 1;
        QTest::newRow("two tiles and a bit") << 1030 << 32;
    }
    void aReducedMatrixHasTheSameValues()
    {
        QFETCH(int, order);
        QFETCH(int, width);
        const MatrixF64 matrix = randomSymmetric(order, 4);
        const MatrixF64 band = reducedToBand(matrix, width, {});
        QCOMPARE(band.cols(), Index(width + 1));
        QVERIFY(agree(bandEigenvalues(band, {}), eigenvaluesByEigen(matrix)));
    }

    void threeThreadsGiveTheSameBits()
    {
        ThreadPool three(3);
        const MatrixF64 matrix = randomSymmetric(1100, 5);
        QVERIFY(reducedToBand(matrix, 32, {&three}) == reducedToBand(matrix, 32, {}));
    }

    // Between two polls lies a block of the reduction, a group of sweeps, or an iteration: the square of the order at most, times
    // a constant.
    void aStopEndsTheWork()
    {
        const MatrixF64 matrix = randomSymmetric(600, 6);
        const long reduction = pollsOf([&](const TaskContext &context) { reducedToBand(matrix, 32, context); });
        QVERIFY2(reduction >= 600 / 32, qPrintable(QString::number(reduction)));
        const MatrixF64 band = randomBand(400, 16, 7);
        const long values = pollsOf([&](const TaskContext &context) { bandEigenvalues(band, context); });
        QVERIFY2(values >= 400 / 8 + 400, qPrintable(QString::number(values)));
    }
};

QTEST_GUILESS_MAIN(TestSymmetricBand)
#include "tst_symmetric_band.moc"
