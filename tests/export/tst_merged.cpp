// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "tests/export/foreign_reader.h"
#include "tests/export/sample_export.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

class TestMerged : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }

    void mergedModelSaysWhatTheCorrectedOneSays_data()
    {
        QTest::addColumn<QString>("model");
        for (const QString &model : sampleModels())
            QTest::newRow(qPrintable(model)) << model;
    }
    // In float32 the two differ by the order of the sums alone: 2e-6 of a loss of about 5.
    void mergedModelSaysWhatTheCorrectedOneSays()
    {
        QFETCH(QString, model);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder(model, place.path().toStdString());
        const auto sites = Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
        const SampleExport sample(folder, place.path().toStdString(), mixedRanks("mxint:width=3,block_size=16", sites));
        const auto windows = sample.windows(3, 7);
        EvaluateOptions options;
        options.originalPerplexity = options.layerErrors = false;
        const auto corrected = sample.engine().evaluate(sample.model(), sample.project(), sample.recipe(), *windows, options, sample.engine().context());

        const std::string merged = sample.write("merged", "merged", {{"dtype", std::string("f32")}, {"shard_size", std::int64_t(1)}});
        const auto loaded = sample.engine().load(merged, sample.engine().context());
        const auto measured = sample.engine().evaluateOriginal(*loaded, *windows, options, sample.engine().context());
        const double expected = corrected->perplexity->meanNll, found = measured->perplexity->meanNll;
        QVERIFY2(std::abs(found - expected) <= 1e-5, qPrintable(QString("%1 %2").arg(expected, 0, 'g', 12).arg(found, 0, 'g', 12)));
        QCOMPARE(loaded->summary().tiedEmbeddings, sample.model().summary().tiedEmbeddings);
        QCOMPARE(loaded->summary().hasTokenizer, sample.model().summary().hasTokenizer);
        QVERIFY(verifyExport(merged, {}).empty());
    }

    void everyTypeHoldsTheRoundedSum_data()
    {
        QTest::addColumn<QString>("dtype");
        QTest::addColumn<QString>("stored");
        QTest::newRow("bf16") << "bf16" << "BF16";
        QTest::newRow("f16") << "f16" << "F16";
        QTest::newRow("f32") << "f32" << "F32";
        QTest::newRow("checkpoint") << "checkpoint" << "BF16";
    }
    void everyTypeHoldsTheRoundedSum()
    {
        QFETCH(QString, dtype);
        QFETCH(QString, stored);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        const auto sites = Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
        const SampleExport sample(folder, place.path().toStdString(), mixedRanks("nf4", sites));
        const QString merged = QString::fromStdString(sample.write("merged", "merged", {{"dtype", dtype.toStdString()}}));
        const ForeignTensors tensors = readForeignCheckpoint(merged);
        const double unit = stored == "BF16" ? 0x1p-8 : stored == "F16" ? 0x1p-11 : 0x1p-24;  // largest relative rounding error
        for (const LinearSite &site : sites) {
            const ForeignTensor &tensor = tensors.at(site.name + ".weight");
            QCOMPARE(tensor.dtype, stored);
            MatrixF64 expected = sample.quantized(site).cast<double>();
            if (const LayerPlan plan = sample.plan(site); plan.quantize && plan.rank > 0) {
                const LowRankCorrection ab = sample.correction(site);
                expected += (ab.a.cast<double>() * ab.b.cast<double>()).transpose();
            }
            // 0x1p-25: half the distance of float16's smallest numbers.
            const MatrixF64 error = (tensor.matrix().cast<double>() - expected).cwiseAbs();
            QVERIFY((error.array() <= expected.array().abs() * unit * 1.001 + 0x1p-25).all());
        }
        QCOMPARE(readJson(merged + "/config.json")["torch_dtype"].toString(), stored == "BF16" ? "bfloat16" : stored == "F16" ? "float16" : "float32");
    }
};

QTEST_GUILESS_MAIN(TestMerged)
#include "tst_merged.moc"
