// SPDX-License-Identifier: Apache-2.0
// The papers' formats on values worked out by hand from numerics.md A, and the corners that golden data reach rarely.
#include <QTest>
#include <bit>
#include <cfloat>
#include <cmath>

#include "core/quant/bit_packing.h"
#include "core/quant/block_layout.h"
#include "core/quant/formats/integer.h"
#include "core/quant/rounding.h"
#include "core/tensor/half.h"
#include "tests/quant/sample_weights.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

std::vector<float> quantizedBy(const char *spec, std::vector<float> x, Shape shape = {})
{
    if (shape.empty())
        shape = {static_cast<std::int64_t>(x.size())};
    return quantized(*makeQuantizer(FormatSpec::parse(spec)), x, shape);
}

}  // namespace

class TestPaperFormats : public QObject
{
    Q_OBJECT

private slots:
    void roundingIsHalfToEven()
    {
        for (int i = -4000; i <= 4000; ++i) {
            const float v = static_cast<float>(i) / 8;
            QCOMPARE(roundToEven(v), std::nearbyint(v));
        }
        QCOMPARE(roundToEven(0x1p22F - 0.5F), 0x1p22F);
        QVERIFY(!std::signbit(roundToEven(-0.25F)));
    }

    void powersOfTwoCoverSubnormals()
    {
        for (int e = -160; e <= 140; ++e)
            QCOMPARE(powerOfTwo(e), static_cast<float>(std::ldexp(1.0, e)));
    }

    // Around every power of two, where float32's log2 is not the exponent field.
    void exponentsAreThoseOfFloat32Log2()
    {
        for (int k = -149; k <= 127; ++k) {
            const std::uint32_t power = std::bit_cast<std::uint32_t>(powerOfTwo(k));
            for (int ulp = -70; ulp <= 70; ++ulp) {
                if (static_cast<std::int64_t>(power) + ulp <= 0)
                    continue;
                const float v = std::bit_cast<float>(power + static_cast<std::uint32_t>(ulp));
                const float log = static_cast<float>(std::log2(static_cast<double>(v)));
                QCOMPARE(floorLog2F32(v), static_cast<int>(std::floor(log)));
                QCOMPARE(ceilLog2F32(v), static_cast<int>(std::ceil(log)));
                QCOMPARE(exactFloorLog2(v), std::ilogb(v));
            }
        }
        // The difference is real: one ulp above 2^20 counts as 2^20.
        QCOMPARE(ceilLog2F32(std::nextafter(0x1p20F, FLT_MAX)), 20);
        QCOMPARE(floorLog2F32(std::nextafter(0x1p20F, 0.0F)), 20);
        QCOMPARE(ceilLog2F32(std::nextafter(1.0F, FLT_MAX)), 1);
    }

    void mxintByHand()
    {
        // S = 2; steps of 2/4: 3.9 -> 7.8 -> 8, clamped to 7 -> 3.5; 0.25 -> 0.5, a tie, to 0; 0.75 -> 1.5 -> 2; -1.3 -> -2.6 ->
        // -3.
        QCOMPARE(quantizedBy("mxint:width=4,block_size=4", {3.9F, 0.25F, 0.75F, -1.3F}),
                 (std::vector<float>{3.5F, 0.0F, 1.0F, -1.5F}));
        // Two bits have the codes -1, 0, 1 times S.
        QCOMPARE(quantizedBy("mxint:width=2,block_size=4", {1.99F, 0.5F, 0.51F, -0.7F}),
            (std::vector<float>{1.0F, 0.0F, 1.0F, -1.0F}));
    }

