// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <random>

#include "core/export/ggml_matrix.h"
#include "core/quant/quantizer.h"
#include "tests/support/foreign_gguf.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

Matrix normal(Index rows, Index columns, std::uint32_t seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution(0, 0.02F);
    return Matrix::NullaryExpr(rows, columns, [&] { return distribution(random); });
}

Matrix quantized(const FormatSpec &format, const Matrix &values)
{
    Matrix result(values.rows(), values.cols());
    const std::span<float> out(result.data(), static_cast<std::size_t>(result.size()));
    makeQuantizer(format)->quantize({values.data(), out.size()}, {values.rows(), values.cols()}, out);
    return result;
}

// As the second reader sees the bytes.
Matrix readBack(const std::vector<std::byte> &bytes, GgmlType type, Index rows, Index columns)
{
    const GgmlBlock block = ggmlBlock(type);
    std::vector<float> values;
    for (std::size_t at = 0; at < bytes.size(); at += block.bytes) {
        const auto part = test::readGgmlBlock(static_cast<std::uint32_t>(type), reinterpret_cast<const std::uint8_t *>(bytes.data() + at));
        values.insert(values.end(), part.begin(), part.end());
    }
    return Eigen::Map<const Matrix>(values.data(), rows, columns);
}

}  // namespace

class TestGgmlMatrix : public QObject {
    Q_OBJECT
private slots:
    void presetsAreStoredExactlyAndWithinTheForecast_data();
    void presetsAreStoredExactlyAndWithinTheForecast();
    void theSmallestTypeIsChosen_data();
    void theSmallestTypeIsChosen();
    void bandsGiveTheBytesOfTheWhole();
    void tinyValuesThatPassThroughDoNotWidenAMatrix();
    void nearestTypesAreMeasured();
    void valuesBeyondHalfPrecisionAreNamed();
};

void TestGgmlMatrix::presetsAreStoredExactlyAndWithinTheForecast_data()
{
    QTest::addColumn<QByteArray>("format");
    QTest::addColumn<int>("columns");
    for (const FormatInfo &info : formats()) {
        std::vector<std::string> texts{info.name};
        for (const auto &[preset, spec] : info.presets)
            texts.push_back(preset);
        for (const std::string &text : texts)
            for (const int columns : {256, 192, 172})
                QTest::addRow("%s %d", text.c_str(), columns) << QByteArray::fromStdString(text) << columns;
    }
}

void TestGgmlMatrix::presetsAreStoredExactlyAndWithinTheForecast()
{
    QFETCH(QByteArray, format);
    QFETCH(int, columns);
    const FormatSpec spec = FormatSpec::parse(format.toStdString());
    const Matrix values = quantized(spec, normal(24, columns, 7));
    const GgmlChoice choice = chooseExact(values, exactCandidates(spec), {});
    QVERIFY(choice.exact && choice.error == 0);
    QVERIFY(readBack(encoded(values, choice, {}), choice.type, 24, columns) == values);
    const double bits = ggmlBlock(choice.type).bitsPerElement(), forecast = ggmlBlock(usualType(spec, columns)).bitsPerElement();
    QVERIFY2(bits <= forecast, qPrintable(QString("%1 bits chosen, %2 forecast").arg(bits).arg(forecast)));
}

void TestGgmlMatrix::theSmallestTypeIsChosen_data()
{
    QTest::addColumn<QByteArray>("format");
    QTest::addColumn<int>("columns");
    QTest::addColumn<QByteArray>("type");
    const auto row = [](const char *format, int columns, const char *type) {
        QTest::addRow("%s %d", format, columns) << QByteArray(format) << columns << QByteArray(type);
    };
    row("mxint2", 256, "Q2_K");
    row("mxint3", 256, "Q3_K");
    row("mxint3", 192, "Q4_0");
    row("mxint4", 256, "Q4_0");
    row("mxint:width=4,block_size=16", 256, "Q5_0");  // neighbouring exponents are one apart at most here
    row("mxint:width=5,block_size=32", 192, "Q5_0");
    row("mxint6", 256, "Q6_K");
    row("mxint6", 192, "Q8_0");
    row("mxint8", 192, "Q8_0");
    row("mxint4", 172, "F16");
    row("block_fp:width=4,block_size=1x128", 256, "Q4_0");
    row("int4-g32", 192, "Q4_0");
    row("int4-g128", 256, "Q4_0");
    row("int8-g128", 256, "Q8_0");
    row("int4-g128-affine", 256, "Q5_0");
    row("mxfp4", 192, "MXFP4");
    row("nvfp4:tensor_scale=unit", 192, "NVFP4");
    row("nf4", 256, "F32");
    row("bfloat16", 256, "BF16");
    row("float16", 256, "F16");
    row("passthrough", 256, "F32");
}

