// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cstring>
#include <functional>

#include <QtEndian>

#include "core/io/npy.h"
#include "core/io/safetensors.h"
#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

// Bad files and bad wishes: one line that names file and place, status 2, nothing left behind.
class TestCliBadInput : public QObject {
    Q_OBJECT
private slots:
    void badInputIsOneLineAndLeavesNothing_data();
    void badInputIsOneLineAndLeavesNothing();
    void noRoomForTheOutputLeavesNothing();
};

namespace {

using Prepare = std::function<void(const QString &folder)>;

// Replaces the header of the copy's safetensors file; `change` edits the header text.
Prepare editHeader(const std::function<void(QByteArray &)> &change)
{
    return [change](const QString &folder) {
        const QString path = folder + "/model/model.safetensors";
        const QByteArray bytes = readBytes(path);
        const auto size = static_cast<qsizetype>(qFromLittleEndian<quint64>(bytes.constData()));
        QByteArray header = bytes.mid(8, size);
        change(header);
        QByteArray length(8, '\0');
        qToLittleEndian<quint64>(static_cast<quint64>(header.size()), length.data());
        writeBytes(path, length + header + bytes.mid(8 + size));
    };
}

Prepare replaceInFile(const QString &name, const QByteArray &before, const QByteArray &after)
{
    return [=](const QString &folder) {
        QByteArray bytes = readBytes(folder + '/' + name);
        QVERIFY2(bytes.contains(before), before.constData());
        writeBytes(folder + '/' + name, bytes.replace(before, after));
    };
}

Prepare writeText(const QString &name, const QByteArray &bytes)
{
    return [=](const QString &folder) { writeBytes(folder + '/' + name, bytes); };
}

// The byte range of a tensor, from the header text.
void overlap(QByteArray &header)
{
    // The second tensor of the file begins where the first one does.
    const QRegularExpression range("\"data_offsets\":\\[(\\d+),(\\d+)\\]");
    auto matches = range.globalMatch(QString::fromUtf8(header));
    matches.next();
    const auto second = matches.next();
    const qulonglong begin = second.captured(1).toULongLong(), end = second.captured(2).toULongLong();
    header.replace(second.captured(0).toUtf8(), QString("\"data_offsets\":[%1,%2]").arg(begin - 2).arg(end - 2).toUtf8());
}

Prepare putNanInto(const char *tensor)
{
    return [tensor](const QString &folder) {
        const QString path = folder + "/model/model.safetensors";
        const SafetensorsFile file(path.toStdString());
        const TensorInfo *info = file.find(tensor);
        QVERIFY(info);
        QByteArray bytes = readBytes(path);
        bytes.replace(static_cast<qsizetype>(info->offset + info->bytes) - 2, 2, QByteArray("\xC0\x7F", 2));  // bf16 quiet NaN
        writeBytes(path, bytes);
    };
}

void writeTokens(const QString &folder)
{
    Tensor tensor(DType::I32, {1, 4});
    const std::int32_t ids[4] = {5, 6, 2048, 7};
    std::memcpy(tensor.bytes().data(), ids, sizeof ids);
    writeNpy((folder + "/ids.npy").toStdString(), tensor);
}

void shard(const QString &folder, const QByteArray &name)
{
    QVERIFY(QFile::rename(folder + "/model/model.safetensors", folder + "/model/model-00001-of-00001.safetensors"));
    writeBytes(folder + "/model/model.safetensors.index.json",
               "{\"metadata\": {}, \"weight_map\": {\"model.embed_tokens.weight\": \"" + name + "\"}}");
}

}  // namespace

