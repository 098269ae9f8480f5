// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/tridiagonal.h"

#include <QtTest>

#include <Eigen/Eigenvalues>

#include "tests/linalg/random_matrix.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

MatrixF64 inFull(const Tridiagonal &t)
{
    MatrixF64 full = t.diagonal.asDiagonal();
    full.diagonal<1>() = t.below;
    full.diagonal<-1>() = t.below;
    return full;
}

}  // namespace

class TestTridiagonal : public QObject {
    Q_OBJECT

private slots:
    // Q T Q^T is the matrix, and Q^T Q one: rows of the identity become Q's columns.
    void theReflectionsLeadBackToTheMatrix_data()
    {
        QTest::addColumn<int>("order");
        QTest::newRow("one element") << 1;
        QTest::newRow("two") << 2;
        QTest::newRow("three") << 3;
        QTest::newRow("a block of columns and one") << 33;
        QTest::newRow("several blocks") << 150;
        QTest::newRow("more than a tile, several slices of vectors") << 600;
    }
    void theReflectionsLeadBackToTheMatrix()
    {
        QFETCH(int, order);
        const MatrixF64 matrix = randomSymmetric(order, 1);
        MatrixF64 reduced = matrix;
        const Tridiagonal t = reduceToTridiagonal(reduced, {});
        MatrixF64 q = MatrixF64::Identity(order, order);
        applyReflections(reduced, t.tau, q, {});  // rows: Q e_i, so this is Q^T
        MatrixF64 square(order, order), again(order, order);
        multiplyTransposed(q, q, square);
        QVERIFY((square - MatrixF64::Identity(order, order)).cwiseAbs().maxCoeff() < 1e-13);
        transposedMultiply(q, MatrixF64(inFull(t) * q), again);
        QVERIFY((again - matrix).cwiseAbs().maxCoeff() < 1e-12);  // elements of some units, 600 reflections
    }

    void theValuesAreThoseOfEigen()
    {
        const VectorF64 d = randomMatrixF64(200, 1, 2).col(0), e = randomMatrixF64(199, 1, 3).col(0);
        const MatrixF64 full = inFull({d, e, {}});
        const VectorF64 expected = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(full, Eigen::EigenvaluesOnly).eigenvalues();
        QVERIFY((tridiagonalEigenvalues(d, e, {}) - expected).cwiseAbs().maxCoeff() < 1e-13);
    }

    void threeThreadsGiveTheSameBits()
    {
        ThreadPool three(3);
        MatrixF64 one = randomSymmetric(1100, 4), many = one;
        const Tridiagonal t = reduceToTridiagonal(one, {}), u = reduceToTridiagonal(many, {&three});
        QVERIFY(t.diagonal == u.diagonal && t.below == u.below && t.tau == u.tau);
        MatrixF64 rows = randomMatrixF64(300, 1100, 5), others = rows;
        applyReflections(one, t.tau, rows, {});
        applyReflections(many, u.tau, others, {&three});
        QVERIFY(rows == others);
    }

    // Between two polls lies a column, an iteration or a slice of vectors.
    void aStopEndsTheWork()
    {
        const MatrixF64 matrix = randomSymmetric(200, 6);
        const long reduction = pollsOf([&](const TaskContext &context) {
            MatrixF64 reduced = matrix;
            reduceToTridiagonal(reduced, context);
        });
        QVERIFY2(reduction >= 199, qPrintable(QString::number(reduction)));
        MatrixF64 reduced = matrix;
        const Tridiagonal t = reduceToTridiagonal(reduced, {});
        const long values = pollsOf([&](const TaskContext &context) { tridiagonalEigenvalues(t.diagonal, t.below, context); });
        QVERIFY2(values >= 199, qPrintable(QString::number(values)));
        const MatrixF64 vectors = randomMatrixF64(600, 200, 7);
        const long slices = pollsOf([&](const TaskContext &context) {
            MatrixF64 rows = vectors;
            applyReflections(reduced, t.tau, rows, context);
        });
        QVERIFY2(slices >= 3, qPrintable(QString::number(slices)));
    }
};

QTEST_GUILESS_MAIN(TestTridiagonal)
#include "tst_tridiagonal.moc"
