// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "core/base/log.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using test::safetensorsBytes;

namespace {

// One tensor's entry: "name":{"dtype":"F32","shape":[...],"data_offsets":[begin,end]}.
std::string entry(const std::string &name, const std::string &shape, int begin, int end, const std::string &dtype = "F32")
{
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// A header with tensor 'a' of 4 floats in which one member is replaced.
std::string withMember(const std::string &member, const std::string &value)
{
    std::string dtype = "\"F32\"";
    std::string shape = "[4]";
    std::string offsets = "[0,16]";
    (member == "dtype" ? dtype : member == "shape" ? shape : offsets) = value;
    return "{\"a\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
}

}  // namespace

class TestSafetensors : public QObject {
    Q_OBJECT
private slots:
    void cleanup() { setLogSink({}); }
    void badFilesAreRefused_data();
    void badFilesAreRefused();
    void oddButValidFilesAreRead_data();
    void oddButValidFilesAreRead();
    void everyTruncationIsRefused();
    void everyChangedHeaderByteIsReadOrRefused();
    void tensorsKeepOrderShapeAndBytes();
    void everyTypeSurvivesTheRoundTrip();
    void metadataSurvivesTheRoundTrip();
    void unalignedTensorsAreRead();
    void strangeNamesAreReadAndShownEscaped();
    void unknownFieldsAndTruthValuesAreWarnedAbout();
    void hundredThousandTensorsAreRead();
    void namesThatCannotBeReadAreNotWritten_data();
    void namesThatCannotBeReadAreNotWritten();
    void fileMayBeDeletedWhileOpen();
    void shortenedFileNamesTheByte();
    void realCheckpointsSurviveTheRoundTrip();

private:
    void write(const std::string &bytes) const { test::writeRaw(m_path, bytes); }

