// SPDX-License-Identifier: Apache-2.0
// What every number format has to obey, whatever its arithmetic.
#include <QTest>
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/quant/bit_packing.h"
#include "core/quant/distortion.h"
#include "core/quant/quantizer.h"
#include "tests/quant/sample_weights.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

const std::vector<Shape> shapes = {{1, 1}, {5, 64}, {7, 100}, {33, 48}, {50, 3}, {3, 6, 40}, {2, 33, 17}};

// Whether the format is defined on a shape: one dimension has no second-last axis, three have a batch that stays whole.
bool fits(const FormatSpec &spec, const Shape &shape)
{
    const auto axis = spec.parameters.find("block_axis");
    return axis == spec.parameters.end() || -std::get<std::int64_t>(axis->second) <= static_cast<std::int64_t>(shape.size());
}

std::size_t countOf(const Shape &shape) { return static_cast<std::size_t>(elementCount(shape)); }

std::int64_t firstDifference(std::span<const float> a, std::span<const float> b)
{
    for (std::size_t i = 0; i < a.size(); ++i)
        if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
            return static_cast<std::int64_t>(i);
    return -1;
}

// Whether a complete spec says so: "table=uniform".
bool states(const FormatSpec &spec, const std::string &parameter)
{
    return (spec.toString() + ",").find(parameter + ",") != std::string::npos;
}

// Formats that are not idempotent, and why.
std::string whyTwiceIsNotOnce(const FormatSpec &spec)
{
    if (spec.name == "block_fp" || states(spec, "variant=denorm"))
        return "a largest magnitude that was rounded to a power of two saturates when quantized again (numerics.md A.2)";
    if (spec.name == "integer" && states(spec, "fp_min=none"))
        return "the levels are not where the range ends: -max becomes -1.07 max (numerics.md A.5)";
    if (states(spec, "table=uniform"))
        return "the scale is a statistic of the values";
    if (states(spec, "double_quant=true"))
        return "the scales are quantized around their mean";
    if (states(spec, "tensor_scale=amax"))
        return "the tensor scale is the largest magnitude divided by 2688, which rounds";
    if (states(spec, "tensor_scale=unit"))
        return "without a tensor scale the block scales of small weights are E4M3 subnormals, too coarse to be found again";
    return {};
}

}  // namespace

