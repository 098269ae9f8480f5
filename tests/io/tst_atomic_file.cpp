// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <random>
#include <set>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "tests/io/failing_calls.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using test::FailingCalls;

namespace {

// Runs `work` in a child process and returns its exit code; -1 if a signal ended it.
int inChild(const std::function<int()> &work)
{
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(work());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A process id that surely does not run any more.
pid_t deadProcess()
{
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(0);
    ::waitpid(child, nullptr, 0);
    return child;
}

std::size_t openDescriptors() { return test::namesIn("/proc/self/fd").size(); }

}  // namespace

class TestAtomicFile : public QObject {
    Q_OBJECT
private slots:
    void init();
    void contentAppearsAtCommitOnly();
    void fileWithoutCommitLeavesNoTrace();
    void lessThanReservedIsTheRealSize();
    void permissionsOfTheReplacedFileStay();
    void linkStaysAndItsTargetIsReplaced();
    void targetsThatAreNoFilesAreRefused_data();
    void targetsThatAreNoFilesAreRefused();
    void everyFailingCallLeavesTheOldFile_data();
    void everyFailingCallLeavesTheOldFile();
    void interruptionsAndShortWritesAreInvisible();
    void fullDiskNamesNeededAndFreeBytes();
    void fileIsOnDiskBeforeItIsRenamed();
    void sizeLimitLeavesTheOldFile_data();
    void sizeLimitLeavesTheOldFile();
    void realFullFileSystemLeavesTheOldFile();
    void killedWriterLeavesOldOrNew();
    void sweepRemovesOnlyWhatDeadProcessesLeft();
    void sweepOfAMissingFolderDoesNothing();

private:
    std::string folder() const { return m_folder->path().toStdString(); }
    std::string at(const char *name) const { return m_folder->filePath(name).toStdString(); }

