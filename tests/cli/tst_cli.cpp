// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>

#include "core/base/error.h"
#include "core/io/npy.h"
#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

class TestCli : public QObject {
    Q_OBJECT
private slots:
    void init();
    void helpTeachesAndSucceeds_data();
    void helpTeachesAndSucceeds();
    void versionIsStated();
    void wrongUsageIsOneLineAndStatusTwo_data();
    void wrongUsageIsOneLineAndStatusTwo();
    void formatsAreListedWithTheirBits();
    void aFormatShowsItsParameters();
    void inspectDescribesTheDemo();
    void everyPresetPassesItsOwnCheckAsAFile();
    void checkListsAllProblemsWithTheirPlaces();
    void tokenizedDemoTextScoresAsTheReference();
    void rowsOfDifferentLengthsAreScoredToTheirEnd();
    void jsonModePrintsNothingElse();
    void fullStandardOutputIsAnError();

private:
    std::unique_ptr<QTemporaryDir> m_folder;
};

void TestCli::init()
{
    m_folder = std::make_unique<QTemporaryDir>();
    QVERIFY(m_folder->isValid());
}

void TestCli::helpTeachesAndSucceeds_data()
{
    QTest::addColumn<QString>("command");
    QTest::addColumn<QString>("says");
    QTest::newRow("program") << "" << "lqer run MODEL";
    QTest::newRow("inspect") << "inspect" << "Examples:";
    QTest::newRow("formats") << "formats" << "mxint:width=3,block_size=32";
    QTest::newRow("recipes") << "recipes" << "A recipe says";
    QTest::newRow("check") << "check" << "Exit status 2";
    QTest::newRow("tokenize") << "tokenize" << "Example:";
    QTest::newRow("calibrate") << "calibrate" << "Examples:";
    QTest::newRow("decompose") << "decompose" << "Example:";
    QTest::newRow("evaluate") << "evaluate" << "--logprobs";
    QTest::newRow("run") << "run" << "QERA-exact";
    QTest::newRow("report") << "report" << "Examples:";
    QTest::newRow("project") << "project" << "--verify";
}

void TestCli::helpTeachesAndSucceeds()
{
    QFETCH(QString, command);
    QFETCH(QString, says);
    const Outcome outcome = runProgram(m_folder->path(), command.isEmpty() ? QStringList{"--help"} : QStringList{command, "--help"});
    QCOMPARE(outcome.status, 0);
    QVERIFY2(outcome.out.contains(says.toUtf8()), outcome.out.constData());
    QCOMPARE(outcome.err, QByteArray());
}

void TestCli::versionIsStated()
{
    const Outcome outcome = runProgram(m_folder->path(), {"--version"});
    QCOMPARE(outcome.status, 0);
    QVERIFY(QRegularExpression("^lqer \\d+\\.\\d+\\.\\d+\\n$").match(QString::fromUtf8(outcome.out)).hasMatch());
}

void TestCli::wrongUsageIsOneLineAndStatusTwo_data()
{
    QTest::addColumn<QStringList>("arguments");
    QTest::newRow("no command") << QStringList{};
    QTest::newRow("unknown command") << QStringList{"quantise"};
    QTest::newRow("unknown option") << QStringList{"inspect", demoFolder(), "--colour"};
    QTest::newRow("missing model") << QStringList{"inspect"};
    QTest::newRow("number that is none") << QStringList{"evaluate", demoFolder(), "--window", "many"};
    QTest::newRow("number out of range") << QStringList{"evaluate", demoFolder(), "--window", "1"};
    QTest::newRow("text and tokens") << QStringList{"evaluate", demoFolder(), "--text", "a", "--tokens", "b"};
    QTest::newRow("missing output") << QStringList{"tokenize", demoFolder(), "--text", "a"};
    QTest::newRow("json and quiet") << QStringList{"--json", "--quiet", "formats"};
}

void TestCli::wrongUsageIsOneLineAndStatusTwo()
{
    QFETCH(QStringList, arguments);
    const Outcome outcome = runProgram(m_folder->path(), arguments);
    QCOMPARE(outcome.status, 2);
    QVERIFY2(outcome.errorLines() == 1 && outcome.err.startsWith("lqer: "), outcome.err.constData());
    QVERIFY2(outcome.err.contains("--help"), outcome.err.constData());
}

