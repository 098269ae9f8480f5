// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_panels.h"

#include <QtTest>

#include "core/tensor/half.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

class TestBf16Panels : public QObject {
    Q_OBJECT

private slots:
    void initTestCase()
    {
        if (!Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
    }

    void productsAgreeWithDouble_data()
    {
        QTest::addColumn<int>("tokens");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::newRow("one row") << 1 << 2 << 1;
        QTest::newRow("as many rows as go together") << 6 << 32 << 32;
        QTest::newRow("one more of each") << 7 << 34 << 33;
        QTest::newRow("several panels") << 25 << 64 << 100;
    }
    void productsAgreeWithDouble()
    {
        QFETCH(int, tokens);
        QFETCH(int, in);
        QFETCH(int, out);
        const auto bf16 = [](const Matrix &values) { return Matrix(values.unaryExpr([](float v) { return bf16ToFloat(floatToBf16(v)); })); };
        const Matrix x = bf16(randomMatrix(tokens, in, 1)), w = bf16(randomMatrix(out, in, 2));
        MatrixPool pool;
        const Bf16Rows rows(x, pool);
        const Bf16Panels panels(w);
        const MatrixF64 expected = x.cast<double>() * w.cast<double>().transpose();
        const MatrixF64 size = x.cast<double>().cwiseAbs() * w.cast<double>().cwiseAbs().transpose();
        for (const int begin : {0, tokens / 2})
            for (Index column = 0; column < out; column += Bf16Panels::panel) {
                Matrix y = Matrix::Constant(tokens - begin, Bf16Panels::panel, 777.0F);
                panels.multiply(rows, begin, tokens, column, y.data());
                const Index there = std::min<Index>(Bf16Panels::panel, out - column);
                const MatrixF64 difference = y.leftCols(there).cast<double>() - expected.block(begin, column, tokens - begin, there);
                // Products are exact, each is added in float.
                QVERIFY((difference.array().abs() <= in * 0x1p-24 * size.block(begin, column, tokens - begin, there).array()).all());
                QVERIFY((y.rightCols(Bf16Panels::panel - there).array() == 0).all());
            }
    }
};

QTEST_GUILESS_MAIN(TestBf16Panels)
#include "tst_bf16_panels.moc"