    QTemporaryDir m_folder;
    std::string m_path = m_folder.filePath("a.safetensors").toStdString();
};

// The numbers are rows of reliability.md 4 ST. "ref accepts": the reference reader is looser.
void TestSafetensors::badFilesAreRefused_data()
{
    using namespace std::string_literals;
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<QByteArray>("expected");
    const auto file = [](const char *name, const std::string &bytes, const char *expected) {
        QTest::newRow(name) << QByteArray::fromStdString(bytes) << QByteArray(expected);
    };
    const auto header = [&](const char *name, const std::string &text, const char *expected, std::size_t data = 16) {
        file(name, safetensorsBytes(text, data), expected);
    };
    const std::string good = entry("a", "[4]", 0, 16);

    file("ST-01 no bytes", "", "is empty (0 bytes) and so shorter than its header");
    file("ST-02 seven bytes", std::string(7, '\0'), "is shorter than its header (7 bytes)");
    file("ST-03 length only", test::littleEndian(10), "is shorter than its header: header says 10 bytes, file has 0 (truncated?)");
    file("ST-04 length 0", test::littleEndian(0) + "{}", "header is empty");
    file("ST-05 length past the end", test::littleEndian(1'000) + "{}", "header says 1000 bytes, file has 2 (truncated?)");
    file("ST-06 length 2^64-1", test::littleEndian(~0ULL) + "{}", "header says 18446744073709551615 bytes, file has 2");
    header("ST-10 list", "[1,2,3]", "header does not begin with {", 0);
    header("ST-11 leading space, ref accepts", " {}", "header does not begin with {", 0);
    header("byte order mark", "\xef\xbb\xbf{}", "header does not begin with {", 0);
    header("cut off", "{\"a\":", "header: ends in the middle", 0);
    header("ST-13 trailing NULs", "{}\0\0"s, "control character 0x00", 0);
    header("ST-14 trailing x", "{}x", "text after the end", 0);
    header("trailing tab", "{}\t", "something other than spaces behind its closing brace", 0);
    header("trailing newline and space", "{}\n ", "something other than spaces behind its closing brace", 0);
    header("ST-16 invalid UTF-8 in a name", "{" + entry("\xff", "[4]", 0, 16) + "}", "invalid UTF-8 at byte 2");
    header("ST-17 lone surrogate in a name", "{" + entry("\\ud800", "[4]", 0, 16) + "}", "invalid JSON");
    header("ST-18 same tensor twice, ref accepts", "{" + good + "," + good + "}", "duplicate key 'a'");
    header("ST-19 dtype twice", R"({"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "duplicate key 'dtype'");
    header("ST-20 metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}," + good + "}", "duplicate key '__metadata__'");
    header("ST-22 dtype F12", withMember("dtype", "\"F12\""), "tensor 'a': unknown dtype 'F12' (known: F64, F32, F16, BF16,");
    header("ST-23 dtype f32", withMember("dtype", "\"f32\""), "tensor 'a': unknown dtype 'f32'");
    header("ST-24 dtype 5", withMember("dtype", "5"), "tensor 'a': dtype must be a string");
    header("ST-25 dtype null", withMember("dtype", "null"), "tensor 'a': dtype must be a string");
    header("ST-91 dtype object, ref accepts", withMember("dtype", "{\"F32\":null}"), "tensor 'a': dtype must be a string");
    header("ST-26 shape [-1]", withMember("shape", "[-1]"), "tensor 'a': shape must be whole numbers >= 0");
    header("ST-27 shape [1.0]", withMember("shape", "[4.0]"), "shape must be whole numbers >= 0");
    header("ST-28 shape [\"1\"]", withMember("shape", "[\"4\"]"), "shape must be whole numbers >= 0");
    header("ST-29 shape 1", withMember("shape", "4"), "shape must be whole numbers >= 0");
    header("shape [-0]", withMember("shape", "[4,-0]"), "shape must be whole numbers >= 0");
    header("shape [1e1]", withMember("shape", "[4e0]"), "shape must be whole numbers >= 0");
    header("ST-31 2^61 F64", "{" + entry("a", "[2305843009213693952]", 0, 16, "F64") + "}", "tensor 'a': shape 2305843009213693952 overflows");
    header("ST-32 2^40 x 2^40 x 0", withMember("shape", "[1099511627776,1099511627776,0]"), "overflows");
    header("ST-34 2^64", withMember("shape", "[18446744073709551616]"), "shape must be whole numbers >= 0");
    std::string ones = "[4";
    for (int i = 1; i < 10'000; ++i)
        ones += ",1";
    header("ST-35 rank 10,000, ref accepts", withMember("shape", ones + "]"), "tensor 'a': rank 10000 > 8");
    header("rank 9", withMember("shape", "[4,1,1,1,1,1,1,1,1]"), "rank 9 > 8");
    header("ST-38 offsets backwards", withMember("data_offsets", "[16,0]"), "tensor 'a': offsets run backwards");
    header("one offset", withMember("data_offsets", "[0]"), "data_offsets must be two whole numbers >= 0");
    header("three offsets", withMember("data_offsets", "[0,16,16]"), "data_offsets must be two whole numbers >= 0");
    header("negative offset", withMember("data_offsets", "[-16,0]"), "data_offsets must be two whole numbers >= 0");
    header("offsets as text", withMember("data_offsets", "\"0,16\""), "data_offsets must be two whole numbers >= 0");
    header("offset past the end", withMember("data_offsets", "[0,17]"), "ends at byte 17 of the data, the file has 16 (truncated?)");
    header("offset 2^63-1", withMember("data_offsets", "[9223372036854775791,9223372036854775807]"), "ends at byte 9223372036854775807 of the data");
    header("ST-40 overlap", "{" + good + "," + entry("b", "[4]", 8, 24) + "}", "tensors 'a' and 'b' overlap", 24);
    header("ST-41 same region", "{" + good + "," + entry("b", "[4]", 0, 16) + "}", "overlap");
    header("empty tensor inside another", "{" + good + "," + entry("b", "[0]", 8, 8) + "}", "tensors 'a' and 'b' overlap");
    header("ST-42 hole", "{" + good + "," + entry("b", "[4]", 20, 36) + "}", "4 bytes before tensor 'b' belong to no tensor", 36);
    header("hole at the beginning", "{" + entry("a", "[4]", 4, 20) + "}", "4 bytes before tensor 'a' belong to no tensor", 20);
    header("ST-44 trailing bytes", "{" + good + "}", "3 bytes after the last tensor", 19);
    header("ST-65 data but no tensors", "{}", "8 bytes after the last tensor", 8);
    file("ST-82 script behind the data", safetensorsBytes("{" + good + "}", 16) + "<script>", "8 bytes after the last tensor");
    header("ST-46 15 of 16 bytes", withMember("data_offsets", "[0,15]"), "tensor 'a': F32 4 takes 16 bytes, data_offsets give 15", 15);
    header("ST-47 20 for 16 bytes", withMember("data_offsets", "[0,20]"), "tensor 'a': F32 4 takes 16 bytes, data_offsets give 20", 20);
    header("ST-53 no dtype", R"({"a":{"shape":[4],"data_offsets":[0,16]}})", "tensor 'a': lacks 'dtype'");
    header("ST-54 no shape", R"({"a":{"dtype":"F32","data_offsets":[0,16]}})", "tensor 'a': lacks 'shape'");
    header("ST-55 no offsets", R"({"a":{"dtype":"F32","shape":[4]}})", "tensor 'a': lacks 'data_offsets'");
    header("tensor is a list, ref accepts", R"({"a":["F32",[4],[0,16]]})", "tensor 'a': must be an object");
    header("tensor is null", R"({"a":null})", "tensor 'a': must be an object");
    header("ST-59 metadata number", "{\"__metadata__\":{\"a\":1}," + good + "}", "__metadata__ 'a' must be a string");
    header("ST-60 metadata object", "{\"__metadata__\":{\"a\":{}}," + good + "}", "__metadata__ 'a' must be a string");
    header("ST-61 metadata list", "{\"__metadata__\":{\"a\":[]}," + good + "}", "__metadata__ 'a' must be a string");
    header("metadata is text", "{\"__metadata__\":\"pt\"," + good + "}", "__metadata__ must be an object");
    header("ST-67 NUL in a name, ref accepts", "{" + entry("a\\u0000b", "[4]", 0, 16) + "}", "NUL in name");
    header("ST-77 F4", "{" + entry("a", "[3]", 0, 2, "F4") + "}", "unknown dtype 'F4'", 2);
    std::string deep = "{\"__metadata__\":";
    for (int i = 0; i < 100'000; ++i)
        deep += "{\"a\":";
    header("ST-80 metadata 100,000 deep", deep + "1" + std::string(100'000, '}') + "}", "nested deeper than 4");
    header("ST-81 200,000 brackets", "{\"a\":" + std::string(200'000, '['), "nested deeper than 4");
    header("NaN", withMember("shape", "[NaN]"), "NaN is not JSON");
    file("ST-83 zip", "PK\x03\x04\x14\0\0\0\x08\0 archive/data.pkl"s, "is a zip archive, as pickle checkpoints are");
    file("ST-84 pickle", "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 torch"s, "is a pickle checkpoint, which can run programs when loaded: convert");
    file("ST-85 GGUF", "GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0"s, "is a GGUF file");
    file("ST-86 LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "is a Git LFS pointer, not the data: run git lfs pull");
    file("ST-87 web page", "<!doctype html><html><body>404</body></html>", "is a web page: the download failed");
    file("ST-88 Xet pointer", "# xet version 0\nfilesize = 5\n", "is a Xet pointer");
    file("answer of a server", "Entry not found", "is an error message of a server");
    file("JSON", "{\"weights\":[1,2,3,4]}", "header says");
    file("zeros", std::string(100, '\0'), "header is empty");
}

void TestSafetensors::badFilesAreRefused()
{
    QFETCH(QByteArray, bytes);
    QFETCH(QByteArray, expected);
    write(bytes.toStdString());
    ErrorCode code = ErrorCode::Shape;
    const std::string message = test::errorOf([&] { SafetensorsFile file(m_path); }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(m_path), message.c_str());
    QVERIFY(code == ErrorCode::Format);
}

void TestSafetensors::oddButValidFilesAreRead_data()
{
    QTest::addColumn<QByteArray>("header");
    QTest::addColumn<int>("dataBytes");
    QTest::addColumn<int>("tensors");
    const auto row = [](const char *name, const std::string &header, int dataBytes, int tensors) {
        QTest::newRow(name) << QByteArray::fromStdString(header) << dataBytes << tensors;
    };
    const std::string good = entry("a", "[4]", 0, 16);
    row("ST-64 no tensors", "{}", 0, 0);
    row("padding", "{" + good + "}       ", 16, 1);
    row("white space inside", "{ \n\t" + good + "\r\n}", 16, 1);
    row("ST-62 metadata null", "{\"__metadata__\":null," + good + "}", 16, 1);
    row("ST-92 metadata like a tensor", R"({"__metadata__":{"dtype":"F32","shape":"[4]"}})", 0, 0);
    row("scalar", "{" + entry("a", "[]", 0, 4) + "}", 4, 1);
    row("empty tensor", "{" + entry("a", "[0,5]", 0, 0) + "}", 0, 1);
    row("empty tensors between others", "{" + entry("z", "[0]", 16, 16) + "," + good + "," + entry("y", "[0]", 0, 0) + "," + entry("b", "[1]", 16, 20) + "}", 20, 4);
    row("rank 8", "{" + entry("a", "[1,1,4,1,1,1,1,1]", 0, 16) + "}", 16, 1);
    row("ST-68 name like a path", "{" + entry("../../etc/x", "[4]", 0, 16) + "}", 16, 1);
    row("not in the order of the data", "{" + entry("b", "[4]", 16, 32) + "," + good + "}", 32, 2);
    row("huge extent times zero", "{" + entry("a", "[0,1099511627776]", 0, 0) + "}", 0, 1);
    row("empty name", "{" + entry("", "[4]", 0, 16) + "}", 16, 1);
    row("name through escapes", "{" + entry("\\u0061", "[4]", 0, 16) + "}", 16, 1);
}

void TestSafetensors::oddButValidFilesAreRead()
{
    QFETCH(QByteArray, header);
    QFETCH(int, dataBytes);
    QFETCH(int, tensors);
    write(safetensorsBytes(header.toStdString(), static_cast<std::size_t>(dataBytes)));
    const SafetensorsFile file(m_path);
    QCOMPARE(file.tensors().size(), static_cast<std::size_t>(tensors));
    QCOMPARE(file.dataOffset(), 8U + static_cast<std::size_t>(header.size()));
    std::uint64_t bytes = 0;
    for (const TensorInfo &info : file.tensors()) {
        QCOMPARE(file.find(info.name), &info);
        QCOMPARE(file.read(info).bytes().size(), info.bytes);
        bytes += info.bytes;
    }
    QCOMPARE(bytes, static_cast<std::uint64_t>(dataBytes));
    QVERIFY(file.find("no such tensor") == nullptr);
}

void TestSafetensors::everyTruncationIsRefused()
{
    const std::string whole = safetensorsBytes("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a", "[4]", 0, 16) + "}", 16);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        write(whole.substr(0, length));
        QVERIFY2(!test::errorOf([&] { SafetensorsFile file(m_path); }).empty(), qPrintable(QString::number(length)));
    }
    write(whole);
    QCOMPARE(SafetensorsFile(m_path).metadata().at("format"), std::string("pt"));
}

// No accepted change makes two tensors share bytes or reach outside.
void TestSafetensors::everyChangedHeaderByteIsReadOrRefused()
{
    const std::string whole = safetensorsBytes("{" + entry("a", "[1,2]", 0, 8) + "," + entry("b", "[2]", 8, 12, "F16") + "}", 12);
    int accepted = 0;
    for (std::size_t at = 0; at + 12 < whole.size(); ++at) {
        for (const char byte : std::string_view("\0\"[]{},:0189-. Fa\x7f\xff", 20)) {
            std::string changed = whole;
            changed[at] = byte;
            write(changed);
            test::errorOf([&] {
                const SafetensorsFile file(m_path);
                std::uint64_t bytes = 0;
                for (const TensorInfo &info : file.tensors())
                    bytes += file.read(info).bytes().size();
                if (bytes != 12 || file.tensors().size() != 2)
                    qFatal("%s", changed.c_str() + 8);
                ++accepted;
            });
        }
    }
    QVERIFY(accepted > 50);
}

void TestSafetensors::tensorsKeepOrderShapeAndBytes()
{
    const Matrix weight = (Matrix(2, 3) << 1, 2, 3, 4, 5, 6).finished();
    const std::vector<double> sigma{3.5, 2.5};
    writeSafetensors(m_path, {{"z.weight", Tensor::fromMatrix(weight)}, {"a.sigma", Tensor::fromVector(std::span<const double>(sigma))}});
    const SafetensorsFile file(m_path);
    QCOMPARE(file.tensors().size(), 2U);
    QCOMPARE(file.tensors()[0].name, std::string("z.weight"));
    QCOMPARE(file.tensors()[1].name, std::string("a.sigma"));
    QVERIFY(file.read(*file.find("z.weight")).toMatrix() == weight);
    QCOMPARE(file.find("a.sigma")->shape, (Shape{2}));
    QCOMPARE(file.read(*file.find("a.sigma")).toMatrixF64()(0, 1), 2.5);
    QCOMPARE(file.dataOffset() % 8, 0U);
    QVERIFY(file.metadata().empty());
    // Second opinion on the header: Qt's reader.
    const std::string bytes = test::readRaw(m_path);
    const QJsonObject header = QJsonDocument::fromJson(QByteArray::fromStdString(bytes.substr(8, file.dataOffset() - 8))).object();
    QCOMPARE(header["z.weight"].toObject()["dtype"].toString(), QString("F32"));
    QCOMPARE(header["a.sigma"].toObject()["data_offsets"].toArray(), (QJsonArray{24, 40}));
}

void TestSafetensors::everyTypeSurvivesTheRoundTrip()
{
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (int i = static_cast<int>(DType::F64); i <= static_cast<int>(DType::F8E5M2); ++i) {
        Tensor tensor(static_cast<DType>(i), {3, 1});
        for (std::size_t b = 0; b < tensor.bytes().size(); ++b)
            tensor.bytes()[b] = static_cast<std::byte>(tensor.dtype() == DType::Bool ? b % 2 : b * 41 + 7);
        tensors.emplace_back("t" + std::to_string(i), tensor);
    }
    writeSafetensors(m_path, tensors);
    const SafetensorsFile file(m_path);
    for (const auto &[name, tensor] : tensors) {
        const Tensor back = file.read(*file.find(name));
        QVERIFY(back.dtype() == tensor.dtype() && back.shape() == tensor.shape());
        QVERIFY(std::ranges::equal(back.bytes(), tensor.bytes()));
    }
}

void TestSafetensors::metadataSurvivesTheRoundTrip()
{
    const std::map<std::string, std::string> metadata{{"format", "pt"}, {"note", "gr\xc3\xbc\xc3\x9f \"\\\n"}, {"", ""}};
    writeSafetensors(m_path, {}, metadata);
    QVERIFY(SafetensorsFile(m_path).metadata() == metadata);
}

// ST-79: a float at an odd byte; the undefined-behaviour sanitizer watches.
void TestSafetensors::unalignedTensorsAreRead()
{
    std::string bytes = safetensorsBytes("{" + entry("u", "[1]", 0, 1, "U8") + "," + entry("f", "[1]", 1, 5) + "}", 0);
    bytes += std::string("\x07\x00\x00\x80\x3f", 5);
    write(bytes);
    const SafetensorsFile file(m_path);
    QCOMPARE(file.read(*file.find("f")).toMatrix()(0, 0), 1.0F);
}

// ST-70, ST-71.
void TestSafetensors::strangeNamesAreReadAndShownEscaped()
{
    write(safetensorsBytes("{" + entry("\\u202e\\n\\u001b[31m", "[4]", 0, 16) + "}", 16));
    const SafetensorsFile file(m_path);
    QCOMPARE(file.tensors()[0].name, std::string("\xe2\x80\xae\n\x1b[31m"));
    write(safetensorsBytes("{" + entry("\\u202e\\n\\u001b[31m", "[5]", 0, 16) + "}", 16));
    const std::string message = test::errorOf([&] { SafetensorsFile bad(m_path); });
    QVERIFY2(message.find("tensor '\\u202e\\n\\u001b[31m'") != std::string::npos, message.c_str());
}

// ST-56, ST-76.
void TestSafetensors::unknownFieldsAndTruthValuesAreWarnedAbout()
{
    std::vector<std::string> warnings;
    setLogSink([&](LogLevel level, const std::string &text) {
        if (level == LogLevel::Warning)
            warnings.push_back(text);
    });
    write(safetensorsBytes(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"evil":1}})", 16));
    QCOMPARE(SafetensorsFile(m_path).tensors().size(), 1U);
    QCOMPARE(warnings.size(), 1U);
    QVERIFY2(warnings[0].find("'a'") != std::string::npos, warnings[0].c_str());

    write(safetensorsBytes("{" + entry("t", "[3]", 0, 3, "BOOL") + "}", 0) + std::string("\0\1\2", 3));
    const SafetensorsFile file(m_path);
    file.read(file.tensors()[0]);
    QCOMPARE(warnings.size(), 2U);
    QVERIFY2(warnings[1].find("tensor 't': has truth values other than 0 and 1") != std::string::npos, warnings[1].c_str());
}

// ST-89.
void TestSafetensors::hundredThousandTensorsAreRead()
{
    std::string header = "{";
    constexpr int count = 100'000;
    for (int i = 0; i < count; ++i)
        header += (i ? "," : "") + entry("model.layers." + std::to_string(i) + ".mlp.down_proj.weight", "[1]", 4 * i, 4 * i + 4);
    write(safetensorsBytes(header + "}", 4 * count));
    const SafetensorsFile file(m_path);
    QCOMPARE(file.tensors().size(), static_cast<std::size_t>(count));
    QCOMPARE(file.find("model.layers.99999.mlp.down_proj.weight")->offset, file.dataOffset() + 4 * (count - 1));
}

void TestSafetensors::namesThatCannotBeReadAreNotWritten_data()
{
    QTest::addColumn<QByteArray>("first");
    QTest::addColumn<QByteArray>("second");
    QTest::newRow("twice") << QByteArray("a") << QByteArray("a");
    QTest::newRow("metadata") << QByteArray("a") << QByteArray("__metadata__");
    QTest::newRow("NUL") << QByteArray("a") << QByteArray("b\0c", 3);
    QTest::newRow("not UTF-8") << QByteArray("a") << QByteArray("b\xff");
}

void TestSafetensors::namesThatCannotBeReadAreNotWritten()
{
    QFETCH(QByteArray, first);
    QFETCH(QByteArray, second);
    const std::string path = m_folder.filePath("none.safetensors").toStdString();
    ErrorCode code = ErrorCode::Shape;
    QVERIFY(!test::errorOf([&] {
        writeSafetensors(path, {{first.toStdString(), Tensor(DType::F32, {1})}, {second.toStdString(), Tensor(DType::F32, {1})}});
    }, &code).empty());
    QVERIFY(code == ErrorCode::Argument);
    QVERIFY(!std::filesystem::exists(path));
}

void TestSafetensors::fileMayBeDeletedWhileOpen()
{
    writeSafetensors(m_path, {{"a", Tensor(DType::F32, {4})}});
    const SafetensorsFile file(m_path);
    QVERIFY(std::filesystem::remove(m_path));
    QCOMPARE(file.read(file.tensors()[0]).bytes().size(), 16U);
}

void TestSafetensors::shortenedFileNamesTheByte()
{
    writeSafetensors(m_path, {{"a", Tensor(DType::F32, {4'000})}});
    const SafetensorsFile file(m_path);
    QCOMPARE(::truncate(m_path.c_str(), 1'000), 0);
    const std::string message = test::errorOf([&] { file.read(file.tensors()[0]); });
    QCOMPARE(message, m_path + ", byte 1000: the file became shorter while being read");
}

void TestSafetensors::realCheckpointsSurviveTheRoundTrip()
{
    LQER_NEED_SHARED();
    int files = 0;
    for (const auto &found : std::filesystem::recursive_directory_iterator(test::sharedFolder() + "/models")) {
        if (found.path().extension() != ".safetensors")
            continue;
        const SafetensorsFile original(found.path().string());
        std::vector<std::pair<std::string, Tensor>> tensors;
        for (const TensorInfo &info : original.tensors())
            tensors.emplace_back(info.name, original.read(info));
        writeSafetensors(m_path, tensors, original.metadata());
        const SafetensorsFile copy(m_path);
        QVERIFY(copy.metadata() == original.metadata());
        QCOMPARE(copy.tensors().size(), original.tensors().size());
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const Tensor back = copy.read(copy.tensors()[i]);
            QVERIFY(back.dtype() == tensors[i].second.dtype() && back.shape() == tensors[i].second.shape());
            QVERIFY(std::ranges::equal(back.bytes(), tensors[i].second.bytes()));
        }
        ++files;
    }
    QVERIFY(files >= 10);
}

QTEST_GUILESS_MAIN(TestSafetensors)
#include "tst_safetensors.moc"
