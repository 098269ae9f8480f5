// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

// Data sets and downstream tasks by name, on the demo checkpoint.
class TestCliTasks : public QObject {
    Q_OBJECT

private slots:
    void init();
    void tasksOfTheOriginalModel();
    void tasksUnderARecipeAreKeptAndReported();
    void examplesComeFromTheirOwnFile();
    void badInputIsOneLine_data();
    void badInputIsOneLine();
    void dataSetsAreFoundByName();
    void theEnvironmentNamesTheFolder();

private:
    QString path(const QString &name = {}) const { return m_folder->filePath(name); }
    std::unique_ptr<QTemporaryDir> m_folder;
};

namespace {

QByteArray question(int number)
{
    return QStringLiteral("{\"id\":\"%1\",\"question\":\"What is %1?\",\"choices\":{\"text\":[\"a tree\",\"the %1\",\"no\"],\"label\":[\"A\",\"B\",\"C\"]},\"answerKey\":\"%2\"}\n")
        .arg(number)
        .arg(QStringLiteral("ABC")[number % 3])
        .toUtf8();
}

QByteArray questions(int count)
{
    QByteArray lines;
    for (int i = 0; i < count; ++i)
        lines += question(i);
    return lines;
}

double accuracy(const Json &tasks)
{
    return tasks.find("tasks")->asArray().at(0).find("metrics")->find("acc")->find("value")->asNumber();
}

}  // namespace

void TestCliTasks::init()
{
    m_folder = std::make_unique<QTemporaryDir>();
    QVERIFY(QDir(path()).mkpath("data/arc_easy"));
    writeBytes(path("data/arc_easy/test.jsonl"), questions(9));
    writeBytes(path("data/arc_easy/train.jsonl"), questions(20));
    writeBytes(path("data/lambada_openai.jsonl"), "{\"text\":\"the old man went back to the house\"}\n{\"text\":\"they saw a small dog\"}\n");
}

void TestCliTasks::tasksOfTheOriginalModel()
{
    const Outcome run = runProgram(path(), {"evaluate", demoFolder(), "--data", "data", "--tasks", "arc_easy,lambada_openai", "--limit", "6"});
    QVERIFY2(run.status == 0, run.err.constData());
    for (const char *words : {"arc_easy", "acc_norm", "lambada_openai", "perplexity", "without BOS, as lm-eval", "only the first 6 items of each"})
        QVERIFY2(run.out.contains(words), run.out.constData());
    QCOMPARE(contents(path()).filter(".lqer").size(), 0);  // nothing was asked to be kept
}

void TestCliTasks::tasksUnderARecipeAreKeptAndReported()
{
    const QStringList recipe{"--weights", "mxint2", "--scaling", "identity", "--rank", "4"};
    QVERIFY(runProgram(path(), QStringList{"decompose", demoFolder(), "--project", "demo.lqer"} + recipe).status == 0);
    const Outcome run = runProgram(path(), QStringList{"evaluate", demoFolder(), "--project", "demo.lqer", "--data", "data", "--tasks", "arc_easy", "--json"} + recipe);
    QVERIFY2(run.status == 0, run.err.constData());
    const Json tasks = *run.event("result").find("tasks");
    const Outcome original = runProgram(path(), {"evaluate", "demo.lqer", "--data", "data", "--tasks", "arc_easy", "--json"});
    QVERIFY2(original.status == 0, original.err.constData());

    const Outcome shown = runProgram(path(), {"report", "demo.lqer", "1", "2", "--json"});
    QVERIFY2(shown.status == 0, shown.err.constData());
    const Json::Array reports = shown.event("result").find("reports")->asArray();
    QCOMPARE(reports.size(), std::size_t{2});
    QVERIFY(*reports[0].find("tasks") == tasks && reports[0].find("recipe"));
    QVERIFY(*reports[1].find("tasks") == *original.event("result").find("tasks") && !reports[1].find("recipe"));
    QVERIFY(accuracy(tasks) >= 0 && accuracy(tasks) <= 1);
    const Outcome table = runProgram(path(), {"report", "demo.lqer", "1", "2"});
    QVERIFY2(table.out.contains("arc_easy") && table.out.contains("2 original"), table.out.constData());
    QVERIFY(runProgram(path(), {"report", "demo.lqer"}).out.contains("arc_easy 0."));
}

void TestCliTasks::examplesComeFromTheirOwnFile()
{
    const Outcome run = runProgram(path(), {"evaluate", demoFolder(), "--data", "data", "--tasks", "arc_easy:2", "--limit", "2", "--json"});
    QVERIFY2(run.status == 0, run.err.constData());
    const Json task = run.event("result").find("tasks")->find("tasks")->asArray().at(0);
    QCOMPARE(task.find("few_shot")->asInteger(), std::int64_t{2});
    QVERIFY(QString::fromStdString(task.find("shot_source")->asString()).endsWith("arc_easy/train.jsonl"));
}

