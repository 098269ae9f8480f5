// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/quadratic_form.h"

#include <QtTest>

#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

class TestQuadraticForm : public QObject {
    Q_OBJECT

private slots:
    void agreesWithTheWholeProduct_data()
    {
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("n");
        QTest::newRow("one tile") << 7 << 30;
        QTest::newRow("several tiles") << 700 << 1200;
        QTest::newRow("odd extents") << 513 << 641;
        QTest::newRow("no rows") << 0 << 5;
    }
    void agreesWithTheWholeProduct()
    {
        QFETCH(int, rows);
        QFETCH(int, n);
        const Matrix x = randomMatrix(rows, n, 10);
        const MatrixF64 a = randomActivations(2 * n, n, 11).cast<double>();
        const MatrixF64 r = a.transpose() * a / static_cast<double>(2 * n);
        const MatrixF64 wide = x.cast<double>();
        const double expected = rows ? MatrixF64(wide * r).cwiseProduct(wide).sum() : 0.0;
        QVERIFY(std::abs(quadraticForm(x, r, Precision::Float32) - expected) <= 1e-7 * expected);
        // Rounding to bfloat16 leaves the diagonal alone, and off it errors have random signs. Small ones are not rounded.
        const double narrow = quadraticForm(x, r, Precision::BFloat16);
        const double allowed = n >= 1024 ? 3e-5 : 1e-7;
        QVERIFY2(std::abs(narrow - expected) <= allowed * expected, qPrintable(QString::number(narrow / expected - 1)));
    }

    void channelsOfVeryDifferentSizeLoseNothing()
    {
        // A few channels hold nearly all of the result, as in the inputs of transformers.
        Matrix a = randomActivations(1000, 1100, 12, 2.0);
        a.col(3) *= 100.0F;
        const MatrixF64 wide = a.cast<double>();
        const MatrixF64 r = wide.transpose() * wide / 1000.0;
        const Matrix x = randomMatrix(600, 1100, 13);
        const double expected = MatrixF64(x.cast<double>() * r).cwiseProduct(x.cast<double>()).sum();
        QVERIFY(std::abs(quadraticForm(x, r, Precision::BFloat16) - expected) < 1e-5 * expected);
    }

    void threeThreadsGiveTheSameBits()
    {
        const Matrix x = randomMatrix(700, 1200, 14);
        const MatrixF64 half = randomMatrixF64(300, 1200, 15);
        const MatrixF64 r = half.transpose() * half;
        ThreadPool three(3);
        for (const Precision precision : {Precision::Float32, Precision::BFloat16})
            QCOMPARE(quadraticForm(x, r, precision, {&three}), quadraticForm(x, r, precision));
    }

    void nothingIsZero()
    {
        QCOMPARE(quadraticForm(randomMatrix(3, 4, 16), MatrixF64::Zero(4, 4), Precision::Float32), 0.0);
        QCOMPARE(quadraticForm(Matrix(2, 0), MatrixF64(0, 0), Precision::BFloat16), 0.0);
    }
};

QTEST_GUILESS_MAIN(TestQuadraticForm)
#include "tst_quadratic_form.moc"
