// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <random>

#include <QProcess>
#include <QTemporaryDir>
#include <QXmlStreamReader>
#include <QtTest>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/io/file.h"
#include "core/io/hdf5_file.h"
#include "core/pipeline/sweep.h"
#include "tests/engine/sample_work.h"
#include "tests/support/kill_drill.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace fs = std::filesystem;

namespace {

QuantizationRecipe find(const std::string &name)
{
    return findRecipePreset(name);
}

// Ranks, scalings, formats and two sets of calibration windows.
SweepPlan samplePlan()
{
    SweepPlan plan;
    plan.name = "sample";
    plan.base = sampleRecipe();
    for (const char *axis : {"weight=mxint:width=3,block_size=16,mxint:width=2,block_size=16", "rank=0,4,8", "scaling=identity,exact", "samples=3,6"})
        plan.axes.push_back(parseSweepAxis(axis));
    return plan;
}

WindowsOf windowsOf(const TokenWindows &all)
{
    return [&all](const WindowChange &change) {
        auto windows = std::make_shared<TokenWindows>(all);
        if (change.windows && *change.windows > 0) {
            windows->windows.resize(static_cast<std::size_t>(*change.windows));
            windows->hash += std::to_string(*change.windows);
        }
        return windows;
    };
}

// From wherever the folder stands to the end.
SweepResult wholeSweep(const std::string &checkpoint, const std::string &folder, std::size_t threads, std::size_t jobs, std::stop_token stop = {})
{
    const Engine engine({.threads = threads});
    const TaskContext context = engine.context(nullptr, stop);
    const auto model = engine.load(checkpoint, context);
    fs::create_directories(folder);
    const auto project = Project::isProject(folder + "/project.lqer") ? engine.openProject(folder + "/project.lqer") : engine.createProject(folder + "/project.lqer", *model);
    const TokenWindows calibration = sampleCalibration(), evaluation = sampleEvaluation();
    const SweepPlan plan = samplePlan();
    const SweepResult result = runSweep(engine, *model, *project, plan, sweepPoints(plan, model->transformer().linearSites(), find), windowsOf(calibration),
                                        windowsOf(evaluation), {}, {.folder = folder, .jobs = jobs}, context);
    writeSweepResults(result, folder);
    return result;
}

std::string bytesOf(const std::string &path)
{
    return readTextFile(path, 1 << 26);
}

constexpr const char *files[] = {"results.csv", "results.h5", "best.txt", "report.html", "sweep.json", "perplexity-bits.svg", "perplexity-rank.svg", "perplexity-samples.svg"};

}  // namespace

