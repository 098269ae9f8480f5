// SPDX-License-Identifier: Apache-2.0
#include "core/recon/corrected_linear.h"

#include <QtTest>

#include "core/linalg/float_weight.h"
#include "tests/linalg/random_matrix.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

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
        FloatWeight(layer.weight).multiply(x, base);
        FloatWeight(layer.correction.a.transpose()).multiply(x, xa);
        FloatWeight(layer.correction.b.transpose()).multiply(quantized(xa, formats.xa, {1, 9, 6}), xab);
        const Matrix expected = (base.rowwise() + bias.col(0).transpose()) + quantized(xab, formats.xab, {1, 9, 24});
        QVERIFY(y == expected);
    }

    // Whatever the processor multiplies with: formats of 8 significant bits, of 9, and a weight that bfloat16 does not hold.
    void theVeryNumbersAreMultiplied_data()
    {
        QTest::addColumn<QString>("activation");
        QTest::addColumn<float>("extra");
        QTest::newRow("block_fp, 7 bits") << "block_fp:width=8,block_size=1x16" << 0.0F;
        QTest::newRow("mxint, 7 bits") << "mxint:width=8,block_size=16" << 0.0F;
        QTest::newRow("mxint, blocks of 32") << "mxint:width=8,block_size=32" << 0.0F;
        QTest::newRow("block_fp, blocks of 32") << "block_fp:width=8,block_size=1x32" << 0.0F;
        QTest::newRow("mx, blocks of 32, a weight that passed through") << "mxint8" << 1.2345678e-9F;
        QTest::newRow("blocks across tokens") << "block_fp:width=8,block_size=2x32" << 0.0F;
        QTest::newRow("8 bits") << "block_fp:width=9,block_size=1x16" << 0.0F;
        QTest::newRow("9 bits") << "block_fp:width=10,block_size=1x16" << 0.0F;
        QTest::newRow("a weight that passed through") << "mxint:width=8,block_size=16" << 1.2345678e-9F;
        QTest::newRow("a weight of 24 bits") << "mxint:width=8,block_size=16" << 2.0078123F;
    }
    void theVeryNumbersAreMultiplied()
    {
        QFETCH(QString, activation);
        QFETCH(float, extra);
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse(activation.toStdString());
        Matrix weight = quantized(layer.weight, FormatSpec::parse("mxint:width=4,block_size=16"), {24, 48});
        if (extra != 0)
            weight(3, 17) = extra;
        const CorrectedLinear linear(weight, {}, {}, formats);
        QVERIFY(linear.quantizedWeight() == weight);
        Matrix y(9, 24);
        linear.apply(layer.x, y);
        const MatrixF64 x = quantized(layer.x, formats.activation, {1, 9, 48}).cast<double>();
        const MatrixF64 difference = y.cast<double>() - x * weight.cast<double>().transpose();
        const MatrixF64 size = x.cwiseAbs() * weight.cast<double>().cwiseAbs().transpose();
        // 48 roundings of sums in float; bfloat16 would change a product by 2^-9.
        QVERIFY((difference.array().abs() <= 48 * 0x1p-24 * size.array()).all());
    }

    void inputsThatPassThroughChangeAnOutputByNoMoreThanIsSaid_data()
    {
        QTest::addColumn<QString>("activation");
        QTest::newRow("bfloat16") << "block_fp:width=8,block_size=1x16";
        QTest::newRow("integers") << "block_fp:width=8,block_size=1x32";
    }
    void inputsThatPassThroughChangeAnOutputByNoMoreThanIsSaid()
    {
        QFETCH(QString, activation);
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse(activation.toStdString());
        const Matrix weight = quantized(layer.weight, FormatSpec::parse("mxint:width=4,block_size=16"), {24, 48});
        const Matrix tiny = layer.x.cwiseMax(-3.0F).cwiseMin(3.0F) * 3.3e-9F;
        QVERIFY(quantized(tiny, formats.activation, {1, 9, 48}) == tiny);
        Matrix y(9, 24);
        CorrectedLinear(weight, {}, {}, formats).apply(tiny, y);
        const MatrixF64 difference = y.cast<double>() - tiny.cast<double>() * weight.cast<double>().transpose();
        const MatrixF64 sums = weight.cast<double>().cwiseAbs().rowwise().sum().transpose();
        QVERIFY((difference.cwiseAbs().array() <= (2e-11 * sums).replicate(9, 1).array()).all());
    }

    void aBlockOverTokensSeesTheWindowOrEachTokenAlone()
    {
        const Layer layer;
        LinearFormats formats;
        formats.activation = FormatSpec::parse("block_fp:width=4,block_size=4x16,skip_first_dim=true");
        Matrix window(9, 24), flat(9, 24), expected(9, 24);
        CorrectedLinear(layer.weight, {}, {}, formats).apply(layer.x, window);
        FloatWeight(layer.weight).multiply(quantized(layer.x, formats.activation, {1, 9, 48}), expected);
        QVERIFY(window == expected);
        formats.flatActivations = true;
        CorrectedLinear(layer.weight, {}, {}, formats).apply(layer.x, flat);
        FloatWeight(layer.weight).multiply(quantized(layer.x, formats.activation, {9, 48}), expected);
        QVERIFY(flat == expected);
        QVERIFY(flat != window);
    }

    // What is done a few tokens at a time, where the format allows it, is what all at once gives.
    void manyTokensAreCorrectedAsAllAtOnce_data()
    {
        QTest::addColumn<QString>("format");
        QTest::newRow("within a token") << "mxint:width=4,block_size=8";
        QTest::newRow("a ragged last block") << "block_fp:width=5,block_size=1x16";
        QTest::newRow("across tokens") << "block_fp:width=4,block_size=4x16,skip_first_dim=true";
        QTest::newRow("one scale for all") << "block_fp:width=6,block_size=-1";
        QTest::newRow("a second scale for all") << "nvfp4";
        QTest::newRow("none") << "passthrough";
    }
    void manyTokensAreCorrectedAsAllAtOnce()
    {
        QFETCH(QString, format);
        const Layer layer;
        const Matrix x = randomMatrix(130, 48, 6);
        LinearFormats formats;
        formats.xab = FormatSpec::parse(format.toStdString());
        Matrix y(130, 24), plain(130, 24), xa(130, 6), xab(130, 24);
        CorrectedLinear(layer.weight, {}, layer.correction, formats).apply(x, y);
        CorrectedLinear(layer.weight, {}, {}, formats).apply(x, plain);
        multiply(x, layer.correction.a, xa);
        multiply(xa, layer.correction.b, xab);
        const Matrix expected = plain + quantized(xab, formats.xab, {1, 130, 24});
        // Sums in another order move few values over a step of the format, and none further than one.
        const Matrix difference = (y - expected).cwiseAbs();
        QVERIFY((difference.array() > 1e-4F).count() < 3120 / 100);
        QVERIFY(difference.maxCoeff() < 0.2F * xab.cwiseAbs().maxCoeff());
    }

    // Integer products get their correction panel by panel where widths and format allow it.
    void integerProductsAreCorrectedAsAllAtOnce_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<int>("out");
        QTest::addColumn<int>("rank");
        QTest::newRow("blocks of a panel") << "mxint8" << 96 << 32;
        QTest::newRow("blocks of half a panel") << "mxint:width=8,block_size=16" << 96 << 6;
        QTest::newRow("more than a panel") << "mxint:width=8,block_size=64" << 96 << 6;
        QTest::newRow("across tokens") << "block_fp:width=8,block_size=2x16" << 96 << 6;
        QTest::newRow("a second scale for all") << "nvfp4" << 96 << 6;
        QTest::newRow("part of a panel") << "mxint8" << 72 << 6;
        QTest::newRow("odd rank") << "mxint8" << 96 << 7;
        QTest::newRow("none") << "passthrough" << 96 << 6;
    }
    void integerProductsAreCorrectedAsAllAtOnce()
    {
        QFETCH(QString, format);
        QFETCH(int, out);
        QFETCH(int, rank);
        constexpr Index tokens = 263, in = 160;  // more than two pieces of tokens
        LinearFormats formats;
        formats.activation = formats.xa = FormatSpec::parse("mxint8");
        formats.xab = FormatSpec::parse(format.toStdString());
        const Matrix weight = quantized(randomMatrix(out, in, 7), FormatSpec::parse("mxint4"), {out, in});
        const Vector bias = randomMatrix(out, 1, 8);
        const LowRankCorrection correction{quantized(randomMatrix(in, rank, 9), formats.xa, {in, rank}),
                                           quantized(randomMatrix(rank, out, 10), formats.xa, {rank, out}), {}, {}};
        const Matrix given = randomMatrix(tokens, in, 11), x = quantized(given, formats.activation, {1, tokens, in});
        Matrix y(tokens, out), plain(tokens, out), xa(tokens, rank), xab(tokens, out);
        const CorrectedLinear linear(weight, bias, correction, formats);
        linear.apply(given, y);
        CorrectedLinear(weight, bias, {}, formats).apply(given, plain);
        multiply(x, correction.a, xa);
        multiply(quantized(xa, formats.xa, {1, tokens, rank}), correction.b, xab);
        const Matrix expected = plain + quantized(xab, formats.xab, {1, tokens, out});
        // As above: a sum in another order may fall on the other side of a step.
        const Matrix difference = (y - expected).cwiseAbs();
        const float largest = xab.cwiseAbs().maxCoeff();
        QVERIFY(static_cast<double>((difference.array() > 1e-5F * largest).count()) < 0.01 * static_cast<double>(difference.size()));
        QVERIFY(difference.maxCoeff() < 0.2F * largest);
        ThreadPool three(3);
        Matrix again(tokens, out);
        linear.apply(given, again, {&three});
        QVERIFY(sameBits(y, again));
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
        // The library may sum in another order for another row stride.
        QVERIFY((y.block(1, 3, 9, 24) - expected).cwiseAbs().maxCoeff() < 1e-5F * expected.cwiseAbs().maxCoeff());
        QCOMPARE(y(0, 3), 5.0F);
        QCOMPARE(y(1, 2), 5.0F);
        QCOMPARE(y(1, 27), 5.0F);
    }

    // 1100 tokens: at least three blocks of each product with W_q and A, 23 of what is made of x A, and what lies between.
    void aStopEndsTheProductThatRuns_data()
    {
        QTest::addColumn<QString>("activation");
        QTest::newRow("float") << "passthrough";
        QTest::newRow("bfloat16") << "mxint:width=8,block_size=16";
        QTest::newRow("integers") << "mxint:width=8,block_size=32";
    }
    void aStopEndsTheProductThatRuns()
    {
        QFETCH(QString, activation);
        const Layer layer;
        LinearFormats formats;
        formats.activation = formats.xa = formats.xab = FormatSpec::parse(activation.toStdString());
        const CorrectedLinear linear(quantized(layer.weight, FormatSpec::parse("mxint:width=4,block_size=16"), {24, 48}), layer.bias,
                                     layer.correction, formats);
        const Matrix x = randomMatrix(1100, 48, 7);
        Matrix y(1100, 24);
        const long polls = pollsOf([&](const TaskContext &context) { linear.apply(x, y, context); });
        QVERIFY2(polls >= 3 + 3 + 23, qPrintable(QString::number(polls)));
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
