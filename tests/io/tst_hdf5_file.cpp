// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QTest>

#include <cerrno>

#define H5_USE_110_API
#include <hdf5.h>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/file.h"
#include "core/io/hdf5_file.h"
#include "tests/io/failing_calls.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using lqer::test::FailingCalls;

namespace {

// Values that differ everywhere; 3000 x 100 floats are several chunks and more than any buffer of the library.
std::vector<float> manyFloats()
{
    std::vector<float> values(300'000);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 4099) * 0.5F;
    return values;
}

void writeSample(const std::string &path)
{
    AtomicFile target(path);
    Hdf5FileWriter file(target);
    const std::vector<float> many = manyFloats();
    const std::vector<std::uint8_t> bytes{1, 2, 255};
    const std::vector<std::uint64_t> large{0, UINT64_MAX};
    const std::vector<double> none;
    file.text("words", "grüße");
    file.text("empty", "");
    file.array<float>("deep/er/plain", many, {3000, 100});
    file.array<float>("deep/er/deflated", many, {3000, 100}, Hdf5FileWriter::Storage::Deflated);
    file.array<std::uint8_t>("bytes", bytes, {3});
    file.array<std::uint64_t>("deep/large", large, {2});
    file.array<double>("none", none, {0});
    file.array<float>("none deflated", {}, {0, 4}, Hdf5FileWriter::Storage::Deflated);
    file.attribute("", "name", std::string("root"));
    file.attribute("deep", "count", std::int64_t(-7));
    file.attribute("deep/er/plain", "half", 0.5);
    file.attribute("only/attributes", "yes", true);
    file.attribute("only/attributes", "shape", std::vector<std::int64_t>{3, 4});
    file.close();
    target.commit();
}

}  // namespace

class TestHdf5File : public QObject
{
    Q_OBJECT

private slots:
    void init() { m_folder = std::make_unique<QTemporaryDir>(); }

    void hdf5sOwnDriverReadsWhatWasWritten()
    {
        writeSample(at("a.h5"));
        const hid_t file = H5Fopen(at("a.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
        QVERIFY(file >= 0);
        for (const char *path : {"deep/er/plain", "deep/er/deflated"}) {
            const hid_t set = H5Dopen2(file, path, H5P_DEFAULT);
            std::vector<float> values(300'000);
            QVERIFY(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
            QVERIFY(values == manyFloats());
            H5Dclose(set);
        }
        const hid_t large = H5Dopen2(file, "deep/large", H5P_DEFAULT);
        std::vector<std::uint64_t> two(2);
        H5Dread(large, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, two.data());
        QCOMPARE(two, (std::vector<std::uint64_t>{0, UINT64_MAX}));
        H5Dclose(large);
        const hid_t count = H5Aopen_by_name(file, "deep", "count", H5P_DEFAULT, H5P_DEFAULT);
        std::int64_t number = 0;
        H5Aread(count, H5T_NATIVE_INT64, &number);
        QCOMPARE(number, -7);
        H5Aclose(count);
        const hid_t yes = H5Aopen_by_name(file, "only/attributes", "yes", H5P_DEFAULT, H5P_DEFAULT);
        const hid_t type = H5Aget_type(yes);
        QCOMPARE(H5Tget_class(type), H5T_ENUM);
        std::int8_t flag = 0;
        H5Aread(yes, type, &flag);
        QCOMPARE(flag, std::int8_t(1));
        H5Tclose(type);
        H5Aclose(yes);
        H5Fclose(file);
    }

    void listingNamesEveryArray()
    {
        writeSample(at("a.h5"));
        const auto arrays = listHdf5Arrays(InputFile(at("a.h5")));
        QCOMPARE(arrays.size(), std::size_t(8));
        QVERIFY(arrays.at("deep/er/plain") == (Hdf5ArrayInfo{"float32", {3000, 100}}));
        QVERIFY(arrays.at("deep/er/deflated") == (Hdf5ArrayInfo{"float32", {3000, 100}}));
        QVERIFY(arrays.at("bytes") == (Hdf5ArrayInfo{"uint8", {3}}));
        QVERIFY(arrays.at("deep/large") == (Hdf5ArrayInfo{"uint64", {2}}));
        QVERIFY(arrays.at("none") == (Hdf5ArrayInfo{"float64", {0}}));
        QVERIFY(arrays.at("words") == (Hdf5ArrayInfo{"text", {}}));
        test::writeRaw(at("b.h5"), "not HDF5 at all");
        QVERIFY(test::errorOf([&] { listHdf5Arrays(InputFile(at("b.h5"))); }).find("cannot be read as an HDF5 file") != std::string::npos);
    }

    void theSameIsTheSameFile()
    {
        writeSample(at("a.h5"));
        writeSample(at("b.h5"));
        QVERIFY(test::readRaw(at("a.h5")) == test::readRaw(at("b.h5")));
        QVERIFY(test::readRaw(at("a.h5")).size() < 2'000'000);  // two times 1.2 MB, one of them deflated
    }

    void hashOfADisorderlyFileIsThatOfItsBytes()
    {
        AtomicFile file(at("a"));
        const std::string late = "head", early = "the rest";
        file.writeAt(4, std::as_bytes(std::span(early)));
        file.writeAt(0, std::as_bytes(std::span(late)));
        file.writeAt(14, std::as_bytes(std::span(late)));
        std::string back(20, 'x');
        file.readBack(0, std::as_writable_bytes(std::span(back)));
        QCOMPARE(back, std::string("headthe rest\0\0head\0\0", 20));
        file.commit();
        AtomicFile ordered(at("b"));
        ordered.write(std::string_view("headthe rest\0\0head", 18));
        QCOMPARE(file.hash(), ordered.hash());
        QCOMPARE(file.written(), 18U);
    }

    // Every write, and every read of what was written, fails once: an Error, nothing stays, and the library goes on to work.
    void faultAtAnyCallLeavesNothing_data()
    {
        QTest::addColumn<QString>("call");
        QTest::addColumn<int>("fault");
        QTest::addColumn<int>("expected");
        QTest::addColumn<int>("atLeast");
        QTest::newRow("full disk") << "write" << ENOSPC << static_cast<int>(ErrorCode::DiskFull) << 10;
        QTest::newRow("unreadable") << "pread" << EIO << static_cast<int>(ErrorCode::Io) << 1;
    }
    void faultAtAnyCallLeavesNothing()
    {
        QFETCH(QString, call);
        QFETCH(int, fault);
        QFETCH(int, expected);
        QFETCH(int, atLeast);
        int faults = 0;
        for (std::size_t k = 1;; ++k) {
            ErrorCode code{};
            std::string message;
            bool struck = false;
            {
                const FailingCalls failing(k, fault, FailingCalls::Times::Always, {call.toStdString()});
                message = test::errorOf([&] { writeSample(at("a.h5")); }, &code);
                struck = failing.hasStruck();
            }
            if (!struck) {
                QCOMPARE(message, std::string());
                break;
            }
            ++faults;
            QVERIFY2(static_cast<int>(code) == expected && message.find("a.h5") != std::string::npos, message.c_str());
            QCOMPARE(test::namesIn(m_folder->path().toStdString()), std::vector<std::string>());
        }
        QVERIFY(faults >= atLeast);
        QCOMPARE(listHdf5Arrays(InputFile(at("a.h5"))).size(), std::size_t(8));
    }

private:
    std::string at(const char *name) const { return m_folder->filePath(name).toStdString(); }
    std::unique_ptr<QTemporaryDir> m_folder;
};

QTEST_GUILESS_MAIN(TestHdf5File)
#include "tst_hdf5_file.moc"