    void mxintFlushesSubnormalsAndKeepsTheSignOfRoundedZeros()
    {
        const std::vector<float> y = quantizedBy("mxint:width=8,block_size=4", {FLT_MIN / 2, -FLT_MIN / 2, -0.0F, 0.0F});
        QVERIFY(y[0] == 0 && !std::signbit(y[0]));
        QVERIFY(y[1] == 0 && std::signbit(y[1]));  // negative, and rounded to zero
        QVERIFY(y[2] == 0 && !std::signbit(y[2])); // -0.0 < 0 is false
        const auto quantizer = makeQuantizer(FormatSpec::parse("mxint:width=8,block_size=4"));
        QCOMPARE(quantizer->encode(std::vector<float>(4), {4}).scales, std::vector<std::uint8_t>{1});
    }

    void mxintStoresSignAndMagnitude()
    {
        const auto quantizer = makeQuantizer(FormatSpec::parse("mxint:width=4,block_size=4"));
        const QuantizedWeight weight = quantizer->encode(std::vector<float>{3.9F, 0.25F, 0.75F, -1.3F}, {4});
        QCOMPARE(weight.codes, (std::vector<std::uint8_t>{0x07, 0xB2}));
        QCOMPARE(weight.scales, std::vector<std::uint8_t>{128});  // 2^(128-127)
    }

    void mxintOverflowIsRefused()
    {
        // 3e38 = 1.76 * 2^127: n * S is infinite before the division.
        const std::string message = errorOf([] { quantizedBy("mxint:width=8,block_size=2", {1.0F, 3e38F}); });
        QVERIFY2(message.find("result at flat index 1 is infinite") != std::string::npos, message.c_str());
        QCOMPARE(quantizedBy("mxint:width=2,block_size=2", {1.0F, 3e38F})[1], 0x1p127F);
    }

    void blockFpAndMxintAgreeAwayFromPowersOfTwo()
    {
        std::vector<float> x = sampleWeights(16 * 64);
        for (std::size_t i = 0; i < x.size(); ++i)
            x[i] = i % 16 == 5 ? std::ldexp(1.5F, static_cast<int>(i / 16 % 9)) : x[i];  // the block's largest
        const std::vector<float> bfp = quantizedBy("block_fp:width=4,block_size=16", x),
                                 mx = quantizedBy("mxint:width=4,block_size=16", x);
        for (std::size_t i = 0; i < x.size(); ++i)
            QCOMPARE(bfp[i], mx[i]);
    }

    void blockFpSaturatesPowersOfTwo()
    {
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2", {2.0F, 0.3F}), (std::vector<float>{1.75F, 0.25F}));
        QCOMPARE(quantizedBy("mxint:width=4,block_size=2", {2.0F, 0.3F}), (std::vector<float>{2.0F, 0.5F}));
    }

    void blockFpPassesTinyValues()
    {
        const auto quantizer = makeQuantizer(FormatSpec::parse("block_fp:block_size=4"));
        const std::vector<float> x = {1.5F, 1e-8F, -3e-9F, 1.1e-8F};
        const std::vector<float> y = quantized(*quantizer, x, {4});
        QCOMPARE(y[1], 1e-8F);
        QCOMPARE(y[2], -3e-9F);
        QCOMPARE(y[3], 0.0F);
        const QuantizedWeight weight = quantizer->encode(x, {4});
        QCOMPARE(weight.offsets.size(), std::size_t(24));  // two exceptions: index and value
        QuantizedWeight bad = weight;
        bad.offsets[0] = 200;
        std::vector<float> out(4);
        QVERIFY(errorOf([&] { quantizer->decode(bad, out); }).find("exception at 200 of 4") != std::string::npos);
    }

    void blockFpTiesGoUpWhereTheOffsetReaches()
    {
        // 0.0078125 = 2^-7 is half a step of S = 2^-3, M = 3; 1e-9 lifts it above the tie. At S = 1 the offset is lost: to even.
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2", {0.12F, 0x1p-7F})[1], 0x1p-6F);
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2", {0.9F, 0x1p-4F})[1], 0.0F);
    }

