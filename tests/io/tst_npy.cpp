// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <algorithm>
#include <filesystem>

#include "core/io/npy.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

std::string npyBytes(std::string_view header, std::size_t dataBytes, int major = 1)
{
    std::string bytes = "\x93NUMPY";
    bytes += static_cast<char>(major);
    bytes += '\0';
    bytes += test::littleEndian(header.size()).substr(0, major == 1 ? 2 : 4);
    return bytes + std::string(header) + std::string(dataBytes, '\0');
}

constexpr const char *plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";

}  // namespace

class TestNpy : public QObject {
    Q_OBJECT
private slots:
    void everyTypeAndRankSurvivesTheRoundTrip_data();
    void everyTypeAndRankSurvivesTheRoundTrip();
    void writtenBytesAreThoseOfNumpy();
    void versionsAndSpellingsAreRead_data();
    void versionsAndSpellingsAreRead();
    void badFilesAreRefused_data();
    void badFilesAreRefused();
    void everyTruncationIsRefused();
    void typesWithoutANameInNumpyAreNotWritten();
    void goldenFilesAreReadAndWrittenBackTheSame();

private:
    QTemporaryDir m_folder;
    std::string m_path = m_folder.filePath("a.npy").toStdString();
};

void TestNpy::everyTypeAndRankSurvivesTheRoundTrip_data()
{
    QTest::addColumn<int>("dtype");
    QTest::addColumn<QList<qint64>>("shape");
    const DType types[] = {DType::F64, DType::F32, DType::F16, DType::I64, DType::I32, DType::I16,
                           DType::I8,  DType::U64, DType::U32, DType::U16, DType::U8,  DType::Bool};
    const QList<QList<qint64>> shapes{{}, {0}, {7}, {3, 4}, {2, 0, 5}, {2, 3, 4, 5}};
    for (const DType dtype : types)
        for (const QList<qint64> &shape : shapes)
            QTest::addRow("%s of rank %d with %lld", std::string(toString(dtype)).c_str(), static_cast<int>(shape.size()),
                          static_cast<long long>(shape.isEmpty() ? 1 : shape.first()))
                << static_cast<int>(dtype) << shape;
}

void TestNpy::everyTypeAndRankSurvivesTheRoundTrip()
{
    QFETCH(int, dtype);
    QFETCH(QList<qint64>, shape);
    Tensor tensor(static_cast<DType>(dtype), Shape(shape.begin(), shape.end()));
    for (std::size_t i = 0; i < tensor.bytes().size(); ++i)
        tensor.bytes()[i] = static_cast<std::byte>(i * 37 + 11);
    writeNpy(m_path, tensor);
    const Tensor back = readNpy(m_path);
    QVERIFY(back.dtype() == tensor.dtype());
    QCOMPARE(back.shape(), tensor.shape());
    QVERIFY(std::ranges::equal(back.bytes(), tensor.bytes()));
    const std::string bytes = test::readRaw(m_path);
    QCOMPARE((bytes.size() - tensor.bytes().size()) % 64, 0U);
}

// numpy.save of numpy.arange(3, dtype='<f4') as NumPy 1.24 writes it.
void TestNpy::writtenBytesAreThoseOfNumpy()
{
    const std::vector<float> values{0, 1, 2};
    writeNpy(m_path, Tensor::fromVector(std::span<const float>(values)));
    std::string expected = std::string("\x93NUMPY\x01\x00v\x00", 10) + "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
    expected += std::string(127 - expected.size(), ' ') + '\n' + std::string("\0\0\0\0\0\0\x80\x3f\0\0\0\x40", 12);
    QCOMPARE(test::readRaw(m_path), expected);
}

void TestNpy::versionsAndSpellingsAreRead_data()
{
    QTest::addColumn<QByteArray>("bytes");
    const auto row = [](const char *name, const std::string &bytes) { QTest::newRow(name) << QByteArray::fromStdString(bytes); };
    row("version 1", npyBytes(plain, 48));
    row("version 2", npyBytes(plain, 48, 2));
    row("version 3", npyBytes(plain, 48, 3));
    row("padding", npyBytes(std::string(plain) + "     \n", 48));
    row("other order of keys", npyBytes("{'shape': (3, 4), 'fortran_order': False, 'descr': '<f4'}", 48));
    row("double quotes", npyBytes("{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (3, 4)}", 48));
    row("comma behind the last extent", npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4,), }", 48));
    row("no spaces", npyBytes("{'descr':'<f4','fortran_order':False,'shape':(3,4)}", 48));
}

void TestNpy::versionsAndSpellingsAreRead()
{
    QFETCH(QByteArray, bytes);
    test::writeRaw(m_path, bytes.toStdString());
    const Tensor tensor = readNpy(m_path);
    QVERIFY(tensor.dtype() == DType::F32);
    QCOMPARE(tensor.shape(), (Shape{3, 4}));
}

