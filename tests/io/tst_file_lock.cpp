// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <csignal>
#include <filesystem>

#include <sys/wait.h>
#include <unistd.h>

#include "core/io/file_lock.h"
#include "tests/support/shared_data.h"

using namespace lqer;

class TestFileLock : public QObject {
    Q_OBJECT
private slots:
    void oneHolderAtATime()
    {
        const QTemporaryDir folder;
        const std::string path = folder.filePath("lock").toStdString();
        {
            const FileLock first(path);
            QVERIFY(first.isHeld() && first.holder().empty());
            const FileLock second(path);
            QVERIFY(!second.isHeld());
            const std::string holder = second.holder();
            QVERIFY2(holder.starts_with(QString("process %1 on ").arg(::getpid()).toStdString()), holder.c_str());
        }
        QVERIFY(FileLock(path).isHeld());
    }

    void aKilledHolderLetsGo()
    {
        const QTemporaryDir folder;
        const std::string path = folder.filePath("lock").toStdString();
        int pipe[2];
        QCOMPARE(::pipe(pipe), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            const FileLock lock(path);
            [[maybe_unused]] const ssize_t told = ::write(pipe[1], lock.isHeld() ? "y" : "n", 1);
            ::pause();
            ::_exit(0);
        }
        char answer = 0;
        QCOMPARE(::read(pipe[0], &answer, 1), ssize_t(1));
        QCOMPARE(answer, 'y');
        QVERIFY(!FileLock(path).isHeld());
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        QVERIFY(FileLock(path).isHeld());
        ::close(pipe[0]);
        ::close(pipe[1]);
    }

    void whatCannotBeALockIsSaid()
    {
        const QTemporaryDir folder;
        QVERIFY(
            test::errorOf([&] { FileLock(folder.path().toStdString()); }).find("the lock cannot be opened") != std::string::npos);
        std::filesystem::create_symlink("/tmp", folder.filePath("link").toStdString());
        QVERIFY(test::errorOf([&] { FileLock(folder.filePath("link").toStdString()); }).find("the lock cannot be opened")
            != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestFileLock)
#include "tst_file_lock.moc"
