// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <qfloat16.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/tensor/half.h"

using namespace lqer;

namespace {

// The value a half means, by the definition of IEEE 754 binary16, in double.
double definedValue(std::uint16_t bits)
{
    const int exponent = (bits >> 10) & 0x1F;
    const int mantissa = bits & 0x3FF;
    const double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent == 31)
        return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    return exponent == 0 ? sign * std::ldexp(mantissa, -24) : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

std::uint32_t bitsOf(float value) { return std::bit_cast<std::uint32_t>(value); }

}  // namespace

class TestHalf : public QObject {
    Q_OBJECT
private slots:
    void everyHalfHasItsDefinedValue();
    void everyHalfSurvivesTheRoundTrip();
    void halfRoundsToNearestEven();
    void halfAgreesWithQt();
    void halfOverflowsToInfinity();
    void everyBf16SurvivesTheRoundTrip();
    void bf16RoundsToNearestEven();
    void bf16OverflowsToInfinity();
    void nanStaysNan();
    void spansConvertAlike();
};

void TestHalf::everyHalfHasItsDefinedValue()
{
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const double expected = definedValue(static_cast<std::uint16_t>(bits));
        const float found = halfToFloat(static_cast<std::uint16_t>(bits));
        if (std::isnan(expected))
            QVERIFY(std::isnan(found));
        else
            QVERIFY2(found == expected && std::signbit(found) == std::signbit(expected), qPrintable(QString::number(bits, 16)));
    }
}

void TestHalf::everyHalfSurvivesTheRoundTrip()
{
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const float wide = halfToFloat(static_cast<std::uint16_t>(bits));
        if (!std::isnan(wide) && floatToHalf(wide) != bits)
            QFAIL(qPrintable(QString("%1 became %2").arg(bits, 0, 16).arg(floatToHalf(wide), 0, 16)));
    }
}

// Between each pair of neighbours: the middle goes to the even one, everything else to the nearer.
void TestHalf::halfRoundsToNearestEven()
{
    for (std::uint32_t bits = 0; bits < 0x7BFF; ++bits) {
        const float low = halfToFloat(static_cast<std::uint16_t>(bits));
        const float high = halfToFloat(static_cast<std::uint16_t>(bits + 1));
        const float middle = (low + high) / 2;  // exact: a float has 13 more bits
        const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
        QCOMPARE(floatToHalf(middle), static_cast<std::uint16_t>(even));
        QCOMPARE(floatToHalf(std::nextafter(middle, low)), static_cast<std::uint16_t>(bits));
        QCOMPARE(floatToHalf(std::nextafter(middle, high)), static_cast<std::uint16_t>(bits + 1));
        QCOMPARE(floatToHalf(-middle), static_cast<std::uint16_t>(even | 0x8000U));
    }
}

// Second opinion, on bit patterns spread over all floats.
void TestHalf::halfAgreesWithQt()
{
    for (std::uint64_t pattern = 0; pattern <= 0xFFFFFFFFULL; pattern += 4093) {
        const float value = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
        if (std::isnan(value))
            continue;
        const qfloat16 other(value);
        // Qt's table conversion truncates some denormals, so they are left to halfRoundsToNearestEven.
        if (std::abs(value) < 0x1p-14F)
            continue;
        QCOMPARE(floatToHalf(value), std::bit_cast<std::uint16_t>(other));
    }
}

void TestHalf::halfOverflowsToInfinity()
{
    QCOMPARE(floatToHalf(65504.0F), std::uint16_t{0x7BFF});
    QCOMPARE(floatToHalf(std::nextafter(65520.0F, 0.0F)), std::uint16_t{0x7BFF});
    QCOMPARE(floatToHalf(65520.0F), std::uint16_t{0x7C00});
    QCOMPARE(floatToHalf(std::numeric_limits<float>::max()), std::uint16_t{0x7C00});
    QCOMPARE(floatToHalf(-std::numeric_limits<float>::infinity()), std::uint16_t{0xFC00});
    QCOMPARE(floatToHalf(0x1p-25F), std::uint16_t{0});  // half of the smallest: ties to even
    QCOMPARE(floatToHalf(std::nextafter(0x1p-25F, 1.0F)), std::uint16_t{1});
    QCOMPARE(floatToHalf(-0.0F), std::uint16_t{0x8000});
}

void TestHalf::everyBf16SurvivesTheRoundTrip()
{
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const float wide = bf16ToFloat(static_cast<std::uint16_t>(bits));
        QCOMPARE(bitsOf(wide), bits << 16);
        if (!std::isnan(wide))
            QCOMPARE(floatToBf16(wide), static_cast<std::uint16_t>(bits));
    }
}

void TestHalf::bf16RoundsToNearestEven()
{
    for (std::uint32_t bits = 0; bits < 0x7F7F; ++bits) {
        const std::uint32_t middle = (bits << 16) | 0x8000U;
        const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
        QCOMPARE(floatToBf16(std::bit_cast<float>(middle)), static_cast<std::uint16_t>(even));
        QCOMPARE(floatToBf16(std::bit_cast<float>(middle - 1)), static_cast<std::uint16_t>(bits));
        QCOMPARE(floatToBf16(std::bit_cast<float>(middle + 1)), static_cast<std::uint16_t>(bits + 1));
        QCOMPARE(floatToBf16(std::bit_cast<float>(middle | 0x80000000U)), static_cast<std::uint16_t>(even | 0x8000U));
    }
}

void TestHalf::bf16OverflowsToInfinity()
{
    QCOMPARE(floatToBf16(std::numeric_limits<float>::max()), std::uint16_t{0x7F80});
    QCOMPARE(floatToBf16(std::bit_cast<float>(0x7F7F7FFFU)), std::uint16_t{0x7F7F});
    QCOMPARE(floatToBf16(-std::numeric_limits<float>::infinity()), std::uint16_t{0xFF80});
}

// Also those whose payload lies only in the bits that are cut off.
void TestHalf::nanStaysNan()
{
    for (const std::uint32_t pattern : {0x7FC00000U, 0x7F800001U, 0x7F80FFFFU, 0xFFFFFFFFU, 0xFF800001U}) {
        const float nan = std::bit_cast<float>(pattern);
        QVERIFY(std::isnan(halfToFloat(floatToHalf(nan))));
        QVERIFY(std::isnan(bf16ToFloat(floatToBf16(nan))));
        QCOMPARE(std::signbit(halfToFloat(floatToHalf(nan))), std::signbit(nan));
        QCOMPARE(std::signbit(bf16ToFloat(floatToBf16(nan))), std::signbit(nan));
    }
}

void TestHalf::spansConvertAlike()
{
    std::vector<std::uint16_t> bits(65536);
    for (std::size_t i = 0; i < bits.size(); ++i)
        bits[i] = static_cast<std::uint16_t>(i);
    std::vector<float> fromHalf(bits.size());
    std::vector<float> fromBf16(bits.size());
    halfToFloat(bits, fromHalf);
    bf16ToFloat(bits, fromBf16);
    for (std::size_t i = 0; i < bits.size(); ++i) {
        QCOMPARE(bitsOf(fromHalf[i]), bitsOf(halfToFloat(bits[i])));
        QCOMPARE(bitsOf(fromBf16[i]), bitsOf(bf16ToFloat(bits[i])));
    }
}

QTEST_GUILESS_MAIN(TestHalf)
#include "tst_half.moc"
