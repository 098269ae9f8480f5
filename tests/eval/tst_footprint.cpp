// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <random>

#include <QtTest>

#include "core/eval/footprint.h"
#include "core/quant/quantizer.h"
#include "core/recipe/quantization_recipe.h"
#include "tests/eval/scored_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

LinearSite layerOf(std::int64_t in, std::int64_t out)
{
    LinearSite site;
    site.name = "l";
    site.in = in;
    site.out = out;
    return site;
}

LayerPlan planOf(const std::string &weight, const std::string &factor, Index rank)
{
    LayerPlan plan;
    plan.formats.weight = FormatSpec::parse(weight);
    plan.formats.a = plan.formats.b = FormatSpec::parse(factor);
    plan.rank = rank;
    return plan;
}

std::uint64_t encodedBytes(const FormatSpec &format, Index rows, Index cols)
{
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    const Matrix values = Matrix::NullaryExpr(rows, cols, [&] { return normal(random); });
    return makeQuantizer(format)->encode({values.data(), static_cast<std::size_t>(values.size())}, {rows, cols}).bytes();
}

bool near(double found, double expected, double absolute)
{
    return std::abs(found - expected) <= absolute;
}

}  // namespace

class TestFootprint : public QObject {
    Q_OBJECT

private slots:
    // What is stated is what encode() stores, ragged blocks included. Each of an encoding's arrays ends on a whole byte, so two
    // arrays may need a byte more than their bits.
    void bytesAreThoseOfTheEncodedArrays_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        for (const char *format : {"mxint:width=4,block_size=32", "mxint:width=3,block_size=16",
                                   "block_fp:width=4,block_size=1x16", "block_fp:width=5,block_size=4x8",
                                   "integer:n_bits=4,group_size=16", "nf4", "minifloat:width=8", "mxfp4", "nvfp4", "fixed8"}) {
            QTest::addRow("%s, even", format) << format << 64 << 32;
            QTest::addRow("%s, ragged", format) << format << 43 << 19;
        }
    }
    void bytesAreThoseOfTheEncodedArrays()
    {
        QFETCH(QString, format);
        QFETCH(int, in);
        QFETCH(int, out);
        const LayerPlan plan = planOf(format.toStdString(), "mxint:width=8,block_size=16", 5);
        const LayerFootprint layer = layerFootprint(layerOf(in, out), plan, 4000, 0);
        const std::uint64_t weight = encodedBytes(plan.formats.weight, out, in);
        const std::uint64_t factors = encodedBytes(plan.formats.a, in, 5) + encodedBytes(plan.formats.b, 5, out);
        QVERIFY2(layer.weightBytes <= weight && weight - layer.weightBytes <= 1,
                 qPrintable(QString("%1 stated, %2 stored").arg(layer.weightBytes).arg(weight)));
        QVERIFY(layer.correctionBytes <= factors && factors - layer.correctionBytes <= 2);
        QCOMPARE(layer.bytes(), layer.weightBytes + layer.correctionBytes);
        QCOMPARE(layer.originalBytes, std::uint64_t(4000));
        if (in % 32 == 0)
            QCOMPARE(layer.weightBytes, weight);
    }

    // published-results.md, section 2, Llama-2-7b: (m n b_W + k (m + n) b_AB) / (m n + k (m + n)) with 8-bit and 4-bit exponents.
    void averageBitsAreThoseOfTheSheet_data()
    {
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::addColumn<double>("stored");
        QTest::addColumn<double>("paper");
        QTest::newRow("llama-2-7b, hidden x intermediate") << 4096 << 11008 << 4.5424 << 4.2924;
        QTest::newRow("llama-2-7b, hidden x hidden") << 4096 << 4096 << 4.5615 << 4.3115;
        QTest::newRow("opt-125m, hidden x hidden") << 768 << 768 << 4.8077 << 4.5577;
    }
    void averageBitsAreThoseOfTheSheet()
    {
        QFETCH(int, in);
        QFETCH(int, out);
        QFETCH(double, stored);
        QFETCH(double, paper);
        const LayerPlan plan = planOf("block_fp:width=4,block_size=1x16", "block_fp:width=8,block_size=1x16", 32);
        const LayerFootprint layer = layerFootprint(layerOf(in, out), plan, 0, 0);
        QVERIFY(near(layer.stored.perStoredNumber, stored, 5e-5));  // the sheet has four decimals
        QVERIFY(near(layer.paper.perStoredNumber, paper, 5e-5));
        QVERIFY(near(layer.stored.weights, 4.5, 1e-12) && near(layer.paper.weights, 4.25, 1e-12));
        const double factors = 32.0 * (in + out) * 8.5 / (1.0 * in * out);
        QVERIFY(near(layer.stored.withCorrection, 4.5 + factors, 1e-12));
    }

    void aLayerThatIsNotQuantizedKeepsItsBytes()
    {
        LinearSite site = layerOf(8, 4);
        site.hasBias = true;
        LayerPlan plan = planOf("mxint:width=4,block_size=8", "passthrough", 2);
        plan.formats.bias = FormatSpec::parse("mxint:width=8,block_size=4");
        const LayerFootprint quantized = layerFootprint(site, plan, 64, 8);
        QCOMPARE(quantized.weightBytes, std::uint64_t(8 * 4 / 2 + 4));  // 4 bits each and an exponent per row
        QCOMPARE(quantized.biasBytes, std::uint64_t(5));
        QCOMPARE(quantized.correctionBytes, std::uint64_t(2 * 12 * 4));
        plan.quantize = false;
        const LayerFootprint kept = layerFootprint(site, plan, 64, 8);
        QVERIFY(!kept.quantized && kept.rank == 0 && kept.bytes() == 72 && kept.originalBytes == 72);
        QVERIFY(kept.stored.weights == 16 && kept.paper.withCorrection == 16);  // 16 bits in the checkpoint
    }

    void theWholeModelAddsUp()
    {
        const test::ScoredModel small;
        const Transformer &model = small.model();
        QuantizationRecipe recipe;
        recipe.defaults = {};
        recipe.defaults.weight = FormatSpec::parse("mxint:width=4,block_size=16");
        recipe.defaults.rank = 4;
        recipe.layers["model.layers.1.mlp.down_proj"].quantize = false;
        const Footprint footprint = lqer::footprint(model, recipe.planFor(model.linearSites()));

        const std::int64_t perBlock = 32 * 32 * 2 + 16 * 32 * 2 + 48 * 32 * 3;
        const std::int64_t rest = 2 * 61 * 32 + 5 * 32;
        QCOMPARE(footprint.layers.size(), std::size_t(14));
        QCOMPARE(footprint.linearWeights, 2 * perBlock);
        QCOMPARE(footprint.parameters, 2 * perBlock + rest);
        QCOMPARE(footprint.originalBytes, std::uint64_t(4 * (2 * perBlock + rest)));
        QCOMPARE(footprint.restBytes, std::uint64_t(4 * rest));
        std::uint64_t sum = footprint.restBytes;
        double bits = 0;
        for (const LayerFootprint &layer : footprint.layers) {
            sum += layer.bytes();
            bits += layer.stored.withCorrection * static_cast<double>(layer.in * layer.out);
        }
        QCOMPARE(footprint.bytes, sum);
        QVERIFY(footprint.bytes < footprint.originalBytes);
        QVERIFY(near(footprint.stored.withCorrection, bits / static_cast<double>(footprint.linearWeights), 1e-9));
        QVERIFY(
            near(footprint.wholeModelBits, 8.0 * static_cast<double>(sum) / static_cast<double>(footprint.parameters), 1e-12));
        QVERIFY(footprint.paper.weights < footprint.stored.weights);
        QVERIFY(!footprint.layers.back().quantized);
        QCOMPARE(lqer::footprint(model, {}).bytes, footprint.originalBytes);
        const Json json = footprint.toJson();
        QCOMPARE(Footprint::fromJson(JsonReader(json, "f")).bytes, footprint.bytes);
        QVERIFY(Footprint::fromJson(JsonReader(json, "f")) == footprint);
    }
};

QTEST_GUILESS_MAIN(TestFootprint)
#include "tst_footprint.moc"
