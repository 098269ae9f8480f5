// SPDX-License-Identifier: Apache-2.0
#include "core/recon/corrected_linear.h"

#include <QtTest>

#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

Matrix quantized(const Matrix &x, const FormatSpec &spec, const Shape &shape)
{
    Matrix y = x;
    const std::span<float> flat(y.data(), static_cast<std::size_t>(y.size()));
    makeQuantizer(spec)->quantize(flat, shape, flat);
    return y;
}

struct Layer {
    Matrix weight = randomMatrix(24, 48, 1);
    Vector bias = randomMatrix(24, 1, 2);
    LowRankCorrection correction{randomMatrix(48, 6, 3), randomMatrix(6, 24, 4), {}, {}};
    Matrix x = randomMatrix(9, 48, 5);
};

}  // namespace

class TestCorrectedLinear : public QObject {
    Q_OBJECT

private slots:
    void withoutFormatsItIsALinearLayerPlusTheCorrection_data()
    {
        QTest::addColumn<bool>("bias");
        QTest::addColumn<bool>("correction");
        QTest::newRow("plain") << false << false;
        QTest::newRow("bias") << true << false;
        QTest::newRow("correction") << false << true;
        QTest::newRow("both") << true << true;
    }
    void withoutFormatsItIsALinearLayerPlusTheCorrection()
    {
        QFETCH(bool, bias);
        QFETCH(bool, correction);
        const Layer layer;
        const CorrectedLinear linear(layer.weight, bias ? layer.bias : Vector(),
                                     correction ? layer.correction : LowRankCorrection(), {});
        Matrix y(9, 24);
        linear.apply(layer.x, y);
        MatrixF64 expected = layer.x.cast<double>() * layer.weight.cast<double>().transpose();
        if (bias)
            expected.rowwise() += layer.bias.cast<double>().transpose();
        if (correction)
            expected += layer.x.cast<double>() * layer.correction.a.cast<double>() * layer.correction.b.cast<double>();
        QVERIFY((y.cast<double>() - expected).cwiseAbs().maxCoeff() < 1e-4);  // float sums of 48 terms of size 10
        QVERIFY(linear.quantizedWeight() == layer.weight);
    }

    void everyValueGoesThroughItsOwnFormat()
    {
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse("block_fp:width=8,block_size=1x16,skip_first_dim=true");
        formats.bias = FormatSpec::parse("block_fp:width=6,block_size=-1");
        formats.xa = FormatSpec::parse("mxint:width=6,block_size=4");
        formats.xab = FormatSpec::parse("mxint:width=4,block_size=8");
        const CorrectedLinear linear(layer.weight, layer.bias, layer.correction, formats);
        Matrix y(9, 24);
        linear.apply(layer.x, y);

        const Matrix x = quantized(layer.x, formats.activation, {1, 9, 48});
        const Matrix bias = quantized(layer.bias, formats.bias, {24});
        QVERIFY(linear.quantizedBias() == bias.col(0));
        Matrix base(9, 24), xa(9, 6), xab(9, 24);
        multiplyTransposed(x, layer.weight, base);
        multiply(x, layer.correction.a, xa);
        multiply(quantized(xa, formats.xa, {1, 9, 6}), layer.correction.b, xab);
        const Matrix expected = (base.rowwise() + bias.col(0).transpose()) + quantized(xab, formats.xab, {1, 9, 24});
        QVERIFY(y == expected);
    }

    void aBlockOverTokensSeesTheWindowOrEachTokenAlone()
    {
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse("block_fp:width=4,block_size=4x16,skip_first_dim=true");
        Matrix window(9, 24), flat(9, 24), expected(9, 24);
        CorrectedLinear(layer.weight, {}, {}, formats).apply(layer.x, window);
        multiplyTransposed(quantized(layer.x, formats.activation, {1, 9, 48}), layer.weight, expected);
        QVERIFY(window == expected);
        formats.flatActivations = true;
        CorrectedLinear(layer.weight, {}, {}, formats).apply(layer.x, flat);
        multiplyTransposed(quantized(layer.x, formats.activation, {9, 48}), layer.weight, expected);
        QVERIFY(flat == expected);
        QVERIFY(flat != window);
    }

    void partsOfABiggerMatrixCanBeInputAndOutput()
    {
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse("mxint:width=8,block_size=16");
        const CorrectedLinear linear(layer.weight, layer.bias, layer.correction, formats);
        Matrix expected(9, 24);
        linear.apply(layer.x, expected);
        Matrix wide = Matrix::Constant(12, 60, 5.0F);
        wide.block(2, 7, 9, 48) = layer.x;
        Matrix y = Matrix::Constant(11, 30, 5.0F);
        linear.apply(wide.block(2, 7, 9, 48), y.block(1, 3, 9, 24));
        QVERIFY(y.block(1, 3, 9, 24) == expected);
        QCOMPARE(y(0, 3), 5.0F);
        QCOMPARE(y(1, 2), 5.0F);
        QCOMPARE(y(1, 27), 5.0F);
    }

    void partsThatDoNotFitAreRefused()
    {
        const Layer layer;
        ErrorCode code{};
        const Vector shortBias = layer.bias.head(5);
        QVERIFY(errorOf([&] { CorrectedLinear(layer.weight, shortBias, {}, {}); }, &code).find("5 elements")
                != std::string::npos);
        QVERIFY(code == ErrorCode::Shape);
        LowRankCorrection swapped{layer.correction.b.transpose(), layer.correction.a.transpose(), {}, {}};
        QVERIFY(!errorOf([&] { CorrectedLinear(layer.weight, {}, swapped, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Shape);
        LinearFormats formats;
        formats.activation.name = "mxinth";
        QVERIFY(!errorOf([&] { CorrectedLinear(layer.weight, {}, {}, formats); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }
};

QTEST_GUILESS_MAIN(TestCorrectedLinear)
#include "tst_corrected_linear.moc"
