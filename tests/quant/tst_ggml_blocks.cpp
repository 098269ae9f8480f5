// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>
#include <cstring>
#include <random>

#include "core/quant/ggml_blocks.h"
#include "core/quant/quantizer.h"
#include "core/tensor/half.h"
#include "tests/support/foreign_gguf.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Where a block keeps half-precision numbers: random bits would make infinite ones.
std::vector<int> halvesOf(GgmlType type)
{
    switch (type) {
    case GgmlType::Q4_1:
    case GgmlType::Q5_1:
    case GgmlType::Q4_K:
    case GgmlType::Q5_K: return {0, 2};
    case GgmlType::Q2_K: return {80, 82};
    case GgmlType::Q3_K: return {108};
    case GgmlType::Q6_K: return {208};
    case GgmlType::MXFP4:
    case GgmlType::NVFP4: return {};
    default: return {0};
    }
}

const std::vector<GgmlType> blockTypes{GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q8_0,
                                       GgmlType::Q2_K, GgmlType::Q3_K, GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K,
                                       GgmlType::IQ4_NL, GgmlType::IQ4_XS, GgmlType::MXFP4, GgmlType::NVFP4};
const std::vector<GgmlType> encodedTypes{GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0,
                                         GgmlType::Q5_1, GgmlType::Q8_0, GgmlType::Q2_K, GgmlType::Q3_K, GgmlType::Q6_K,
                                         GgmlType::MXFP4, GgmlType::NVFP4};

Bytes randomBlocks(GgmlType type, std::size_t count, std::mt19937 &random)
{
    const std::size_t size = ggmlBlock(type).bytes;
    Bytes bytes(count * size);
    for (std::uint8_t &byte : bytes)
        byte = static_cast<std::uint8_t>(random());
    for (std::size_t block = 0; block < count; ++block)
        for (const int at : halvesOf(type))
            bytes[block * size + static_cast<std::size_t>(at) + 1] &= 0xBF;  // exponents 0 to 15: magnitudes below 2
    return bytes;
}

std::vector<float> decoded(GgmlType type, const Bytes &bytes)
{
    const GgmlBlock block = ggmlBlock(type);
    std::vector<float> values(bytes.size() / block.bytes * static_cast<std::size_t>(block.elements));
    decodeGgml(type, std::as_bytes(std::span(bytes)), values);
    return values;
}

// Whether the type holds the values; if so, that what was written decodes to them.
bool holds(GgmlType type, const std::vector<float> &values)
{
    const GgmlBlock block = ggmlBlock(type);
    Bytes bytes(values.size() / static_cast<std::size_t>(block.elements) * block.bytes, 0xAA);
    if (!encodeGgmlExactly(type, values, std::as_writable_bytes(std::span(bytes))))
        return false;
    if (decoded(type, bytes) != values)
        qFatal("%s does not decode to what was encoded", std::string(toString(type)).c_str());
    return true;
}

std::vector<float> normal(std::size_t count, std::uint32_t seed, float scale = 0.02F)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> distribution(0, scale);
    std::vector<float> values(count);
    for (float &value : values)
        value = distribution(random);
    return values;
}

}  // namespace

class TestGgmlBlocks : public QObject {
    Q_OBJECT
private slots:
    void blocksDecodeAsTheLayoutsSay_data();
    void blocksDecodeAsTheLayoutsSay();
    void knownBlocksDecodeToKnownValues();
    void whatATypeDecodesToItCanHold_data();
    void whatATypeDecodesToItCanHold();
    void formatsFitTheTypesOfTheTable_data();
    void formatsFitTheTypesOfTheTable();
    void arbitraryValuesFitOnlyFloats();
    void scalesBeyondHalfPrecisionDoNotFit();
    void edgesOfTheCodesFit();
    void valuesThatAreNotFiniteAreRefused();
    void undecodableTypesAreNamed();
    void nearestQ8_0IsWithinHalfAStep();
};

void TestGgmlBlocks::blocksDecodeAsTheLayoutsSay_data()
{
    QTest::addColumn<int>("type");
    for (const GgmlType type : blockTypes)
        QTest::newRow(std::string(toString(type)).c_str()) << static_cast<int>(type);
}

