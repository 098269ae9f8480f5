// SPDX-License-Identifier: Apache-2.0
// A GGUF model and adapter, read again by a reader that shares nothing with what wrote them.
#include <QTemporaryDir>
#include <QtTest>

#include <filesystem>

#include "core/base/log.h"
#include "core/model/architectures/architecture.h"
#include "core/recipe/check.h"
#include "tests/export/sample_export.h"
#include "tests/io/test_files.h"
#include "tests/support/foreign_gguf.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// llama.cpp's name of a linear layer, from the name that transformers gives it.
std::string ggufName(const std::string &module)
{
    static const std::map<std::string, std::string> names{
        {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},
        {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"}, {"attn.c_attn", "attn_qkv"},
        {"attn.c_proj", "attn_output"}, {"mlp.c_fc", "ffn_up"}, {"mlp.c_proj", "ffn_down"}};
    const QStringList parts = QString::fromStdString(module).split('.');
    return QString("blk.%1.%2").arg(parts[2], QString::fromStdString(names.at(parts.mid(3).join('.').toStdString()))).toStdString();
}

// W.reshape(heads, 2, half, in).swapaxes(1, 2).reshape(out, in) of convert_hf_to_gguf.py.
Matrix swapped(const Matrix &rows, std::int64_t heads)
{
    Matrix result(rows.rows(), rows.cols());
    const Index half = rows.rows() / heads / 2;
    for (Index h = 0; h < heads; ++h)
        for (Index part = 0; part < 2; ++part)
            for (Index i = 0; i < half; ++i)
                result.row((h * half + i) * 2 + part) = rows.row((h * 2 + part) * half + i);
    return result;
}

// Rows as llama.cpp wants them.
Matrix ordered(const Matrix &rows, const LinearSite &site, const ModelConfig &config)
{
    if (config.family == "gpt2" || (site.role != LinearRole::Query && site.role != LinearRole::Key))
        return rows;
    return swapped(rows, site.role == LinearRole::Query ? config.heads : config.kvHeads);
}

Matrix row(const ForeignGgufTensor &tensor)
{
    return Eigen::Map<const Matrix>(tensor.values.data(), 1, static_cast<Index>(tensor.values.size()));
}

}  // namespace

class TestGgufTarget : public QObject {
    Q_OBJECT
private:
    SampleExport sampleOf(const QString &model, const QTemporaryDir &place, const std::string &format)
    {
        const std::string folder = sampleModelFolder(model, place.path().toStdString());
        const auto sites = Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
        return SampleExport(folder, place.path().toStdString(), mixedRanks(format, sites));
    }

private slots:
    void initTestCase() { setLogSink([](LogLevel, const std::string &) {}); }
    void everyTensorReadsBack_data();
    void everyTensorReadsBack();
    void keysSayTheModel();
    void formatsWithoutABlockTypeAreStoredAsAsked_data();
    void formatsWithoutABlockTypeAreStoredAsAsked();
    void storageFarAboveTheFormatIsSaid();
    void lossIsSaidWhereItIsRefused();
    void factorsOfOtherTypesAreNear_data();
    void factorsOfOtherTypesAreNear();
    void forecastIsNotBelowWhatIsWritten_data();
    void forecastIsNotBelowWhatIsWritten();
    void withoutCorrectionThereIsNoAdapter();
    void modelsThatLlamaCppLacksAreRefused();
};

void TestGgufTarget::everyTensorReadsBack_data()
{
    QTest::addColumn<QString>("model");
    for (const QString &model : sampleModels())
        if (model != "shakespeare-opt")
            QTest::newRow(qPrintable(model)) << model;
}