class TestQuantizerLaws : public QObject
{
    Q_OBJECT

private:
    static void everyFormat()
    {
        QTest::addColumn<QString>("format");
        for (const std::string &spec : sampleFormats())
            QTest::newRow(spec.c_str()) << QString::fromStdString(spec);
    }
    static std::unique_ptr<Quantizer> thisFormat()
    {
        return makeQuantizer(FormatSpec::parse(QTest::currentDataTag()));
    }

private slots:
    void zeroStaysZero_data() { everyFormat(); }
    void zeroStaysZero()
    {
        const auto quantizer = thisFormat();
        if (states(quantizer->spec(), "table=uniform"))
            return;  // an even number of evenly spaced levels around zero has none at zero
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            const std::vector<float> x = sampleWeights(countOf(shape));
            const std::vector<float> y = quantized(*quantizer, x, shape);
            for (std::size_t i = 0; i < x.size(); ++i)
                if (x[i] == 0)
                    QCOMPARE(y[i], 0.0F);
            const std::vector<float> nothing(x.size());
            QVERIFY(std::ranges::all_of(quantized(*quantizer, nothing, shape), [](float v) { return v == 0; }));
        }
    }

    // Products in bfloat16 rely on it. Values up to 1e-8 may pass through as they are.
    void resultsHaveNoMoreBitsThanIsSaid_data()
    {
        everyFormat();
        for (const char *spec : {"block_fp:width=8", "block_fp:width=9", "mxint:width=8"})
            QTest::newRow(spec) << QString(spec);
    }
    void resultsHaveNoMoreBitsThanIsSaid()
    {
        const auto quantizer = thisFormat();
        const int bits = quantizer->significantBits();
        QVERIFY(bits >= 1 && bits <= 24);
        const std::uint32_t beyond = (1U << (24 - bits)) - 1;
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            for (const float v : quantized(*quantizer, sampleWeights(countOf(shape)), shape))
                if (std::fabs(v) > 1e-8F)
                    QVERIFY2((std::bit_cast<std::uint32_t>(v) & beyond) == 0, qPrintable(QString::number(static_cast<double>(v), 'g', 9)));
        }
    }

    void twiceIsOnce_data() { everyFormat(); }
    void twiceIsOnce()
    {
        const auto quantizer = thisFormat();
        const bool exempt = !whyTwiceIsNotOnce(quantizer->spec()).empty();
        double drift = 0;
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            const std::vector<float> x = sampleWeights(countOf(shape));
            const std::vector<float> once = quantized(*quantizer, x, shape);
            const std::vector<float> twice = quantized(*quantizer, once, shape);
            if (exempt)
                drift = std::max(drift, distortion(once, twice).relativeSquaredError());
            else
                QVERIFY(once == twice);  // by value: mxint and fp4 round small negatives to -0, and -0 to +0
        }
        QVERIFY2(drift < 0.35, "even an exempt format stays near what it made");  // 2-bit formats lose most
    }

    // What another program makes of the arrays that stand for decode(). Values above 1e-8 have no exceptions.
    void decodingTableSaysWhatDecodeDoes_data() { everyFormat(); }
    void decodingTableSaysWhatDecodeDoes()
    {
        const auto quantizer = thisFormat();
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            const std::vector<float> x = sampleWeights(countOf(shape));
            const QuantizedWeight weight = quantizer->encode(x, shape);
            const DecodingTable table = quantizer->decodingTable(weight);
            QCOMPARE(table.levels.size(), quantizer->codeBits() < 32 ? std::size_t(1) << quantizer->codeBits() : 0);
            std::vector<float> y(x.size());
            quantizer->layout(shape).forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
                for (std::size_t i = first; i < first + length; ++i) {
                    const std::uint32_t code = unpackCode(weight.codes, quantizer->codeBits(), i);
                    float value = table.levels.empty() ? std::bit_cast<float>(code) : table.levels[code];
                    if (!table.zeros.empty())
                        value -= table.zeros[block];
                    if (!table.scales.empty())
                        value *= table.scales[block];
                    y[i] = value;
                }
            });
            QVERIFY(y == quantized(*quantizer, x, shape));  // by value: the sign of a zero is not in the arrays
        }
    }

    // The levels an element could have had are what decoding every code gives under its block's scale: the result is the nearest.
    void resultIsTheNearestLevel_data() { everyFormat(); }
    void resultIsTheNearestLevel()
    {
        const auto quantizer = thisFormat();
        const FormatSpec &spec = quantizer->spec();
        if (quantizer->codeBits() > 8)
            return;  // too many codes to try: fixed16, float16 and bfloat16 have tests of their own
        if (states(spec, "double_quant=true"))
            return; // codes are chosen by the exact scale and read with the quantized one; tst_normal_float bounds the difference
        for (const Shape &shape : shapes) {
            if (!fits(spec, shape))
                continue;
            const std::vector<float> x = sampleWeights(countOf(shape));
            const std::vector<float> y = quantized(*quantizer, x, shape);
            QuantizedWeight weight = quantizer->encode(x, shape);
            weight.offsets.resize(
                spec.name == "block_fp" || spec.name == "minifloat" ? 0 : weight.offsets.size()); // no exceptions

            std::vector<double> nearest(x.size(), std::numeric_limits<double>::infinity());
            std::vector<double> below(x.size(), 0.0), above(x.size(), 0.0);  // distance to the neighbours; 0: there is none
            std::vector<float> level(x.size());
            for (std::uint32_t code = 0; code < 1U << quantizer->codeBits(); ++code) {
                if (spec.name == "mxint8" && code == 0x80)
                    continue;  // -2 is left unused
                weight.codes = packCodes(std::vector<std::uint32_t>(x.size(), code), quantizer->codeBits());
                quantizer->decode(weight, level);
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const double distance = static_cast<double>(x[i]) - level[i];
                    nearest[i] = std::min(nearest[i], std::isnan(distance) ? nearest[i] : std::abs(distance));
                    double &side = distance > 0 ? below[i] : above[i];
                    if (std::abs(distance) > 0 && (side == 0 || std::abs(distance) < side))
                        side = std::abs(distance);
                }
            }
            for (std::size_t i = 0; i < x.size(); ++i) {
                const double error = std::abs(static_cast<double>(x[i]) - y[i]);
                // A few float32 roundings of x / scale, and block_fp's 1e-9, may decide between two levels that are equally far.
                double allowed = nearest[i] * (1 + 1e-5) + 1e-7 * std::abs(x[i]) + 1.1e-9;
                if (spec.name
                    == "minifloat") // never carries into the next binade, and rounds as asked: one of the two neighbours
                    allowed = std::max(below[i], above[i]) * (1 + 1e-5) + 1.1e-9;
                if (states(spec, "arithmetic=float16") || states(spec, "arithmetic=bfloat16"))
                    allowed += 0x1p-7 * std::abs(x[i]);  // x itself is rounded to the half type first
                QVERIFY2(error <= allowed, qPrintable(QString("%1 at %2: %3 became %4, nearest level is %5 away")
                                                          .arg(QString::fromStdString(toString(shape)))
                                                          .arg(i)
                                                          .arg(x[i])
                                                          .arg(y[i])
                                                          .arg(nearest[i])));
            }
        }
    }

    void statedBitsAreStoredBytes_data() { everyFormat(); }
    void statedBitsAreStoredBytes()
    {
        const auto quantizer = thisFormat();
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            const QuantizedWeight weight = quantizer->encode(sampleWeights(countOf(shape)), shape);
            const double stated = quantizer->bitsPerElement(shape) * static_cast<double>(countOf(shape));
            const double stored = 8.0 * static_cast<double>(weight.bytes());
            // Each of codes, scales and offsets may end with up to seven bits of padding.
            QVERIFY2(stored >= stated - 1e-6 && stored < stated + 3 * 8,
                qPrintable(QString("%1: stated %2 bits, stored %3")
                               .arg(QString::fromStdString(toString(shape)))
                               .arg(stated)
                               .arg(stored)));
        }
    }

    void decodedIsQuantizedBitByBit_data() { everyFormat(); }
    void decodedIsQuantizedBitByBit()
    {
        const auto quantizer = thisFormat();
        const bool half = quantizer->spec().name == "float16" || states(quantizer->spec(), "arithmetic=float16");
        for (const Shape &shape : shapes) {
            if (!fits(quantizer->spec(), shape))
                continue;
            std::vector<float> x = sampleWeights(countOf(shape));
            for (int pass = 0; pass < 2; ++pass) {
                std::vector<float> decoded(x.size());
                quantizer->decode(quantizer->encode(x, shape), decoded);
                QCOMPARE(firstDifference(quantized(*quantizer, x, shape), decoded), -1);
                // Then with magnitudes far apart, subnormals and values the papers' formats pass through.
                for (std::size_t i = 0; i < x.size(); i += 3)
                    x[i] = std::ldexp(x[i], half ? static_cast<int>(i % 31) - 20 : static_cast<int>(i % 151) - 140);
            }
        }
    }

    void inPlaceIsTheSame_data() { everyFormat(); }
    void inPlaceIsTheSame()
    {
        const auto quantizer = thisFormat();
        const Shape shape{33, 48};
        std::vector<float> values = sampleWeights(countOf(shape));
        const std::vector<float> apart = quantized(*quantizer, values, shape);
        quantizer->quantize(values, shape, values);
        QCOMPARE(firstDifference(values, apart), -1);
    }

    void bandsOfRowsGiveTheWhole_data() { everyFormat(); }
    void bandsOfRowsGiveTheWhole()
    {
        const auto quantizer = thisFormat();
        for (const Shape &shape : {Shape{33, 48}, Shape{50, 3}, Shape{7, 100}, Shape{100}, Shape{4, 6, 40}}) {
            if (!fits(quantizer->spec(), shape))
                continue;
            const std::vector<float> x = sampleWeights(countOf(shape));
            const std::vector<float> whole = quantized(*quantizer, x, shape);
            const std::int64_t band = quantizer->rowGranularity(shape);
            QVERIFY(band >= 1 && band <= shape[0]);
            const std::size_t perRow = x.size() / static_cast<std::size_t>(shape[0]);
            std::vector<float> banded(x.size());
            for (std::int64_t row = 0; row < shape[0]; row += band) {
                Shape part = shape;
                part[0] = std::min(band, shape[0] - row);
                const std::size_t first = static_cast<std::size_t>(row) * perRow,
                                  length = static_cast<std::size_t>(part[0]) * perRow;
                quantizer->quantize(std::span(x).subspan(first, length), part, std::span(banded).subspan(first, length));
            }
            QCOMPARE(firstDifference(whole, banded), -1);
        }
    }

    void raggedLastBlockIsLikeZerosBehindIt_data() { everyFormat(); }
    void raggedLastBlockIsLikeZerosBehindIt()
    {
        // Appending zeros to a one-dimensional array changes nothing before them, except for formats whose one scale is a
        // statistic of all values.
        const auto quantizer = thisFormat();
        const FormatSpec &spec = quantizer->spec();
        if (states(spec, "table=uniform") || states(spec, "double_quant=true") || states(spec, "is_affine=true")
            || !fits(spec, {1}))
            return;
        const std::vector<float> x = sampleWeights(50);
        std::vector<float> padded = x;
        padded.resize(512);
        std::vector<float> y = quantized(*quantizer, padded, {512});
        y.resize(x.size());
        QCOMPARE(firstDifference(quantized(*quantizer, x, {50}), y), -1);
    }

    void nanAndInfinityAreErrorsWithTheirPlace_data() { everyFormat(); }
    void nanAndInfinityAreErrorsWithTheirPlace()
    {
        const auto quantizer = thisFormat();
        const Shape shape{7, 100};
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()}) {
            std::vector<float> x = sampleWeights(countOf(shape));
            x[437] = bad;
            std::vector<float> y(x.size());
            ErrorCode code = ErrorCode::Io;
            const std::string byQuantize = errorOf([&] { quantizer->quantize(x, shape, y); }, &code);
            const std::string byEncode = errorOf([&] { quantizer->encode(x, shape); });
            if (quantizer->spec().isPassthrough()) {
                QVERIFY(byQuantize.empty() && byEncode.empty());
                continue;
            }
            QVERIFY(code == ErrorCode::Numeric);
            QVERIFY2(byQuantize.find("437") != std::string::npos, byQuantize.c_str());
            QCOMPARE(byEncode, byQuantize);
        }
    }

    void hugeValuesAreFiniteOrAnError_data() { everyFormat(); }
    void hugeValuesAreFiniteOrAnError()
    {
        const auto quantizer = thisFormat();
        const Shape shape{4, 64};
        for (const float scale : {1e38F, 3.4e38F}) {
            std::vector<float> x = sampleWeights(countOf(shape));
            float largest = 0;
            for (const float v : x)
                largest = std::max(largest, std::fabs(v));
            for (float &v : x)
                v = v / largest * scale;
            std::vector<float> y(x.size());
            if (errorOf([&] { quantizer->quantize(x, shape, y); }).empty())
                QVERIFY(std::ranges::all_of(y, [](float v) { return std::isfinite(v); }));
        }
    }

    void exponentHabitChangesTheSharedExponentOnly_data() { everyFormat(); }
    void exponentHabitChangesTheSharedExponentOnly()
    {
        const auto quantizer = thisFormat();
        const Shape shape{7, 100};
        const std::string &name = quantizer->spec().name;
        const double stated = quantizer->bitsPerElement(shape), habit = quantizer->bitsPerElement(shape, 4);
        const bool shared = name == "mxint" || name == "block_fp" || name.starts_with("mxfp") || name == "mxint8";
        if (!shared || (name == "block_fp" && std::get<std::int64_t>(quantizer->spec().parameters.at("exponent_width")) <= 4))
            QVERIFY(habit >= stated);
        else
            QVERIFY(habit < stated);
        if (!shared)
            QCOMPARE(habit, stated);
    }

    void wrongSizedStorageIsAnError_data() { everyFormat(); }
    void wrongSizedStorageIsAnError()
    {
        const auto quantizer = thisFormat();
        const Shape shape{7, 100};
        std::vector<float> y(countOf(shape));
        const QuantizedWeight good = quantizer->encode(sampleWeights(y.size()), shape);
        for (auto member : {&QuantizedWeight::codes, &QuantizedWeight::scales, &QuantizedWeight::offsets}) {
            QuantizedWeight bad = good;
            (bad.*member).push_back(0);
            ErrorCode code = ErrorCode::Io;
            QVERIFY(!errorOf([&] { quantizer->decode(bad, y); }, &code).empty());
            QVERIFY(code == ErrorCode::Shape);
        }
    }

    void emptyArraysAreFine_data() { everyFormat(); }
    void emptyArraysAreFine()
    {
        const auto quantizer = thisFormat();
        for (const Shape &shape : {Shape{0, 64}, Shape{3, 0}}) {
            std::vector<float> nothing;
            quantizer->quantize(nothing, shape, nothing);
            quantizer->decode(quantizer->encode(nothing, shape), nothing);
            QVERIFY(std::isfinite(quantizer->bitsPerElement(shape)));
            QVERIFY(quantizer->rowGranularity(shape) >= 1);
        }
    }

    void otherRanksAreRefused_data() { everyFormat(); }
    void otherRanksAreRefused()
    {
        const auto quantizer = thisFormat();
        std::vector<float> x(16);
        QVERIFY(!errorOf([&] { quantizer->quantize(x, {2, 2, 2, 2}, x); }).empty());
        QVERIFY(!errorOf([&] { quantizer->quantize(std::span(x).first(1), {}, std::span(x).first(1)); }).empty());
    }
};

QTEST_GUILESS_MAIN(TestQuantizerLaws)
#include "tst_quantizer_laws.moc"
