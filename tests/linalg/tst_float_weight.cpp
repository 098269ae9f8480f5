// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/float_weight.h"

#include <QtTest>

#include "core/linalg/gemm.h"
#include "core/linalg/onednn.h"
#include "tests/linalg/random_matrix.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

class TestFloatWeight : public QObject {
    Q_OBJECT

private slots:
    void productsAgreeWithDouble_data()
    {
        QTest::addColumn<int>("tokens");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::newRow("one element") << 1 << 1 << 1;
        QTest::newRow("odd extents") << 7 << 33 << 19;
        QTest::newRow("one token") << 1 << 200 << 65;
        QTest::newRow("one more than a block has") << 257 << 64 << 48;
        QTest::newRow("laid out in two pieces") << 5 << 33 << 3101;
        QTest::newRow("several blocks") << 1300 << 96 << 130;
        QTest::newRow("no correction: rank 0") << 5 << 0 << 3;
    }
    void productsAgreeWithDouble()
    {
        QFETCH(int, tokens);
        QFETCH(int, in);
        QFETCH(int, out);
        const Matrix x = randomMatrix(tokens, in, 1), w = randomMatrix(out, in, 2);
        const FloatWeight weight(w);
        QCOMPARE(weight.in(), Index(in));
        QCOMPARE(weight.out(), Index(out));
        QVERIFY(sameBits(weight.values(), w));
        Matrix y = Matrix::Constant(tokens, out, 777.0F);
        weight.multiply(x, y);
        const MatrixF64 expected = x.cast<double>().lazyProduct(w.cast<double>().transpose());
        QVERIFY((y.cast<double>() - expected).cwiseAbs().maxCoeff() < 1e-4);  // 200 roundings of sums of some tens
    }

    void partsOfBiggerMatricesAreOperandsAndResults()
    {
        const Matrix x = randomMatrix(20, 50, 5), w = randomMatrix(9, 16, 6);
        Matrix y = Matrix::Constant(20, 30, -1.0F), alone(10, 9);
        FloatWeight(w).multiply(x.block(2, 3, 10, 16), y.block(4, 5, 10, 9));
        multiplyTransposed(x.block(2, 3, 10, 16), w, alone);
        QVERIFY((y.block(4, 5, 10, 9) - alone).cwiseAbs().maxCoeff() < 1e-5F);
        for (const auto &[row, column] : {std::pair(3, 5), {14, 5}, {4, 4}, {4, 14}})
            QCOMPARE(y(row, column), -1.0F);
    }

    void aStopEndsLayingOutAndMultiplying()
    {
        const Matrix w = randomMatrix(3101, 8, 9), x = randomMatrix(600, 8, 10);
        Matrix y(600, 3101);
        QVERIFY(pollsOf([&](const TaskContext &context) { const FloatWeight weight(w, context); }) >= (oneDnnMultipliesFloat() ? 2 : 0));
        const FloatWeight weight(w);
        QVERIFY(pollsOf([&](const TaskContext &context) { weight.multiply(x, y, context); }) >= 3);
    }

    void theNumberOfThreadsChangesNoBit()
    {
        const Matrix x = randomMatrix(1300, 70, 7);
        const FloatWeight weight(randomMatrix(90, 70, 8));
        ThreadPool three(3);
        Matrix alone(1300, 90), together(1300, 90);
        weight.multiply(x, alone);
        weight.multiply(x, together, {&three});
        QVERIFY(sameBits(alone, together));
    }
};

QTEST_GUILESS_MAIN(TestFloatWeight)
#include "tst_float_weight.moc"