void TestNpy::badFilesAreRefused_data()
{
    using namespace std::string_literals;
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, const std::string &bytes, const char *expected) {
        QTest::newRow(name) << QByteArray::fromStdString(bytes) << QByteArray(expected);
    };
    const auto dict = [](const std::string &descr, const std::string &order, const std::string &shape) {
        return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
    };
    row("empty", "", "is empty (0 bytes)");
    row("text", "hello", "is not a NumPy array");
    row("zip (.npz)", "PK\x03\x04\0\0\0\0"s, "is a zip archive");
    row("magic only", "\x93NUMPY", "ends in the middle of its header");
    row("version 4", npyBytes(plain, 48, 4), "has format version 4.0");
    row("version 0", npyBytes(plain, 48, 0), "has format version 0.0");
    row("header past the end", "\x93NUMPY\x01\0\xff\xff{}"s, "header says 65535 bytes, file has 2 (truncated?)");
    row("header of 4 GB", "\x93NUMPY\x02\0\xff\xff\xff\xff{}"s, "header says 4294967295 bytes, file has 2");
    row("too few bytes", npyBytes(plain, 47), "F32 3x4 takes 48 bytes, 47 lie behind the header");
    row("too many bytes", npyBytes(plain, 49), "F32 3x4 takes 48 bytes, 49 lie behind the header");
    row("column order", npyBytes(dict("'<f4'", "True", "(3, 4)"), 48), "is in Fortran order");
    row("big-endian", npyBytes(dict("'>f4'", "False", "(3, 4)"), 48), "element type '>f4' is big-endian");
    row("objects", npyBytes(dict("'|O'", "False", "(3,)"), 48), "pickled Python objects");
    row("complex", npyBytes(dict("'<c8'", "False", "(3,)"), 24), "element type '<c8' is not supported");
    row("text elements", npyBytes(dict("'<U4'", "False", "(3,)"), 48), "element type '<U4' is not supported");
    row("records", npyBytes(dict("[('a', '<f4')]", "False", "(3,)"), 12), "is an array of records");
    row("negative extent", npyBytes(dict("'<f4'", "False", "(-3, 4)"), 48), "whole numbers >= 0");
    row("fraction", npyBytes(dict("'<f4'", "False", "(3.0, 4)"), 48), "')' was expected");
    row("extent beyond 64 bits", npyBytes(dict("'<f4'", "False", "(99999999999999999999,)"), 48), "whole numbers >= 0");
    row("product overflows", npyBytes(dict("'<f8'", "False", "(4294967296, 4294967296)"), 48), "overflows");
    row("number for a tuple", npyBytes(dict("'<f4'", "False", "12"), 48), "'(' was expected");
    row("parenthesis is no tuple", npyBytes(dict("'<f4'", "False", "(12)"), 48), "the shape must be a tuple");
    row("33 dimensions", npyBytes(dict("'|u1'", "False", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), 1), "more than 32 dimensions");
    row("number for the order", npyBytes(dict("'<f4'", "0", "(3, 4)"), 48), "True or False was expected");
    row("key missing", npyBytes("{'descr': '<f4', 'shape': (3, 4)}", 48), "lacks one of");
    row("key twice", npyBytes("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}", 48), "key 'descr' is unknown or there twice");
    row("unknown key", npyBytes("{'descr': '<f4', 'evil': False, 'shape': (3, 4)}", 48), "key 'evil' is unknown");
    row("call in the header", npyBytes("{'descr': __import__('os'), 'fortran_order': False, 'shape': (3, 4)}", 48), "was expected");
    row("text behind", npyBytes(std::string(plain) + " x", 48), "text after the end");
    row("cut off", npyBytes("{'descr': '<f4', 'fort", 48), "the quoted text never ends");
    row("empty header", npyBytes("", 0), "ends in the middle of its header");
    row("list", npyBytes("[1, 2, 3]", 48), "'{' was expected");
}

void TestNpy::badFilesAreRefused()
{
    QFETCH(QByteArray, bytes);
    QFETCH(QByteArray, expected);
    test::writeRaw(m_path, bytes.toStdString());
    ErrorCode code = ErrorCode::Shape;
    const std::string message = test::errorOf([&] { readNpy(m_path); }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(m_path), message.c_str());
    QVERIFY(code == ErrorCode::Format || code == ErrorCode::Unsupported);
}

void TestNpy::everyTruncationIsRefused()
{
    const std::string whole = npyBytes(plain, 48);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        test::writeRaw(m_path, std::string_view(whole).substr(0, length));
        QVERIFY(!test::errorOf([&] { readNpy(m_path); }).empty());
    }
}

void TestNpy::typesWithoutANameInNumpyAreNotWritten()
{
    const std::string path = m_folder.filePath("none.npy").toStdString();
    for (const DType dtype : {DType::BF16, DType::F8E4M3, DType::F8E5M2}) {
        ErrorCode code = ErrorCode::Shape;
        QVERIFY(!test::errorOf([&] { writeNpy(path, Tensor(dtype, {2})); }, &code).empty());
        QVERIFY(code == ErrorCode::Unsupported);
        QVERIFY(!std::filesystem::exists(path));
    }
}

// Written by NumPy.
void TestNpy::goldenFilesAreReadAndWrittenBackTheSame()
{
    LQER_NEED_SHARED();
    int files = 0;
    for (const auto &entry : std::filesystem::directory_iterator(test::sharedFolder() + "/golden")) {
        if (entry.path().extension() != ".npy")
            continue;
        const Tensor tensor = readNpy(entry.path().string());
        if (++files % 10 != 0)  // each write waits for the disk
            continue;
        writeNpy(m_path, tensor);
        QVERIFY2(test::readRaw(m_path) == test::readRaw(entry.path().string()), entry.path().c_str());
    }
    QVERIFY(files > 100);
}

QTEST_GUILESS_MAIN(TestNpy)
#include "tst_npy.moc"
