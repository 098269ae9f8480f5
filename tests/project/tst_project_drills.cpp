// SPDX-License-Identifier: Apache-2.0
// Fault drills of reliability.md 5 on the project: kills, size limits, a second process.
#include <QtTest>
#include <QTemporaryDir>

#include <csignal>
#include <filesystem>
#include <random>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "tests/project/sample_project.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

constexpr int layers = 8;

// The whole work on a project: goes on where it stands, saving after every layer.
void work(const std::string &folder)
{
    const auto project = Project::open(folder);
    const std::string key = project->beginCalibration(test::sampleProvenance());
    std::vector<std::string> sites;
    for (int layer = 0; layer < layers; ++layer) {
        sites.push_back(fmt::format("model.layers.{}.mlp.gate_proj", layer));
        if (!project->calibration(key)->sites.contains(sites.back()))
            project->storeSiteStats(key, sites.back(), test::sampleSite(40, static_cast<std::uint32_t>(layer)));
        const auto sample = test::sampleDecomposition(layer);
        if (!project->hasWholeDecomposition(sample.record.key, 6))
            project->storeDecomposition(sample.record, sample.decomposition);
        project->save();
    }
    project->finishCalibration(key, sites);
    if (project->reports().empty())
        project->storeReport(Json::object().set("title", "done"));
    project->save();
}

std::string unbroken(const std::string &folder)
{
    Project::create(folder, test::sampleCheckpoint());
    work(folder);
    return test::describe(*Project::open(folder));
}

template <typename Work>
pid_t inChild(const Work &childWork)
{
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            childWork();
        } catch (const std::exception &) {
            ::_exit(2);
        }
        ::_exit(0);
    }
    return child;
}

int waitFor(pid_t child)
{
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

bool hasTemporary(const std::string &folder)
{
    for (const std::string &file : test::filesBelow(folder))
        if (file.find(".tmp.") != std::string::npos)
            return true;
    return false;
}

}  // namespace

class TestProjectDrills : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::string folder(const char *name) const { return m_place->filePath(name).toStdString(); }

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});  // failures are what is wanted here
    }
    void init() { m_place = std::make_unique<QTemporaryDir>(test::scratchTemplate()); }

    // D-01, D-02, D-06: killed 100 times at any moment of saves and shard writes and gone on with each time; readable after every kill
    // and at the end the same as never broken.
    void killsLoseNothingThatWasFinished()
    {
        const Stopwatch watch;
        const std::string expected = unbroken(folder("whole.lqer"));
        // The moments of the kills are spread over the work, however fast the machine is.
        const auto span = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(watch.seconds() * 0.4e6));
        std::mt19937 random(3);
        int killed = 0;
        for (int round = 0; killed < 100 && round < 60; ++round) {
            const std::string broken = folder("broken.lqer");
            fs::remove_all(broken);
            Project::create(broken, test::sampleCheckpoint());
            std::size_t finished = 0;
            // Ten kills a round at most, then the work may finish: so the drill ends on a machine that has become slower meanwhile.
            int attempts = 0;
            for (bool running = true; running; ++attempts) {
                const pid_t child = inChild([&] { work(broken); });
                if (attempts < 10) {
                    ::usleep(static_cast<useconds_t>(random() % span));
                    ::kill(child, SIGKILL);
                }
                const int status = waitFor(child);
                running = WIFSIGNALED(status);
                killed += running ? 1 : 0;
                QVERIFY(running || WEXITSTATUS(status) == 0);
                const auto project = Project::open(broken);
                QVERIFY2(!project->isReadOnly(), project->readOnlyReason().c_str());
                QVERIFY(!hasTemporary(broken));
                QVERIFY(project->verify({}).empty());  // whatever is there is whole
                QVERIFY(project->decompositions().size() >= finished);
                finished = project->decompositions().size();
            }
            QCOMPARE(test::describe(*Project::open(broken)), expected);
        }
        QVERIFY2(killed >= 100, qPrintable(QString::number(killed)));
    }

    // D-10: a size limit on every file, as a full disk. Clear error, the saved state stands, no temporaries, and with room again
    // the work goes on to the same end.
    void sizeLimitsLeaveTheSavedState()
    {
        const std::string expected = unbroken(folder("whole.lqer"));
        const auto size = fs::file_size(folder("whole.lqer") + "/project.h5");
        int failed = 0;
        for (int step = 0; step < 60; ++step) {
            const std::string limited = folder("limited.lqer");
            fs::remove_all(limited);
            Project::create(limited, test::sampleCheckpoint());
            const pid_t child = inChild([&] {
                const rlim_t limit = size * static_cast<rlim_t>(step) / 50;
                const rlimit most{limit, limit};
                ::setrlimit(RLIMIT_FSIZE, &most);
                work(limited);
            });
            const int status = waitFor(child);
            QVERIFY2(WIFEXITED(status), "a signal, not an error");
            failed += WEXITSTATUS(status) == 2 ? 1 : 0;
            QVERIFY(!hasTemporary(limited));
            QVERIFY(Project::open(limited)->verify({}).empty());
            work(limited);
            QCOMPARE(test::describe(*Project::open(limited)), expected);
        }
        QVERIFY(failed > 30);
    }

    void creatingWithoutRoomLeavesNothing()
    {
        const std::string none = folder("none.lqer");
        const pid_t child = inChild([&] {
            const rlimit most{100, 100};
            ::setrlimit(RLIMIT_FSIZE, &most);
            Project::create(none, test::sampleCheckpoint());
        });
        const int status = waitFor(child);
        QVERIFY(WIFEXITED(status) && WEXITSTATUS(status) == 2);
        QVERIFY(!fs::exists(none));
    }

    // D-21: what a killed process held can be taken over; while it lives nobody else may write.
    void killedHolderLetsGo()
    {
        const std::string shared = folder("shared.lqer");
        Project::create(shared, test::sampleCheckpoint());
        int ready[2];
        QVERIFY(::pipe(ready) == 0);
        const pid_t child = inChild([&] {
            const auto project = Project::open(shared);
            const char byte = 1;
            if (::write(ready[1], &byte, 1) != 1)
                return;
            ::pause();
        });
        char byte = 0;
        QVERIFY(::read(ready[0], &byte, 1) == 1);
        const auto second = Project::open(shared);
        QVERIFY(second->isReadOnly());
        QVERIFY2(second->readOnlyReason().starts_with(fmt::format("process {} on ", child)), second->readOnlyReason().c_str());
        ::kill(child, SIGKILL);
        waitFor(child);
        QVERIFY(!Project::open(shared)->isReadOnly());
        ::close(ready[0]);
        ::close(ready[1]);
    }
};

QTEST_GUILESS_MAIN(TestProjectDrills)
#include "tst_project_drills.moc"