void TestGgufTarget::everyTensorReadsBack()
{
    QFETCH(QString, model);
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf(model, place, "mxint:width=4,block_size=32");
    const QString folder = QString::fromStdString(sample.write("gguf", "out"));
    const ForeignGguf base = readForeignGguf(folder + "/base.gguf"), adapter = readForeignGguf(folder + "/adapter.gguf");
    const Transformer &transformer = sample.model().transformer();
    const ModelConfig &config = transformer.config();

    std::size_t tensors = 0, factors = 0;
    for (const LinearSite &site : sample.sites()) {
        const std::string name = ggufName(site.name) + ".weight";
        QVERIFY2(sameValues(base.tensors.at(name).matrix(), ordered(sample.quantized(site), site, config)), name.c_str());
        ++tensors;
        if (site.hasBias) {
            const Matrix bias = transformer.readBias(site);
            const Matrix found = row(base.tensors.at(ggufName(site.name) + ".bias")).transpose();
            QVERIFY2(sameValues(found, ordered(bias, site, config)), name.c_str());
            ++tensors;
        }
        const bool corrected = sample.plan(site).quantize && sample.plan(site).rank > 0;
        QCOMPARE(adapter.tensors.contains(name + ".lora_a"), corrected);
        if (!corrected)
            continue;
        const LowRankCorrection correction = sample.correction(site);
        QVERIFY2(sameValues(adapter.tensors.at(name + ".lora_a").matrix(), correction.a.transpose()), name.c_str());
        QVERIFY2(sameValues(adapter.tensors.at(name + ".lora_b").matrix(), ordered(correction.b.transpose(), site, config)), name.c_str());
        factors += 2;
    }
    QCOMPARE(adapter.tensors.size(), factors);

    const ModelLayout &layout = transformer.layout();
    const auto original = [&](const std::string &stored) { return transformer.checkpoint().read(stored).toMatrix(); };
    const auto same = [&](const std::string &name, const std::string &stored) {
        ++tensors;
        const ForeignGgufTensor &tensor = base.tensors.at(name);
        return sameValues(tensor.shape.size() == 1 ? row(tensor) : tensor.matrix(), original(stored));
    };
    QVERIFY(same("token_embd.weight", layout.tokenEmbedding));
    QVERIFY(same("output_norm.weight", layout.finalNorm.weight));
    if (!config.tiedEmbeddings)
        QVERIFY(same("output.weight", layout.head));
    else if (config.family == "gpt2")
        QVERIFY(same("output.weight", layout.tokenEmbedding));
    for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
        const std::string block = "blk." + std::to_string(i) + ".";
        QVERIFY(same(block + "attn_norm.weight", layout.blocks[i].attentionNorm.weight));
        QVERIFY(same(block + "ffn_norm.weight", layout.blocks[i].mlpNorm.weight));
        if (config.norm == NormKind::Layer) {
            QVERIFY(same(block + "attn_norm.bias", layout.blocks[i].attentionNorm.bias));
            QVERIFY(same(block + "ffn_norm.bias", layout.blocks[i].mlpNorm.bias));
        }
    }
    if (config.family == "gpt2") {
        QVERIFY(same("output_norm.bias", layout.finalNorm.bias));
        QVERIFY(same("position_embd.weight", layout.positionEmbedding));
    }
    QCOMPARE(base.tensors.size(), tensors);
    // Norms and biases are float32 in every model that llama.cpp's own converter makes, and its kernels ask for it.
    for (const auto &[name, tensor] : base.tensors)
        QVERIFY2(tensor.shape.size() > 1 || tensor.type == 0, name.c_str());
    QVERIFY(verifyExport(folder.toStdString(), {}).empty());
}

void TestGgufTarget::keysSayTheModel()
{
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf("demo", place, "mxint4");
    const QString folder = QString::fromStdString(sample.write("gguf", "out"));
    const QVariantMap keys = readForeignGguf(folder + "/base.gguf").keys;
    QCOMPARE(keys["general.architecture"].toString(), QString("llama"));
    QCOMPARE(keys["general.type"].toString(), QString("model"));
    QCOMPARE(keys["general.name"].toString(), QString("demo"));
    QCOMPARE(keys["general.file_type"].toInt(), 2);  // mostly Q4_0
    QCOMPARE(keys["llama.block_count"].toInt(), 4);
    QCOMPARE(keys["llama.attention.head_count_kv"].toInt(), 4);
    QCOMPARE(keys["llama.rope.dimension_count"].toInt(), 24);
    QCOMPARE(keys["tokenizer.ggml.model"].toString(), QString("gpt2"));
    QCOMPARE(keys["tokenizer.ggml.tokens"].toList().size(), 2048);
    QCOMPARE(keys["tokenizer.ggml.eos_token_id"].toInt(), 2047);
    const QVariantMap adapter = readForeignGguf(folder + "/adapter.gguf").keys;
    QCOMPARE(adapter["general.architecture"].toString(), QString("llama"));
    QCOMPARE(adapter["general.type"].toString(), QString("adapter"));
    QCOMPARE(adapter["adapter.type"].toString(), QString("lora"));
    QCOMPARE(adapter["adapter.lora.alpha"].toDouble(), 0.0);

    const std::string card = readRaw(folder.toStdString() + "/README.md");
    QVERIFY2(card.find("llama-cli -m out/base.gguf --lora out/adapter.gguf") != std::string::npos, card.c_str());
    QVERIFY2(card.find("Without `--lora` llama.cpp runs the bare quantized model") != std::string::npos, card.c_str());
    const std::string table = readRaw(folder.toStdString() + "/tensors.csv");
    QVERIFY2(table.find("blk.0.attn_q.weight,192,192,\"mxint4\",Q4_0,4.5,0\n") != std::string::npos, table.c_str());
}