void TestCli::formatsAreListedWithTheirBits()
{
    const Outcome outcome = runProgram(m_folder->path(), {"formats"});
    QCOMPARE(outcome.status, 0);
    // 4 bits an element and 8 for the exponent of 32.
    QVERIFY(QRegularExpression("mxint4 +4\\.25").match(QString::fromUtf8(outcome.out)).hasMatch());
    for (const char *name : {"block_fp", "mxint", "integer", "fixed", "minifloat", "fp4", "passthrough"})
        QVERIFY2(outcome.out.contains(name), name);
}

void TestCli::aFormatShowsItsParameters()
{
    const Outcome outcome = runProgram(m_folder->path(), {"--json", "formats", "mxint4"});
    QCOMPARE(outcome.status, 0);
    const Json result = outcome.event("result");
    const Json &format = result.find("formats")->asArray().at(0);
    QCOMPARE(format.find("name")->asString(), std::string("mxint"));
    bool width = false;
    for (const Json &parameter : format.find("parameters")->asArray())
        width = width || parameter.find("name")->asString() == "width";
    QVERIFY(width);
}

void TestCli::inspectDescribesTheDemo()
{
    const Outcome outcome = runProgram(m_folder->path(), {"inspect", demoFolder(), "--layers", "--tensors", "--json"});
    QCOMPARE(outcome.status, 0);
    const Json result = outcome.event("result");
    QCOMPARE(result.find("architecture")->asString(), std::string("LlamaForCausalLM"));
    QVERIFY(result.find("kv_heads")->asInteger() < result.find("heads")->asInteger());
    QCOMPARE(result.find("linear_sites")->asArray().size(), std::size_t(7 * result.find("layers")->asInteger()));
    QVERIFY(result.find("has_tokenizer")->asBool());
    std::int64_t weights = 0;
    for (const Json &site : result.find("linear_sites")->asArray())
        weights += site.find("in")->asInteger() * site.find("out")->asInteger();
    QCOMPARE(weights, result.find("linear_parameters")->asInteger());
    QCOMPARE(runProgram(m_folder->path(), {"inspect", demoFolder()}).status, 0);
}

void TestCli::everyPresetPassesItsOwnCheckAsAFile()
{
    const Outcome list = runProgram(m_folder->path(), {"recipes", "--json"});
    QCOMPARE(list.status, 0);
    const Json result = list.event("result");
    QVERIFY(!result.find("recipes")->asArray().empty());
    for (const Json &preset : result.find("recipes")->asArray()) {
        const QString name = QString::fromStdString(preset.find("name")->asString());
        const Outcome text = runProgram(m_folder->path(), {"recipes", name});
        QCOMPARE(text.status, 0);
        writeBytes(m_folder->filePath("recipe.json"), text.out);
        const Outcome check = runProgram(m_folder->path(), {"check", "recipe.json"});
        QVERIFY2(check.status == 0, qPrintable(name + ": " + check.out + check.err));
    }
}

void TestCli::checkListsAllProblemsWithTheirPlaces()
{
    writeBytes(m_folder->filePath("recipe.json"), R"({"version": 1, "defaults": {"weight": "mxint4", "rank": 100000, "scalling": "lqer"},
        "rules": [{"pattern": "model\\.layers\\.(", "rank": 4}, {"pattern": "encoder.*", "rank": 4}],
        "layers": {"model.layers.0.mlp.up_prj": {"rank": 4}}})");
    const Outcome outcome = runProgram(m_folder->path(), {"check", "recipe.json", demoFolder(), "--json"});
    QCOMPARE(outcome.status, 2);
    QCOMPARE(outcome.errorLines(), 1);
    QStringList places;
    const Json result = outcome.event("result");
    for (const Json &problem : result.find("problems")->asArray())
        places.append(QString::fromStdString(problem.find("place")->asString()));
    const QString all = places.join('\n');
    for (const char *place : {"scalling", "rules[0]", "rules[1]", "up_prj", "rank"})
        QVERIFY2(all.contains(place), qPrintable(QString("%1 is not among:\n%2").arg(place, all)));
}

