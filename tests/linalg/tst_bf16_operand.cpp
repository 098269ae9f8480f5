// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_operand.h"

#include <QtTest>


#include "core/linalg/bf16_weight.h"
#include "core/linalg/gemm.h"
#include "core/tensor/half.h"
#include "tests/linalg/random_matrix.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// M and M^T, packed in pieces from M.
void packBoth(const Matrix &m, Bf16Operand &plain, Bf16Operand &transposed)
{
    for (Index row = 0; row < m.rows(); row += Bf16Operand::pieceRows)
        for (Index column = 0; column < m.cols(); column += Bf16Operand::pieceColumns) {
            const auto piece = m.block(row, column, std::min(Bf16Operand::pieceRows, m.rows() - row),
                                       std::min(Bf16Operand::pieceColumns, m.cols() - column));
            plain.pack(row, column, piece);
            transposed.packTransposed(row, column, piece);
        }
}

}  // namespace

class TestBf16Operand : public QObject {
    Q_OBJECT

private slots:
    void initTestCase()
    {
        if (!Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
    }

    void productsOfWholeNumbersAreExact_data()
    {
        QTest::addColumn<int>("x");
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("columns");
        QTest::newRow("one element") << 1 << 1 << 1;
        QTest::newRow("odd extents") << 7 << 33 << 19;
        QTest::newRow("one piece") << 32 << 64 << 512;
        QTest::newRow("one more") << 31 << 65 << 513;
        QTest::newRow("several pieces") << 40 << 200 << 1100;
        QTest::newRow("tall") << 3 << 699 << 70;
    }
    void productsOfWholeNumbersAreExact()
    {
        QFETCH(int, x);
        QFETCH(int, rows);
        QFETCH(int, columns);
        const Matrix m = wholeNumbers(rows, columns, 1);
        Bf16Operand plain(rows, columns), transposed(columns, rows);
        packBoth(m, plain, transposed);
        const Matrix left = wholeNumbers(x, rows, 2), right = wholeNumbers(x, columns, 3);
        ThreadPool three(3);
        for (const TaskContext &context : {TaskContext{}, TaskContext{&three}}) {
            Matrix y(x, columns), z(x, rows);
            plain.multiply(left, y, context);
            transposed.multiply(right, z, context);
            QVERIFY(y == left * m);
            QVERIFY(z == right * m.transpose());
        }
    }

    void valuesAreRoundedToNearestEven()
    {
        const Matrix m = randomMatrix(90, 70, 4);
        Bf16Operand plain(90, 70), transposed(70, 90);
        packBoth(m, plain, transposed);
        Matrix y(90, 70), z(70, 90);
        plain.multiply(Matrix::Identity(90, 90), y);
        transposed.multiply(Matrix::Identity(70, 70), z);
        QVERIFY(y == m.unaryExpr([](float v) { return bf16ToFloat(floatToBf16(v)); }));
        QVERIFY(z == y.transpose());
    }

    void aRequestedStopEndsTheProduct()
    {
        std::stop_source source;
        source.request_stop();
        Bf16Operand plain(4, 4), transposed(4, 4);
        packBoth(randomMatrix(4, 4, 5), plain, transposed);
        Matrix y(4, 4);
        QVERIFY_EXCEPTION_THROWN(plain.multiply(randomMatrix(4, 4, 6), y, {nullptr, nullptr, source.get_token()}), Cancelled);
    }
};

QTEST_GUILESS_MAIN(TestBf16Operand)
#include "tst_bf16_operand.moc"
