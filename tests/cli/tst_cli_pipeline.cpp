// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "tests/cli/cli_process.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

// LQER's pipeline and conversions of recipes, as a researcher starts them.
class TestCliPipeline : public QObject {
    Q_OBJECT
private:
    static QStringList pipeline(const QStringList &more)
    {
        return QStringList{"pipeline", QString::fromStdString(sourcePath("tests/pipeline/lqer_demo.toml")), "--model",
                   demoFolder(), "--data", demoFolder()}
        + more;
    }

private slots:
    void aConfigurationRunsWithItsOverrides()
    {
        const QTemporaryDir folder;
        const Outcome outcome = runProgram(folder.path(),
            pipeline({"first", "second", "--checkpoint_path=out", "--approximate:approximator:default:rank=4",
                "--l_config:linear:rank=4", "--evaluate:perplexity:num_samples=:ast:4", "--threads", "1"}));
        QVERIFY2(outcome.status == 0, outcome.err.constData());
        QVERIFY2(outcome.err.contains("Profiling: 8 windows of 128 tokens"), outcome.err.constData());
        QVERIFY2(outcome.out.startsWith("Perplexity "), outcome.out.constData());
        QVERIFY(QFile::exists(folder.filePath("out/evaluate_perplexity/evaluation.txt.json")));
        QVERIFY(readBytes(folder.filePath("out/approximate/results.csv")).contains("model.layers.0.self_attn.q_proj.weight,4,"));
        const QByteArray config = readBytes(folder.filePath("out/pipeline/config.toml"));
        QVERIFY2(config.contains("tags = [\"demo-llama\", \"first\", \"second\"]"), config.constData());

        const Outcome again = runProgram(folder.path(), pipeline({"--checkpoint_path=out", "--json"}));
        QCOMPARE(again.status, 2);
        QVERIFY(again.event("error").find("message")->asString().find("holds a finished run") != std::string::npos);
    }

    void chunksAndTheirMerge()
    {
        const QTemporaryDir folder;
        QCOMPARE(runProgram(folder.path(), pipeline({"--enable_approximation=:ast:0", "--enable_perplexity_evaluation=:ast:0"}))
                     .status,
            0);
        const QStringList chunk{"--profile:scale_dict=checkpoints/demo/profile/scale_dict.safetensors", "--chunk"};
        for (const char *index : {"0", "1", "2"}) {
            const Outcome outcome = runProgram(
                folder.path(), pipeline(chunk + QStringList{QString("--approximate:chunk_idx=") + index, "--no-errors"}));
            QVERIFY2(outcome.status == 0, outcome.err.constData());
        }
        QVERIFY(!QFile::exists(folder.filePath("checkpoints/demo/approximate/error_T_dict/chunk_0_of_2.safetensors")));
        const Outcome merged = runProgram(folder.path(), {"pipeline", "checkpoints/demo", "--merge", "--json"});
        QVERIFY2(merged.status == 0, merged.err.constData());
        const QString config = QString::fromStdString(merged.event("result").find("config")->asString());
        const Outcome evaluated = runProgram(folder.path(),
            {"pipeline", config, "--model", demoFolder(), "--data", demoFolder(), "--overwrite_checkpoint=:ast:True"});
        QVERIFY2(evaluated.status == 0 && evaluated.out.contains("Perplexity "), evaluated.err.constData());
    }

    void badCommandsAreOneLine_data()
    {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<QString>("part");
        QTest::newRow("unknown key") << pipeline({"--profile:batch_sise=1"}) << "did you mean 'batch_size'?";
        QTest::newRow("no value") << pipeline({"--profile:batch_size"}) << "is no override; write --key:key=value";
        QTest::newRow("overrides of another command") << QStringList{"formats", "--a:b=1"} << "--a:b=1";
        QTest::newRow("no file") << QStringList{"pipeline", "nothing.toml"} << "nothing.toml: does not exist";
        QTest::newRow("no chunks") << QStringList{"pipeline", ".", "--merge"} << "holds no finished chunk";
        QTest::newRow("conversion over a file")
            << QStringList{"recipe", "convert", "l2qer-w4a8", "there.json"} << "--overwrite replaces it";
        QTest::newRow("conversion of rules without a model")
            << QStringList{"recipe", "convert", "lqer-llama-7b", "a.toml"} << "needs a model";
        QTest::newRow("qera without a model")
            << QStringList{"recipe", "convert", "l2qer-w4a8", "a.yaml"} << "needs a model";
        QTest::newRow("conversion to nothing known")
            << QStringList{"recipe", "convert", "l2qer-w4a8", "a.txt"} << "a recipe is a .json file";
    }
    void badCommandsAreOneLine()
    {
        QFETCH(QStringList, arguments);
        QFETCH(QString, part);
        const QTemporaryDir folder;
        writeBytes(folder.filePath("there.json"), "{}");
        const Outcome outcome = runProgram(folder.path(), arguments);
        QCOMPARE(outcome.status, 2);
        QCOMPARE(outcome.errorLines(), 1);
        QVERIFY2(outcome.err.contains(part.toUtf8()), outcome.err.constData());
        QCOMPARE(contents(folder.path()), QStringList{folder.filePath("there.json")});
    }

    void recipesAreConverted()
    {
        const QTemporaryDir folder;
        const QString toml = QString::fromStdString(sourcePath("tests/pipeline/lqer_demo.toml"));
        for (const QStringList &arguments : {QStringList{toml, "a.json", "--project=mine"},
                 QStringList{"a.json", "b.toml", "--model", demoFolder()}, QStringList{"b.toml", "c.json"},
                 QStringList{"l2qer-w4a8", "d.toml"}, QStringList{"qera-exact-mxint4", "e.yaml", "--model", demoFolder()}}) {
            const Outcome outcome = runProgram(folder.path(), QStringList{"recipe", "convert"} + arguments);
            QVERIFY2(outcome.status == 0, outcome.err.constData());
        }
        QVERIFY(readBytes(folder.filePath("a.json")).contains("\"name\": \"mine\""));
        // Files in the papers' forms serve as recipes too, and what was converted runs.
        const Outcome checked = runProgram(folder.path(), {"check", "b.toml", demoFolder()});
        QVERIFY2(checked.status == 0 && checked.out.contains("No problems"), checked.err.constData());
        const Outcome list = runProgram(folder.path(), {"recipes"});
        QVERIFY(list.out.contains("l2qer-w4a8") && list.out.contains("lqer-llama-2-70b"));
    }
};

QTEST_GUILESS_MAIN(TestCliPipeline)
#include "tst_cli_pipeline.moc"