    void blockFpTiles_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<int>("blocks");
        const auto row = [](const char *format, int blocks) { QTest::newRow(format) << format << blocks; };
        row("block_fp:block_size=1x16", 5 * 3);
        row("block_fp:block_size=16x1", 40);
        row("block_fp:block_size=4x8", 2 * 5);
        row("block_fp:block_size=1x-1", 5);
        row("block_fp:block_size=-1x-1", 1);
        row("block_fp:block_size=-1", 1);              // the missing entry is the whole dimension
        row("block_fp:block_size=16", 3);
        row("block_fp:block_size=7x1x16", 5 * 3);      // an entry too many in front is dropped
        row("block_fp:block_size=4x8,skip_first_dim=true", 5 * 5);
    }
    void blockFpTiles()
    {
        QFETCH(QString, format);
        QFETCH(int, blocks);
        const auto quantizer = makeQuantizer(FormatSpec::parse(format.toStdString()));
        QCOMPARE(quantizer->encode(sampleWeights(200), {5, 40}).scales.size(), static_cast<std::size_t>(blocks));
        QCOMPARE(quantizer->bitsPerElement({5, 40}), 4 + 8.0 * blocks / 200);
        QCOMPARE(quantizer->bitsPerElement({5, 40}, 4), 4 + 4.0 * blocks / 200);
    }

    void threeDimensionsAreABatch()
    {
        for (const char *format :
            {"block_fp:block_size=1x16", "block_fp:block_size=-1x-1,skip_first_dim=true", "mxint4", "mxint4:block_axis=1"}) {
            const auto quantizer = makeQuantizer(FormatSpec::parse(format));
            const std::vector<float> x = sampleWeights(3 * 6 * 40), whole = quantized(*quantizer, x, {3, 6, 40});
            for (std::size_t slice = 0; slice < 3; ++slice) {
                const std::vector<float> part(x.begin() + static_cast<std::ptrdiff_t>(slice * 240),
                    x.begin() + static_cast<std::ptrdiff_t>(slice * 240 + 240));
                const auto own
                    = makeQuantizer(FormatSpec::parse(std::string(format) == "mxint4:block_axis=1" ? "mxint4:block_axis=0"
                            : std::string(format).find("-1x-1") != std::string::npos               ? "block_fp:block_size=-1x-1"
                                                                                                   : format));
                const std::vector<float> y = quantized(*own, part, {6, 40});
                QVERIFY(std::equal(y.begin(), y.end(), whole.begin() + static_cast<std::ptrdiff_t>(slice * 240)));
            }
        }
        const std::string message = errorOf([] { quantizedBy("mxint4:block_axis=0", std::vector<float>(8), {2, 2, 2}); });
        QVERIFY2(message.find("batch") != std::string::npos, message.c_str());
        QVERIFY(errorOf([] { quantizedBy("mxint4:block_axis=1", std::vector<float>(8), {8}); }).find("does not exist")
            != std::string::npos);
    }

    void halfPrecisionArithmeticShiftsExponents()
    {
        // numerics.md A.8: float16's log2 of the next value above 2^-5 rounds to -5, so the largest element saturates; float32's
        // does not.
        const float m = 0x1p-5F * (1 + 0x1p-10F);
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2", {m, 0.0F})[0], 0x1p-5F);
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2,arithmetic=float16", {m, 0.0F})[0], 0x1p-5F * 0.875F);
        // bfloat16 has 8 significant bits: log2 of 1.0078125 * 2^-4 = -3.98877 is between -3.984375 and -4, nearer to the first;
        // steps are 1/8 at 2^-20.
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2,arithmetic=bfloat16", {0x1.02p-4F, 0.0F})[0], 0x1p-4F);
        QCOMPARE(quantizedBy("block_fp:width=4,block_size=2,arithmetic=bfloat16", {0x1.02p-20F, 0.0F})[0], 0x1p-20F * 0.875F);
    }

    void halfPrecisionArithmeticStaysInHalfPrecision()
    {
        QVERIFY(errorOf([] {
            quantizedBy("block_fp:arithmetic=float16", {1.0F, 70000.0F});
        }).find("cannot store")
            != std::string::npos);
        const std::vector<float> x = sampleWeights(512);
        for (const float y : quantizedBy("block_fp:width=8,arithmetic=float16", x))
            QCOMPARE(halfToFloat(floatToHalf(y)), y);
        for (const float y : quantizedBy("block_fp:width=8,arithmetic=bfloat16", x))
            QCOMPARE(bf16ToFloat(floatToBf16(y)), y);
    }

    void fixedPointByHand()
    {
        QCOMPARE(quantizedBy("fixed:width=4,frac_width=1", {0.25F, 0.75F, 3.6F, 99.0F, -99.0F}),
                 (std::vector<float>{0.0F, 1.0F, 3.5F, 3.5F, -4.0F}));
        QCOMPARE(quantizedBy("fixed:width=4,frac_width=-2,is_signed=false", {-8.0F, 6.1F, 100.0F}),
            (std::vector<float>{0.0F, 8.0F, 60.0F}));
        const auto quantizer = makeQuantizer(FormatSpec::parse("fixed:width=4,frac_width=0"));
        QCOMPARE(quantizer->encode(std::vector<float>{-1.0F, -8.0F}, {2}).codes, std::vector<std::uint8_t>{0x8F});
    }

    void fixedPointErrsHalfAStepInsideItsRange()
    {
        for (const float x : sampleWeights(4000))
            if (std::fabs(x) < 7.9F)
                QVERIFY(std::fabs(quantizedBy("fixed16", {x})[0] - x) <= 0x1p-13F);
    }

    void integerRangeIsTheOfficialOne()
    {
        const IntegerRange symmetric = integerRange(-1.0, 3.0, 4, false);
        QCOMPARE(symmetric.scale, 0.4);
        QCOMPARE(symmetric.zeroPoint, 0.0);  // exactly -0.5, to even
        QCOMPARE(symmetric.least, -8);
        QCOMPARE(symmetric.most, 7);
        const IntegerRange affine = integerRange(-1.0, 2.0, 4, true);
        QCOMPARE(affine.scale, 0.2);
        QCOMPARE(affine.zeroPoint, 5.0);
        QCOMPARE(integerRange(2.0, 2.0, 4, true).scale, 0.0);
    }

    void symmetricIntegersUseBothEnds()
    {
        // +max is clamped to 7/7.5 of itself, -max goes to 8/7.5.
        const std::vector<float> y = quantizedBy("integer:n_bits=4,group_size=2", {0.75F, -0.75F});
        QCOMPARE(y[0], 0.7F);
        QCOMPARE(y[1], -0.8F);
    }

    void constantGroupsStay()
    {
        QCOMPARE(quantizedBy("integer:is_affine=true,group_size=4", {0.3F, 0.3F, 0.3F, 0.3F, -7.0F, -7.0F}),
                 (std::vector<float>{0.3F, 0.3F, 0.3F, 0.3F, -7.0F, -7.0F}));
    }

    void zeroPointsAreCodesIfZeroIsIncluded()
    {
        // All values positive: the official zero point lies far below the codes; with include_zero it is a code.
        const std::vector<float> x = {5.0F, 5.5F, 6.0F, 6.5F};
        const auto official = makeQuantizer(FormatSpec::parse("integer:is_affine=true,group_size=4"));
        QCOMPARE(floatAt(official->encode(x, {4}).offsets, 0), -50.0F);
        QCOMPARE(official->bitsPerElement({4}), 4 + 64.0 / 4);
        const auto included = makeQuantizer(FormatSpec::parse("integer:is_affine=true,group_size=4,include_zero=true"));
        QCOMPARE(unpackCode(included->encode(x, {4}).offsets, 4, 0), 0U);
        QCOMPARE(included->bitsPerElement({4}), 4 + 36.0 / 4);
    }

    void integerPresetsHaveScalesThatFloat16Holds()
    {
        const auto quantizer = makeQuantizer(FormatSpec::parse("int4-g32"));
        const QuantizedWeight weight = quantizer->encode(sampleWeights(64 * 32), {32, 64});
        QCOMPARE(weight.scales.size(), std::size_t(2 * 64));
        QCOMPARE(quantizer->bitsPerElement({32, 64}), 4.5);
        // A symmetric code is excess 8, as GGUF's Q4_0 and compressed-tensors store it: x = d (code - 8).
        std::vector<float> y(32 * 64);
        quantizer->decode(weight, y);
        for (std::size_t i = 0; i < y.size(); ++i)
            QCOMPARE(y[i], halfToFloat(halfAt(weight.scales, i / 32)) * (static_cast<float>(unpackCode(weight.codes, 4, i)) - 8));
    }

    void minifloatNeverCarriesIntoTheNextBinade()
    {
        QCOMPARE(quantizedBy("minifloat:width=8,exponent_width=4", {1.97F, -1.97F, 1.9F, 1e9F}),
                 (std::vector<float>{1.875F, -1.875F, 1.875F, 480.0F}));
        // Subnormals: exponent -7 of bias 7 steps by 2^-9.
        QCOMPARE(quantizedBy("minifloat:width=8,exponent_width=4", {0x1p-9F, 0x1.4p-9F, 1e-8F, 2e-8F}),
                 (std::vector<float>{0x1p-9F, 0x1p-9F, 1e-8F, 0.0F}));
    }

    void minifloatRoundsAsAsked()
    {
        // Steps of 1/8 in [1, 2).
        QCOMPARE(quantizedBy("minifloat:round_mode=nearest", {1.3F})[0], 1.25F);
        QCOMPARE(quantizedBy("minifloat:round_mode=truncate", {1.37F})[0], 1.25F);
        QCOMPARE(quantizedBy("minifloat:round_mode=floor", {1.37F})[0], 1.25F);
        QCOMPARE(quantizedBy("minifloat:round_mode=ceil", {1.26F})[0], 1.375F);
    }

    void halfFormatsRoundAndRefuseOverflow()
    {
        for (const float x : sampleWeights(1000)) {
            QCOMPARE(quantizedBy("float16", {x})[0], halfToFloat(floatToHalf(x)));
            QCOMPARE(quantizedBy("bfloat16", {x})[0], bf16ToFloat(floatToBf16(x)));
        }
        QVERIFY(errorOf([] { quantizedBy("float16", {65520.0F}); }).find("result at flat index 0") != std::string::npos);
        QCOMPARE(quantizedBy("float16", {65519.0F})[0], 65504.0F);
    }

    void paperBitsPerWeight()
    {
        const auto bits = [](const char *spec) { return makeQuantizer(FormatSpec::parse(spec))->bitsPerElement({4096, 4096}); };
        QCOMPARE(bits("mxint4"), 4.25);
        QCOMPARE(bits("mxint3"), 3.25);
        QCOMPARE(bits("mxint2"), 2.5);
        QCOMPARE(bits("bfp4"), 4.5);
        QCOMPARE(bits("bfp8"), 8.5);
        QCOMPARE(bits("bfp4-g128"), 4.0625);
        QCOMPARE(bits("nf4"), 4.5);
        QVERIFY(std::abs(bits("nf4-dq") - 4.127) < 1e-4);
        QCOMPARE(bits("mxfp4"), 4.25);
        QVERIFY(std::abs(bits("nvfp4") - 4.5) < 1e-5);
        // The headline habit of a 4-bit exponent.
        QCOMPARE(makeQuantizer(FormatSpec::parse("bfp4"))->bitsPerElement({4096, 4096}, 4), 4.25);
    }
};

QTEST_GUILESS_MAIN(TestPaperFormats)
#include "tst_paper_formats.moc"
