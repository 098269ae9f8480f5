// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/int8_weight.h"

#include <QtTest>

#include <cmath>
#include <random>

#include "tests/linalg/random_matrix.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Integers of up to `most` under a power of two for each 32 neighbours, the largest of which has its leading bit at 2^6 of it.
Matrix blockIntegers(Index rows, Index cols, int most, unsigned seed, int spread = 6)
{
    std::mt19937 random(seed);
    Matrix values(rows, cols);
    for (Index row = 0; row < rows; ++row)
        for (Index first = 0; first < cols; first += 32) {
            const int power = static_cast<int>(random() % static_cast<unsigned>(2 * spread + 1)) - spread;
            for (Index i = first; i < std::min(cols, first + 32); ++i)
                values(row, i) = std::ldexp(static_cast<float>(static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most), power);
        }
    return values;
}

Matrix product(const Matrix &x, const Matrix &w, const TaskContext &context = {})
{
    MatrixPool pool;
    const Int8Rows rows(x, pool, context);
    Matrix y = Matrix::Constant(x.rows(), w.rows(), 777.0F);
    Int8Weight(w).multiply(rows, y, context);
    return y;
}

}  // namespace

class TestInt8Weight : public QObject {
    Q_OBJECT

private slots:
    void initTestCase()
    {
        if (!Int8Weight::isSupported())
            QSKIP("this processor does not multiply 8-bit integers");
    }

    void productsAgreeWithDouble_data()
    {
        QTest::addColumn<int>("tokens");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::newRow("one element") << 1 << 1 << 1;
        QTest::newRow("one block") << 3 << 32 << 16;
        QTest::newRow("odd extents") << 7 << 33 << 19;
        QTest::newRow("as many rows and columns as go together") << 6 << 64 << 32;
        QTest::newRow("one more of each") << 7 << 65 << 33;
        QTest::newRow("several pieces of rows") << 260 << 96 << 50;
        QTest::newRow("several pieces of inputs") << 13 << 2100 << 70;
    }
    void productsAgreeWithDouble()
    {
        QFETCH(int, tokens);
        QFETCH(int, in);
        QFETCH(int, out);
        // Weights of 4 bits and of 8, which the processor's unsigned bytes hold as well.
        for (const int most : {7, 127}) {
            const Matrix x = blockIntegers(tokens, in, 127, 1), w = blockIntegers(out, in, most, 2);
            QVERIFY(Int8Weight::holds(w));
            const Int8Weight weight(w);
            QCOMPARE(weight.in(), Index(in));
            QCOMPARE(weight.out(), Index(out));
            QVERIFY(weight.values() == w);
            const MatrixF64 size = x.cast<double>().cwiseAbs() * w.cast<double>().cwiseAbs().transpose();
            const MatrixF64 difference = product(x, w).cast<double>() - x.cast<double>() * w.cast<double>().transpose();
            // One rounding of a float sum for each 32 inputs.
            QVERIFY((difference.array().abs() <= (in / 32 + 1) * 0x1p-24 * size.array()).all());
        }
    }

    void aStopEndsTheProductAndTheWayBack()
    {
        const Int8Weight weight(blockIntegers(100, 64, 7, 3));
        MatrixPool pool;
        const Int8Rows x(blockIntegers(300, 64, 127, 4), pool);
        Matrix y(300, 100);
        QVERIFY(pollsOf([&](const TaskContext &context) { weight.multiply(x, y, context); }) >= 3 * 4);  // pieces of tokens, panels
        QVERIFY(pollsOf([&](const TaskContext &context) { weight.values(context); }) >= 4);
    }

    void withinOneBlockNothingIsRounded()
    {
        const Matrix x = blockIntegers(9, 32, 127, 3), w = blockIntegers(40, 32, 127, 4);
        QVERIFY(product(x, w).cast<double>() == MatrixF64(x.cast<double>() * w.cast<double>().transpose()));
    }

    void partsOfBiggerMatricesAreOperandsAndResults()
    {
        const Matrix x = blockIntegers(20, 96, 127, 5), w = blockIntegers(9, 40, 7, 6);
        Matrix y = Matrix::Constant(20, 30, -1.0F);
        MatrixPool pool;
        Int8Weight(w).multiply(Int8Rows(x.block(2, 32, 10, 40), pool), y.block(4, 5, 10, 9));
        QVERIFY(sameBits(y.block(4, 5, 10, 9), product(x.block(2, 32, 10, 40), w)));
        for (const auto &[row, column] : {std::pair(3, 5), {14, 5}, {4, 4}, {4, 14}})
            QCOMPARE(y(row, column), -1.0F);
    }

    void theNumberOfThreadsChangesNoBit()
    {
        const Matrix x = blockIntegers(700, 200, 127, 7), w = blockIntegers(90, 200, 7, 8);
        ThreadPool three(3);
        QVERIFY(sameBits(product(x, w), product(x, w, {&three})));
    }

    void whatDoesNotFitIsSeen()
    {
        MatrixPool pool;
        Matrix values = blockIntegers(5, 70, 127, 9);
        QVERIFY(Int8Weight::holds(values) && Int8Rows(values, pool).isExact());
        for (const float other : {1e-9F, 0x1.01p8F, 3.0e38F}) {
            Matrix changed = values;
            changed(4, 69) = other;  // beside others of quite another size
            changed(4, 68) = 64.0F;
            QVERIFY2(!Int8Weight::holds(changed), qPrintable(QString::number(static_cast<double>(other))));
            QVERIFY(!Int8Rows(changed, pool).isExact());
        }
        values.row(2).setZero();
        QVERIFY(Int8Weight::holds(values));
    }

    void extremeScalesAreKept()
    {
        Matrix x = Matrix::Zero(2, 32), w = Matrix::Zero(2, 32);
        x(0, 3) = 0x1p-120F;
        x(1, 3) = 0x1p-126F;
        w(0, 3) = 0x1p127F;
        w(1, 3) = 3.0F;
        const Matrix y = product(x, w);
        QCOMPARE(y(0, 0), 0x1p7F);
        QCOMPARE(y(1, 0), 2.0F);
        QCOMPARE(y(0, 1), 3 * 0x1p-120F);
    }
};

QTEST_GUILESS_MAIN(TestInt8Weight)
#include "tst_int8_weight.moc"
