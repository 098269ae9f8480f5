// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_weight.h"

#include <QtTest>

#include <bit>

#include "core/linalg/gemm.h"
#include "core/tensor/half.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

namespace {

Matrix rounded(const Matrix &values)
{
    return values.unaryExpr([](float v) { return bf16ToFloat(floatToBf16(v)); });
}

}  // namespace

class TestBf16Weight : public QObject {
    Q_OBJECT

private slots:
    void initTestCase()
    {
        if (!Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
    }

    void productsOfWholeNumbersAreExact_data()
    {
        QTest::addColumn<int>("tokens");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::newRow("one element") << 1 << 1 << 1;
        QTest::newRow("odd extents") << 7 << 33 << 19;
        QTest::newRow("one token") << 1 << 200 << 65;
        QTest::newRow("as many as a block has") << 512 << 64 << 48;
        QTest::newRow("one more") << 513 << 64 << 48;
        QTest::newRow("several blocks") << 1300 << 96 << 130;
    }
    void productsOfWholeNumbersAreExact()
    {
        QFETCH(int, tokens);
        QFETCH(int, in);
        QFETCH(int, out);
        const Matrix x = wholeNumbers(tokens, in, 1), w = wholeNumbers(out, in, 2);
        const Bf16Weight weight(w);
        QCOMPARE(weight.in(), Index(in));
        QCOMPARE(weight.out(), Index(out));
        QVERIFY(sameBits(weight.values(), w));
        Matrix y = Matrix::Constant(tokens, out, 777.0F);
        weight.multiply(x, y);
        const MatrixF64 expected = x.cast<double>().lazyProduct(w.cast<double>().transpose());
        QVERIFY(y.cast<double>() == expected);
    }

    void otherValuesAreRoundedAndSummedInFloat()
    {
        const Matrix x = randomMatrix(40, 700, 3), w = randomMatrix(30, 700, 4);
        const Bf16Weight weight(w);
        QVERIFY(sameBits(weight.values(), rounded(w)));
        Matrix y(40, 30);
        weight.multiply(x, y);
        const MatrixF64 expected = rounded(x).cast<double>() * rounded(w).cast<double>().transpose();
        // 700 products of unit normals: 700 roundings of 2^-24 on sums of some tens.
        QVERIFY((y.cast<double>() - expected).cwiseAbs().maxCoeff() < 2e-4);
    }

    void partsOfBiggerMatricesAreOperandsAndResults()
    {
        const Matrix x = wholeNumbers(20, 50, 5), w = wholeNumbers(9, 16, 6);
        Matrix y = Matrix::Constant(20, 30, -1.0F);
        Bf16Weight(w).multiply(x.block(2, 3, 10, 16), y.block(4, 5, 10, 9));
        const Matrix expected = x.block(2, 3, 10, 16).lazyProduct(w.transpose());
        QVERIFY(y.block(4, 5, 10, 9) == expected);
        QCOMPARE(y(3, 5), -1.0F);
        QCOMPARE(y(14, 5), -1.0F);
        QCOMPARE(y(4, 4), -1.0F);
        QCOMPARE(y(4, 14), -1.0F);
    }

    void theNumberOfThreadsChangesNoBit()
    {
        const Matrix x = randomMatrix(1300, 70, 7);
        const Bf16Weight weight(randomMatrix(90, 70, 8));
        ThreadPool three(3);
        Matrix alone(1300, 90), together(1300, 90);
        weight.multiply(x, alone);
        weight.multiply(x, together, {&three});
        QVERIFY(sameBits(alone, together));
    }

    void whatBfloat16HoldsIsSeen()
    {
        Matrix values = wholeNumbers(5, 37, 9) * 0x1p-20F;
        QVERIFY(Bf16Weight::holds(values));
        values(4, 36) = std::bit_cast<float>(0x3F800001U);
        QVERIFY(!Bf16Weight::holds(values));
        QVERIFY(Bf16Weight::holds(values.leftCols(36)));
    }
};

QTEST_GUILESS_MAIN(TestBf16Weight)
#include "tst_bf16_weight.moc"
