// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <csignal>
#include <map>

#include "tests/cli/cli_process.h"

using namespace lqer;
using namespace lqer::test;

// The main job on the demo checkpoint, with few windows.
class TestCliRun : public QObject {
    Q_OBJECT
private slots:
    void init();
    void comparesEveryScaling();
    void secondRunComputesNothingAgain();
    void oneRunPerWeightFormat();
    void interruptedRunCarriesOn();
    void killedRunCarriesOn();
    void stagesOneByOneGiveTheSameReport();
    void projectOfAnotherCheckpointIsRefused();

private:
    QStringList run(const QStringList &more = {}) const;
    std::unique_ptr<QTemporaryDir> m_folder;
};

namespace {

std::vector<Json> reportsOf(const Json &result, std::size_t run = 0)
{
    return result.find("runs")->asArray().at(run).find("reports")->asArray();
}

double perplexityOf(const Json &report)
{
    return report.find("perplexity")->find("perplexity")->asNumber();
}

// Starts a run and waits for the first sign of `stage`, then sends the signal. Returns the process when it has ended.
void signalDuring(QProcess &process, const QString &folder, const QStringList &arguments, const QByteArray &stage, int signal)
{
    process.setWorkingDirectory(folder);
    process.setStandardInputFile(QProcess::nullDevice());
    process.start(LQER_PROGRAM, arguments);
    QVERIFY(process.waitForStarted());
    QByteArray seen;
    while (!seen.contains(stage)) {
        QVERIFY2(process.waitForReadyRead(5 * 60 * 1000), seen.constData());
        seen += process.readAllStandardOutput();
    }
    QCOMPARE(::kill(static_cast<pid_t>(process.processId()), signal), 0);
    QVERIFY(process.waitForFinished(60 * 1000));
}

}  // namespace

void TestCliRun::init()
{
    m_folder = std::make_unique<QTemporaryDir>();
    QVERIFY(m_folder->isValid());
}

QStringList TestCliRun::run(const QStringList &more) const
{
    return QStringList{"run", demoFolder(), "--project", "p.lqer", "--calibration-windows", "6", "--evaluation-windows", "6"} + more;
}

void TestCliRun::comparesEveryScaling()
{
    const Outcome outcome = runProgram(m_folder->path(), run({"--weights", "mxint3", "--json"}));
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    const std::vector<Json> reports = reportsOf(outcome.event("result"));
    QCOMPARE(reports.size(), std::size_t(5));  // plain, identity, lqer, diag, exact
    // QERA-exact has the least output error a rank can give; A and B are in 8 bits here, which costs less than 2 % of it.
    const Json::Array &exact = reports.back().find("layers")->asArray();
    for (std::size_t r = 0; r + 1 < reports.size(); ++r) {
        const Json::Array &other = reports[r].find("layers")->asArray();
        QCOMPARE(other.size(), exact.size());
        for (std::size_t l = 0; l < exact.size(); ++l) {
            const JsonReader ours(exact[l], "result"), theirs(other[l], "result");
            QCOMPARE(ours["layer"].string(), theirs["layer"].string());
            QVERIFY2(ours["corrected_output_error"].number() <= 1.02 * theirs["corrected_output_error"].number(), ours["layer"].string().c_str());
        }
    }
    QVERIFY(perplexityOf(reports.back()) < perplexityOf(reports.front()));

    const Outcome text = runProgram(m_folder->path(), run({"--weights", "mxint3"}));
    QCOMPARE(text.status, 0);
    for (const char *name : {"original", "plain", "identity", "lqer", "diag", "exact", "perplexity", "0.self_attn.q_proj", "3.mlp.down_proj", "as the LQER paper counts: W 3.12"})
        QVERIFY2(text.out.contains(name), name);
    QVERIFY2(!text.out.contains('\r') && !text.err.contains('\r'), "a progress bar without a terminal");
}

void TestCliRun::secondRunComputesNothingAgain()
{
    const Outcome first = runProgram(m_folder->path(), run({"--alone", "--json"}));
    QCOMPARE(first.status, 0);
    const Outcome again = runProgram(m_folder->path(), {"decompose", demoFolder(), "--project", "p.lqer", "--json"});
    QVERIFY2(again.status == 0, again.err.constData());
    QCOMPARE(again.event("result").find("computed")->asInteger(), 0);
    const Outcome second = runProgram(m_folder->path(), run({"--alone", "--json"}));
    QCOMPARE(perplexityOf(reportsOf(second.event("result")).back()), perplexityOf(reportsOf(first.event("result")).back()));

    const Outcome report = runProgram(m_folder->path(), {"report", "p.lqer", "1"});
    QCOMPARE(report.status, 0);
    QVERIFY(report.out.contains("1 lqer"));
    const Outcome cost = runProgram(m_folder->path(), {"report", "p.lqer", "1", "--tokens", "64", "--context", "128", "--json"});
    QCOMPARE(cost.status, 0);
    const Json costs = *cost.event("result").find("hardware_costs");
    QCOMPARE(costs.asArray().size(), std::size_t(2));
    const JsonReader original(costs.asArray().at(0), "result"), corrected(costs.asArray().at(1), "result");
    QCOMPARE(original["total"]["relative_area"].number(), 1.0);
    QCOMPARE(corrected["tokens"].integer(0, 100), std::int64_t(64));
    QVERIFY(corrected["total"]["moved_bits_per_token"].number() < original["total"]["moved_bits_per_token"].number());
    QVERIFY(corrected["total"]["macs_per_token"].number() > original["total"]["macs_per_token"].number());
    QVERIFY(runProgram(m_folder->path(), {"report", "p.lqer", "1", "--layer-costs"}).out.contains("bits moved by a token"));
    QCOMPARE(runProgram(m_folder->path(), {"report", "p.lqer", "99"}).status, 2);
    const Outcome project = runProgram(m_folder->path(), {"project", "p.lqer", "--verify", "--json"});
    QCOMPARE(project.status, 0);
    QCOMPARE(project.event("result").find("calibrations")->asArray().size(), std::size_t(1));
    QVERIFY(project.event("result").find("damaged")->asArray().empty());
}

