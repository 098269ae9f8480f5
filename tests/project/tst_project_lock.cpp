// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <cerrno>
#include <filesystem>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/project/project_lock.h"

namespace {

int folderFault = 0;  // errno of every lock on a folder; 0: none

}  // namespace

// As NFS does it: folders cannot be locked, files can.
extern "C" int flock(int descriptor, int operation) noexcept
{
    struct stat found { };
    if (folderFault != 0 && ::fstat(descriptor, &found) == 0 && S_ISDIR(found.st_mode)) {
        errno = folderFault;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
}

using namespace lqer;

class TestProjectLock : public QObject {
    Q_OBJECT
private slots:
    void oneHolderAtATime_data()
    {
        QTest::addColumn<int>("fault");
        QTest::newRow("folders can be locked") << 0;
        QTest::newRow("only files can") << EBADF;
    }
    void oneHolderAtATime()
    {
        QFETCH(int, fault);
        folderFault = fault;
        const QTemporaryDir place;
        const std::string folder = place.path().toStdString();
        {
            const ProjectLock first(folder);
            QVERIFY2(first.isHeld(), first.reason().c_str());
            const ProjectLock second(folder);
            QVERIFY(!second.isHeld());
            QVERIFY2(
                second.reason().starts_with("process ") && second.reason().ends_with(" has it open"), second.reason().c_str());
        }
        QVERIFY(ProjectLock(folder).isHeld());
        // The file that is the lock stays: whoever waits for it has it open.
        QCOMPARE(std::filesystem::exists(folder + "/lock"), fault != 0);
        folderFault = 0;
    }
};

QTEST_GUILESS_MAIN(TestProjectLock)
#include "tst_project_lock.moc"