    std::unique_ptr<QTemporaryDir> m_folder;
};

void TestAtomicFile::init() { m_folder = std::make_unique<QTemporaryDir>(); }

void TestAtomicFile::contentAppearsAtCommitOnly()
{
    test::writeRaw(at("a"), "old");
    AtomicFile file(at("a"));
    file.write("new ");
    file.write("content");
    QCOMPARE(file.written(), 11U);
    QCOMPARE(test::readRaw(at("a")), std::string("old"));
    QCOMPARE(test::namesIn(folder()).size(), 2U);
    file.commit();
    QCOMPARE(test::readRaw(at("a")), std::string("new content"));
    QCOMPARE(test::namesIn(folder()), std::vector<std::string>{"a"});
    writeFileAtomically(at("empty"), std::string_view());
    QCOMPARE(test::readRaw(at("empty")), std::string());
}

void TestAtomicFile::fileWithoutCommitLeavesNoTrace()
{
    test::writeRaw(at("a"), "old");
    {
        AtomicFile file(at("a"), 1'000);
        file.write("new");
    }
    QCOMPARE(test::readRaw(at("a")), std::string("old"));
    QCOMPARE(test::namesIn(folder()), std::vector<std::string>{"a"});
}

void TestAtomicFile::lessThanReservedIsTheRealSize()
{
    AtomicFile file(at("a"), 100'000);
    file.write("short");
    file.commit();
    QCOMPARE(test::readRaw(at("a")), std::string("short"));
    AtomicFile more(at("b"), 2);
    more.write("longer than said");
    more.commit();
    QCOMPARE(test::readRaw(at("b")), std::string("longer than said"));
}

void TestAtomicFile::permissionsOfTheReplacedFileStay()
{
    const mode_t mask = ::umask(022);
    for (const mode_t mode : {0600U, 0644U, 0755U, 0660U}) {
        test::writeRaw(at("a"), "old");
        QCOMPARE(::chmod(at("a").c_str(), mode), 0);
        writeFileAtomically(at("a"), "new");
        struct stat found {};
        QCOMPARE(::stat(at("a").c_str(), &found), 0);
        QCOMPARE(found.st_mode & 07777, mode);
    }
    writeFileAtomically(at("fresh"), "new");
    struct stat found {};
    QCOMPARE(::stat(at("fresh").c_str(), &found), 0);
    QCOMPARE(found.st_mode & 07777, 0644U);
    ::umask(mask);
}

void TestAtomicFile::linkStaysAndItsTargetIsReplaced()
{
    QVERIFY(QDir(m_folder->path()).mkdir("real"));
    test::writeRaw(at("real/target"), "old");
    QCOMPARE(::symlink("real/target", at("link").c_str()), 0);
    QCOMPARE(::symlink("link", at("link to link").c_str()), 0);
    writeFileAtomically(at("link to link"), "new");
    QCOMPARE(test::readRaw(at("real/target")), std::string("new"));
    QVERIFY(std::filesystem::is_symlink(at("link")) && std::filesystem::is_symlink(at("link to link")));
    QCOMPARE(test::namesIn(at("real")), std::vector<std::string>{"target"});

    QCOMPARE(::symlink("real/absent", at("dangling").c_str()), 0);
    writeFileAtomically(at("dangling"), "made");
    QCOMPARE(test::readRaw(at("real/absent")), std::string("made"));
    QVERIFY(std::filesystem::is_symlink(at("dangling")));
}

void TestAtomicFile::targetsThatAreNoFilesAreRefused_data()
{
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("expected");
    QTest::newRow("folder") << "folder" << "is a folder, a file was expected";
    QTest::newRow("FIFO") << "fifo" << "is not a regular file";
    QTest::newRow("missing folder") << "no/such" << "no file can be created in folder";
    QTest::newRow("below a file") << "regular/x" << "no file can be created in folder";
    QTest::newRow("link loop") << "loop" << "cannot be written";
    QTest::newRow("no name") << "folder/" << "is not a file name";
    QTest::newRow("name too long") << QString(300, 'n') << "cannot be written";
}

void TestAtomicFile::targetsThatAreNoFilesAreRefused()
{
    QFETCH(QString, name);
    QFETCH(QString, expected);
    QVERIFY(QDir(m_folder->path()).mkdir("folder"));
    test::writeRaw(at("regular"), "x");
    QCOMPARE(::mkfifo(at("fifo").c_str(), 0600), 0);
    QCOMPARE(::symlink("loop", at("loop").c_str()), 0);
    const std::vector<std::string> before = test::namesIn(folder());
    const std::string path = folder() + "/" + name.toStdString();
    ErrorCode code = ErrorCode::Shape;
    const std::string message = test::errorOf([&] { writeFileAtomically(path, "new"); }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(path), message.c_str());
    QVERIFY(code == ErrorCode::Io);
    QCOMPARE(test::namesIn(folder()), before);
}

void TestAtomicFile::everyFailingCallLeavesTheOldFile_data()
{
    QTest::addColumn<int>("error");
    QTest::addColumn<bool>("always");
    for (const auto &[name, error] : {std::pair("EIO", EIO), std::pair("ENOSPC", ENOSPC), std::pair("EDQUOT", EDQUOT), std::pair("EFBIG", EFBIG)}) {
        QTest::addRow("%s once", name) << error << false;
        QTest::addRow("%s from then on", name) << error << true;
    }
}

// Fails call k of a save for k = 1, 2, ... until a save comes through untouched.
void TestAtomicFile::everyFailingCallLeavesTheOldFile()
{
    QFETCH(int, error);
    QFETCH(bool, always);
    const std::size_t descriptors = openDescriptors();
    std::size_t k = 1;
    std::size_t failures = 0;
    for (bool struck = true; struck; ++k) {
        test::writeRaw(at("a"), "old");
        bool replaced = false;
        ErrorCode code = ErrorCode::Shape;
        std::string message;
        {
            const FailingCalls calls(k, error, always ? FailingCalls::Times::Always : FailingCalls::Times::Once);
            message = test::errorOf(
                [&] {
                    AtomicFile file(at("a"), 100);
                    file.write("new ");
                    file.write("content");
                    file.commit();
                },
                &code);
            struck = calls.hasStruck();
            const auto renamed = std::find(calls.log().begin(), calls.log().end(), "rename");
            replaced = renamed != calls.log().end() && static_cast<std::size_t>(renamed - calls.log().begin()) + 1 < k;
        }
        const std::string context = "call " + std::to_string(k) + ": " + message;
        // The last close, of the folder, can fail without harm.
        if (struck && !message.empty()) {
            ++failures;
            QVERIFY2(code == ErrorCode::Io || code == ErrorCode::DiskFull, context.c_str());
            QVERIFY2(message.starts_with(at("a")), context.c_str());
            if (replaced)
                QVERIFY2(message.find("may not survive a power loss") != std::string::npos, context.c_str());
        } else {
            replaced = true;
        }
        QVERIFY2(test::readRaw(at("a")) == (replaced ? "new content" : "old"), context.c_str());
        QVERIFY2(test::namesIn(folder()) == std::vector<std::string>{"a"}, context.c_str());
    }
    QVERIFY2(failures >= 10, "open, fchmod, posix_fallocate, two writes, ftruncate, fsync, close, rename, open and fsync of the folder");
    QCOMPARE(openDescriptors(), descriptors);
}

void TestAtomicFile::interruptionsAndShortWritesAreInvisible()
{
    for (const char *call : {"open", "posix_fallocate", "write", "fsync"}) {
        const FailingCalls calls(1, EINTR, FailingCalls::Times::Once, {call});
        writeFileAtomically(at("a"), "interrupted");
        QVERIFY(calls.hasStruck());
        QCOMPARE(test::readRaw(at("a")), std::string("interrupted"));
    }
    const std::string content(1'000, 's');
    const FailingCalls calls(1, 0, FailingCalls::Times::Always, {"write"}, FailingCalls::Fault::HalfCount);
    writeFileAtomically(at("a"), content);
    QVERIFY(calls.log().size() > 10);
    QCOMPARE(test::readRaw(at("a")), content);
}

void TestAtomicFile::fullDiskNamesNeededAndFreeBytes()
{
    for (const char *call : {"posix_fallocate", "write"}) {
        const FailingCalls calls(1, ENOSPC, FailingCalls::Times::Always, {call});
        ErrorCode code = ErrorCode::Shape;
        const std::string message = test::errorOf([&] { AtomicFile(at("a"), 12'345'678).write("x"); }, &code);
        QVERIFY(code == ErrorCode::DiskFull);
        QVERIFY2(message.find("No space left on device") != std::string::npos, message.c_str());
        QVERIFY2(message.find("12.3 MB needed, ") != std::string::npos, message.c_str());
        QVERIFY2(message.find(" free in " + folder()) != std::string::npos, message.c_str());
    }
    // A file system that cannot reserve is no fault.
    for (const int code : {EOPNOTSUPP, EINVAL}) {
        const FailingCalls calls(1, code, FailingCalls::Times::Once, {"posix_fallocate"});
        writeFileAtomically(at("a"), "x");
        QVERIFY(calls.hasStruck());
    }
}

// D-09: what survives a power loss is decided by the order of these calls.
void TestAtomicFile::fileIsOnDiskBeforeItIsRenamed()
{
    const FailingCalls calls(0, 0);
    writeFileAtomically(at("a"), "content");
    const std::vector<std::string> expected{"open", "posix_fallocate", "write", "fsync", "close", "rename", "open", "fsync", "close"};
    QCOMPARE(calls.log(), expected);
}

void TestAtomicFile::sizeLimitLeavesTheOldFile_data()
{
    QTest::addColumn<bool>("reserve");
    QTest::newRow("size is known before") << true;
    QTest::newRow("size is not known") << false;
}

// D-10: 200 cut points. Ignoring SIGXFSZ is part of what is tested: by default it kills the process.
void TestAtomicFile::sizeLimitLeavesTheOldFile()
{
    QFETCH(bool, reserve);
    const std::string old(5'000, 'o');
    const std::string content(100'000, 'n');
    test::writeRaw(at("a"), old);
    constexpr int clean = 77;
    for (std::size_t limit = 0; limit < content.size(); limit += 500) {
        const int code = inChild([&] {
            const rlimit size{limit, limit};
            ::setrlimit(RLIMIT_FSIZE, &size);
            try {
                AtomicFile file(at("a"), reserve ? content.size() : 0);
                for (std::size_t done = 0; done < content.size(); done += 10'000)
                    file.write(std::string_view(content).substr(done, 10'000));
                file.commit();
            } catch (const Error &error) {
                const std::string_view message = error.what();
                const bool said = message.find("File too large") != std::string_view::npos && message.find(" needed, ") != std::string_view::npos;
                return said && error.code() == ErrorCode::Io ? clean : 1;
            }
            return 2;
        });
        QCOMPARE(code, clean);
        QCOMPARE(test::namesIn(folder()), std::vector<std::string>{"a"});
        QVERIFY(test::readRaw(at("a")) == old);
    }
    writeFileAtomically(at("a"), content);
    QVERIFY(test::readRaw(at("a")) == content);
}

// D-11, on a tmpfs of 1 MB that only the child sees.
void TestAtomicFile::realFullFileSystemLeavesTheOldFile()
{
    constexpr int notAllowed = 99;
    const int code = inChild([&] {
        if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0
            || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0
            || ::mount("tmpfs", folder().c_str(), "tmpfs", 0, "size=1m") != 0)
            return notAllowed;
        const std::string old(200'000, 'o');
        writeFileAtomically(at("a"), old);
        for (const bool reserve : {true, false}) {
            ErrorCode found = ErrorCode::Shape;
            const std::string message = test::errorOf(
                [&] {
                    AtomicFile file(at("a"), reserve ? 3'000'000 : 0);
                    for (int i = 0; i < 30; ++i)
                        file.write(std::string(100'000, 'n'));
                    file.commit();
                },
                &found);
            if (found != ErrorCode::DiskFull || message.find("No space left on device") == std::string::npos)
                return 1;
            if (test::readRaw(at("a")) != old || test::namesIn(folder()).size() != 1)
                return 2;
        }
        writeFileAtomically(at("a"), std::string(500'000, 'n'));
        return test::readRaw(at("a")) == std::string(500'000, 'n') ? 0 : 3;
    });
    if (code == notAllowed)
        QSKIP("this process may not mount a file system of its own");
    QCOMPARE(code, 0);
}

// D-01. The child tells how far it is through a pipe, the parent kills it after a random number of steps.
void TestAtomicFile::killedWriterLeavesOldOrNew()
{
    constexpr std::size_t size = 64 * 1024;
    const auto generation = [](int number) { return std::string(size, static_cast<char>('a' + number % 26)); };
    writeFileAtomically(at("a"), generation(0));
    std::mt19937 random(20240607);
    std::set<char> survivors;
    for (int kill = 0; kill < 50; ++kill) {
        int ends[2];
        QCOMPARE(::pipe(ends), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[0]);
            for (int number = 1;; ++number) {
                const std::string content = generation(number);
                AtomicFile file(at("a"), number % 2 ? size : 0);
                for (std::size_t done = 0; done < size; done += size / 4) {
                    file.write(std::string_view(content).substr(done, size / 4));
                    if (::write(ends[1], "w", 1) != 1)
                        ::_exit(1);
                }
                file.commit();
                if (::write(ends[1], "c", 1) != 1)
                    ::_exit(1);
            }
        }
        ::close(ends[1]);
        char step = 0;
        for (int steps = static_cast<int>(random() % 23) + 1; steps > 0; --steps)
            QCOMPARE(::read(ends[0], &step, 1), ssize_t{1});
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        ::close(ends[0]);
        QVERIFY(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        const std::string found = test::readRaw(at("a"));
        QCOMPARE(found.size(), size);
        QVERIFY(found == std::string(size, found[0]));
        survivors.insert(found[0]);
        sweepTemporaries(folder());
        QCOMPARE(test::namesIn(folder()), std::vector<std::string>{"a"});
    }
    QVERIFY2(survivors.size() > 1, "no kill came after a commit: the test shows nothing");
}

void TestAtomicFile::sweepRemovesOnlyWhatDeadProcessesLeft()
{
    const std::string dead = std::to_string(deadProcess());
    const std::string own = std::to_string(::getpid());
    const std::vector<std::string> kept{
        "model.safetensors",
        "model.safetensors.tmp." + own + ".0123456789abcdef",   // still being written
        "model.safetensors.tmp." + dead,                        // the rest were not made by this program
        "model.safetensors.tmp." + dead + ".0123",
        "model.safetensors.tmp." + dead + ".0123456789abcdeg",
        "model.safetensors.tmp..0123456789abcdef",
        "model.safetensors.tmp.-1.0123456789abcdef",
        "model.safetensors.tmp.0.0123456789abcdef",
        "model.safetensors.tmp.99999999999999999999.0123456789abcdef",
        "model.safetensors." + dead + ".0123456789abcdef",
        ".tmp." + dead + ".0123456789abcdef",
    };
    for (const std::string &name : kept)
        test::writeRaw(folder() + "/" + name, "x");
    const std::string swept = "model.safetensors.tmp." + dead + ".0123456789abcdef";
    test::writeRaw(folder() + "/" + swept, "x");
    QVERIFY(QDir(m_folder->path()).mkdir(QString::fromStdString("folder.tmp." + dead + ".0123456789abcdef")));

    std::vector<std::string> expected = test::namesIn(folder());
    std::erase(expected, swept);
    sweepTemporaries(folder());
    QCOMPARE(test::namesIn(folder()), expected);
    QCOMPARE(expected.size(), kept.size() + 1);
}

void TestAtomicFile::sweepOfAMissingFolderDoesNothing()
{
    sweepTemporaries(at("absent"));
    QVERIFY(test::namesIn(folder()).empty());
}

QTEST_GUILESS_MAIN(TestAtomicFile)
#include "tst_atomic_file.moc"