void TestGgufTarget::formatsWithoutABlockTypeAreStoredAsAsked_data()
{
    QTest::addColumn<QString>("inexact");
    QTest::addColumn<int>("type");
    QTest::newRow("widen") << "widen" << 0;
    QTest::newRow("q8_0") << "q8_0" << 8;
}

void TestGgufTarget::formatsWithoutABlockTypeAreStoredAsAsked()
{
    QFETCH(QString, inexact);
    QFETCH(int, type);
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf("random", place, "nf4");
    const QString folder = QString::fromStdString(sample.write("gguf", "out", {{"inexact", inexact.toStdString()}}));
    const ForeignGguf base = readForeignGguf(folder + "/base.gguf");
    const QString table = QString::fromStdString(readRaw(folder.toStdString() + "/tensors.csv"));
    for (const LinearSite &site : sample.sites()) {
        const std::string name = ggufName(site.name) + ".weight";
        const ForeignGgufTensor &tensor = base.tensors.at(name);
        const Matrix expected = ordered(sample.quantized(site), site, sample.model().transformer().config());
        const double error = (tensor.matrix() - expected).cast<double>().norm() / expected.cast<double>().norm();
        if (!sample.plan(site).quantize) {
            QVERIFY(error == 0);
            continue;
        }
        QCOMPARE(tensor.type, static_cast<std::uint32_t>(type));
        QVERIFY(inexact == "widen" ? error == 0 : error > 0 && error < 0.02);
        const QString stated = table.split('\n').filter(QString::fromStdString(name + ",")).first().split(',').last();
        QVERIFY2(std::abs(stated.toDouble() - error) <= 0.01 * error, qPrintable(stated));
    }
    const auto forecast = sample.forecast("gguf", {{"inexact", inexact.toStdString()}});
    const bool warned = std::any_of(forecast.problems.begin(), forecast.problems.end(), [](const ExportProblem &problem) {
        return problem.message.starts_with("nf4 in rows of 64 elements is stored as F32, 32 bits a weight, where no smaller type of GGUF holds it");
    });
    QCOMPARE(warned, inexact == "widen");
}

void TestGgufTarget::storageFarAboveTheFormatIsSaid()
{
    const auto warnings = [&](const std::string &format) {
        QTemporaryDir place(scratchTemplate());
        const SampleExport sample = sampleOf("random", place, format);
        QStringList found;
        for (const ExportProblem &problem : sample.forecast("gguf").problems)
            if (problem.message.find("is stored as") != std::string::npos)
                found << QString::fromStdString(problem.message);
        return found;
    };
    QVERIFY(warnings("mxint4").isEmpty());
    const QStringList found = warnings("block_fp:width=4,block_size=1x16");  // rows of 64 and of 96
    QCOMPARE(found.size(), 1);
    QVERIFY2(found[0].contains("is stored as Q8_0, 8.5 bits a weight"), qPrintable(found[0]));
}

void TestGgufTarget::lossIsSaidWhereItIsRefused()
{
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf("random", place, "nf4");
    ErrorCode code = ErrorCode::Shape;
    const std::string message = errorOf([&] { sample.write("gguf", "out", {{"inexact", std::string("refuse")}}); }, &code);
    QVERIFY(code == ErrorCode::Unsupported);
    const QRegularExpression expected("layer 'model\\.layers\\.0\\.self_attn\\.q_proj': no block type of GGUF holds nf4 exactly: Q8_0 would "
                                      "change W_q by \\d\\.\\d\\de-0\\d of its norm, F32 holds it in 32 bits a weight; inexact=q8_0 or "
                                      "inexact=widen accepts one of them$");
    QVERIFY2(expected.match(QString::fromStdString(message)).hasMatch(), message.c_str());
    QVERIFY(!std::filesystem::exists(sample.place() + "/out"));
}

void TestGgufTarget::factorsOfOtherTypesAreNear_data()
{
    QTest::addColumn<QString>("dtype");
    QTest::addColumn<double>("bound");  // of an element's error, relative to the largest of its row
    QTest::newRow("f32") << "f32" << 0.0;
    QTest::newRow("f16") << "f16" << 0x1p-11;
    QTest::newRow("bf16") << "bf16" << 0x1p-8;
    QTest::newRow("q8_0") << "q8_0" << 0.5 / 127 + 0x1p-11;
}