void TestGgmlBlocks::blocksDecodeAsTheLayoutsSay()
{
    QFETCH(int, type);
    const auto ggml = static_cast<GgmlType>(type);
    QVERIFY(canDecodeGgml(ggml));
    std::mt19937 random(20);
    const Bytes bytes = randomBlocks(ggml, 200, random);
    Bytes tame = bytes;
    if (ggml == GgmlType::MXFP4)
        for (std::size_t i = 0; i < tame.size(); i += 17)
            tame[i] = static_cast<std::uint8_t>(std::min<int>(tame[i], 250));  // 2^123 * 6 is finite
    const std::vector<float> values = decoded(ggml, tame);
    const auto elements = static_cast<std::size_t>(ggmlBlock(ggml).elements);
    for (std::size_t block = 0; block < 200; ++block) {
        const std::vector<float> expected = test::readGgmlBlock(static_cast<std::uint32_t>(ggml), tame.data() + block * ggmlBlock(ggml).bytes);
        QCOMPARE(expected.size(), elements);
        for (std::size_t i = 0; i < elements; ++i)
            QCOMPARE(values[block * elements + i], expected[i]);
    }
}

void TestGgmlBlocks::knownBlocksDecodeToKnownValues()
{
    Bytes q4(18, 0x80);  // low code 0, high code 8
    q4[0] = 0x00;
    q4[1] = 0x38;  // 0.5
    const std::vector<float> values = decoded(GgmlType::Q4_0, q4);
    QCOMPARE(values[0], -4.0F);
    QCOMPARE(values[16], 0.0F);

    Bytes mx(17, 0x7F);  // low code 15: -6, high code 7: 6
    mx[0] = 128;         // 2^1
    const std::vector<float> doubled = decoded(GgmlType::MXFP4, mx);
    QCOMPARE(doubled[3], -12.0F);
    QCOMPARE(doubled[19], 12.0F);

    const Bytes plain{0x00, 0x3C, 0x01, 0x00};  // 1 and the smallest subnormal
    QVERIFY((decoded(GgmlType::F16, plain) == std::vector<float>{1.0F, 0x1p-24F}));
    const Bytes brain{0x80, 0x3F, 0x80, 0xBF};
    QVERIFY((decoded(GgmlType::BF16, brain) == std::vector<float>{1.0F, -1.0F}));
}

void TestGgmlBlocks::whatATypeDecodesToItCanHold_data()
{
    QTest::addColumn<int>("type");
    for (const GgmlType type : encodedTypes)
        QTest::newRow(std::string(toString(type)).c_str()) << static_cast<int>(type);
}

// Scales of random super-blocks have no common divisor, so those are drawn as multiples of powers of two.
void TestGgmlBlocks::whatATypeDecodesToItCanHold()
{
    QFETCH(int, type);
    const auto ggml = static_cast<GgmlType>(type);
    std::mt19937 random(21);
    const auto elements = static_cast<std::size_t>(ggmlBlock(ggml).elements);
    for (int round = 0; round < 50; ++round) {
        Bytes bytes = randomBlocks(ggml, elements == 1 ? 64 : 1, random);
        if (ggml == GgmlType::F16 || ggml == GgmlType::BF16)
            for (std::size_t i = 1; i < bytes.size(); i += 2)
                bytes[i] &= 0xBF;
        if (ggml == GgmlType::F32)
            for (std::size_t i = 3; i < bytes.size(); i += 4)
                bytes[i] &= 0xBF;
        if (ggml == GgmlType::MXFP4)
            bytes[0] = static_cast<std::uint8_t>(std::min<int>(bytes[0], 250));
        if (ggml == GgmlType::Q4_1 || ggml == GgmlType::Q5_1) {
            bytes[1] = (bytes[1] & 0x0F) | 0x30;  // a positive scale, and a minimum near it, so that no sum is rounded
            bytes[3] = (bytes[3] & 0x8F) | 0x30;
        }
        if (ggml == GgmlType::Q2_K) {
            std::copy_n(bytes.begin() + 80, 2, bytes.begin() + 82);
            bytes[81] = bytes[83] = bytes[81] & 0x3F;
            for (int g = 0; g < 16; ++g)
                bytes[static_cast<std::size_t>(g)] = static_cast<std::uint8_t>(0x11 << random() % 4);  // scale = minimum = 1, 2, 4, 8
        }
        if (ggml == GgmlType::Q6_K)
            for (std::size_t g = 192; g < 208; ++g)
                bytes[g] = static_cast<std::uint8_t>(1 << random() % 7);
        if (ggml == GgmlType::Q3_K)
            // Scales 33 or 34 (1, 2), all high bits 2: 33 = 0x21.
            for (std::size_t g = 96; g < 108; ++g)
                bytes[g] = g < 104 ? static_cast<std::uint8_t>((1 + random() % 2) | (1 + random() % 2) << 4) : 0xAA;
        QVERIFY(holds(ggml, decoded(ggml, bytes)));
    }
}