void TestCliBadInput::badInputIsOneLineAndLeavesNothing_data()
{
    QTest::addColumn<Prepare>("prepare");
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<QStringList>("names");  // what the line must name

    const QStringList inspect{"inspect", "model"};
    const QStringList evaluate{"evaluate", "model", "--text", "text.txt"};
    const Prepare nothing = [](const QString &) {};
    const auto row = [](const char *title, const Prepare &prepare, const QStringList &arguments, const QStringList &names) {
        QTest::newRow(title) << prepare << arguments << names;
    };

    row("no such folder", nothing, {"inspect", "nowhere"}, {"nowhere"});
    row("no config", [](const QString &folder) { QFile::remove(folder + "/model/config.json"); }, inspect, {"config.json"});
    row("truncated weights",
        [](const QString &folder) { QVERIFY(QFile::resize(folder + "/model/model.safetensors", 100000)); }, inspect, {"model.safetensors"});
    row("header larger than the file", [](const QString &folder) {
        QByteArray bytes = readBytes(folder + "/model/model.safetensors");
        qToLittleEndian<quint64>(quint64(1) << 40, bytes.data());
        writeBytes(folder + "/model/model.safetensors", bytes);
    }, inspect, {"model.safetensors"});
    row("overlapping tensors", editHeader(overlap), inspect, {"model.safetensors", "tensor"});
    row("unknown dtype", editHeader([](QByteArray &header) { header.replace("\"BF16\"", "\"BF17\""); }), inspect, {"model.safetensors", "BF17"});
    row("missing shard", [](const QString &folder) { shard(folder, "model-00002-of-00002.safetensors"); }, inspect, {"model-00002-of-00002.safetensors"});
    row("shard outside the folder", [](const QString &folder) { shard(folder, "../model.safetensors"); }, inspect,
        {"model.safetensors.index.json", "../model.safetensors"});
    row("shape against config", replaceInFile("model/config.json", "\"intermediate_size\": 512", "\"intermediate_size\": 640"), inspect,
        {"model.layers.0.mlp", "640", "512"});
    row("unsupported architecture", [](const QString &folder) {
        replaceInFile("model/config.json", "LlamaForCausalLM", "MambaForCausalLM")(folder);
        replaceInFile("model/config.json", "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"")(folder);
    }, inspect, {"MambaForCausalLM", "llama, mistral, opt, gpt2"});
    row("config that is no JSON", writeText("model/config.json", "{\"hidden_size\": "), inspect, {"config.json"});
    row("NaN weight", putNanInto("model.layers.0.self_attn.q_proj.weight"), evaluate, {"model.safetensors", "NaN"});
    const QStringList run{"run", "model", "--calibration-text", "text.txt", "--evaluation-text", "text.txt", "--calibration-windows", "1"};
    row("NaN weight before a run", putNanInto("model.layers.3.mlp.down_proj.weight"), run, {"model.layers.3.mlp.down_proj.weight", "NaN"});
    row("NaN that only evaluation reads", putNanInto("model.norm.weight"), run, {"model.norm.weight", "NaN"});
    row("broken merges", replaceInFile("model/tokenizer.json", "\"merges\": [", "\"merges\": [\"only-one-piece\","), evaluate, {"tokenizer.json", "merge #1"});
    row("empty calibration text", writeText("empty.txt", ""), {"calibrate", "model", "--text", "empty.txt"}, {"empty.txt"});
    row("text too short for a window", writeText("short.txt", "Tom has two keys."), {"evaluate", "model", "--text", "short.txt"}, {"short.txt"});
    row("text that is not UTF-8", writeText("text.txt", QByteArray("abc \xFF\xFE def").repeated(1000)), evaluate, {"text.txt"});
    row("no text at all", nothing, {"evaluate", "model"}, {"evaluation.txt", "--text"});
    row("token beyond the vocabulary", writeTokens, {"evaluate", "model", "--tokens", "ids.npy"}, {"ids.npy", "2048"});
    row("token file that is none", writeText("ids.npy", "no array"), {"evaluate", "model", "--tokens", "ids.npy"}, {"ids.npy"});
    row("rank above min(in, out)", nothing,
        {"run", "model", "--rank", "97", "--calibration-text", "text.txt", "--evaluation-text", "text.txt", "--project", "p.lqer"}, {"97", "96"});
    row("unknown format", nothing, {"evaluate", "model", "--text", "text.txt", "--weights", "mximt4"}, {"mximt4", "mxint4"});
    row("unknown recipe", nothing, {"evaluate", "model", "--text", "text.txt", "--recipe", "l2qer-w4a9"}, {"l2qer-w4a9", "l2qer-w4a8"});
    row("recipe file with a fault", writeText("recipe.json", R"({"version": 1, "defaults": {"rank": -1}})"),
        {"evaluate", "model", "--text", "text.txt", "--recipe", "recipe.json"}, {"recipe.json", "rank"});
    row("unwritable log-probabilities", nothing, {"evaluate", "model", "--text", "text.txt", "--logprobs", "nowhere/out.npy"}, {"nowhere"});
    row("unwritable tokens", nothing, {"tokenize", "model", "--text", "text.txt", "--out", "nowhere/ids.npy"}, {"nowhere"});
    
    row("project where a file is", writeText("taken", "x"), {"calibrate", "model", "--text", "text.txt", "--project", "taken"}, {"taken"});
    row("report of no project", nothing, {"report", "model"}, {"model"});
    row("another convention", nothing, {"evaluate", "model", "--text", "text.txt", "--convention", "gptq"}, {"gptq", "joined"});
}

void TestCliBadInput::badInputIsOneLineAndLeavesNothing()
{
    QFETCH(Prepare, prepare);
    QFETCH(QStringList, arguments);
    QFETCH(QStringList, names);
    QTemporaryDir folder;
    QVERIFY(folder.isValid());
    copyDemo(folder.filePath("model"));
    writeBytes(folder.filePath("text.txt"), readBytes(demoFolder() + "/evaluation.txt").left(12000));
    prepare(folder.path());
    const QStringList before = contents(folder.path());

    const Outcome outcome = runProgram(folder.path(), arguments);
    QCOMPARE(outcome.status, 2);
    const QByteArray line = outcome.err.trimmed().split('\n').last();
    QVERIFY2(line.startsWith("lqer: "), outcome.err.constData());
    for (const QString &name : names)
        QVERIFY2(line.contains(name.toUtf8()), qPrintable(QString("'%1' is not named: %2").arg(name, QString::fromUtf8(line))));
    // What a command says before its error is a remark on a line of its own, never a second error.
    QCOMPARE(('\n' + outcome.err).count("\nlqer: "), 1);

    QStringList after = contents(folder.path());
    for (const QString &path : before)
        after.removeOne(path);
    QVERIFY2(after.isEmpty(), qPrintable(after.join('\n')));
}

// A limit on file sizes stands in for a full disk: a write fails half-way.
void TestCliBadInput::noRoomForTheOutputLeavesNothing()
{
    QTemporaryDir folder;
    QProcess process;
    process.setWorkingDirectory(folder.path());
    process.setStandardInputFile(QProcess::nullDevice());
    process.start("/bin/bash", {"-c", "ulimit -f 16 && exec \"$0\" \"$@\"", LQER_PROGRAM, "tokenize", demoFolder(), "--text",
                                demoFolder() + "/evaluation.txt", "--out", "ids.npy"});
    QVERIFY(process.waitForFinished(5 * 60 * 1000));
    QCOMPARE(process.exitStatus(), QProcess::NormalExit);
    QCOMPARE(process.exitCode(), 2);
    const QByteArray line = process.readAllStandardError().trimmed();
    QVERIFY2(line.startsWith("lqer: ") && line.count('\n') == 0 && line.contains("ids.npy"), line.constData());
    QCOMPARE(contents(folder.path()), QStringList());
}

QTEST_GUILESS_MAIN(TestCliBadInput)
#include "tst_cli_bad_input.moc"