void TestCliTasks::badInputIsOneLine_data()
{
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<QByteArray>("message");
    QTest::newRow("unknown task") << QStringList{"--data", "data", "--tasks", "arc_eazy"} << QByteArray("did you mean 'arc_easy'?");
    QTest::newRow("examples") << QStringList{"--data", "data", "--tasks", "arc_easy:many"} << QByteArray("the number of examples must be from 0 to 1000, found 'many'");
    QTest::newRow("no folder") << QStringList{"--tasks", "arc_easy"} << QByteArray("--data DIR");
    QTest::newRow("missing folder") << QStringList{"--data", "absent", "--tasks", "arc_easy"} << QByteArray("absent: is no folder");
    QTest::newRow("missing file") << QStringList{"--data", "data", "--tasks", "winogrande"} << QByteArray("task 'winogrande', validation split: found neither winogrande.validation.jsonl");
    QTest::newRow("missing field") << QStringList{"--tasks", "piqa=bad.jsonl"} << QByteArray("bad.jsonl, line 2: lacks 'sol1'");
    QTest::newRow("boundary") << QStringList{"--data", "data", "--tasks", "arc_easy", "--boundary", "none"} << QByteArray("unknown boundary 'none'");
    QTest::newRow("log-probabilities of no text") << QStringList{"--data", "data", "--tasks", "arc_easy", "--logprobs", "l.npy"} << QByteArray("are measured on a text");
    QTest::newRow("data set") << QStringList{"--data", "data", "--data-set", "wikitext2"} << QByteArray("data set 'wikitext2', test split: found neither wiki.test.raw");
    QTest::newRow("split") << QStringList{"--data", "data", "--data-set", "wikitext2", "--split", "dev"} << QByteArray("unknown split 'dev'");
    QTest::newRow("data set without a folder") << QStringList{"--data-set", "wikitext2"} << QByteArray("--data DIR, or LQER_DATA");
}

void TestCliTasks::badInputIsOneLine()
{
    QFETCH(QStringList, arguments);
    QFETCH(QByteArray, message);
    writeBytes(path("bad.jsonl"), "{\"goal\":\"g\",\"sol1\":\"a\",\"sol2\":\"b\",\"label\":0}\n{\"goal\":\"g\"}\n");
    const QStringList before = contents(path());
    const Outcome run = runProgram(path(), QStringList{"evaluate", demoFolder(), "--quiet"} + arguments);
    QCOMPARE(run.status, 2);
    QVERIFY2(run.err.contains(message), run.err.constData());
    QCOMPARE(run.errorLines(), 1);
    QCOMPARE(contents(path()), before);
}

void TestCliTasks::dataSetsAreFoundByName()
{
    QDir(path()).mkpath("data/wikitext-2-raw");
    QByteArray text;
    for (int i = 0; i < 200; ++i)
        text += "the quick brown fox runs over the lazy dog\n";
    writeBytes(path("data/wikitext-2-raw/wiki.test.raw"), text);
    writeBytes(path("data/wikitext-2-raw/wiki.train.raw"), text + text);
    const QStringList data{"--data", "data", "--data-set", "wikitext2", "--window", "64"};
    const Outcome run = runProgram(path(), QStringList{"evaluate", demoFolder(), "--rows", "150", "--convention", "sharded", "--shards", "2", "--json"} + data);
    QVERIFY2(run.status == 0, run.err.constData());
    const Json perplexity = *run.event("result").find("report")->find("perplexity");
    QCOMPARE(perplexity.find("data_set")->asString(), std::string("wikitext2"));
    QCOMPARE(perplexity.find("split")->asString(), std::string("test"));
    QCOMPARE(perplexity.find("rows")->asInteger(), std::int64_t{150});
    QCOMPARE(perplexity.find("window_options")->find("max_rows")->asInteger(), std::int64_t{150});
    const Outcome shown = runProgram(path(), QStringList{"evaluate", demoFolder()} + data);
    QVERIFY2(shown.out.contains("wikitext2, test split, data/wikitext-2-raw/wiki.test.raw: 200 rows, "), shown.out.constData());
    const Outcome calibrated = runProgram(path(), QStringList{"calibrate", demoFolder(), "--project", "demo.lqer"} + data);
    QVERIFY2(calibrated.status == 0 && calibrated.out.contains("wikitext2, train split, 400 rows of data/wikitext-2-raw/wiki.train.raw"),
             (calibrated.err + calibrated.out).constData());
}

void TestCliTasks::theEnvironmentNamesTheFolder()
{
    qputenv("LQER_DATA", path("data").toUtf8());
    const Outcome run = runProgram(path(), {"evaluate", demoFolder(), "--tasks", "lambada_openai", "--json"});
    qunsetenv("LQER_DATA");
    QVERIFY2(run.status == 0, run.err.constData());
}

QTEST_GUILESS_MAIN(TestCliTasks)
#include "tst_cli_tasks.moc"
