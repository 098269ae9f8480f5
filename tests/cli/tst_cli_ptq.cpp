// SPDX-License-Identifier: Apache-2.0
// QERA's pipelines as a person starts them: the real program on the demo checkpoint.
#include <QTemporaryDir>
#include <QtTest>

#include "core/io/yaml.h"
#include "tests/cli/cli_process.h"
#include "tests/pipeline/qera_sample.h"

using namespace lqer;
using namespace lqer::test;

class TestCliPtq : public QObject {
    Q_OBJECT
private:
    QTemporaryDir m_place;

    // With what a flag states in place of the sample's own data.
    Outcome lqer(const QString &command, const QStringList &more) const
    {
        return runProgram(m_place.path(),
            QStringList{"--json", "--threads", "1", command, "sample.yaml", "--model", demoFolder(), "--data", demoFolder(),
                "--calibration-set", "calibration.txt", "--perplexity-eval-set", "evaluation.txt", "--perplexity-max-seq-length",
                "128"}
                + more);
    }

private slots:
    void initTestCase() { writeBytes(m_place.filePath("sample.yaml"), QByteArray::fromStdString(qeraSample())); }

    void flagsReplaceKeysAndResultsAreKept()
    {
        const Outcome first
            = lqer("ptq", {"--output-dir", "out", "--qera-scaling-mode", "diag", "--num-calibration-samples", "4"});
        QVERIFY2(first.status == 0, first.out);
        const Json result = first.event("result");
        QCOMPARE(result.find("layers")->asArray().size(), std::size_t(28));
        const Json config = readYamlFile(m_place.filePath("out/config.yaml").toStdString());
        QCOMPARE(*config.find("qera_scaling_mode"), Json("diag"));
        QCOMPARE(*config.find("num_calibration_samples"), Json(4));

        const Outcome again = lqer("ptq", {"--output-dir", "out"});
        QCOMPARE(again.status, 2);
        QVERIFY(again.out.contains("is not empty"));
        const Outcome over = lqer("ptq", {"--output-dir", "out", "-ow"});
        QVERIFY2(over.status == 0, over.out);
        QVERIFY(over.out.contains("A and B that are here already are used"));
        QCOMPARE(*over.event("result").find("report")->find("perplexity")->find("perplexity"),
            *result.find("report")->find("perplexity")->find("perplexity"));
    }

    void chunksAreCheckedAndComputed()
    {
        const auto check = [&] {
            return runProgram(m_place.path(), {"--json", "chunks", "check", demoFolder(), "8", "-o", "chunked"}).event("result");
        };
        QCOMPARE(runProgram(m_place.path(), {"--json", "chunks", "check", demoFolder(), "8"})
                     .event("result")
                     .find("chunks")
                     ->asInteger(),
            2);
        QCOMPARE(runProgram(m_place.path(), {"chunks", "check", demoFolder(), "8", "-o", "nothing"}).status, 2);
        const QStringList common{"--output-dir", "chunked", "--layers-per-chunk", "8", "--disable-perplexity-eval"};
        const Outcome last = lqer("ptq-chunked", common + QStringList{"--chunk-id", "1"});
        QVERIFY2(last.status == 0, last.out);
        QCOMPARE(*check().find("missing"), Json(Json::Array{0}));
        QVERIFY(lqer("ptq-chunked", common).out.contains("chunks are missing, 1 of 2: 0 (--chunk-id computes one)"));
        QVERIFY(lqer("ptq-chunked", common + QStringList{"--chunk-id", "2"}).out.contains("there are 2 chunks, 0 to 1"));
        const Outcome first = lqer("ptq-chunked", common + QStringList{"--chunk-id", "0"});
        QVERIFY2(first.status == 0, first.out);
        QCOMPARE(first.event("result").find("layers")->asArray().size(), std::size_t(28));  // merged
        QCOMPARE(*check().find("missing"), Json(Json::array()));
        QVERIFY(QFile::exists(m_place.filePath("chunked/AB_dict.safetensors")));
    }

    void badConfigurationsEndInOneLine()
    {
        writeBytes(m_place.filePath("bad.yaml"), "model_name: x\nqera_confg: {}\n");
        const Outcome bad = runProgram(m_place.path(), {"ptq", "bad.yaml", "--model", demoFolder()});
        QCOMPARE(bad.status, 2);
        QCOMPARE(bad.errorLines(), 1);
        QVERIFY2(bad.err.contains("bad.yaml: unknown key 'qera_confg'; did you mean 'qera_config'?"), bad.err);
    }
};

QTEST_GUILESS_MAIN(TestCliPtq)
#include "tst_cli_ptq.moc"
