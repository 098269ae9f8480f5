// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "core/export/adapter.h"
#include "core/export/checkpoint_files.h"
#include "tests/export/foreign_reader.h"
#include "tests/export/sample_export.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

class TestPeft : public QObject {
    Q_OBJECT
private:
    static SampleExport sampleOf(const QString &model, const std::string &place, const std::string &format)
    {
        const std::string folder = sampleModelFolder(model, place);
        return {folder, place, mixedRanks(format, Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites())};
    }

private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }

    void baseAndAdapterReadBackBitByBit_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("format");
        QTest::addColumn<QString>("adapter");
        for (const QString &model : sampleModels())
            QTest::newRow(qPrintable(model)) << model << "mxint4" << "exact";
        for (const char *format : {"bfp4", "nf4", "int4-g32", "mxfp4", "nvfp4", "mxint8", "minifloat", "float16"})
            QTest::newRow(format) << "random" << format << "exact";
        QTest::newRow("f32 adapter") << "random" << "mxint3" << "f32";
        QTest::newRow("bf16 adapter") << "random" << "mxint3" << "bf16";
    }
    void baseAndAdapterReadBackBitByBit()
    {
        QFETCH(QString, model);
        QFETCH(QString, format);
        QFETCH(QString, adapter);
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf(model, place.path().toStdString(), format.toStdString());
        const QString folder = QString::fromStdString(sample.write("peft", "peft", {{"adapter_dtype", adapter.toStdString()}}));
        const ForeignTensors base = readForeignCheckpoint(folder + "/base");
        const PeftReader peft(folder + "/adapter");
        std::size_t corrected = 0;
        for (const LinearSite &site : sample.sites()) {
            const Matrix stored = base.at(site.name + ".weight").matrix();
            QVERIFY2(sameValues(site.storedTransposed ? Matrix(stored.transpose()) : stored, sample.quantized(site)), site.name.c_str());
            QCOMPARE(peft.config()["fan_in_fan_out"].toBool(), site.storedTransposed);
            const LayerPlan plan = sample.plan(site);
            QCOMPARE(peft.targets(site.name), plan.quantize && plan.rank > 0);
            if (!peft.targets(site.name))
                continue;
            ++corrected;
            const LowRankCorrection expected = sample.correction(site);
            QCOMPARE(peft.rank(site.name), static_cast<int>(plan.rank));
            QCOMPARE(peft.scaling(site.name), 1.0);
            QVERIFY2(sameValues(peft.a(site.name), expected.a) && sameValues(peft.b(site.name), expected.b), site.name.c_str());
        }
        QCOMPARE(peft.tensorCount(), 2 * corrected);
        // What is no linear layer is as it was.
        for (const CheckpointEntry &entry : checkpointEntries(sample.model().transformer())) {
            if (entry.site || !entry.isParameter)
                continue;
            const Tensor original = sample.model().checkpoint().read(entry.stored);
            std::vector<float> values(static_cast<std::size_t>(original.elements()));
            original.copyTo(std::span(values));
            QVERIFY2(base.at(entry.name).values() == values, entry.name.c_str());
        }
        QVERIFY(!readJson(folder + "/base/config.json").contains("quantization_config"));
    }

    // What the second reader makes of base and adapter, written down as a checkpoint, says what our corrected model says.
    void mergedByTheReaderItSaysTheSame_data()
    {
        QTest::addColumn<QString>("model");
        for (const QString &model : sampleModels())
            QTest::newRow(qPrintable(model)) << model;
    }
    void mergedByTheReaderItSaysTheSame()
    {
        QFETCH(QString, model);
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf(model, place.path().toStdString(), "mxint3");
        const QString folder = QString::fromStdString(sample.write("peft", "peft"));
        const PeftReader peft(folder + "/adapter");
        std::vector<std::pair<std::string, Tensor>> merged;
        for (const auto &[name, tensor] : readForeignCheckpoint(folder + "/base")) {
            const QString tensorName = QString::fromStdString(name);
            const std::string module = name.substr(0, name.rfind('.'));
            if (tensorName.endsWith(".weight") && peft.targets(module)) {
                Matrix weight = tensor.matrix();
                const Matrix delta = static_cast<float>(peft.scaling(module)) * (peft.a(module) * peft.b(module));
                // (in, out) for Conv1D, else (out, in)
                weight += peft.config()["fan_in_fan_out"].toBool() ? delta : Matrix(delta.transpose());
                merged.emplace_back(name, Tensor::fromMatrix(weight));
            } else if (tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16") {
                merged.emplace_back(name, Tensor::fromValues(DType::F32, tensor.shape, tensor.values()));
            }
        }
        const QString plain = folder + "/merged";
        QVERIFY(QDir().mkpath(plain));
        QVERIFY(QFile::copy(folder + "/base/config.json", plain + "/config.json"));
        writeSafetensors(plain.toStdString() + "/model.safetensors", merged);
        const auto windows = sample.windows(3, 11);
        EvaluateOptions options;
        options.originalPerplexity = options.layerErrors = false;
        options.perplexity.keepLogProbabilities = true;
        const auto context = sample.engine().context();
        const auto expected = sample.engine().evaluate(sample.model(), sample.project(), sample.recipe(), *windows, options, context);
        const auto found = sample.engine().evaluateOriginal(*sample.engine().load(plain.toStdString(), context), *windows, options, context);
        // Sums in another order: float32 rounding through a few layers, on log-probabilities of up to about ten.
        for (std::size_t w = 0; w < windows->windows.size(); ++w)
            for (std::size_t t = 0; t < expected->perplexity->logProbabilities[w].size(); ++t)
                QVERIFY(std::abs(expected->perplexity->logProbabilities[w][t] - found->perplexity->logProbabilities[w][t]) < 2e-4F);
    }

    void halfPrecisionAdapterHoldsTheProduct()
    {
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf("random", place.path().toStdString(), "mxint3");
        const QString folder = QString::fromStdString(sample.write("peft", "peft", {{"adapter_dtype", std::string("f16")}}));
        const PeftReader peft(folder + "/adapter");
        for (const LinearSite &site : sample.sites()) {
            if (!peft.targets(site.name))
                continue;
            const LowRankCorrection expected = sample.correction(site);
            const Matrix product = expected.a * expected.b, found = peft.a(site.name) * peft.b(site.name);
            // Elements have 7 bits, so float16 rounds only what became subnormal: 2^-25 against factors around 1.
            QVERIFY((found - product).cwiseAbs().maxCoeff() <= 1e-5F * product.cwiseAbs().maxCoeff());
            const float a = peft.a(site.name).cwiseAbs().maxCoeff(), b = peft.b(site.name).cwiseAbs().maxCoeff();
            QVERIFY2(a / b < 16 && b / a < 16, site.name.c_str());
        }
    }

    void narrowestExactTypeIsChosen_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("format");
        QTest::addColumn<QString>("dtype");
        QTest::newRow("bf16 model, mxint4") << "random" << "mxint4" << "bfloat16";
        QTest::newRow("bf16 model, mxfp4") << "random" << "mxfp4" << "bfloat16";
        QTest::newRow("bf16 model, float16 scales") << "random" << "int4-g32" << "float32";
        QTest::newRow("bf16 model, nf4") << "random" << "nf4" << "float32";
        QTest::newRow("bf16 model, float16") << "random" << "float16" << "float32";
        QTest::newRow("bf16 model, bfloat16") << "random" << "bfloat16" << "bfloat16";
        QTest::newRow("wide block floats") << "random" << "block_fp:width=12" << "float32";
    }
    void narrowestExactTypeIsChosen()
    {
        QFETCH(QString, model);
        QFETCH(QString, format);
        QFETCH(QString, dtype);
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf(model, place.path().toStdString(), format.toStdString());
        const QString folder = QString::fromStdString(sample.write("peft", "peft"));
        QCOMPARE(readJson(folder + "/base/config.json")["torch_dtype"].toString(), dtype);
    }

    void roundingIsSaidBefore()
    {
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf("random", place.path().toStdString(), "nf4");
        const auto warns = [&](ExportOptions options, const std::string &option) {
            const auto problems = sample.forecast("peft", std::move(options)).problems;
            return std::ranges::any_of(problems, [&](const ExportProblem &problem) { return problem.place == option; });
        };
        QVERIFY(!warns({}, "option 'base_dtype'"));
        QVERIFY(warns({{"base_dtype", std::string("bf16")}}, "option 'base_dtype'"));
        QVERIFY(!warns({{"base_dtype", std::string("f32")}}, "option 'base_dtype'"));
        QVERIFY(warns({{"adapter_dtype", std::string("f16")}}, "option 'adapter_dtype'"));
    }

    void vllmOffersTheNextRank()
    {
        QCOMPARE(vllmMaxRank(1), Index(1));
        QCOMPARE(vllmMaxRank(9), Index(16));
        QCOMPARE(vllmMaxRank(257), Index(320));
        QCOMPARE(vllmMaxRank(512), Index(512));
        QCOMPARE(vllmMaxRank(513), Index(0));
    }
};

QTEST_GUILESS_MAIN(TestPeft)
#include "tst_peft.moc"
