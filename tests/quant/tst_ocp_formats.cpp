// SPDX-License-Identifier: Apache-2.0
// Second opinions on the OCP element types: tables written from the standard's definition, nearest value by search.
#include <QTest>
#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>

#include "core/quant/bit_packing.h"
#include "core/quant/small_float.h"
#include "tests/quant/sample_weights.h"

using namespace lqer;
using namespace lqer::test;

namespace {

struct Element {
    const char *name;
    SmallFloat type;
    int finiteCodes;  // non-negative codes that are numbers
};

const Element elements[] = {
    {"E2M1", e2m1, 8}, {"E2M3", e2m3, 32}, {"E3M2", e3m2, 32}, {"E4M3", e4m3, 127}, {"E5M2", e5m2, 124},
};

// (-1)^s 2^(E - bias) (1 + M / 2^m), and 2^(1 - bias) (M / 2^m) for E = 0: OCP MX v1.0, section 5.3.
double valueOf(const SmallFloat &type, int code)
{
    const int exponent = code >> type.mantissaBits;
    const double fraction = (code & ((1 << type.mantissaBits) - 1)) / std::pow(2.0, type.mantissaBits);
    return exponent == 0 ? std::pow(2.0, 1 - type.bias) * fraction : std::pow(2.0, exponent - type.bias) * (1 + fraction);
}

// Nearest code by search, ties to the even code (its last mantissa bit is 0), saturating.
int nearestCode(const SmallFloat &type, int codes, double magnitude)
{
    if (magnitude >= valueOf(type, codes - 1))
        return codes - 1;  // and distances from 1e30 would all be the same in double
    int best = 0;
    for (int code = 1; code < codes; ++code) {
        const double distance = std::abs(valueOf(type, code) - magnitude), shortest = std::abs(valueOf(type, best) - magnitude);
        if (distance < shortest || (distance == shortest && code % 2 == 0))
            best = code;
    }
    return best;
}

}  // namespace

class TestOcpFormats : public QObject
{
    Q_OBJECT

private:
    static void everyElement()
    {
        QTest::addColumn<int>("index");
        for (int i = 0; i < static_cast<int>(std::size(elements)); ++i)
            QTest::newRow(elements[i].name) << i;
    }

private slots:
    void codesMeanWhatTheStandardSays_data() { everyElement(); }
    void codesMeanWhatTheStandardSays()
    {
        QFETCH(int, index);
        const auto &[name, type, codes] = elements[index];
        for (int code = 0; code < codes; ++code) {
            const float value = type.decode(static_cast<std::uint32_t>(code));
            QCOMPARE(static_cast<double>(value), valueOf(type, code));
            QCOMPARE(type.encode(value), static_cast<std::uint32_t>(code));
            QCOMPARE(type.round(value), value);
        }
        QCOMPARE(static_cast<double>(type.largest), valueOf(type, codes - 1));
        QCOMPARE(type.maxExponent, std::ilogb(type.largest));
        for (int code = codes; code < 1 << (type.bits() - 1); ++code)
            QVERIFY(std::isnan(type.decode(static_cast<std::uint32_t>(code))));
    }

    void roundingFindsTheNearestEvenCode_data() { everyElement(); }
    void roundingFindsTheNearestEvenCode()
    {
        QFETCH(int, index);
        const auto &[name, type, codes] = elements[index];
        // Every value, every midpoint, and the floats beside them; beyond the largest; random ones.
        std::vector<float> tries = {1e30F, 2 * type.largest, std::nextafter(2 * type.largest, 0.0F), 1e-30F, FLT_MIN, 1e-45F};
        for (int code = 0; code + 1 < codes; ++code) {
            const auto low = static_cast<float>(valueOf(type, code)), high = static_cast<float>(valueOf(type, code + 1));
            for (const float v : {low, (low + high) / 2, high})
                for (const float beside : {v, std::nextafter(v, 1e30F), std::nextafter(v, 0.0F)})
                    tries.push_back(beside);
        }
        for (const float v : sampleWeights(3000))
            for (const float scale : {1.0F, 100.0F, 1e5F})
                tries.push_back(std::fabs(v) * scale);
        for (const float v : tries) {
            const int expected = nearestCode(type, codes, v);
            const float rounded = type.round(v);
            QVERIFY2(static_cast<double>(rounded) == valueOf(type, expected),
                qPrintable(QString("%1 became %2, expected %3").arg(v, 0, 'g', 9).arg(rounded).arg(valueOf(type, expected))));
            QCOMPARE(type.encode(rounded), static_cast<std::uint32_t>(expected));
        }
    }

