// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "tests/cli/cli_process.h"
#include "tests/import/packed_folder.h"

using namespace lqer;
using namespace lqer::test;

// What others have computed already, on the demo checkpoint with few windows.
class TestCliImport : public QObject {
    Q_OBJECT
private slots:
    void repairsAnExistingQuantization();
    void exportsOfARepairHaveItsWeights();
    void baseAndWeightsExcludeEachOther();
    void anImatrixReplacesTheForwardPass();

private:
    QStringList run(const QStringList &more = {}) const
    {
        return QStringList{"run", demoFolder(), "--project", "p.lqer", "--calibration-windows", "6", "--evaluation-windows", "6"} + more;
    }
    void pack(const QTemporaryDir &folder, const Packing &packing) const
    {
        const Transformer model(std::make_shared<Checkpoint>(demoFolder().toStdString()));
        writePackedFolder(folder.filePath("packed").toStdString(), model, packing);
    }
};

namespace {

double perplexityOf(const Json &report)
{
    return report.find("perplexity")->find("perplexity")->asNumber();
}

}  // namespace

void TestCliImport::repairsAnExistingQuantization()
{
    QTemporaryDir folder;
    pack(folder, gptqPacking(3, 64, false, false));
    const Outcome outcome = runProgram(folder.path(), run({"--base", "packed", "--compare", "exact", "--json"}));
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    const Json runs = *outcome.event("result").find("runs");
    const Json::Array &reports = runs.asArray().at(0).find("reports")->asArray();
    QCOMPARE(reports.size(), std::size_t{2});  // plain, exact
    for (const Json &report : reports)
        QCOMPARE(report.find("base")->find("description")->asString(), std::string("GPTQ, 3 bits, groups of 64"));
    QVERIFY(perplexityOf(reports[1]) < perplexityOf(reports[0]));
    const Outcome text = runProgram(folder.path(), run({"--base", "packed", "--compare", "exact"}));
    QVERIFY2(text.status == 0 && text.out.contains("weights GPTQ, 3 bits, groups of 64"), text.out.constData());
}

// The report says what W_q was, so the export needs no --base: merged, it scores as the report says.
void TestCliImport::exportsOfARepairHaveItsWeights()
{
    QTemporaryDir folder;
    pack(folder, awqPacking(64));
    const Outcome repaired = runProgram(folder.path(), run({"--base", "packed", "--alone", "--json"}));
    QVERIFY2(repaired.status == 0, repaired.err.constData());
    const Json runs = *repaired.event("result").find("runs");
    const double expected = perplexityOf(runs.asArray().at(0).find("reports")->asArray().at(0));
    const Outcome exported = runProgram(folder.path(), {"export", "p.lqer", "--to", "merged", "--out", "merged", "--dtype", "f32"});
    QVERIFY2(exported.status == 0, exported.err.constData());
    const Outcome measured = runProgram(folder.path(), {"evaluate", "merged", "--text", demoFolder() + "/evaluation.txt", "--windows", "6", "--json"});
    QVERIFY2(measured.status == 0, measured.err.constData());
    const double found = perplexityOf(*measured.event("result").find("report"));
    QVERIFY2(std::abs(found / expected - 1) < 1e-5, qPrintable(QString("%1 instead of %2").arg(found).arg(expected)));

    // Another one in its place is noticed.
    pack(folder, awqPacking(32));
    const Outcome changed = runProgram(folder.path(), {"export", "p.lqer", "--to", "merged", "--out", "again"});
    QCOMPARE(changed.status, 2);
    QVERIFY2(changed.err.contains("has changed since the report was made"), changed.err.constData());
}

void TestCliImport::baseAndWeightsExcludeEachOther()
{
    QTemporaryDir folder;
    pack(folder, awqPacking(64));
    const Outcome outcome = runProgram(folder.path(), run({"--base", "packed", "--weights", "mxint4"}));
    QCOMPARE(outcome.status, 2);
    QVERIFY2(outcome.err.contains("--weights and --base"), outcome.err.constData());
    QVERIFY(!contents(folder.path()).contains("p.lqer"));
}

// A file as llama.cpp wrote it before August 2025: mean squares times the number of calls.
void TestCliImport::anImatrixReplacesTheForwardPass()
{
    QTemporaryDir folder;
    const auto number = [](qint32 value) { return QByteArray(reinterpret_cast<const char *>(&value), 4); };
    QByteArray bytes = number(28);
    for (int block = 0; block < 4; ++block)
        for (const char *weight : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
            const QByteArray name = QStringLiteral("blk.%1.%2.weight").arg(block).arg(weight).toUtf8();
            const std::vector<float> values(QByteArray(weight) == "ffn_down" ? 512 : 192, 0.5F * static_cast<float>(block + 1));
            bytes += number(static_cast<qint32>(name.size())) + name + number(2) + number(static_cast<qint32>(values.size()))
                + QByteArray(reinterpret_cast<const char *>(values.data()), static_cast<qsizetype>(4 * values.size()));
        }
    writeBytes(folder.filePath("imatrix.dat"), bytes);
    const QStringList project{demoFolder(), "--project", "p.lqer", "--json"};
    const Outcome taken = runProgram(folder.path(), QStringList{"calibrate"} + project + QStringList{"--imatrix", "imatrix.dat"});
    QVERIFY2(taken.status == 0, taken.err.constData());
    QCOMPARE(taken.event("result").find("sites")->asArray().size(), std::size_t{16});
    const Outcome decomposed = runProgram(folder.path(), QStringList{"decompose"} + project + QStringList{"--recipe", "qera-approx-mxint4"});
    QVERIFY2(decomposed.status == 0, decomposed.err.constData());
    for (const char *recipe : {"l2qer-w4a8", "qera-exact-mxint4"}) {
        const Outcome refused = runProgram(folder.path(), {"decompose", demoFolder(), "--project", "p.lqer", "--recipe", recipe});
        QCOMPARE(refused.status, 2);
        QVERIFY2(refused.err.contains("which the statistics do not have"), refused.err.constData());
    }

    // Not a text that is passed over in silence.
    const Outcome both = runProgram(folder.path(), {"calibrate", demoFolder(), "--imatrix", "imatrix.dat", "--text", "a.txt"});
    QCOMPARE(both.status, 2);
    QVERIFY2(both.err.contains("--imatrix") && both.err.contains("--text"), both.err.constData());

    writeBytes(folder.filePath("short.dat"), bytes.left(bytes.size() / 2));
    const Outcome cut = runProgram(folder.path(), {"calibrate", demoFolder(), "--project", "q.lqer", "--imatrix", "short.dat"});
    QCOMPARE(cut.status, 2);
    QVERIFY2(cut.err.contains("short.dat") && !contents(folder.path()).contains("q.lqer"), cut.err.constData());
}

QTEST_GUILESS_MAIN(TestCliImport)
#include "tst_cli_import.moc"
