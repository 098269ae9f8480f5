// SPDX-License-Identifier: Apache-2.0
#include <QTest>
#include <algorithm>
#include <bit>
#include <cmath>

#include "core/quant/bit_packing.h"
#include "core/quant/formats/lookup_codec.h"
#include "core/quant/formats/normal_float.h"
#include "tests/quant/sample_weights.h"

using namespace lqer;
using namespace lqer::test;

namespace {

float largestOf(std::span<const float> x)
{
    float largest = 0;
    for (const float v : x)
        largest = std::max(largest, std::fabs(v));
    return largest;
}

}  // namespace

class TestNormalFloat : public QObject
{
    Q_OBJECT

private slots:
    void nf4IsBitsandbytesTable()
    {
        // The published float32 literals.
        const std::vector<float> known = {-1.0F,
                                          -0.6961928009986877F,
                                          -0.5250730514526367F,
                                          -0.39491748809814453F,
                                          -0.28444138169288635F,
                                          -0.18477343022823334F,
                                          -0.09105003625154495F,
                                          0.0F,
                                          0.07958029955625534F,
                                          0.16093020141124725F,
                                          0.24611230194568634F,
                                          0.33791524171829224F,
                                          0.44070982933044434F,
                                          0.5626170039176941F,
                                          0.7229568362236023F,
                                          1.0F};
        QCOMPARE(normalFloatTable(4), known);
    }

    void tablesAreAscendingWithOneZero()
    {
        for (int bits = 2; bits <= 8; ++bits) {
            const std::vector<float> table = normalFloatTable(bits);
            QCOMPARE(table.size(), std::size_t(1) << bits);
            QVERIFY(std::ranges::is_sorted(table) && std::ranges::adjacent_find(table) == table.end());
            QCOMPARE(table[table.size() / 2 - 1], 0.0F);  // one value fewer on the negative side
            QCOMPARE(table.back(), 1.0F);
            QCOMPARE(table.front(), -1.0F);
        }
        // In float32 steps of 2/3 from either end.
        QCOMPARE(uniformTable(2), (std::vector<float>{-1.0F, -1.0F + 2.0F / 3, 1.0F - 2.0F / 3, 1.0F}));
    }