void TestGgmlBlocks::formatsFitTheTypesOfTheTable_data()
{
    QTest::addColumn<QByteArray>("format");
    QTest::addColumn<int>("type");
    QTest::addColumn<bool>("fits");
    const auto row = [](const char *format, GgmlType type, bool fits) {
        QTest::addRow("%s %s %s", format, fits ? "fits" : "does not fit", std::string(toString(type)).c_str())
            << QByteArray(format) << static_cast<int>(type) << fits;
    };
    row("mxint:width=8,block_size=32", GgmlType::Q8_0, true);
    row("mxint8", GgmlType::Q8_0, true);
    row("mxint:width=5,block_size=32", GgmlType::Q5_0, true);
    row("mxint:width=5,block_size=32", GgmlType::Q4_0, false);
    row("mxint:width=6,block_size=32", GgmlType::Q6_K, true);
    row("mxint:width=6,block_size=16", GgmlType::Q6_K, true);
    row("mxint:width=6,block_size=16", GgmlType::Q8_0, true);  // here no two exponents in a block of 32 are more than 2 apart
    row("mxint4", GgmlType::Q4_0, true);
    row("mxint4", GgmlType::Q6_K, true);
    row("mxint:width=4,block_size=16", GgmlType::Q4_0, false);
    row("mxint:width=4,block_size=16", GgmlType::Q6_K, true);
    row("mxint3", GgmlType::Q3_K, true);
    row("mxint3", GgmlType::Q4_0, true);
    row("mxint:width=3,block_size=16", GgmlType::Q3_K, true);
    row("mxint2", GgmlType::Q2_K, true);
    row("int4-g32", GgmlType::Q4_0, true);
    row("int4-g64", GgmlType::Q4_0, true);
    row("int4-g128", GgmlType::Q4_0, true);
    row("int3-g128", GgmlType::Q4_0, true);
    row("int8-g128", GgmlType::Q8_0, true);
    row("int4-g128-affine", GgmlType::Q5_0, true);
    row("integer:n_bits=4,group_size=32", GgmlType::Q8_0, false);  // float32 scales
    row("integer:n_bits=4,group_size=32", GgmlType::F16, false);
    row("mxfp4", GgmlType::MXFP4, true);
    row("mxfp4", GgmlType::Q5_0, true);
    row("nvfp4:tensor_scale=unit", GgmlType::NVFP4, true);
    row("nvfp4", GgmlType::NVFP4, false);
    row("nf4", GgmlType::Q8_0, false);
    row("nf4", GgmlType::F16, false);
}

void TestGgmlBlocks::formatsFitTheTypesOfTheTable()
{
    QFETCH(QByteArray, format);
    QFETCH(int, type);
    QFETCH(bool, fits);
    const auto quantizer = makeQuantizer(FormatSpec::parse(format.toStdString()));
    std::vector<float> values = normal(8 * 256, 22);
    quantizer->quantize(values, {8, 256}, values);
    QCOMPARE(holds(static_cast<GgmlType>(type), values), fits);
    QVERIFY(holds(GgmlType::F32, values));
}

void TestGgmlBlocks::arbitraryValuesFitOnlyFloats()
{
    const std::vector<float> values = normal(512, 23);
    for (const GgmlType type : encodedTypes)
        QCOMPARE(holds(type, values), type == GgmlType::F32);
    for (const GgmlType type : encodedTypes)
        QVERIFY(holds(type, std::vector<float>(512, 0.0F)));
}

// A power of two as scale: half precision ends at 2^-24 and 2^15.
void TestGgmlBlocks::scalesBeyondHalfPrecisionDoNotFit()
{
    for (const auto &[exponent, fits] : {std::pair{-25, false}, {-24, true}, {15, true}, {16, false}}) {
        std::vector<float> values(32, 0.0F);
        values[0] = std::ldexp(7.0F, exponent);
        values[1] = std::ldexp(3.0F, exponent);
        QCOMPARE(holds(GgmlType::Q4_0, values), fits);
    }
    std::vector<float> wide(32, 0x1p-100F);
    wide[5] = 0x1p100F;
    QVERIFY(!holds(GgmlType::Q8_0, wide));
}

