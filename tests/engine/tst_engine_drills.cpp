// SPDX-License-Identifier: Apache-2.0
// Fault drills of reliability.md 5 on whole runs: kills and resumption (D-06), cancelling (D-14), flipped bits and lost shards (D-08).
#include <QtTest>
#include <QTemporaryDir>

#include <filesystem>
#include <random>
#include <thread>

#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "tests/engine/sample_work.h"
#include "tests/support/kill_drill.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

constexpr ScalingKind scalings[] = {ScalingKind::MeanAbs, ScalingKind::Exact};

// Calibrate, decompose and evaluate under two scalings, going on where the project stands. One thread: forked children start none.
double wholeRun(const std::string &checkpoint, const std::string &folder, std::stop_token stop = {})
{
    const Engine engine(EngineOptions{1, 0});
    const TaskContext context = engine.context(nullptr, stop);
    const auto model = engine.load(checkpoint, context);
    const auto project = Project::isProject(folder) ? engine.openProject(folder) : engine.createProject(folder, *model);
    RunRequest request;
    request.recipe = test::sampleRecipe();
    request.calibrationWindows = std::make_shared<TokenWindows>(test::sampleCalibration());
    request.evaluationWindows = std::make_shared<TokenWindows>(test::sampleEvaluation());
    request.compare.assign(std::begin(scalings), std::end(scalings));
    return engine.run(*model, *project, request, context)->reports.back()->perplexity->totalNll;
}

}  // namespace

class TestEngineDrills : public QObject {
    Q_OBJECT
private:
    QTemporaryDir m_place{test::scratchTemplate()};
    std::string m_checkpoint;
    std::string m_expected;
    double m_expectedNll = 0;
    double m_seconds = 0;
    std::string at(const char *name) const { return m_place.filePath(name).toStdString(); }

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        m_checkpoint = at("checkpoint");
        test::writeRandomLlama(m_checkpoint, test::sampleModel());
        const Stopwatch watch;
        m_expectedNll = wholeRun(m_checkpoint, at("whole.lqer"));
        m_seconds = watch.seconds();
        m_expected = test::shardHashes(at("whole.lqer"));
    }

    void killedRunsEndAsUnbrokenOnes()
    {
        std::mt19937 random(17);
        int kills = 0;
        for (int round = 0; round < 2; ++round) {
            const std::string broken = at("broken.lqer");
            fs::remove_all(broken);
            const auto start = [&] { return test::forked([&] { wholeRun(m_checkpoint, broken); }); };
            const test::KillDrill drill = test::killUntilDone(start, random, m_seconds, 0.1, 1.2, [&] {
                if (Project::isProject(broken))
                    QVERIFY(Project::open(broken)->verify({}).empty());
            });
            QCOMPARE(drill.exit, 0);
            kills += drill.kills;
            QCOMPARE(test::shardHashes(broken), m_expected);
            QCOMPARE(wholeRun(m_checkpoint, broken), m_expectedNll);
        }
        QVERIFY2(kills >= 5, qPrintable(QString::number(kills)));
    }

    void cancelledRunsLeaveAValidProject()
    {
        std::mt19937 random(19);
        const std::string folder = at("cancelled.lqer");
        int cancelled = 0;
        for (int i = 0; i < 10; ++i) {
            std::stop_source stop;
            std::jthread button([&stop, wait = random() % static_cast<unsigned>(m_seconds * 0.7e6 + 1)] {
                ::usleep(wait);
                stop.request_stop();
            });
            try {
                wholeRun(m_checkpoint, folder, stop.get_token());
                fs::remove_all(folder);
            } catch (const Cancelled &) {
                ++cancelled;
                if (Project::isProject(folder)) {
                    const auto project = Project::open(folder);
                    QVERIFY(project->notes().empty());  // what was finished was also saved
                    QVERIFY(project->verify({}).empty());
                }
            }
        }
        QVERIFY(cancelled > 0);
        QCOMPARE(wholeRun(m_checkpoint, folder), m_expectedNll);
        QCOMPARE(test::shardHashes(folder), m_expected);
    }

    // Whatever is lost or spoilt is computed again, and only that.
    void lostAndSpoiltShardsAreComputedAgain()
    {
        const std::string folder = at("spoilt.lqer");
        wholeRun(m_checkpoint, folder);
        std::mt19937 random(23);
        std::vector<std::string> shards;
        for (const char *part : {"/factors", "/statistics"})
            for (const auto &entry : fs::directory_iterator(folder + part))
                shards.push_back(entry.path().string());
        std::sort(shards.begin(), shards.end());
        for (int i = 0; i < 6; ++i) {
            const std::string &path = shards[random() % shards.size()];
            if (i % 3 == 0) {
                fs::remove(path);
            } else if (i % 3 == 1) {
                fs::resize_file(path, fs::file_size(path) / 2);
            } else {
                std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
                const auto place = static_cast<std::streamoff>(random() % fs::file_size(path));
                file.seekg(place);
                const int byte = file.get();
                file.seekp(place);
                file.put(static_cast<char>(byte ^ 16));
            }
            {
                const auto project = Project::open(folder);
                project->verify({});
                QVERIFY(!project->notes().empty());
            }
            QCOMPARE(wholeRun(m_checkpoint, folder), m_expectedNll);
            QCOMPARE(test::shardHashes(folder), m_expected);
        }
    }
};

QTEST_GUILESS_MAIN(TestEngineDrills)
#include "tst_engine_drills.moc"