void TestCliRun::oneRunPerWeightFormat()
{
    const Outcome outcome = runProgram(m_folder->path(), run({"--weights", "mxint:width=4,block_size=32,mxint2", "--compare", "diag", "--no-layers", "--json"}));
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    const Json result = outcome.event("result");
    QCOMPARE(result.find("runs")->asArray().size(), std::size_t(2));
    const auto bits = [&](std::size_t run) {
        const std::vector<Json> reports = reportsOf(result, run);
        return JsonReader(reports.front(), "result")["footprint"]["stored_bits"]["weights"].number();
    };
    QCOMPARE(bits(0), 4.25);
    QCOMPARE(bits(1), 2.5);  // its blocks have 16 elements
}

void TestCliRun::interruptedRunCarriesOn()
{
    QProcess process;
    signalDuring(process, m_folder->path(), run({"--json"}), "decompos", SIGINT);
    QCOMPARE(process.exitStatus(), QProcess::NormalExit);
    QCOMPARE(process.exitCode(), 130);
    QVERIFY(process.readAllStandardError().contains("interrupted"));

    const Outcome project = runProgram(m_folder->path(), {"project", "p.lqer", "--verify", "--json"});
    QVERIFY2(project.status == 0, project.err.constData());
    const Json calibrations = *project.event("result").find("calibrations");
    QVERIFY(calibrations.asArray().at(0).find("complete")->asBool());
    const Outcome outcome = runProgram(m_folder->path(), run({"--json"}));
    QVERIFY2(outcome.status == 0, outcome.err.constData());

    QTemporaryDir other;
    const Outcome whole = runProgram(other.path(), run({"--json"}));
    const std::vector<Json> resumed = reportsOf(outcome.event("result")), direct = reportsOf(whole.event("result"));
    QCOMPARE(resumed.size(), direct.size());
    for (std::size_t r = 0; r < direct.size(); ++r)
        QCOMPARE(perplexityOf(resumed[r]), perplexityOf(direct[r]));
}

void TestCliRun::killedRunCarriesOn()
{
    QProcess process;
    signalDuring(process, m_folder->path(), run({"--alone", "--json"}), "decompos", SIGKILL);
    QCOMPARE(process.exitStatus(), QProcess::CrashExit);
    const Outcome outcome = runProgram(m_folder->path(), run({"--alone", "--json"}));
    QVERIFY2(outcome.status == 0, outcome.err.constData());
    QCOMPARE(runProgram(m_folder->path(), {"project", "p.lqer", "--verify"}).status, 0);
}

void TestCliRun::stagesOneByOneGiveTheSameReport()
{
    const QStringList project{demoFolder(), "--project", "stages.lqer", "--json"};
    QCOMPARE(runProgram(m_folder->path(), QStringList{"calibrate"} + project + QStringList{"--windows", "6"}).status, 0);
    QCOMPARE(runProgram(m_folder->path(), QStringList{"decompose"} + project + QStringList{"--recipe", "qera-exact-mxint4"}).status, 0);
    const Outcome stages = runProgram(m_folder->path(), QStringList{"evaluate"} + project + QStringList{"--recipe", "qera-exact-mxint4", "--windows", "6"});
    QVERIFY2(stages.status == 0, stages.err.constData());
    const Outcome whole = runProgram(m_folder->path(), run({"--recipe", "qera-exact-mxint4", "--alone", "--json"}));
    QVERIFY2(whole.status == 0, whole.err.constData());
    QCOMPARE(perplexityOf(*stages.event("result").find("report")), perplexityOf(reportsOf(whole.event("result")).back()));
}

void TestCliRun::projectOfAnotherCheckpointIsRefused()
{
    copyDemo(m_folder->filePath("model"));
    QByteArray config = readBytes(m_folder->filePath("model/config.json"));
    writeBytes(m_folder->filePath("model/config.json"), config.replace("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0"));
    QCOMPARE(runProgram(m_folder->path(), {"calibrate", demoFolder(), "--project", "p.lqer", "--windows", "2"}).status, 0);
    const Outcome outcome = runProgram(m_folder->path(), {"calibrate", "model", "--project", "p.lqer", "--text", demoFolder() + "/calibration.txt"});
    QCOMPARE(outcome.status, 2);
    QVERIFY2(outcome.err.contains("p.lqer") && outcome.err.contains("another checkpoint"), outcome.err.constData());
}

QTEST_GUILESS_MAIN(TestCliRun)
#include "tst_cli_run.moc"