void TestGgmlBlocks::edgesOfTheCodesFit()
{
    const auto block = [](std::vector<float> first) {
        first.resize(32, 0.0F);
        return first;
    };
    QVERIFY(holds(GgmlType::Q4_0, block({-8, 7})));
    QVERIFY(holds(GgmlType::Q4_0, block({8, -7})));  // a negative scale
    QVERIFY(!holds(GgmlType::Q4_0, block({8, -8, 1})));
    QVERIFY(!holds(GgmlType::Q4_0, block({9, 1})));
    QVERIFY(holds(GgmlType::Q5_0, block({-16, 15})));
    QVERIFY(holds(GgmlType::Q5_0, block({16, -15})));
    QVERIFY(holds(GgmlType::Q8_0, block({127, -128, 1})));
    QVERIFY(!holds(GgmlType::Q8_0, block({128, -128, 1})));
    QVERIFY(!holds(GgmlType::Q8_0, block({-129, 1})));
    QVERIFY(holds(GgmlType::Q4_1, block({15, 1})));
    QVERIFY(!holds(GgmlType::Q4_1, block({16, 1})));
    QVERIFY(holds(GgmlType::Q5_1, block({31, 1})));
    // 3 * 683 is no half-precision number, 683 is.
    QVERIFY(holds(GgmlType::Q4_0, block({6 * 683, 3 * 683})));
    // Code 0 may lie below the least value: 4097 is no half-precision number, 4096 is.
    std::vector<float> shifted(32, 4097.0F);
    shifted[1] = 4100;
    QVERIFY(holds(GgmlType::Q4_1, shifted));
    QVERIFY(!holds(GgmlType::Q4_1, std::vector<float>(32, 4097.0F)));
}

void TestGgmlBlocks::valuesThatAreNotFiniteAreRefused()
{
    Bytes block(18, 0x11);
    block[0] = 0x00;
    block[1] = 0x7E;  // NaN
    std::vector<float> values(32);
    ErrorCode code = ErrorCode::Shape;
    QCOMPARE(test::errorOf([&] { decoded(GgmlType::Q4_0, block); }, &code), std::string("value at flat index 0 is NaN"));
    QVERIFY(code == ErrorCode::Numeric);
    Bytes two(36, 0x11);
    two[18 + 1] = 0x7C;
    two[18] = 0;
    QCOMPARE(test::errorOf([&] { decoded(GgmlType::Q4_0, two); }), std::string("value at flat index 32 is infinite"));
    for (const float bad : {NAN, INFINITY}) {
        values[3] = bad;
        QVERIFY(!holds(GgmlType::Q8_0, values));
    }
}

void TestGgmlBlocks::undecodableTypesAreNamed()
{
    for (const GgmlType type : {GgmlType::IQ2_XXS, GgmlType::TQ1_0, GgmlType::Q8_K}) {
        QVERIFY(!canDecodeGgml(type));
        const std::string message = test::errorOf([&] { decoded(type, Bytes(ggmlBlock(type).bytes)); });
        QCOMPARE(message, "is stored as " + std::string(toString(type)) + ", which this program does not decode");
    }
}

void TestGgmlBlocks::nearestQ8_0IsWithinHalfAStep()
{
    const std::vector<float> values = normal(320, 24);
    Bytes bytes(340);
    encodeQ8_0(values, std::as_writable_bytes(std::span(bytes)));
    const std::vector<float> back = decoded(GgmlType::Q8_0, bytes);
    for (std::size_t block = 0; block < 10; ++block) {
        float largest = 0;
        for (std::size_t i = 0; i < 32; ++i)
            largest = std::max(largest, std::fabs(values[block * 32 + i]));
        // Half a step, and the scale's rounding to 11 bits, which 127 steps feel.
        const float bound = largest / 127 * 0.5F + largest * 0x1p-11F;
        for (std::size_t i = 0; i < 32; ++i)
            QVERIFY(std::fabs(back[block * 32 + i] - values[block * 32 + i]) <= bound);
    }
    std::vector<float> large(32, 1e38F);
    Bytes one(34);
    const std::string message = test::errorOf([&] { encodeQ8_0(large, std::as_writable_bytes(std::span(one))); });
    QVERIFY2(message.find("beyond what Q8_0 can hold") != std::string::npos, message.c_str());

    // Below the smallest half-precision scale everything decodes to zero, and no code is made of a number beyond all integers.
    const std::vector<float> tiny(32, 1e-38F);
    encodeQ8_0(tiny, std::as_writable_bytes(std::span(one)));
    QVERIFY(one == Bytes(34));
}

QTEST_GUILESS_MAIN(TestGgmlBlocks)
#include "tst_ggml_blocks.moc"