void TestGgufTarget::factorsOfOtherTypesAreNear()
{
    QFETCH(QString, dtype);
    QFETCH(double, bound);
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf("random", place, "mxint4");
    const QString folder = QString::fromStdString(sample.write("gguf", "out", {{"adapter_dtype", dtype.toStdString()}}));
    const ForeignGguf adapter = readForeignGguf(folder + "/adapter.gguf");
    for (const LinearSite &site : sample.sites()) {
        if (!sample.plan(site).quantize || sample.plan(site).rank == 0)
            continue;
        const ForeignGgufTensor &a = adapter.tensors.at(ggufName(site.name) + ".weight.lora_a");
        const ForeignGgufTensor &b = adapter.tensors.at(ggufName(site.name) + ".weight.lora_b");
        // Rows of A^T are inputs long and whole blocks, rows of B^T as short as the rank.
        QCOMPARE(a.type, dtype == "f32" ? 0U : dtype == "f16" ? 1U : dtype == "bf16" ? 30U : 8U);
        QCOMPARE(b.type, dtype == "q8_0" ? 1U : a.type);
        const LowRankCorrection correction = sample.correction(site);
        const Matrix expected = correction.a.transpose();
        const Matrix error = (a.matrix() - expected).cwiseAbs();
        for (Index i = 0; i < error.rows(); ++i)
            QVERIFY(error.row(i).maxCoeff() <= bound * static_cast<double>(expected.row(i).cwiseAbs().maxCoeff()));
    }
}

void TestGgufTarget::forecastIsNotBelowWhatIsWritten_data()
{
    QTest::addColumn<QString>("model");
    QTest::addColumn<QString>("format");
    for (const char *format : {"mxint4", "mxint:width=6,block_size=16", "int4-g32", "int8-g128", "nf4", "mxfp4", "bfloat16", "block_fp"})
        QTest::addRow("random %s", format) << "random" << format;
    QTest::addRow("demo mxint4") << "demo" << "mxint4";
}

void TestGgufTarget::forecastIsNotBelowWhatIsWritten()
{
    QFETCH(QString, model);
    QFETCH(QString, format);
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf(model, place, format.toStdString());
    const auto forecast = sample.forecast("gguf");
    QVERIFY(isUsable(forecast.problems));
    const std::string folder = sample.write("gguf", "out");
    std::uint64_t written = 0;
    for (const char *name : {"base.gguf", "adapter.gguf", "tensors.csv"})
        written += std::filesystem::file_size(folder + "/" + name);
    QVERIFY2(written <= forecast.bytes && forecast.bytes < 2 * static_cast<double>(written),
             qPrintable(QString("%1 written, %2 forecast").arg(written).arg(forecast.bytes)));
}

void TestGgufTarget::withoutCorrectionThereIsNoAdapter()
{
    QTemporaryDir place(scratchTemplate());
    const std::string folder = sampleModelFolder("random", place.path().toStdString());
    QuantizationRecipe plain;
    plain.name = "plain";
    plain.defaults.weight = FormatSpec::parse("mxint4");
    plain.defaults.rank = 0;
    const SampleExport sample(folder, place.path().toStdString(), plain);
    const std::string out = sample.write("gguf", "out");
    QVERIFY(std::filesystem::exists(out + "/base.gguf"));
    QVERIFY(!std::filesystem::exists(out + "/adapter.gguf"));
    QVERIFY(readRaw(out + "/README.md").find("--lora") == std::string::npos);
}

void TestGgufTarget::modelsThatLlamaCppLacksAreRefused()
{
    LQER_NEED_SHARED();
    QTemporaryDir place(scratchTemplate());
    const SampleExport sample = sampleOf("shakespeare-opt", place, "mxint4");
    const auto forecast = sample.forecast("gguf");
    QCOMPARE(forecast.problems.size(), 1U);
    QVERIFY(!isUsable(forecast.problems));
    const std::string message = errorOf([&] { sample.write("gguf", "out"); });
    QVERIFY2(message.find("llama.cpp has no architecture for opt models (OPTForCausalLM)") != std::string::npos, message.c_str());
    QVERIFY(!std::filesystem::exists(sample.place() + "/out"));
}

QTEST_GUILESS_MAIN(TestGgufTarget)
#include "tst_gguf_target.moc"
