// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/io/atomic_folder.h"
#include "tests/io/failing_calls.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

class TestAtomicFolder : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::string at(const std::string &name) const { return m_place->path().toStdString() + "/" + name; }
    static void put(const std::string &path, const char *text) { std::ofstream(path) << text; }
    static std::string text(const std::string &path)
    {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    QStringList entries() const { return QDir(m_place->path()).entryList(QDir::AllEntries | QDir::NoDotAndDotDot); }

private slots:
    void init() { m_place = std::make_unique<QTemporaryDir>(test::scratchTemplate()); }

    void nameComesWithTheCommit()
    {
        AtomicFolder folder(at("out/"), AtomicFolder::Existing::Refuse);
        put(folder.folder() + "/a", "new");
        QVERIFY(!fs::exists(at("out")));
        folder.commit();
        QCOMPARE(text(at("out/a")), std::string("new"));
        QCOMPARE(entries(), QStringList{"out"});
    }

    void withoutCommitNothingStays()
    {
        {
            AtomicFolder folder(at("out"), AtomicFolder::Existing::Refuse);
            put(folder.folder() + "/a", "new");
        }
        QCOMPARE(entries(), QStringList());
    }

    void oldFolderIsExchangedAndRemoved()
    {
        fs::create_directory(at("out"));
        put(at("out/old"), "old");
        AtomicFolder folder(at("out"), AtomicFolder::Existing::Replace);
        put(folder.folder() + "/new", "new");
        QCOMPARE(text(at("out/old")), std::string("old"));
        folder.commit();
        QVERIFY(!fs::exists(at("out/old")));
        QCOMPARE(text(at("out/new")), std::string("new"));
        QCOMPARE(entries(), QStringList{"out"});
    }

    void nameTakenMeanwhileIsAConflict()
    {
        AtomicFolder folder(at("out"), AtomicFolder::Existing::Refuse);
        fs::create_directory(at("out"));
        put(at("out/theirs"), "theirs");
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { folder.commit(); }, &code).empty());
        QVERIFY(code == ErrorCode::Conflict);
        QCOMPARE(text(at("out/theirs")), std::string("theirs"));
    }

    void oneFileComesOutOfIt_data()
    {
        QTest::addColumn<bool>("replaces");
        QTest::newRow("new") << false;
        QTest::newRow("over an old one") << true;
    }
    void oneFileComesOutOfIt()
    {
        QFETCH(bool, replaces);
        if (replaces)
            put(at("page.html"), "old");
        AtomicFolder folder(at("page.html"), replaces ? AtomicFolder::Existing::Replace : AtomicFolder::Existing::Refuse);
        put(folder.folder() + "/page.html", "new");
        folder.commitFile("page.html");
        QCOMPARE(text(at("page.html")), std::string("new"));
        QCOMPARE(entries(), QStringList{"page.html"});
    }

    // Network file systems know neither the exchange nor the refusal to replace.
    void whereOnlyPlainRenamesWorkFilesAreReplaced()
    {
        put(at("page.html"), "old");
        AtomicFolder file(at("page.html"), AtomicFolder::Existing::Replace);
        put(file.folder() + "/page.html", "new");
        fs::create_directory(at("out"));
        put(at("out/old"), "old");
        AtomicFolder folder(at("out"), AtomicFolder::Existing::Replace);
        put(folder.folder() + "/new", "new");
        AtomicFolder late(at("late"), AtomicFolder::Existing::Refuse);
        put(late.folder() + "/late", "new");
        put(at("late"), "theirs");
        ErrorCode ofFolder{}, ofLate{};
        {
            const test::FailingCalls failing(1, EINVAL, test::FailingCalls::Times::Always, {"renameat2"});
            file.commitFile("page.html");
            test::errorOf([&] { folder.commit(); }, &ofFolder);
            test::errorOf([&] { late.commitFile("late"); }, &ofLate);
            QVERIFY(failing.hasStruck());
        }
        QCOMPARE(text(at("page.html")), std::string("new"));
        QVERIFY(ofFolder == ErrorCode::Unsupported && ofLate == ErrorCode::Conflict);
        QCOMPARE(text(at("out/old")), std::string("old"));
        QCOMPARE(text(at("late")), std::string("theirs"));
    }

    void badNamesAreRefused_data()
    {
        QTest::addColumn<QString>("path");
        for (const char *path : {"", "/", "missing/out"})
            QTest::newRow(path) << path;
    }
    void badNamesAreRefused()
    {
        QFETCH(QString, path);
        const std::string name = path == "missing/out" ? at("missing/out") : path.toStdString();
        QVERIFY(!test::errorOf([&] { AtomicFolder(name, AtomicFolder::Existing::Replace); }).empty());
    }

    void linkIsFollowed()
    {
        fs::create_directory(at("real"));
        fs::create_directory_symlink(at("real"), at("link"));
        {
            AtomicFolder folder(at("link/out"), AtomicFolder::Existing::Refuse);
            folder.commit();
        }
        QVERIFY(fs::is_directory(at("real/out")));
        fs::create_directory_symlink(at("nowhere"), at("dangling"));
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { AtomicFolder(at("dangling"), AtomicFolder::Existing::Replace); }, &code).empty());
        QVERIFY(fs::is_symlink(fs::symlink_status(at("dangling"))));
    }
};

QTEST_GUILESS_MAIN(TestAtomicFolder)
#include "tst_atomic_folder.moc"