void TestCli::tokenizedDemoTextScoresAsTheReference()
{
    const Json reference = readJsonFile((demoFolder() + "/reference.json").toStdString());
    QCOMPARE(runProgram(m_folder->path(), {"tokenize", demoFolder(), "--text", demoFolder() + "/evaluation.txt", "--out", "ids.npy"}).status, 0);
    const Tensor ids = readNpy(m_folder->filePath("ids.npy").toStdString());
    QVERIFY(ids.dtype() == DType::I32);
    std::vector<double> values(static_cast<std::size_t>(ids.elements()));
    ids.copyTo(std::span<double>(values));
    const Json::Array &firstIds = reference.find("first_ids")->asArray();
    for (std::size_t i = 0; i < firstIds.size(); ++i)
        QCOMPARE(static_cast<std::int64_t>(values.at(i)), firstIds[i].asInteger());

    const QString window = QString::number(reference.find("window")->asInteger());
    const Outcome outcome = runProgram(m_folder->path(), {"evaluate", demoFolder(), "--tokens", "ids.npy", "--window", window, "--logprobs", "out.npy", "--json"});
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    const Json result = outcome.event("result");
    const JsonReader reader(result, "result");
    const JsonReader report = reader["report"].has("perplexity") ? reader["report"]["perplexity"] : reader["report"]["original"];
    // The reference is float64; float32 agrees to 1e-5 relative on the perplexity and 2e-4 on any log-probability.
    const double expected = reference.find("perplexity")->asNumber();
    QVERIFY2(std::abs(report["perplexity"].number() / expected - 1) < 1e-5, qPrintable(QString::number(report["perplexity"].number(), 'g', 12)));
    const Tensor table = readNpy(m_folder->filePath("out.npy").toStdString());
    QVERIFY(table.dtype() == DType::F32);
    QVERIFY(table.shape() == (Shape{reference.find("windows")->asInteger(), reference.find("window")->asInteger() - 1}));
    const Matrix logs = table.toMatrix();
    const Json::Array &first = reference.find("first_log_probabilities")->asArray();
    for (std::size_t i = 0; i < first.size(); ++i)
        QVERIFY(std::abs(logs(0, static_cast<Index>(i)) - first[i].asNumber()) < 2e-4);
}

void TestCli::rowsOfDifferentLengthsAreScoredToTheirEnd()
{
    const auto writeIds = [&](const char *name, const Shape &shape, const std::vector<std::int32_t> &ids) {
        Tensor tensor(DType::I32, shape);
        std::memcpy(tensor.bytes().data(), ids.data(), ids.size() * sizeof(std::int32_t));
        writeNpy(m_folder->filePath(name).toStdString(), tensor);
    };
    writeIds("ids.npy", {2, 5}, {2046, 300, 301, 302, 303, 2046, 300, 301, 0, 0});
    writeIds("lengths.npy", {2}, {5, 3});
    const Outcome outcome = runProgram(m_folder->path(), {"evaluate", demoFolder(), "--tokens", "ids.npy", "--lengths", "lengths.npy", "--logprobs", "out.npy"});
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    QVERIFY2(outcome.out.contains("6 scored"), outcome.out.constData());
    const Matrix logs = readNpy(m_folder->filePath("out.npy").toStdString()).toMatrix();
    QCOMPARE(logs(0, 1), logs(1, 1));  // the same prefix
    QVERIFY(logs(1, 1) < 0);
    QCOMPARE(logs(1, 2), 0.0f);
    QCOMPARE(logs(1, 3), 0.0f);

    writeIds("lengths.npy", {2}, {5, 6});
    const Outcome tooLong = runProgram(m_folder->path(), {"evaluate", demoFolder(), "--tokens", "ids.npy", "--lengths", "lengths.npy"});
    QCOMPARE(tooLong.status, 2);
    QVERIFY2(tooLong.err.contains("lengths.npy, row 1"), tooLong.err.constData());
}

void TestCli::jsonModePrintsNothingElse()
{
    const Outcome outcome = runProgram(m_folder->path(), {"evaluate", demoFolder(), "--windows", "4", "--json"});
    QCOMPARE(outcome.status, 0);
    QCOMPARE(outcome.err, QByteArray());
    std::vector<std::string> kinds;
    for (const Json &event : outcome.events())
        kinds.push_back(event.find("event")->asString());
    QVERIFY(!kinds.empty());
    QCOMPARE(kinds.back(), std::string("result"));
    const Outcome failed = runProgram(m_folder->path(), {"evaluate", "nowhere", "--json"});
    QCOMPARE(failed.status, 2);
    QCOMPARE(failed.event("error").find("code")->asString(), std::string("not-found"));
}

void TestCli::fullStandardOutputIsAnError()
{
    QProcess process;
    process.setWorkingDirectory(m_folder->path());
    process.setStandardInputFile(QProcess::nullDevice());
    process.setStandardOutputFile("/dev/full");
    process.start(LQER_PROGRAM, {"formats"});
    QVERIFY(process.waitForFinished());
    QCOMPARE(process.exitCode(), 2);
    QVERIFY(process.readAllStandardError().contains("standard output"));
}

QTEST_GUILESS_MAIN(TestCli)
#include "tst_cli.moc"
