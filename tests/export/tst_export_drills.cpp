// SPDX-License-Identifier: Apache-2.0
// Fault drills of reliability.md 5 on exports: kills (D-03, D-04), size limits and full disks (D-10, D-11), folders that cannot be written.
#include <QTemporaryDir>
#include <QtTest>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "tests/export/sample_export.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;
namespace fs = std::filesystem;

namespace {

// What a child process does; its exit status: 0 done, 2 Error, 3 something else. No thread is running when it is forked.
template <typename Work>
pid_t inChild(const Work &work)
{
    const pid_t child = ::fork();
    if (child != 0)
        return child;
    try {
        work();
    } catch (const Error &) {
        ::_exit(2);
    } catch (...) {
        ::_exit(3);
    }
    ::_exit(0);
}

int statusOf(pid_t child)
{
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

}  // namespace

class TestExportDrills : public QObject {
    Q_OBJECT
private:
    QTemporaryDir m_place{scratchTemplate()};
    std::unique_ptr<SampleExport> m_sample;
    std::string at(const std::string &name) const { return m_place.path().toStdString() + "/" + name; }
    QStringList partials() const { return QDir(m_place.path()).entryList({"*.partial-*"}); }

    static void addTargets()
    {
        QTest::addColumn<QString>("target");
        for (const char *target : {"merged", "peft", "gguf", "gptq"})
            QTest::newRow(target) << target;
    }

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        const std::string folder = sampleModelFolder("random", m_place.path().toStdString());
        const auto sites = Engine(EngineOptions{1, 0}).load(folder, {})->transformer().linearSites();
        m_sample = std::make_unique<SampleExport>(folder, m_place.path().toStdString(), mixedRanks("int4-g32", sites));
    }
    void cleanup()
    {
        for (const auto &entry : fs::directory_iterator(m_place.path().toStdString()))
            if (entry.path().filename().string().starts_with("out"))
                fs::remove_all(entry.path());
    }