class TestSweep : public QObject {
    Q_OBJECT
    QTemporaryDir m_place{scratchTemplate()};
    std::string m_checkpoint, m_whole;
    SweepResult m_result;
    double m_seconds = 0;
    std::string at(const char *name) const { return m_place.filePath(name).toStdString(); }

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        m_checkpoint = at("checkpoint");
        m_whole = at("whole");
        writeRandomLlama(m_checkpoint, sampleModel());
        const Stopwatch watch;
        m_result = wholeSweep(m_checkpoint, m_whole, 1, 1);
        m_seconds = watch.seconds();
    }

    void everyPointHasARowAndIsMeasuredOnce()
    {
        QCOMPARE(m_result.rows.size(), std::size_t(1 + 2 * 3 * 2 * 2));
        QVERIFY(m_result.rows.front().labels.empty());
        QCOMPARE(m_result.measured, m_result.rows.size());
        std::size_t best = 0;
        for (const SweepRow &row : m_result.rows) {
            best += row.best ? 1 : 0;
            if (!row.labels.empty())
                QCOMPARE(row.report->original->totalNll, m_result.rows.front().report->perplexity->totalNll);
        }
        QVERIFY(best >= 2);
        QCOMPARE(fs::exists(m_whole + "/project.lqer"), true);
    }

    // What one combination gives alone is what it gives in a sweep.
    void aRowIsWhatARunGives()
    {
        const Engine engine({.threads = 2});
        const auto model = engine.load(m_checkpoint, engine.context());
        const auto project = engine.createProject(at("alone.lqer"), *model);
        RunRequest request;
        request.recipe = sampleRecipe(ScalingKind::Exact, 8);
        request.recipe.defaults.weight = FormatSpec::parse("mxint:width=2,block_size=16");
        request.calibrationWindows = std::make_shared<TokenWindows>(sampleCalibration());
        request.evaluationWindows = std::make_shared<TokenWindows>(sampleEvaluation());
        request.decompose.spectrum = SpectrumExtent::Leading;
        const auto report = engine.run(*model, *project, request, engine.context())->reports.back();
        const std::vector<std::string> labels{"mxint:width=2,block_size=16", "8", "exact", "6"};
        const auto row = std::ranges::find(m_result.rows, labels, &SweepRow::labels);
        QVERIFY(row != m_result.rows.end());
        QCOMPARE(row->report->perplexity->totalNll, report->perplexity->totalNll);
        QVERIFY(row->report->layers == report->layers);
    }

    void sameFilesWhateverRunsAtOnce()
    {
        for (const auto &[name, threads, jobs] : {std::tuple{"three", 3, 5}, std::tuple{"two", 2, 0}}) {
            wholeSweep(m_checkpoint, at(name), static_cast<std::size_t>(threads), static_cast<std::size_t>(jobs));
            for (const char *file : files)
                QVERIFY2(bytesOf(at(name) + "/" + file) == bytesOf(m_whole + "/" + file), file);
        }
    }

    void nothingIsMeasuredTwice()
    {
        const SweepResult again = wholeSweep(m_checkpoint, m_whole, 2, 2);
        QCOMPARE(again.measured, std::size_t(0));
        QCOMPARE(again.reused, m_result.measured);
        for (const char *file : files)
            QVERIFY2(fs::exists(m_whole + "/" + file), file);
        QCOMPARE(sweepCsv(again), sweepCsv(m_result));
        // One that is lost or spoilt is measured again, and only that.
        std::vector<fs::path> points;
        for (const auto &entry : fs::directory_iterator(m_whole + "/points"))
            points.push_back(entry.path());
        std::sort(points.begin(), points.end());
        fs::resize_file(points[3], fs::file_size(points[3]) / 2);
        fs::remove(points[5]);
        const SweepResult repaired = wholeSweep(m_checkpoint, m_whole, 2, 2);
        QCOMPARE(repaired.measured, std::size_t(2));
        QCOMPARE(sweepCsv(repaired), sweepCsv(m_result));
    }

    void killedSweepsEndAsUnbrokenOnes()
    {
        std::mt19937 random(31);
        const std::string broken = at("broken");
        const auto start = [&] { return test::forked([&] { wholeSweep(m_checkpoint, broken, 1, 1); }); };
        const test::KillDrill drill = test::killUntilDone(start, random, m_seconds, 0.15, 1.25);
        QCOMPARE(drill.exit, 0);
        QVERIFY2(drill.kills >= 3, qPrintable(QString::number(drill.kills)));
        for (const char *file : files)
            QVERIFY2(bytesOf(broken + "/" + file) == bytesOf(m_whole + "/" + file), file);
        QCOMPARE(shardHashes(broken + "/project.lqer"), shardHashes(m_whole + "/project.lqer"));
    }

    void aStoppedSweepCarriesOn()
    {
        const std::string folder = at("stopped");
        std::stop_source stop;
        stop.request_stop();
        QVERIFY_THROWS_EXCEPTION(Cancelled, wholeSweep(m_checkpoint, folder, 2, 2, stop.get_token()));
        QVERIFY(!fs::exists(folder + "/results.csv"));
        QCOMPARE(sweepCsv(wholeSweep(m_checkpoint, folder, 2, 2)), sweepCsv(m_result));
    }

    // Second opinion: h5py and Python's csv read the same table.
    void otherProgramsReadTheTable()
    {
        QProcess python;
        python.start("/usr/bin/python3", {"-c", "import csv, json, sys\nimport h5py, numpy as np\n"
                                       "f = h5py.File(sys.argv[1] + '/results.h5'); rows = list(csv.DictReader(open(sys.argv[1] + '/results.csv', newline='')))\n"
                                       "assert f.attrs['version'] == 1 and json.loads(f['plan'][()])['name'] == 'sample'\n"
                                       "p = f['columns/perplexity'][()]; assert len(p) == len(rows) == 25\n"
                                       "assert all(float(r['perplexity']) == v for r, v in zip(rows, p))\n"
                                       "labels = json.loads(f['axes/1/labels'][()]); choice = f['axes/1/choice'][()]\n"
                                       "assert f['axes/1'].attrs['key'] == 'rank' and choice[0] == len(labels)\n"
                                       "assert [labels[c] for c in choice[1:]] == [r['rank'] for r in rows[1:]]\n"
                                       "assert (f['columns/original_perplexity'][()] == p[0]).all() and np.isnan(f['columns/kl_divergence'][()]).all()\nprint('read')",
                                 QString::fromStdString(m_whole)});
        if (!python.waitForFinished(60000) || python.exitStatus() != QProcess::NormalExit)
            QSKIP("/usr/bin/python3 is not there");
        const QByteArray error = python.readAllStandardError();
        if (error.contains("No module named"))
            QSKIP("python3-h5py is not there");
        QVERIFY2(python.readAllStandardOutput().contains("read"), error.constData());
    }

    void pageAndPlotsAreWellFormed()
    {
        for (const char *file : {"report.html", "perplexity-bits.svg", "perplexity-rank.svg", "perplexity-samples.svg"}) {
            const std::string text = bytesOf(m_whole + "/" + file);
            QXmlStreamReader reader(QByteArray::fromStdString(text));
            int circles = 0;
            while (!reader.atEnd())
                circles += reader.readNext() == QXmlStreamReader::StartElement && reader.name() == QLatin1String("circle") ? 1 : 0;
            QVERIFY2(!reader.hasError(), qPrintable(QString("%1: %2").arg(file, reader.errorString())));
            QVERIFY2(circles >= 24, file);
        }
        QVERIFY(bytesOf(m_whole + "/report.html").find("://") == std::string::npos);
        QVERIFY(bytesOf(m_whole + "/best.txt").find("perplexity") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestSweep)
#include "tst_sweep.moc"