    // argmin |v - table|, first on ties, by trying every level.
    void argminIsTheNearestLevel_data()
    {
        QTest::addColumn<int>("bits");
        for (const int bits : {2, 3, 4, 8})
            QTest::addRow("%d bits", bits) << bits;
    }
    void argminIsTheNearestLevel()
    {
        QFETCH(int, bits);
        const std::vector<float> table = normalFloatTable(bits);
        const auto quantizer = makeQuantizer(FormatSpec::parse("normalfloat:kernel=argmin,num_bits=" + std::to_string(bits)));
        std::vector<float> x = sampleWeights(64 * 30);
        // One block of midpoints and their neighbours, scaled by 1.
        std::fill(x.begin(), x.begin() + 64, 0.0F);
        x[0] = 1.0F;
        for (std::size_t i = 0; i + 1 < table.size() && 3 * i + 3 < 64; ++i) {
            const float middle = (table[i] + table[i + 1]) / 2;
            x[3 * i + 1] = middle;
            x[3 * i + 2] = std::nextafter(middle, 2.0F);
            x[3 * i + 3] = std::nextafter(middle, -2.0F);
        }
        const QuantizedWeight weight = quantizer->encode(x, {30, 64});
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float scale = largestOf(std::span(x).subspan(i / 64 * 64, 64));
            const float v = x[i] / scale;
            std::size_t best = 0;
            for (std::size_t level = 1; level < table.size(); ++level)
                if (std::fabs(v - table[level]) < std::fabs(v - table[best]))
                    best = level;
            QCOMPARE(static_cast<std::size_t>(unpackCode(weight.codes, bits, i)), best);
        }
    }

    void kernelAndArgminDifferAtTiesOnly()
    {
        const std::vector<float> x = sampleWeights(64 * 300);
        const std::vector<float> bnb = quantized(*makeQuantizer(FormatSpec::parse("nf4")), x, {300, 64});
        const std::vector<float> argmin = quantized(*makeQuantizer(FormatSpec::parse("nf4:kernel=argmin")), x, {300, 64});
        for (std::size_t i = 0; i < x.size(); ++i)
            QVERIFY(bnb[i] == argmin[i]
                || std::fabs(std::fabs(x[i] - bnb[i]) - std::fabs(x[i] - argmin[i]))
                    <= 1e-6F * largestOf(std::span(x).subspan(i / 64 * 64, 64)));
    }

    void blocksStraddleRows()
    {
        const std::vector<float> x = sampleWeights(7 * 100);
        const auto quantizer = makeQuantizer(FormatSpec::parse("nf4"));
        QCOMPARE(quantized(*quantizer, x, {7, 100}), quantized(*quantizer, x, {700}));
        QCOMPARE(quantizer->encode(x, {7, 100}).scales.size(), 11 * sizeof(float));  // the last block has 60 elements
        QCOMPARE(quantizer->rowGranularity({7, 100}), std::int64_t(7));
        QCOMPARE(quantizer->rowGranularity({64, 100}), std::int64_t(16));
        QCOMPARE(quantizer->rowGranularity({64, 128}), std::int64_t(1));
    }

    void uniformScaleIsMeanPlusDeviations()
    {
        // Mean 0.25, unbiased variance (4 * 0.75^2 + 4 * 0.25^2 + ...) by hand: values 1, 0, 0, 0.
        const std::vector<float> x = {1.0F, 0.0F, 0.0F, 0.0F};
        const auto quantizer = makeQuantizer(FormatSpec::parse("normalfloat:table=uniform,num_bits=2,block_size=4"));
        const QuantizedWeight weight = quantizer->encode(x, {4});
        QCOMPARE(floatAt(weight.scales, 0), 0.25F + 2.5F * 0.5F);
        // 1 / 1.5 is as far from 1/3 as from 1, up to rounding; 0 goes to the lower of -1/3 and 1/3.
        QCOMPARE(unpackCode(weight.codes, 2, 1), 1U);
    }

    void fp4LevelsAndCodes()
    {
        // v = x since the largest is 1; thresholds are strict.
        const std::vector<float> x = {1.0F, -1.0F, 0.6F, 0.4166667F, 0.35F, 0.21F, -0.1F, 0.01F, 0.002F, -0.002F, 0.0F, 0.9F};
        const std::vector<std::uint32_t> codes = {3, 11, 2, 4, 4, 7, 14, 1, 0, 8, 0, 3};
        const auto quantizer = makeQuantizer(FormatSpec::parse("fp4"));
        const QuantizedWeight weight = quantizer->encode(x, {12});
        for (std::size_t i = 0; i < x.size(); ++i)
            QCOMPARE(unpackCode(weight.codes, 4, i), codes[i]);
        const std::vector<float> y = quantized(*quantizer, x, {12});
        QCOMPARE(y[4], 0.33333333F);
        QCOMPARE(y[6], -0.16666667F);
        QVERIFY(std::signbit(y[9]) && y[9] == 0);
    }

    void doubleQuantizationKeepsScalesNear()
    {
        std::vector<float> scales(1000);
        const std::vector<float> random = sampleWeights(scales.size());
        for (std::size_t i = 0; i < scales.size(); ++i)
            scales[i] = 0.05F + 0.2F * std::fabs(random[i]);
        const QuantizedScales quantized = QuantizedScales::of(scales);
        QCOMPARE(quantized.codes.size(), scales.size());
        QCOMPARE(quantized.absmax.size(), std::size_t(4));
        for (std::size_t i = 0; i < scales.size(); ++i) {
            // The map's steps are at most 1/64 * 0.9 of the largest deviation; half a step is the error.
            const float largest = quantized.absmax[i / 256];
            QVERIFY(std::fabs(quantized.value(i) - scales[i]) <= 0.9F / 64 / 2 * largest + 1e-7F);
        }
        // Equal scales have no deviation: the mean alone.
        const QuantizedScales same = QuantizedScales::of(std::vector<float>(300, 0.5F));
        QCOMPARE(same.value(299), 0.5F);
    }

    void doubleQuantizationChangesTheWeightsLittle()
    {
        const std::vector<float> x = sampleWeights(64 * 600);
        const std::vector<float> plain = quantized(*makeQuantizer(FormatSpec::parse("nf4")), x, {600, 64});
        const std::vector<float> doubled = quantized(*makeQuantizer(FormatSpec::parse("nf4-dq")), x, {600, 64});
        double error = 0, energy = 0, change = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            error += std::pow(x[i] - plain[i], 2);
            change += std::pow(doubled[i] - plain[i], 2);
            energy += std::pow(x[i], 2);
        }
        QVERIFY(change < 0.05 * error && change > 0);
        QVERIFY(error < 0.02 * energy);
    }

    void linspaceEndsWhereItShould()
    {
        for (const int steps : {2, 5, 17, 128, 129}) {
            const std::vector<float> values = torchLinspace(-1.0F, 2.0F, steps);
            QCOMPARE(values.size(), static_cast<std::size_t>(steps));
            QCOMPARE(values.front(), -1.0F);
            for (int i = 0; i < steps; ++i)
                QVERIFY(std::fabs(values[static_cast<std::size_t>(i)] - (-1.0 + 3.0 * i / (steps - 1))) < 1e-6);
        }
    }
};

QTEST_GUILESS_MAIN(TestNormalFloat)
#include "tst_normal_float.moc"
