// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/gemm.h"

#include <QtTest>

#include <cmath>

#include "core/tensor/half.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

class TestGemm : public QObject {
    Q_OBJECT

private slots:
    void productsAgreeWithSumsInDouble_data()
    {
        QTest::addColumn<int>("m");
        QTest::addColumn<int>("n");
        QTest::addColumn<int>("k");
        QTest::newRow("one element") << 1 << 1 << 1;
        QTest::newRow("a row") << 1 << 37 << 5;
        QTest::newRow("a column") << 41 << 1 << 9;
        QTest::newRow("several row tiles") << 1100 << 17 << 33;
        QTest::newRow("several column tiles") << 9 << 4200 << 12;
        QTest::newRow("tiles both ways") << 600 << 2100 << 7;
        QTest::newRow("no inner extent") << 4 << 3 << 0;
        QTest::newRow("no rows") << 0 << 3 << 4;
        QTest::newRow("no columns") << 4 << 0 << 4;
    }
    void productsAgreeWithSumsInDouble()
    {
        QFETCH(int, m);
        QFETCH(int, n);
        QFETCH(int, k);
        const Matrix a = randomMatrix(m, k, 1);
        const Matrix b = randomMatrix(k, n, 2);
        const MatrixF64 expected = a.cast<double>().lazyProduct(b.cast<double>());
        // Each sum of k products of unit normals: k rounding steps of 2^-24 on terms of a few units.
        const double tolerance = 1e-6 * (k + 1);
        Matrix c = Matrix::Constant(m, n, 777.0F);
        multiply(a, b, c);
        QVERIFY(m * n == 0 || (c.cast<double>() - expected).cwiseAbs().maxCoeff() < tolerance);
        c.setConstant(777.0F);
        multiplyTransposed(a, Matrix(b.transpose()), c);
        QVERIFY(m * n == 0 || (c.cast<double>() - expected).cwiseAbs().maxCoeff() < tolerance);
        c.setConstant(777.0F);
        transposedMultiply(Matrix(a.transpose()), b, c);
        QVERIFY(m * n == 0 || (c.cast<double>() - expected).cwiseAbs().maxCoeff() < tolerance);

        MatrixF64 wide = MatrixF64::Constant(m, n, 777.0);
        multiply(a.cast<double>().eval(), b.cast<double>().eval(), wide);
        QVERIFY(m * n == 0 || (wide - expected).cwiseAbs().maxCoeff() < 1e-14 * (k + 1) * 10);
    }

    void partsOfBiggerMatricesAreOperandsAndResults()
    {
        const Matrix a = randomMatrix(50, 40, 3);
        const Matrix b = randomMatrix(40, 60, 4);
        Matrix c = Matrix::Constant(30, 30, -1.0F);
        multiply(a.block(3, 5, 7, 11), b.block(2, 6, 11, 13), c.block(4, 2, 7, 13));
        const Matrix expected = a.block(3, 5, 7, 11).lazyProduct(b.block(2, 6, 11, 13));
        QVERIFY((c.block(4, 2, 7, 13) - expected).cwiseAbs().maxCoeff() < 1e-5F);
        QCOMPARE(c(3, 2), -1.0F);
        QCOMPARE(c(4, 1), -1.0F);
        QCOMPARE(c(11, 2), -1.0F);
        QCOMPARE(c(4, 15), -1.0F);
    }

    void gramIsSymmetricAndEqualsTheProduct_data()
    {
        QTest::addColumn<int>("tokens");
        QTest::addColumn<int>("features");
        QTest::newRow("small") << 5 << 3;
        QTest::newRow("one token") << 1 << 9;
        QTest::newRow("several blocks") << 33 << 1200;
        QTest::newRow("no tokens") << 0 << 4;
    }
    void gramIsSymmetricAndEqualsTheProduct()
    {
        QFETCH(int, tokens);
        QFETCH(int, features);
        const Matrix x = randomMatrix(tokens, features, 5);
        Matrix g = Matrix::Constant(features, features, 3.0F);
        gram(x, g);
        const MatrixF64 wide = x.cast<double>();
        const MatrixF64 expected = tokens ? MatrixF64(wide.transpose() * wide) : MatrixF64::Zero(features, features);
        QVERIFY((g.cast<double>() - expected).cwiseAbs().maxCoeff() < 1e-5 * (tokens + 1));
        QVERIFY(g == g.transpose());
    }

    void sumsOfGramsAddUpInDouble_data()
    {
        QTest::addColumn<int>("features");
        QTest::addColumn<bool>("narrow");
        for (const int features : {1, 255, 700, 2600})
            for (const bool narrow : {false, true})
                QTest::addRow("%d, %s", features, narrow ? "bf16" : "float") << features << narrow;
    }
    void sumsOfGramsAddUpInDouble()
    {
        QFETCH(int, features);
        QFETCH(bool, narrow);
        if (narrow && !Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
        const Matrix x = randomMatrix(20, features, 9).unaryExpr([&](float v) { return narrow ? bf16ToFloat(floatToBf16(v)) : v; });
        ThreadPool three(3);
        MatrixPool pool;
        MatrixF64 sum = MatrixF64::Zero(features, features);
        for (const TaskContext &context : {TaskContext{}, TaskContext{&three}})
            narrow ? addGramLower(Bf16Rows(x, pool), sum, context) : addGramLower(x, sum, context);
        const MatrixF64 twice = sum;
        fillUpper(sum);
        const MatrixF64 expected = 2.0 * (x.cast<double>().transpose() * x.cast<double>());
        QVERIFY((sum - expected).cwiseAbs().maxCoeff() < 1e-4);
        QVERIFY(sum == sum.transpose());
        // Both additions were the same, whatever the number of threads; nothing above the diagonal was written.
        MatrixF64 once = MatrixF64::Zero(features, features);
        narrow ? addGramLower(Bf16Rows(x, pool), once) : addGramLower(x, once);
        QVERIFY(twice == 2.0 * once);
        QVERIFY(MatrixF64(once.triangularView<Eigen::StrictlyUpper>()).isZero(0));
    }

    void theNumberOfThreadsChangesNoBit()
    {
        ThreadPool three(3);
        const TaskContext threaded{&three};
        const Matrix a = randomMatrix(1500, 300, 6);
        const Matrix b = randomMatrix(300, 2300, 7);
        Matrix alone(1500, 2300), together(1500, 2300);
        multiply(a, b, alone);
        multiply(a, b, together, threaded);
        QVERIFY(sameBits(alone, together));
        Matrix gramAlone(300, 300), gramTogether(300, 300);
        gram(a, gramAlone);
        gram(a, gramTogether, threaded);
        QVERIFY(sameBits(gramAlone, gramTogether));
    }

    void aRequestedStopEndsTheProduct()
    {
        std::stop_source source;
        source.request_stop();
        const TaskContext context{nullptr, nullptr, source.get_token()};
        const Matrix a = randomMatrix(4, 4, 8);
        Matrix c(4, 4);
        QVERIFY_EXCEPTION_THROWN(multiply(a, a, c, context), Cancelled);
    }
};

QTEST_GUILESS_MAIN(TestGemm)
#include "tst_gemm.moc"