    void killedExportsLeaveTheOldOneOrTheNewOne_data() { addTargets(); }
    void killedExportsLeaveTheOldOneOrTheNewOne()
    {
        QFETCH(QString, target);
        m_sample->write("dictionary", "out");
        const auto old = contentsOf(at("out"));
        fs::rename(at("out"), at("out-old"));
        const Stopwatch watch;
        m_sample->write(target.toStdString(), "out");
        const double seconds = watch.seconds();
        const auto complete = contentsOf(at("out"));

        std::mt19937 random(29);
        int killed = 0;
        for (int i = 0; i < 20; ++i) {
            // Odd rounds over an earlier export, even ones to a new name.
            fs::remove_all(at("out"));
            if (i % 2 == 1)
                fs::copy(at("out-old"), at("out"), fs::copy_options::recursive);
            const pid_t child = inChild([&] { m_sample->write(target.toStdString(), "out", {}, true); });
            ::usleep(static_cast<useconds_t>(seconds * 1.2e6 * random() / 4294967296.0));
            ::kill(child, SIGKILL);
            const int status = statusOf(child);
            killed += WIFSIGNALED(status) ? 1 : 0;
            QVERIFY(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
            if (!fs::exists(at("out")))
                QVERIFY(i % 2 == 0);
            else if (const auto found = contentsOf(at("out")); found != complete)
                QVERIFY(i % 2 == 1 && found == old);
        }
        QVERIFY2(killed >= 5, qPrintable(QString::number(killed)));
        // The next export takes away what the dead left.
        m_sample->write(target.toStdString(), "out", {}, true);
        QCOMPARE(partials(), QStringList());
        QVERIFY(contentsOf(at("out")) == complete);
    }

    void sizeLimitsLeaveTheOldOne_data() { addTargets(); }
    void sizeLimitsLeaveTheOldOne()
    {
        QFETCH(QString, target);
        const std::string name = target.toStdString();
        m_sample->write(name, "out");
        const auto old = contentsOf(at("out"));
        std::uint64_t largest = 0;
        for (const auto &entry : fs::recursive_directory_iterator(at("out")))
            largest = std::max<std::uint64_t>(largest, entry.is_regular_file() ? entry.file_size() : 0);
        int refused = 0;
        for (std::uint64_t step = 0; step <= 24; ++step) {
            const std::uint64_t limit = largest * step / 24;
            const int status = statusOf(inChild([&] {
                const rlimit size{limit, limit};
                ::setrlimit(RLIMIT_FSIZE, &size);
                const std::string message = errorOf([&] { m_sample->write(name, "out", {}, true); });
                if (message.empty())
                    ::_exit(0);
                // What was needed and what is free.
                ::_exit(message.find("needed") != std::string::npos && message.find("free") != std::string::npos ? 2 : 3);
            }));
            QVERIFY2(WIFEXITED(status), "a signal ended the export");
            QVERIFY2(WEXITSTATUS(status) != 3, "the error does not say what was needed and what is free");
            refused += WEXITSTATUS(status) == 2 ? 1 : 0;
            QCOMPARE(WEXITSTATUS(status) == 0, limit >= largest);
            QVERIFY(contentsOf(at("out")) == old);
            QCOMPARE(partials(), QStringList());
        }
        QCOMPARE(refused, 24);
    }

    void fullDiskLeavesTheOldOne_data() { addTargets(); }
    void fullDiskLeavesTheOldOne()
    {
        QFETCH(QString, target);
        const std::string disk = at("out-disk");
        fs::create_directory(disk);
        std::uint64_t whole = 0;
        const std::string name = target.toStdString();
        for (const auto &entry : fs::recursive_directory_iterator(m_sample->write(name, "out")))
            whole += entry.is_regular_file() ? entry.file_size() : 0;
        for (int step = 0; step < 8; ++step) {
            // Room for the old export and part of the new one. The forecast is above it at first, later the writes find out.
            const std::uint64_t size = whole + whole * static_cast<std::uint64_t>(step) / 8 + (1 << 20);
            if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, ("size=" + std::to_string(size)).c_str()) != 0)
                QSKIP("file systems cannot be mounted here");
            fs::copy(at("out"), disk + "/out", fs::copy_options::recursive);
            const auto old = contentsOf(disk);
            Exporter hasty = findExporter(name);
            hasty.bytes = [](const ExportSource &, const ExportOptions &) { return std::uint64_t(0); };
            const auto source = m_sample->engine().exportSource(m_sample->model(), m_sample->project(), m_sample->recipe());
            ErrorCode forecast{}, late{};
            const std::string first = errorOf([&] { runExport(findExporter(name), *source, {name, {}, disk + "/out", true}, {}, {}); }, &forecast);
            const bool kept = first.empty() || contentsOf(disk) == old;
            const std::string second = errorOf([&] { runExport(hasty, *source, {name, {}, disk + "/out", true}, {}, {}); }, &late);
            const bool keptToo = second.empty() || contentsOf(disk) == old;
            ::umount2(disk.c_str(), MNT_DETACH);
            QVERIFY(kept && keptToo);
            for (const auto &[message, code] : {std::pair(first, forecast), std::pair(second, late)})
                QVERIFY2(message.empty() || (code == ErrorCode::DiskFull && message.find("free") != std::string::npos), message.c_str());
        }
    }

    void protectedFoldersAreNamed_data()
    {
        QTest::addColumn<QString>("path");
        QTest::addColumn<bool>("overwrite");
        QTest::addColumn<QString>("says");
        QTest::newRow("parent") << "out-closed/out" << false << "nothing can be created in folder";
        QTest::newRow("target") << "out" << true << "is write-protected";
    }
    // Root may write everywhere, so a child gives that up.
    void protectedFoldersAreNamed()
    {
        QFETCH(QString, path);
        QFETCH(bool, overwrite);
        QFETCH(QString, says);
        constexpr fs::perms readOnly = fs::perms::owner_read | fs::perms::owner_exec | fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read | fs::perms::others_exec;
        fs::create_directory(at("out-closed"));
        m_sample->write("dictionary", "out");
        const auto before = contentsOf(at("out"));
        fs::permissions(m_place.path().toStdString(), fs::perms::all);
        for (const char *name : {"out", "out-closed"})
            fs::permissions(at(name), readOnly);
        const int status = statusOf(inChild([&] {
            if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0))
                ::_exit(4);
            const std::string message = errorOf([&] { m_sample->write("merged", path.toStdString(), {}, overwrite); });
            ::_exit(message.find(says.toStdString()) != std::string::npos ? 0 : 1);
        }));
        for (const char *name : {"out", "out-closed"})
            fs::permissions(at(name), fs::perms::owner_all);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
            QSKIP("rights cannot be given up here");
        QCOMPARE(status, 0);
        QVERIFY(contentsOf(at("out")) == before);
        QVERIFY(fs::is_empty(at("out-closed")));
        QCOMPARE(partials(), QStringList());
    }
};

QTEST_GUILESS_MAIN(TestExportDrills)
#include "tst_export_drills.moc"