    void e2m1IsTheKnownTable()
    {
        const float known[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
        for (std::uint32_t code = 0; code < 8; ++code)
            QCOMPARE(e2m1.decode(code), known[code]);
        QCOMPARE(e4m3.decode(1), 0x1p-9F);
        QCOMPARE(e5m2.decode(1), 0x1p-16F);
    }

    void mxfp4ByHand()
    {
        // Largest 7.9: X = 2^(2-2) = 1. 7.9 saturates; 2.5 and 5 are ties, to the even codes 2 and 4; 0.75 is a tie, to 1.0.
        std::vector<float> x(32);
        const float given[] = {7.9F, 2.5F, -5.0F, 0.75F, 0.25F, -0.26F, 3.5F, 1.75F};
        const float expected[] = {6.0F, 2.0F, -4.0F, 1.0F, 0.0F, -0.5F, 4.0F, 2.0F};
        std::copy(std::begin(given), std::end(given), x.begin());
        const auto quantizer = makeQuantizer(FormatSpec::parse("mxfp4"));
        const std::vector<float> y = quantized(*quantizer, x, {32});
        for (std::size_t i = 0; i < 8; ++i)
            QCOMPARE(y[i], expected[i]);
        QCOMPARE(quantizer->encode(x, {32}).scales, std::vector<std::uint8_t>{127});
    }

    // Blocks by definition, in double: X = 2^(floor(log2 max) - emax), elements by search.
    void blocksFollowTheDefinition_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<int>("index");
        QTest::newRow("mxfp4") << "mxfp4" << 0;
        QTest::newRow("mxfp6-e2m3") << "mxfp6-e2m3" << 1;
        QTest::newRow("mxfp6-e3m2") << "mxfp6-e3m2" << 2;
        QTest::newRow("mxfp8-e4m3") << "mxfp8-e4m3" << 3;
        QTest::newRow("mxfp8-e5m2") << "mxfp8-e5m2" << 4;
    }
    void blocksFollowTheDefinition()
    {
        QFETCH(QString, format);
        QFETCH(int, index);
        const auto &[name, type, codes] = elements[index];
        const auto quantizer = makeQuantizer(FormatSpec::parse(format.toStdString()));
        for (const int shift : {0, -120, -145, 110}) {
            std::vector<float> x = sampleWeights(32 * 20);
            for (float &v : x)
                v = std::ldexp(v, shift);
            const std::vector<float> y = quantized(*quantizer, x, {20, 32});
            const QuantizedWeight weight = quantizer->encode(x, {20, 32});
            for (std::size_t row = 0; row < 20; ++row) {
                double largest = 0;
                for (std::size_t i = 0; i < 32; ++i)
                    largest = std::max(largest, std::abs(static_cast<double>(x[row * 32 + i])));
                const int exponent = largest > 0 ? std::max(-127, std::ilogb(largest) - type.maxExponent) : -127;
                QCOMPARE(static_cast<int>(weight.scales[row]), exponent + 127);
                const double scale = std::ldexp(1.0, exponent);
                for (std::size_t i = row * 32; i < row * 32 + 32; ++i) {
                    const double value = valueOf(type, nearestCode(type, codes, std::abs(x[i] / scale))) * scale;
                    QCOMPARE(static_cast<double>(y[i]), std::signbit(x[i]) ? -value : value);
                }
            }
        }
    }

    void mxint8IsMxintOfWidthEight()
    {
        const std::vector<float> x = sampleWeights(32 * 40);
        const std::vector<float> ocp = quantized(*makeQuantizer(FormatSpec::parse("mxint8")), x, {40, 32});
        const std::vector<float> qera = quantized(*makeQuantizer(FormatSpec::parse("mxint:width=8,block_size=32")), x, {40, 32});
        for (std::size_t i = 0; i < x.size(); ++i)
            QCOMPARE(ocp[i], qera[i]);
        // Two's complement, six fraction bits: -1 is -64.
        QCOMPARE(makeQuantizer(FormatSpec::parse("mxint8"))->encode(std::vector<float>{-1.0F, 1.999F}, {2}).codes,
                 (std::vector<std::uint8_t>{0xC0, 0x7F}));
    }

    void nvfp4FollowsItsTwoLevels()
    {
        const std::vector<float> x = sampleWeights(16 * 30);
        const auto quantizer = makeQuantizer(FormatSpec::parse("nvfp4"));
        const std::vector<float> y = quantized(*quantizer, x, {10, 48});
        const QuantizedWeight weight = quantizer->encode(x, {10, 48});
        float largest = 0;
        for (const float v : x)
            largest = std::max(largest, std::fabs(v));
        const float tensor = largest / 2688.0F;
        QCOMPARE(weight.offsets.size(), sizeof(float));
        QCOMPARE(floatAt(weight.offsets, 0), tensor);
        QCOMPARE(*std::ranges::max_element(weight.scales), std::uint8_t(126));  // the largest block gets 448
        for (std::size_t block = 0; block < 30; ++block) {
            float own = 0;
            for (std::size_t i = 0; i < 16; ++i)
                own = std::max(own, std::fabs(x[block * 16 + i]));
            const int code = nearestCode(e4m3, 127, own / 6.0F / tensor);
            QCOMPARE(static_cast<int>(weight.scales[block]), code);
            const float scale = static_cast<float>(valueOf(e4m3, code)) * tensor;
            for (std::size_t i = block * 16; i < block * 16 + 16; ++i) {
                const float magnitude
                    = scale > 0 ? static_cast<float>(valueOf(e2m1, nearestCode(e2m1, 8, std::fabs(x[i]) / scale))) * scale : 0.0F;
                QCOMPARE(y[i], std::copysign(magnitude, x[i]));
            }
        }
    }

    void nvfp4WithoutTensorScaleNeedsNoOtherRow()
    {
        const auto quantizer = makeQuantizer(FormatSpec::parse("nvfp4:tensor_scale=unit"));
        QCOMPARE(quantizer->rowGranularity({8, 64}), std::int64_t(1));
        QCOMPARE(makeQuantizer(FormatSpec::parse("nvfp4"))->rowGranularity({8, 64}), std::int64_t(8));
    }
};

QTEST_GUILESS_MAIN(TestOcpFormats)
#include "tst_ocp_formats.moc"
