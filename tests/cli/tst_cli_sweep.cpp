// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <csignal>

#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

// Sweeps and adapters of the demo checkpoint as a person makes them, with few windows.
class TestCliSweep : public QObject {
    Q_OBJECT

private slots:
    void init()
    {
        m_folder = std::make_unique<QTemporaryDir>();
        QVERIFY(m_folder->isValid());
    }

    void killedAndResumedGivesTheSameTable()
    {
        const Outcome whole = runProgram(m_folder->path(), sweep("whole", {"--json"}));
        QVERIFY2(whole.status == 0, whole.err.constData());
        QCOMPARE(whole.event("result").find("rows")->asArray().size(), std::size_t(5));
        QCOMPARE(whole.event("result").find("measured")->asInteger(), std::int64_t(5));

        QProcess process;
        process.setWorkingDirectory(m_folder->path());
        process.setStandardInputFile(QProcess::nullDevice());
        process.start(LQER_PROGRAM, sweep("broken", {"--json", "--jobs", "1"}));
        QVERIFY(process.waitForStarted());
        QByteArray seen;
        while (!seen.contains("evaluating")) {
            QVERIFY2(process.waitForReadyRead(5 * 60 * 1000), seen.constData());
            seen += process.readAllStandardOutput();
        }
        QCOMPARE(::kill(static_cast<pid_t>(process.processId()), SIGKILL), 0);
        QVERIFY(process.waitForFinished(60 * 1000));
        QVERIFY(!QFile::exists(m_folder->filePath("broken/results.csv")));

        const Outcome resumed = runProgram(m_folder->path(), sweep("broken"));
        QVERIFY2(resumed.status == 0, resumed.err.constData());
        for (const char *word : {"original", "identity", "exact", "perplexity", "Best at its size"})
            QVERIFY2(resumed.out.contains(word), word);
        for (const char *file : {"results.csv", "results.h5", "best.txt", "report.html", "perplexity-bits.svg", "perplexity-rank.svg"})
            QVERIFY2(readBytes(m_folder->filePath(QString("broken/%1").arg(file))) == readBytes(m_folder->filePath(QString("whole/%1").arg(file))), file);
        // The project is one like any other.
        const Outcome report = runProgram(m_folder->path(), {"report", "whole/project.lqer"});
        QVERIFY(report.status == 0 && report.out.contains("rank 8, scaling exact"));
    }

    void presetsAreListedAndBeginOnesOwn()
    {
        const Outcome list = runProgram(m_folder->path(), {"sweep", "--list"});
        QVERIFY(list.status == 0 && list.out.contains("papers-table") && list.out.contains("l2qer-mxint"));
        const Outcome one = runProgram(m_folder->path(), {"sweep", "ranks", "--list"});
        QByteArray plan = one.out;
        writeBytes(m_folder->filePath("mine.json"), plan.replace("[4, 8, 16, 32, 64]", "[4]").replace("\"identity\", \"lqer\", \"diag\", ", ""));
        const Outcome mine = runProgram(m_folder->path(), {"sweep", demoFolder(), "--file", "mine.json", "--calibration-windows", "2", "--evaluation-windows", "2", "--json"});
        QVERIFY2(mine.status == 0, mine.err.constData());
        QCOMPARE(mine.event("result").find("rows")->asArray().size(), std::size_t(2));
        QVERIFY(QFile::exists(m_folder->filePath("demo.sweep/results.csv")));
    }

    void faultsLeaveNothing_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<QString>("words");
        QTest::newRow("no axis") << QStringList{} << "nothing to vary";
        QTest::newRow("unknown key") << QStringList{"--over", "rnk=4"} << "did you mean 'rank'";
        QTest::newRow("unknown preset") << QStringList{"--preset", "paper-table"} << "papers-table";
        QTest::newRow("no text") << QStringList{"--over", "rank=4", "--evaluation-text", "missing.txt"} << "missing.txt";
    }
    void faultsLeaveNothing()
    {
        QFETCH(QStringList, arguments);
        QFETCH(QString, words);
        const Outcome outcome = runProgram(m_folder->path(), QStringList{"sweep", demoFolder()} + arguments);
        QCOMPARE(outcome.status, 2);
        QVERIFY2(outcome.err.contains(words.toUtf8()) && outcome.errorLines() == 1, outcome.err.constData());
        QVERIFY2(contents(m_folder->path()).isEmpty(), qPrintable(contents(m_folder->path()).join(' ')));
    }

    void adaptersAreWritten()
    {
        const QStringList arguments{"adapt", "clm", demoFolder(), "qera", "out", "--quant-type", "mxint", "--quant-bits", "3", "--lora-rank", "8", "--qera-num-calibration-samples", "2", "--qera-max-seq-length", "64", "--device-map", "cuda"};
        const Outcome outcome = runProgram(m_folder->path(), arguments + QStringList{"--json"});
        QVERIFY2(outcome.status == 0, outcome.err.constData());
        QCOMPARE(outcome.event("result").find("error_dict")->asObject().size(), std::size_t(28));
        for (const char *file : {"base_model/config.json", "base_model/model.safetensors", "base_model/tokenizer.json", "adapter/adapter_config.json",
                                 "adapter/adapter_model.safetensors", "adapt_and_save_results.yaml", "adapt_and_save_args.yaml"})
            QVERIFY2(QFile::exists(m_folder->filePath(QString("out/%1").arg(file))), file);
        QCOMPARE(runProgram(m_folder->path(), arguments).status, 2);  // it is there already
        QCOMPARE(runProgram(m_folder->path(), arguments + QStringList{"--overwrite-output-dir"}).status, 0);
        const Outcome cls = runProgram(m_folder->path(), {"adapt", "cls", demoFolder(), "qera", "cls"});
        QVERIFY(cls.status == 2 && cls.err.contains("cls"));
    }

private:
    static QStringList sweep(const QString &folder, const QStringList &more = {})
    {
        return QStringList{"sweep", demoFolder(), "--out", folder, "--recipe", "qera-exact-mxint3", "--over", "rank=4,8", "--over", "scaling=identity,exact",
                           "--calibration-windows", "4", "--evaluation-windows", "4"} + more;
    }
    std::unique_ptr<QTemporaryDir> m_folder;
};

QTEST_GUILESS_MAIN(TestCliSweep)
#include "tst_cli_sweep.moc"
