// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <numeric>
#include <vector>

#include "core/io/file.h"
#include "tests/io/failing_calls.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using test::FailingCalls;

class TestFile : public QObject {
    Q_OBJECT
private slots:
    void init();
    void bytesAreReadFromAnywhere();
    void pathsThatCannotBeReadAreNamed_data();
    void pathsThatCannotBeReadAreNamed();
    void deletedFileStaysReadable();
    void shortenedFileIsNoticed();
    void changedFileIsNoticed();
    void rangesOutsideAreErrors();
    void interruptionsAndShortReadsAreInvisible();
    void readErrorNamesTheByte();
    void strangeNamesAreReadAndShownEscaped();
    void hugeSparseFileIsOpenedWithoutReading();
    void textFilesObeyTheLimit();
    void contentIsRecognised_data();
    void contentIsRecognised();

private:
    std::string at(const char *name) const { return m_folder->filePath(name).toStdString(); }

    std::unique_ptr<QTemporaryDir> m_folder;
};

void TestFile::init() { m_folder = std::make_unique<QTemporaryDir>(); }

void TestFile::bytesAreReadFromAnywhere()
{
    std::string content(10'000, '\0');
    std::iota(content.begin(), content.end(), '\0');
    test::writeRaw(at("a"), content);
    const InputFile file(at("a"));
    QCOMPARE(file.size(), 10'000U);
    QCOMPARE(file.path(), at("a"));
    for (const auto &[offset, count] : std::vector<std::pair<std::size_t, std::size_t>>{{0, 10'000}, {1, 1}, {9'999, 1}, {10'000, 0}, {17, 4'096}}) {
        std::string out(count, 'x');
        file.read(offset, std::as_writable_bytes(std::span(out)));
        QCOMPARE(out, content.substr(offset, count));
    }
    QCOMPARE(readTextFile(at("a"), 10'000), content);
    file.checkUnchanged();
}

// Rows F-01 to F-11 of reliability.md.
void TestFile::pathsThatCannotBeReadAreNamed_data()
{
    QTest::addColumn<QString>("kind");
    QTest::addColumn<QString>("expected");
    QTest::addColumn<int>("code");
    const auto row = [](const char *name, const char *kind, const char *expected, ErrorCode code) {
        QTest::newRow(name) << kind << expected << static_cast<int>(code);
    };
    row("F-01 missing", "absent", "does not exist (nearest existing folder: %1)", ErrorCode::NotFound);
    row("F-01 missing folders", "no/such/folder/file", "does not exist (nearest existing folder: %1)", ErrorCode::NotFound);
    row("below a file", "regular/file", "does not exist (nearest existing folder: %1)", ErrorCode::NotFound);
    row("F-02 folder", "folder", "is a folder, a file was expected", ErrorCode::Format);
    row("F-07 FIFO", "fifo", "is not a regular file", ErrorCode::Format);
    row("F-08 device", "/dev/zero", "is not a regular file", ErrorCode::Format);
    row("F-10 link loop", "loop1", "symbolic link loop", ErrorCode::NotFound);
    row("F-11 dangling link", "dangling", "link points to missing file ../blobs/0123", ErrorCode::NotFound);
    row("empty name", "", "is not a file name", ErrorCode::NotFound);
}

void TestFile::pathsThatCannotBeReadAreNamed()
{
    QFETCH(QString, kind);
    QFETCH(QString, expected);
    QFETCH(int, code);
    test::writeRaw(at("regular"), "x");
    QVERIFY(QDir(m_folder->path()).mkdir("folder"));
    QCOMPARE(::mkfifo(at("fifo").c_str(), 0600), 0);
    QCOMPARE(::symlink("loop2", at("loop1").c_str()), 0);
    QCOMPARE(::symlink("loop1", at("loop2").c_str()), 0);
    QCOMPARE(::symlink("../blobs/0123", at("dangling").c_str()), 0);
    const std::string path = kind.isEmpty() || kind.startsWith('/') ? kind.toStdString() : at(qPrintable(kind));
    ErrorCode found = ErrorCode::Shape;
    const std::string message = test::errorOf([&] { InputFile file(path); }, &found);
    const std::string wanted = path + (path.empty() ? "" : ": ") + (expected.contains("%1") ? expected.arg(m_folder->path()) : expected).toStdString();
    QCOMPARE(message, wanted);
    QCOMPARE(static_cast<int>(found), code);
}

void TestFile::deletedFileStaysReadable()
{
    test::writeRaw(at("a"), "content");
    const InputFile file(at("a"));
    QVERIFY(QFile::remove(m_folder->filePath("a")));
    test::writeRaw(at("a"), "another");
    std::string out(7, ' ');
    file.read(0, std::as_writable_bytes(std::span(out)));
    QCOMPARE(out, std::string("content"));
}

// F-19.
void TestFile::shortenedFileIsNoticed()
{
    test::writeRaw(at("a"), std::string(10'000, 'x'));
    const InputFile file(at("a"));
    QCOMPARE(::truncate(at("a").c_str(), 4'000), 0);
    std::vector<std::byte> out(10'000);
    ErrorCode code = ErrorCode::Shape;
    std::string message = test::errorOf([&] { file.read(0, out); }, &code);
    QCOMPARE(message, at("a") + ", byte 4000: the file became shorter while being read");
    QVERIFY(code == ErrorCode::Io);
    message = test::errorOf([&] { file.checkUnchanged(); }, &code);
    QCOMPARE(message, at("a") + ": changed while in use: 10000 bytes before, 4000 now");
    QVERIFY(code == ErrorCode::Conflict);
}

void TestFile::changedFileIsNoticed()
{
    test::writeRaw(at("a"), "content");
    const InputFile file(at("a"));
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 1}};
    QCOMPARE(::utimensat(AT_FDCWD, at("a").c_str(), times, 0), 0);
    ErrorCode code = ErrorCode::Shape;
    QVERIFY(!test::errorOf([&] { file.checkUnchanged(); }, &code).empty());
    QVERIFY(code == ErrorCode::Conflict);
    QCOMPARE(InputFile(at("a")).modifiedNs(), 1'000'000'000'000'000'001);
}

void TestFile::rangesOutsideAreErrors()
{
    test::writeRaw(at("a"), "0123456789");
    const InputFile file(at("a"));
    std::vector<std::byte> one(1);
    for (const std::uint64_t offset : {std::uint64_t{10}, std::uint64_t{1} << 63, ~std::uint64_t{0}})
        QVERIFY(!test::errorOf([&] { file.read(offset, one); }).empty());
    std::vector<std::byte> many(11);
    QVERIFY(!test::errorOf([&] { file.read(0, many); }).empty());
}

void TestFile::interruptionsAndShortReadsAreInvisible()
{
    const std::string content(1'000, 'c');
    test::writeRaw(at("a"), content);
    {
        const FailingCalls calls(1, EINTR, FailingCalls::Times::Once, {"open"});
        QCOMPARE(readTextFile(at("a"), 1'000), content);
        QVERIFY(calls.hasStruck());
    }
    {
        const FailingCalls calls(1, EINTR, FailingCalls::Times::Once, {"pread"});
        QCOMPARE(readTextFile(at("a"), 1'000), content);
        QVERIFY(calls.hasStruck());
    }
    const FailingCalls calls(1, 0, FailingCalls::Times::Always, {"pread"}, FailingCalls::Fault::HalfCount);
    QCOMPARE(readTextFile(at("a"), 1'000), content);
    QVERIFY(calls.log().size() >= 10);
}

// F-20, at the first, a middle and the last read.
void TestFile::readErrorNamesTheByte()
{
    test::writeRaw(at("a"), std::string(4'096, 'x'));
    const InputFile file(at("a"));
    std::vector<std::byte> block(1'024);
    for (std::uint64_t offset = 0; offset < 4'096; offset += 1'024) {
        const FailingCalls calls(1, EIO, FailingCalls::Times::Once, {"pread"});
        QCOMPARE(test::errorOf([&] { file.read(offset, block); }),
                 at("a") + ": read error (Input/output error) at byte " + std::to_string(offset));
    }
    const FailingCalls calls(1, 0, FailingCalls::Times::Once, {"pread"}, FailingCalls::Fault::EndOfFile);
    QVERIFY(test::errorOf([&] { file.read(7, block); }).find("became shorter") != std::string::npos);
}

// F-16.
void TestFile::strangeNamesAreReadAndShownEscaped()
{
    for (const char *name : {"new\nline", "\x1b[31mred", "\xe2\x80\xae" "rtl", "bad\xff\xfeutf8"}) {
        const std::string path = m_folder->path().toStdString() + "/" + name;
        test::writeRaw(path, "content");
        QCOMPARE(readTextFile(path, 100), std::string("content"));
        const std::string message = test::errorOf([&] { readTextFile(path, 3); });
        QVERIFY(!message.empty());
        for (const char c : message)
            QVERIFY(static_cast<unsigned char>(c) >= 0x20);
        QVERIFY(QString::fromUtf8(message.c_str()).toUtf8() == message.c_str());
    }
}

// F-17.
void TestFile::hugeSparseFileIsOpenedWithoutReading()
{
    test::writeRaw(at("a"), "");
    if (::truncate(at("a").c_str(), 5'000'000'000) != 0)
        QSKIP("this file system has no sparse files of 5 GB");
    const InputFile file(at("a"));
    QCOMPARE(file.size(), 5'000'000'000U);
    std::vector<std::byte> last(1);
    file.read(4'999'999'999, last);
    QVERIFY(last[0] == std::byte{0});
}

void TestFile::textFilesObeyTheLimit()
{
    test::writeRaw(at("a"), std::string(2'000, 'x'));
    QCOMPARE(readTextFile(at("a"), 2'000).size(), 2'000U);
    QCOMPARE(test::errorOf([&] { readTextFile(at("a"), 1'999); }), at("a") + ": has 2.00 kB, larger than the 2.00 kB limit for this file");
    test::writeRaw(at("empty"), "");
    QVERIFY(readTextFile(at("empty"), 0).empty());
}

void TestFile::contentIsRecognised_data()
{
    using namespace std::string_view_literals;
    QTest::addColumn<QByteArray>("head");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, std::string_view head, const char *expected) {
        QTest::newRow(name) << QByteArray(head.data(), static_cast<qsizetype>(head.size())) << QByteArray(expected);
    };
    row("nothing", "", "");
    row("text", "hello", "");
    row("JSON", "{\"a\":1}", "");
    row("LFS", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the data: run git lfs pull");
    row("Xet", "# xet version 0\n", "a Xet pointer");
    row("HTML", "\n  <!DOCTYPE html>", "a web page");
    row("HTML behind a mark", "\xef\xbb\xbf<HTML>", "a web page");
    row("XML", "<?xml version=\"1.0\"?><Error>", "a web page");
    row("server", "Entry not found", "an error message of a server");
    row("server, JSON", "{\"error\":\"Repository not found\"}", "an error message of a server");
    row("zip", "PK\x03\x04\x00\x00"sv, "a zip archive, as pickle checkpoints are, which can run programs");
    row("pickle 2", "\x80\x02}q\x00"sv, "a pickle checkpoint, which can run programs when loaded");
    row("pickle 4", "\x80\x04\x95"sv, "a pickle checkpoint");
    row("GGUF", "GGUF\x03\0\0\0"sv, "a GGUF file");
    row("HDF5", "\x89HDF\r\n\x1a\n", "an HDF5 file");
    row("npy", "\x93NUMPY\x01\0"sv, "a NumPy array");
    row("gzip", "\x1f\x8b\x08", "a gzip archive");
    row("tflite", "\x1c\0\0\0TFL3"sv, "a TensorFlow Lite model");
    row("tar", std::string(257, 'n') + "ustar", "a tar archive");
    row("safetensors", test::safetensorsBytes("{}", 0), "a safetensors file");
    row("program", "\x7f" "ELF\x02", "a program");
}

void TestFile::contentIsRecognised()
{
    QFETCH(QByteArray, head);
    QFETCH(QByteArray, expected);
    const std::string found = recognisedContent(std::as_bytes(std::span(head.constData(), static_cast<std::size_t>(head.size()))));
    if (expected.isEmpty())
        QCOMPARE(found, std::string());
    else
        QVERIFY2(found.starts_with(expected.toStdString()), found.c_str());
}

QTEST_GUILESS_MAIN(TestFile)
#include "tst_file.moc"