void TestGgmlMatrix::theSmallestTypeIsChosen()
{
    QFETCH(QByteArray, format);
    QFETCH(int, columns);
    QFETCH(QByteArray, type);
    const FormatSpec spec = FormatSpec::parse(format.toStdString());
    const GgmlChoice choice = chooseExact(quantized(spec, normal(16, columns, 8)), exactCandidates(spec), {});
    QCOMPARE(QByteArray::fromStdString(std::string(toString(choice.type))), type);
}

// Many bands on several threads.
void TestGgmlMatrix::bandsGiveTheBytesOfTheWhole()
{
    const FormatSpec spec = FormatSpec::parse("mxint4");
    const Matrix values = quantized(spec, normal(700, 512, 9));
    ThreadPool pool(3);
    TaskContext context;
    context.pool = &pool;
    const GgmlChoice choice = chooseExact(values, exactCandidates(spec), context);
    QVERIFY(choice.type == GgmlType::Q4_0);
    QVERIFY(encoded(values, choice, context) == encoded(values, choice, {}));
}

void TestGgmlMatrix::tinyValuesThatPassThroughDoNotWidenAMatrix()
{
    const FormatSpec spec = FormatSpec::parse("block_fp:width=4,block_size=1x32");
    Matrix values = normal(8, 64, 11);
    values(3, 5) = 7e-9F;
    values(4, 6) = -1e-8F;
    const Matrix kept = quantized(spec, values);
    QVERIFY(kept(3, 5) != 0 && kept(4, 6) != 0);
    QVERIFY(chooseExact(kept, exactCandidates(spec), {}).type == GgmlType::F32);
    const GgmlChoice choice = chooseExactButTiny(kept, exactCandidates(spec), {});
    QVERIFY(choice.type == GgmlType::Q4_0);
    Matrix expected = kept;
    expected(3, 5) = expected(4, 6) = 0;
    QVERIFY(readBack(encoded(kept, choice, {}), choice.type, 8, 64) == expected);
    QCOMPARE(choice.error, (expected - kept).cast<double>().norm() / kept.cast<double>().norm());
    QVERIFY(choice.error > 0 && choice.error < 1e-6);
    // Without such values there is nothing to leave out, and where more stands in the way nothing is.
    QVERIFY(chooseExactButTiny(expected, exactCandidates(spec), {}).smallest == 0);
    expected(0, 0) = 0.0123F;
    QVERIFY(chooseExactButTiny(expected, exactCandidates(spec), {}).type == GgmlType::F32);
}

void TestGgmlMatrix::nearestTypesAreMeasured()
{
    const Matrix values = normal(8, 64, 10);
    QVERIFY(chooseNearest(values, GgmlType::F32, {}).type == GgmlType::F32);
    for (const auto &[wanted, columns, type, least, most] :
         {std::tuple{GgmlType::Q8_0, 64, GgmlType::Q8_0, 1e-3, 1e-2}, {GgmlType::Q8_0, 40, GgmlType::F16, 1e-5, 1e-3},
          {GgmlType::F16, 64, GgmlType::F16, 1e-5, 1e-3}, {GgmlType::BF16, 64, GgmlType::BF16, 1e-4, 1e-2}}) {
        const Matrix part = values.leftCols(columns);
        const GgmlChoice choice = chooseNearest(part, wanted, {});
        QVERIFY(choice.type == type && !choice.exact);
        const Matrix back = readBack(encoded(part, choice, {}), choice.type, 8, columns);
        QCOMPARE(choice.error, (back - part).cast<double>().norm() / part.cast<double>().norm());
        QVERIFY(choice.error > least && choice.error < most);
    }
    // What a type holds is exact there, too.
    QVERIFY(chooseNearest(Matrix::Constant(2, 32, 0.5F), GgmlType::F16, {}).exact);
}

void TestGgmlMatrix::valuesBeyondHalfPrecisionAreNamed()
{
    const Matrix values = Matrix::Constant(1, 32, 1e6F);
    QCOMPARE(test::errorOf([&] { chooseNearest(values, GgmlType::F16, {}); }), std::string("value 1000000 does not fit F16"));
}

QTEST_GUILESS_MAIN(TestGgmlMatrix)
#include "tst_ggml_matrix.moc"
