// SPDX-License-Identifier: Apache-2.0
// compressed-tensors and GPTQ, unpacked again by a reader of its own.
#include <QRegularExpression>
#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "tests/export/foreign_reader.h"
#include "tests/export/sample_export.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

class TestPacked : public QObject {
    Q_OBJECT
private:
    static std::vector<LinearSite> sitesOf(const std::string &folder)
    {
        return Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
    }
    static void compare(const SampleExport &sample, const QString &folder, float relative)
    {
        const PackedReader base(folder + "/base");
        const PeftReader peft(folder + "/adapter");
        for (const LinearSite &site : sample.sites()) {
            const Matrix expected = sample.quantized(site);
            Matrix found = base.weight(site.name);
            if (site.storedTransposed && !sample.plan(site).quantize)
                found = Matrix(found.transpose());  // still a Conv1D
            if (relative == 0)
                QVERIFY2(sameValues(found, expected), site.name.c_str());
            else
                QVERIFY2(((found - expected).array().abs() <= relative * expected.array().abs()).all(), site.name.c_str());
            if (!peft.targets(site.name))
                continue;
            const LowRankCorrection correction = sample.correction(site);
            QVERIFY2(sameValues(peft.a(site.name), correction.a) && sameValues(peft.b(site.name), correction.b), site.name.c_str());
        }
    }
    // Whole blocks: what vLLM fuses has one format.
    static QuantizationRecipe perBlock(const std::string &format, const std::string &second, const std::vector<LinearSite> &sites)
    {
        QuantizationRecipe recipe = mixedRanks(format, sites);
        recipe.layers[sites.back().name].quantize = true;
        for (const LinearSite &site : sites) {
            if (site.layer == 0)
                recipe.layers[site.name].weight = FormatSpec::parse(second);
            if (site.layer == 2)
                recipe.layers[site.name].quantize = false;
        }
        return recipe;
    }

private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }

    void weightsUnpackBitByBit_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("format");
        QTest::addColumn<QString>("checkpointFormat");
        QTest::addColumn<float>("relative");
        const auto row = [](const char *target, const QString &model, const char *format, const char *version = "", float relative = 0) {
            QTest::newRow(qPrintable(QString("%1 %2 %3 %4").arg(target, model, format, version))) << target << model << format << version << relative;
        };
        for (const char *format : {"int4-g32", "int4-g32:n_bits=8", "int8-channel", "int4-g128-affine:group_size=32", "int4-g32:scale_dtype=bfloat16", "mxfp4", "nvfp4:tensor_scale=unit"})
            row("compressed-tensors", "random", format);
        // The reciprocal of the tensor's scale, the quotient and our product each round once.
        row("compressed-tensors", "random", "nvfp4", "", 3 * 0x1p-24F);
        for (const char *format : {"int4-g32", "int2-g128:group_size=32", "int8-channel", "int4-g32:n_bits=8"})
            row("gptq", "random", format, "gptq");
        row("gptq", "random", "int4-g128-affine:group_size=32", "gptq_v2");
        row("gptq", "random", "int4-g32", "gptq_v2");
        row("compressed-tensors", "demo", "int4-g64");
        row("gptq", "demo", "int4-g64", "gptq");
        if (!sharedFolder().empty()) {
            for (const char *model : {"tinystories-656k", "tinystories-656k-sharded", "shakespeare-opt"}) {
                row("compressed-tensors", model, "int4-g32");
                row("gptq", model, "int4-g32", "gptq");
            }
            row("gptq", "shakespeare-gpt2", "int4-g32", "gptq");
        }
    }
    void weightsUnpackBitByBit()
    {
        QFETCH(QString, target);
        QFETCH(QString, model);
        QFETCH(QString, format);
        QFETCH(QString, checkpointFormat);
        QFETCH(float, relative);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder(model, place.path().toStdString());
        QuantizationRecipe recipe = mixedRanks(format.toStdString(), sitesOf(folder));
        const SampleExport sample(folder, place.path().toStdString(), recipe);
        ExportOptions options{{"dtype", std::string("f32")}};
        if (!checkpointFormat.isEmpty())
            options["checkpoint_format"] = checkpointFormat.toStdString();
        const QString written = QString::fromStdString(sample.write(target.toStdString(), "packed", options));
        compare(sample, written, relative);
        QVERIFY(verifyExport(written.toStdString(), {}).empty());
    }

    void mixedFormatsAreStatedLayerByLayer_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("second");
        QTest::newRow("compressed-tensors, 8 bits") << "compressed-tensors" << "int8-channel";
        QTest::newRow("compressed-tensors, mxfp4") << "compressed-tensors" << "mxfp4";
        QTest::newRow("gptq") << "gptq" << "int4-g32:n_bits=8";
    }
    void mixedFormatsAreStatedLayerByLayer()
    {
        QFETCH(QString, target);
        QFETCH(QString, second);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        const SampleExport sample(folder, place.path().toStdString(), perBlock("int4-g32", second.toStdString(), sitesOf(folder)));
        const QString written = QString::fromStdString(sample.write(target.toStdString(), "packed", {{"dtype", std::string("f32")}}));
        compare(sample, written, 0);
    }

    // vLLM asks for the rules of a module by the name that it has there: q, k and v, and gate and up, are one.
    void rulesNameTheModulesOfTheEngine_data()
    {
        QTest::addColumn<QString>("engine");
        QTest::addColumn<bool>("fuses");
        QTest::newRow("vllm") << "vllm" << true;
        QTest::newRow("transformers") << "transformers" << false;
    }
    void rulesNameTheModulesOfTheEngine()
    {
        QFETCH(QString, engine);
        QFETCH(bool, fuses);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        const SampleExport sample(folder, place.path().toStdString(), perBlock("int4-g32", "int4-g32:n_bits=8", sitesOf(folder)));
        const QString written = QString::fromStdString(sample.write("gptq", "packed", {{"engine", engine.toStdString()}}));
        const QJsonObject rules = readJson(written + "/base/quantize_config.json")["dynamic"].toObject();
        // The first rule whose expression matches from the beginning: null for none, false for "not quantized".
        const auto ruleOf = [&](const QString &module) -> QJsonValue {
            for (auto rule = rules.begin(); rule != rules.end(); ++rule)
                if (QRegularExpression(QRegularExpression::anchoredPattern(rule.key().mid(2))).match(module).hasMatch())
                    return rule.key().startsWith("-:") ? QJsonValue(false) : rule.value();
            return {};
        };
        for (const char *part : {"self_attn.qkv_proj", "mlp.gate_up_proj"}) {
            QVERIFY(ruleOf(QString("model.layers.0.%1").arg(part)).isNull());  // what most layers have
            QCOMPARE(ruleOf(QString("model.layers.1.%1").arg(part)).toObject()["bits"].toInt(), fuses ? 4 : 0);
            QCOMPARE(ruleOf(QString("model.layers.2.%1").arg(part)).isBool(), fuses);
        }
        QCOMPARE(ruleOf("model.layers.1.self_attn.q_proj").toObject()["bits"].toInt(), 4);
        QVERIFY(ruleOf("model.layers.2.mlp.up_proj").isBool());
    }

    void tokenwiseIntegersAreStatedAsInputs()
    {
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        QuantizationRecipe recipe = mixedRanks("int4-g32", sitesOf(folder));
        recipe.defaults.activation = FormatSpec::parse("integer:n_bits=8,scope=channel");
        const SampleExport sample(folder, place.path().toStdString(), recipe);
        const QString written = QString::fromStdString(sample.write("compressed-tensors", "packed"));
        const QJsonObject inputs = readJson(written + "/base/config.json").value("quantization_config").toObject().value("config_groups").toObject().value("group_0").toObject()
                                       .value("input_activations").toObject();
        QCOMPARE(inputs["num_bits"].toInt(), 8);
        QCOMPARE(inputs["strategy"].toString(), QString("token"));
        QVERIFY(inputs["dynamic"].toBool() && inputs["symmetric"].toBool());
    }

    void whatCannotBePackedIsSaidWithItsPlace_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("format");
        QTest::addColumn<QString>("says");
        QTest::newRow("no integer") << "compressed-tensors" << "mxint4" << "is no integer format";
        QTest::newRow("gptq, no integer") << "gptq" << "nf4" << "is no integer format";
        QTest::newRow("float32 scales") << "compressed-tensors" << "int4-g32:scale_dtype=float32" << "scales in float32";
        QTest::newRow("three bits") << "compressed-tensors" << "int3-g128:group_size=32" << "has 3 bits";
        QTest::newRow("gptq, three bits") << "gptq" << "int3-g128:group_size=32" << "has 3 bits";
        QTest::newRow("gptq, bfloat16 scales") << "gptq" << "int4-g32:scale_dtype=bfloat16" << "scales in bfloat16";
        QTest::newRow("ragged groups") << "compressed-tensors" << "int4-g128" << "no multiple of the group of 128";
        QTest::newRow("float zero points") << "gptq" << "int4-g32:is_affine=true" << "include_zero=true";
        QTest::newRow("across rows") << "gptq" << "int4-g32:block_axis=0" << "along the outputs";
        QTest::newRow("one scale") << "compressed-tensors" << "int8-tensor" << "one scale for the whole tensor";
    }
    void whatCannotBePackedIsSaidWithItsPlace()
    {
        QFETCH(QString, target);
        QFETCH(QString, format);
        QFETCH(QString, says);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        const SampleExport sample(folder, place.path().toStdString(), mixedRanks(format.toStdString(), sitesOf(folder)));
        const ExportForecast forecast = sample.forecast(target.toStdString());
        QCOMPARE(forecast.bytes, std::uint64_t(0));
        QVERIFY(forecast.problems.front().severity == ExportProblem::Severity::Error);
        QVERIFY2(QString::fromStdString(forecast.problems.front().message).contains(says), forecast.problems.front().message.c_str());
        QVERIFY(forecast.problems.front().place.starts_with("layer 'model.layers.0."));
        ErrorCode code{};
        QVERIFY(!errorOf([&] { sample.write(target.toStdString(), "packed"); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY(!QFile::exists(place.filePath("packed")));
    }

    void fusedLayersMustAgreeForVllm_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("engine");
        QTest::addColumn<bool>("accepted");
        for (const char *target : {"compressed-tensors", "gptq"}) {
            QTest::addRow("%s, vllm", target) << target << "vllm" << false;
            QTest::addRow("%s, transformers", target) << target << "transformers" << true;
        }
    }
    void fusedLayersMustAgreeForVllm()
    {
        QFETCH(QString, target);
        QFETCH(QString, engine);
        QFETCH(bool, accepted);
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        QuantizationRecipe recipe = mixedRanks("int4-g32", sitesOf(folder));
        recipe.layers["model.layers.1.mlp.up_proj"].weight = FormatSpec::parse("int4-g32:n_bits=8");
        const SampleExport sample(folder, place.path().toStdString(), recipe);
        const auto problems = sample.forecast(target.toStdString(), {{"engine", engine.toStdString()}}).problems;
        const auto place1 = std::ranges::find(problems, "layer 'model.layers.1.mlp.up_proj'", &ExportProblem::place);
        QCOMPARE(place1 == problems.end(), accepted);
    }

    // Version 1 stores the zero point less one, so it has no place for 0.
    void zeroPointZeroIsRefusedByVersionOne()
    {
        QTemporaryDir place(scratchTemplate());
        const std::string folder = sampleModelFolder("random", place.path().toStdString());
        // Groups of two: some hold positive values only, whose zero point is 0.
        QuantizationRecipe recipe = mixedRanks("int4-g128-affine:group_size=2", sitesOf(folder));
        const SampleExport sample(folder, place.path().toStdString(), recipe);
        ErrorCode code{};
        const std::string message = errorOf([&] { sample.write("gptq", "packed", {{"engine", std::string("transformers")}}); }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
        QVERIFY2(message.find("checkpoint_format=gptq_v2") != std::string::npos, message.c_str());
        QCOMPARE(QDir(place.path()).entryList({"packed*"}), QStringList());
        const QString written = QString::fromStdString(sample.write("gptq", "packed", {{"checkpoint_format", std::string("gptq_v2")}, {"dtype", std::string("f32")}}));
        compare(sample, written, 0);
    }
};

QTEST_GUILESS_MAIN(TestPacked)
#include "tst_packed.moc"
