// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

// lqer export on a project of the demo checkpoint.
class TestCliExport : public QObject {
    Q_OBJECT
private:
    QTemporaryDir m_folder;
    Outcome exported(const QStringList &more) const { return runProgram(m_folder.path(), QStringList{"export"} + more); }
    QString at(const char *name) const { return m_folder.filePath(name); }

private slots:
    void initTestCase()
    {
        const Outcome run = runProgram(m_folder.path(), {"run", demoFolder(), "--project", "demo.lqer", "--weights", "int4-g64", "--activations", "passthrough", "--scaling", "diag",
                                                         "--calibration-windows", "2", "--evaluation-windows", "2", "--quiet"});
        QVERIFY2(run.status == 0, run.err.constData());
    }

    void listsTargetsWithTheirOptions()
    {
        const Outcome text = exported({"--list"});
        QCOMPARE(text.status, 0);
        for (const char *part : {"merged", "peft", "compressed-tensors", "gptq", "dictionary", "--adapter-dtype", "--shard-size"})
            QVERIFY2(text.out.contains(part), part);
        const Json result = exported({"--list", "--json"}).event("result");
        QVERIFY(result.find("targets")->asArray().size() >= 5);
    }

    void everyTargetIsWrittenAndLoadsWhereItCan_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("loads");
        QTest::newRow("merged") << "merged" << ".";
        QTest::newRow("peft") << "peft" << "base";
        QTest::newRow("compressed-tensors") << "compressed-tensors" << "";
        QTest::newRow("gptq") << "gptq" << "";
        QTest::newRow("dictionary") << "dictionary" << "";
    }
    void everyTargetIsWrittenAndLoadsWhereItCan()
    {
        QFETCH(QString, target);
        QFETCH(QString, loads);
        const QString out = "out-" + target;
        const Outcome outcome = exported({"demo.lqer", "--to", target, "--out", out, "--json"});
        QVERIFY2(outcome.status == 0, outcome.out.constData());
        const Json result = outcome.event("result");
        QCOMPARE(result.find("target")->asString(), target.toStdString());
        for (const Json &file : result.find("files")->asArray())
            QCOMPARE(QFileInfo(at(qPrintable(out + "/" + QString::fromStdString(file.find("name")->asString())))).size(), file.find("bytes")->asInteger());
        if (!loads.isEmpty())
            QCOMPARE(runProgram(m_folder.path(), {"inspect", out + "/" + loads}).status, 0);
    }

    void reportNumberChoosesTheRecipe()
    {
        // The first report of the run is of plain quantization.
        const Outcome outcome = exported({"demo.lqer", "--to", "peft", "--out", "plain", "--recipe", "1", "--json"});
        QVERIFY2(outcome.status == 0, outcome.out.constData());
        QVERIFY(QString::fromStdString(outcome.event("result").find("recipe")->asString()).contains("plain"));
        QVERIFY(!QFile::exists(at("plain/adapter")));
    }

    void mistakesEndWithOneLineAndStatusTwo_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<QString>("says");
        QTest::newRow("nothing") << QStringList{} << "required";
        QTest::newRow("no target") << QStringList{"demo.lqer", "--out", "x"} << "--to is required";
        QTest::newRow("no folder") << QStringList{"demo.lqer", "--to", "merged"} << "--out is required";
        QTest::newRow("unknown target") << QStringList{"demo.lqer", "--to", "pfet", "--out", "x"} << "no export target 'pfet'";
        QTest::newRow("option of another target") << QStringList{"demo.lqer", "--to", "merged", "--out", "x", "--engine", "vllm"} << "target merged has no option --engine";
        QTest::newRow("bad value") << QStringList{"demo.lqer", "--to", "merged", "--out", "x", "--dtype", "f17"} << "expected one of";
        QTest::newRow("no project") << QStringList{"nothing.lqer", "--to", "merged", "--out", "x"} << "nothing.lqer";
        QTest::newRow("no such report") << QStringList{"demo.lqer", "--to", "merged", "--out", "x", "--recipe", "99"} << "has reports 1 to";
        QTest::newRow("no such recipe") << QStringList{"demo.lqer", "--to", "merged", "--out", "x", "--recipe", "l2qer-w4a9"} << "l2qer-w4a8";
        QTest::newRow("format without a type") << QStringList{"demo.lqer", "--to", "gptq", "--out", "x", "--recipe", "qera-exact-mxint4"} << "no exact type";
        QTest::newRow("into the project") << QStringList{"demo.lqer", "--to", "merged", "--out", "demo.lqer/x"} << "must stay as it is";
        QTest::newRow("over the checkpoint") << QStringList{"demo.lqer", "--to", "merged", "--out", demoFolder(), "--overwrite"} << "must stay as it is";
        QTest::newRow("parent missing") << QStringList{"demo.lqer", "--to", "merged", "--out", "no/such"} << "there is no folder";
    }
    void mistakesEndWithOneLineAndStatusTwo()
    {
        QFETCH(QStringList, arguments);
        QFETCH(QString, says);
        const QStringList before = contents(m_folder.path());
        const Outcome outcome = exported(arguments + QStringList{"--quiet"});
        QCOMPARE(outcome.status, 2);
        QVERIFY2(outcome.err.contains(says.toUtf8()), outcome.err.constData());
        QCOMPARE(outcome.errorLines(), 1);
        QCOMPARE(contents(m_folder.path()), before);
    }

    void verifyTellsWhatHasChanged()
    {
        QCOMPARE(exported({"demo.lqer", "--to", "dictionary", "--out", "copied"}).status, 0);
        QCOMPARE(exported({"--verify", "copied"}).status, 0);
        writeBytes(at("copied/README.md"), "mine now");
        const Outcome outcome = exported({"--verify", "copied"});
        QCOMPARE(outcome.status, 2);
        QVERIFY2(outcome.out.contains("README.md"), outcome.out.constData());
        QCOMPARE(exported({"--verify", "demo.lqer"}).status, 2);
    }

    void earlierExportIsReplacedOnlyWhenAsked()
    {
        QCOMPARE(exported({"demo.lqer", "--to", "merged", "--out", "again"}).status, 0);
        const QByteArray first = readBytes(at("again/config.json"));
        QCOMPARE(exported({"demo.lqer", "--to", "peft", "--out", "again"}).status, 2);
        QCOMPARE(readBytes(at("again/config.json")), first);
        QCOMPARE(exported({"demo.lqer", "--to", "peft", "--out", "again", "--overwrite"}).status, 0);
        QVERIFY(QFile::exists(at("again/base/config.json")) && !QFile::exists(at("again/config.json")));
    }
};

QTEST_GUILESS_MAIN(TestCliExport)
#include "tst_cli_export.moc"
