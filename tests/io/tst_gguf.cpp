// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/log.h"
#include "core/io/gguf.h"
#include "tests/io/gguf_bytes.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

enum Type : std::uint32_t { UInt8, Int8, UInt16, Int16, UInt32, Int32, Float32, Bool, String, Array, UInt64, Int64, Float64 };

const std::string architecture = ggufKey("general.architecture", String, ggufText("llama"));
// Two tensors: 2 x 4 floats and one block of 32 in Q4_0, which is padded from 18 to 32 bytes.
const std::vector<std::string> twoTensors{ggufTensor("a", {4, 2}, 0, 0), ggufTensor("b", {32}, 2, 32)};

std::string data(std::size_t bytes)
{
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i)
        text[i] = static_cast<char>(i % 61);
    return text;
}

}  // namespace

class TestGguf : public QObject {
    Q_OBJECT
private slots:
    void cleanup() { setLogSink({}); }
    void keysAndTensorsAreRead();
    void badFilesAreRefused_data();
    void badFilesAreRefused();
    void keysOfAnotherTypeAreNamed_data();
    void keysOfAnotherTypeAreNamed();
    void everyTruncationIsRefusedButThatOfThePadding();
    void everyChangedHeaderByteIsReadOrRefused();
    void oddButValidFilesAreRead_data();
    void oddButValidFilesAreRead();
    void hugeSparseFileIsRefusedByItsHeader();
    void hundredThousandTensorsAreRead();
    void everyValueSurvivesTheRoundTrip();
    void writerMakesTheBytesTheFormatDescribes();
    void writerTakesTensorsInPieces();
    void uncommittedFileLeavesTheOldOne();
    void tensorsThatCannotBeReadAreNotWritten_data();
    void tensorsThatCannotBeReadAreNotWritten();
    void blockSizesAreThoseOfTheFormat();

private:
    void write(const std::string &bytes) const { writeRaw(m_path, bytes); }

    QTemporaryDir m_folder;
    std::string m_path = m_folder.filePath("a.gguf").toStdString();
};

void TestGguf::keysAndTensorsAreRead()
{
    write(ggufFile({architecture, ggufKey("n", UInt32, littleEndian32(7)), ggufArrayKey("words", String, 2, ggufText("x") + ggufText(""))},
                   twoTensors, data(64)));
    const GgufFile file(m_path);
    QCOMPARE(file.version(), 3U);
    QCOMPARE(file.text("general.architecture"), std::string("llama"));
    QCOMPARE(file.integer("n"), 7);
    QVERIFY((file.array<std::string>("words") == std::vector<std::string>{"x", ""}));
    QVERIFY(file.find("no such key") == nullptr);
    QCOMPARE(file.tensors().size(), 2U);
    const GgufTensor &a = *file.findTensor("a");
    QVERIFY((a.shape == Shape{2, 4}));
    QVERIFY(a.type == GgmlType::F32 && a.bytes == 32 && a.offset % 32 == 0);
    const GgufTensor &b = *file.findTensor("b");
    QVERIFY(b.type == GgmlType::Q4_0 && b.bytes == 18 && b.offset == a.offset + 32);
    QVERIFY(file.findTensor("c") == nullptr);

    const Tensor read = file.read(a);
    QVERIFY(read.dtype() == DType::F32 && read.shape() == a.shape);
    QCOMPARE(std::string(reinterpret_cast<const char *>(read.bytes().data()), 32), data(64).substr(0, 32));
    const std::vector<std::byte> block = file.readBytes(b);
    QCOMPARE(std::string(reinterpret_cast<const char *>(block.data()), 18), data(64).substr(32, 18));
    const std::string message = errorOf([&] { file.read(b); });
    QCOMPARE(message, m_path + ", tensor 'b': is stored as Q4_0, plain numbers were expected");
}

// The rows of reliability.md 4 GG that concern any GGUF file.
void TestGguf::badFilesAreRefused_data()
{
    using namespace std::string_literals;
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<QByteArray>("expected");
    const auto file = [](const char *name, const std::string &bytes, const std::string &expected) {
        QTest::newRow(name) << QByteArray::fromStdString(bytes) << QByteArray::fromStdString(expected);
    };
    const auto key = [&](const char *name, const std::string &bytes, const std::string &expected) {
        file(name, ggufFile({bytes}, {}, {}), expected);
    };
    const auto tensor = [&](const char *name, const std::string &entry, const std::string &expected, std::size_t bytes = 32) {
        file(name, ggufFile({architecture}, {entry}, std::string(bytes, '\0')), expected);
    };
    const std::string most = littleEndian(~0ULL);
    const std::string good = ggufFile({architecture}, twoTensors, data(64));

    file("no bytes", "", ": is empty (0 bytes): interrupted download?");
    file("three bytes", "GGU", "is not a GGUF file: begins with 'GGU', not with 'GGUF'");
    file("magic only", "GGUF", "byte 4: the file ends here, 4 bytes were expected");
    file("bad magic", "GGML" + good.substr(4), "is not a GGUF file: begins with 'GGML'");
    file("safetensors", safetensorsBytes("{}", 0), "is not a GGUF file but a safetensors file");
    file("pickle", "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 torch"s, "is not a GGUF file but a pickle checkpoint, which can run programs");
    file("LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "is not a GGUF file but a Git LFS pointer");
    file("FUGG", "FUGG" + good.substr(4), "is a big-endian GGUF file");
    file("big-endian version", "GGUF" + "\0\0\0\3"s + good.substr(8), "is a big-endian GGUF file");
    file("version 0", ggufFile({}, {}, {}, 0), "byte 4: GGUF version 0, this program reads 2 and 3");
    file("version 1", ggufFile({}, {}, {}, 1), "is a GGUF file of version 1, which llama.cpp does not read either");
    file("version 99", ggufFile({}, {}, {}, 99), "byte 4: GGUF version 99");
    file("2^64-1 tensors", "GGUF" + littleEndian32(3) + most + littleEndian(0), "number of tensors at byte 16: 18446744073709551615 of them cannot fit into the 8 bytes that follow");
    file("2^64-1 keys", "GGUF" + littleEndian32(3) + littleEndian(0) + most, "number of keys at byte 24: 18446744073709551615 of them cannot fit");
    file("tensors missing", "GGUF" + littleEndian32(3) + littleEndian(5) + littleEndian(0) + std::string(40, '\0'), "number of tensors at byte 16: 5 of them cannot fit into the 48 bytes");

    key("key of 2^64-1 bytes", most + std::string(40, 'k'), "key 0 at byte 32: a text of 18446744073709551615 bytes, 40 bytes remain in the file (truncated?)");
    key("key of 65536 bytes", ggufKey(std::string(65'536, 'k'), UInt8, "\1"), "a text of 65536 bytes, longer than the 65535");
    key("empty key", ggufKey("", UInt64, littleEndian(1)), "key 0 at byte 32: the name is empty");
    key("key not UTF-8", ggufKey("k\xff", UInt8, "\1"), "the name 'k\\xff' is not valid UTF-8");
    key("key with NUL", ggufKey("k\0k"s, UInt8, "\1"), "contains NUL");
    key("type 13", ggufKey("k", 13, "\1"), "key 'k' at byte 37: unknown value type 13");
    key("type -1", ggufKey("k", ~0U, "\1"), "key 'k' at byte 37: unknown value type -1");
    key("text longer than the file", ggufKey("k", String, littleEndian(100) + "abc"), "key 'k' at byte 45: a text of 100 bytes, 3 bytes remain in the file (truncated?)");
    key("array of 2^62 doubles", ggufArrayKey("k", Float64, 1ULL << 62, "x"), "key 'k' at byte 49: an array of 4611686018427387904 elements, 1 bytes remain in the file");
    key("array of 2^61+1 doubles", ggufArrayKey("k", Float64, (1ULL << 61) + 1, "12345678"), "an array of 2305843009213693953 elements, 8 bytes remain");
    key("array of 2^60 texts", ggufArrayKey("k", String, 1ULL << 60, most), "an array of 1152921504606846976 elements, 8 bytes remain");
    key("array of arrays", ggufArrayKey("k", Array, 1, littleEndian32(0) + littleEndian(0)), "key 'k' at byte 49: an array of arrays");
    key("array of type 13", ggufArrayKey("k", 13, 1, "x"), "unknown value type 13");
    key("more numbers than read", ggufArrayKey("k", UInt8, (1U << 24) + 1, std::string((1U << 24) + 1, 'x')), "an array of 16777217 elements, more than the 16777216");
    key("bool 2", ggufKey("k", Bool, "\2"), "key 'k' at byte 38: a bool is 2, 0 or 1 was expected");
    key("bool 255 in an array", ggufArrayKey("k", Bool, 2, "\1\xff"), "a bool is 255");
    file("same key twice", ggufFile({architecture, architecture}, {}, {}), "key 'general.architecture' at byte 97: appears twice");
    file("ends inside a value", ggufFile({ggufKey("k", UInt64, "123456")}, {}, {}), "key 'k' at byte 37: the file ends here, 8 bytes were expected");
    for (const std::uint32_t alignment : {0U, 1U, 13U, 1U << 31})
        key(qPrintable(QString("alignment %1").arg(alignment)), ggufKey("general.alignment", UInt32, littleEndian32(alignment)),
            "key 'general.alignment': " + std::to_string(alignment) + " is not a power of two from 8 to 65536");
    key("alignment of another type", ggufKey("general.alignment", UInt64, littleEndian(32)), "key 'general.alignment': is uint64, uint32 was expected");
    key("part of a split model", ggufKey("split.count", UInt16, "\3\0"s), "is one of the 3 parts of a split model: join them with llama-gguf-split --merge");

    tensor("name of 64 bytes", ggufTensor(std::string(64, 't'), {8}, 0, 0), "tensor 0 at byte 77: a text of 64 bytes, longer than the 63");
    tensor("empty name", ggufTensor("", {8}, 0, 0), "tensor 0 at byte 77: the name is empty");
    tensor("no dimensions", ggufTensor("t", {}, 0, 0), "tensor 't' at byte 82: 0 dimensions, 1 to 4 were expected");
    tensor("five dimensions", ggufTensor("t", {8, 1, 1, 1, 1}, 0, 0), "5 dimensions, 1 to 4 were expected");
    tensor("extent 0", ggufTensor("t", {8, 0}, 0, 0), "tensor 't' at byte 98: extent 0 is not positive");
    tensor("extent -1", ggufTensor("t", {~0ULL}, 0, 0), "extent -1 is not positive");
    tensor("product overflows", ggufTensor("t", {1ULL << 32, 1ULL << 32}, 0, 0), "a shape of 4294967296x4294967296 is not possible in F32");
    tensor("bytes overflow", ggufTensor("t", {1ULL << 62}, 0, 0), "is not possible in F32");
    tensor("row not whole blocks", ggufTensor("t", {33}, 2, 0), "a shape of 33 is not possible in Q4_0, which stores rows in blocks of 32");
    tensor("blocks across rows", ggufTensor("t", {16, 2}, 2, 0), "a shape of 2x16 is not possible in Q4_0");
    tensor("row not whole super-blocks", ggufTensor("t", {128, 2}, 12, 0), "not possible in Q4_K, which stores rows in blocks of 256");
    tensor("type 99", ggufTensor("t", {8}, 99, 0), "tensor 't' at byte 94: element type 99 is unknown or was removed from the format");
    tensor("removed type", ggufTensor("t", {32}, 4, 0), "element type 4 is unknown or was removed");
    tensor("type -1", ggufTensor("t", {8}, ~0U, 0), "element type -1 is unknown");
    tensor("offset unaligned", ggufTensor("t", {8}, 0, 4), "tensor 't': its data is said to begin at byte 4 of the data, 0 was expected (it is the first)", 64);
    tensor("offset beyond the file", ggufTensor("t", {8}, 0, 1ULL << 40), "its data is said to begin at byte 1099511627776");
    tensor("last tensor short by 1", ggufTensor("t", {8}, 0, 0), "tensor 't' at byte 128: F32 8 takes 32 bytes, the file has 159 in all (truncated?)", 31);
    file("overlap", ggufFile({}, {ggufTensor("a", {8}, 0, 0), ggufTensor("b", {8}, 0, 0)}, data(64)), "tensor 'b': its data is said to begin at byte 0 of the data, 32 was expected (behind tensor 'a')");
    file("hole", ggufFile({}, {ggufTensor("a", {8}, 0, 0), ggufTensor("b", {8}, 0, 64)}, data(96)), "tensor 'b': its data is said to begin at byte 64 of the data, 32 was expected");
    file("same name twice", ggufFile({}, {ggufTensor("a", {8}, 0, 0), ggufTensor("a", {8}, 0, 32)}, data(64)), "tensor 'a' at byte 90: appears twice");
    // CVE-2026-27940: the sum of two sizes wraps round.
    file("two tensors of nearly 2^63 bytes", ggufFile({}, {ggufTensor("a", {0x7FFFFFFFFFFFFFC0}, 24, 0), ggufTensor("b", {0x7FFFFFFFFFFFFFC0}, 24, 0x7FFFFFFFFFFFFFC0)}, data(64)), "tensor 'a' at byte 96: I8 9223372036854775744 takes 9223372036854775744 bytes, the file has 160 in all");
    file("trailing bytes", good + "x", "1 bytes after the last tensor (parts of a split model are joined by llama-gguf-split --merge)");
    file("two files in one", good + good, "bytes after the last tensor");
    file("script behind a file without tensors", ggufFile({architecture}, {}, std::string(64, ' ')), "bytes after the last tensor");
}

void TestGguf::badFilesAreRefused()
{
    QFETCH(QByteArray, bytes);
    QFETCH(QByteArray, expected);
    write(bytes.toStdString());
    ErrorCode code = ErrorCode::Shape;
    const std::string message = errorOf([&] { GgufFile file(m_path); }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(m_path), message.c_str());
    QVERIFY(code == ErrorCode::Format || code == ErrorCode::Unsupported);
}

void TestGguf::keysOfAnotherTypeAreNamed_data()
{
    QTest::addColumn<QByteArray>("key");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, const std::string &key, const char *expected) {
        QTest::newRow(name) << QByteArray::fromStdString(key) << QByteArray(expected);
    };
    row("missing", architecture, "key 'llama.block_count': is missing");
    row("text", ggufKey("llama.block_count", String, ggufText("7")), "key 'llama.block_count': is string, uint32 was expected");
    row("bool", ggufKey("llama.block_count", Bool, "\1"), "is bool, uint32 was expected");
    row("float", ggufKey("llama.block_count", Float32, littleEndian32(0)), "is float32, uint32 was expected");
    row("array", ggufArrayKey("llama.block_count", UInt32, 1, littleEndian32(1)), "is array of uint32, uint32 was expected");
    row("2^63", ggufKey("llama.block_count", UInt64, littleEndian(1ULL << 63)), "9223372036854775808 is out of range");
}

void TestGguf::keysOfAnotherTypeAreNamed()
{
    QFETCH(QByteArray, key);
    QFETCH(QByteArray, expected);
    write(ggufFile({key.toStdString(), ggufArrayKey("tokens", UInt8, 3, "abc"), ggufKey("theta", Float64, littleEndian(0))}, {}, {}));
    const GgufFile file(m_path);
    const std::string message = errorOf([&] { file.integer("llama.block_count"); });
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(m_path), message.c_str());
    QCOMPARE(errorOf([&] { file.array<std::int32_t>("tokens"); }), m_path + ", key 'tokens': is array of uint8, array of int32 was expected");
    QCOMPARE(errorOf([&] { file.array<double>("theta"); }), m_path + ", key 'theta': is float64, array of float64 was expected");
    QCOMPARE(errorOf([&] { file.text("theta"); }), m_path + ", key 'theta': is float64, string was expected");
    QCOMPARE(errorOf([&] { file.real("tokens"); }), m_path + ", key 'tokens': is array of uint8, float32 was expected");
    QCOMPARE(file.real("theta"), 0.0);
}

void TestGguf::everyTruncationIsRefusedButThatOfThePadding()
{
    std::vector<std::string> warnings;
    setLogSink([&](LogLevel, const std::string &text) { warnings.push_back(text); });
    const std::string whole = ggufFile({architecture, ggufArrayKey("words", String, 2, ggufText("x") + ggufText("yz"))}, twoTensors, data(64));
    const std::size_t padding = 32 - 18;
    for (std::size_t length = 0; length < whole.size(); ++length) {
        write(whole.substr(0, length));
        const std::string message = errorOf([&] { GgufFile file(m_path); });
        QVERIFY2(message.empty() == (length >= whole.size() - padding), qPrintable(QString::number(length)));
    }
    QCOMPARE(warnings.size(), padding);
    QCOMPARE(warnings.front(), m_path + ": the padding behind the last tensor is cut off");
}

// No accepted change makes a tensor reach outside.
void TestGguf::everyChangedHeaderByteIsReadOrRefused()
{
    const std::string whole = ggufFile({architecture, ggufKey("f", Float32, "1234"), ggufArrayKey("n", Int32, 2, "abcdefgh")}, twoTensors, data(64));
    int accepted = 0;
    for (std::size_t at = 4; at + 64 < whole.size(); ++at) {
        for (int byte = 0; byte < 256; byte += 5) {
            std::string changed = whole;
            changed[at] = static_cast<char>(byte);
            write(changed);
            errorOf([&] {
                const GgufFile file(m_path);
                for (const GgufTensor &tensor : file.tensors())
                    if (file.readBytes(tensor).size() != tensor.bytes || tensor.bytes > 64)
                        qFatal("byte %zu", at);
                ++accepted;
            });
        }
    }
    QVERIFY(accepted > 500);
}

void TestGguf::oddButValidFilesAreRead_data()
{
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<int>("tensors");
    const auto row = [](const char *name, const std::string &bytes, int tensors) {
        QTest::newRow(name) << QByteArray::fromStdString(bytes) << tensors;
    };
    row("version 2", ggufFile({architecture}, twoTensors, data(64), 2), 2);
    row("nothing in it", ggufFile({}, {}, {}), 0);
    row("vocabulary only", ggufFile({architecture}, {}, {}), 0);
    row("four dimensions", ggufFile({}, {ggufTensor("t", {2, 2, 2, 1}, 0, 0)}, data(32)), 1);
    row("alignment 8", ggufFile({ggufKey("general.alignment", UInt32, littleEndian32(8))}, {ggufTensor("a", {1}, 0, 0), ggufTensor("b", {2}, 0, 8)}, data(16), 3, 8), 2);
    row("alignment 64", ggufFile({ggufKey("general.alignment", UInt32, littleEndian32(64))}, {ggufTensor("a", {1}, 0, 0), ggufTensor("b", {2}, 0, 64)}, data(128), 3, 64), 2);
    row("one part of one", ggufFile({ggufKey("split.count", UInt16, std::string("\1\0", 2))}, twoTensors, data(64)), 2);
    row("empty array and text", ggufFile({ggufArrayKey("a", Float32, 0, {}), ggufKey("t", String, ggufText("")), ggufArrayKey("s", String, 0, {})}, {}, {}), 0);
    row("text that is not UTF-8", ggufFile({ggufKey("t", String, ggufText("\xff\xfe"))}, {}, {}), 0);
    row("name of 63 bytes", ggufFile({}, {ggufTensor(std::string(63, 't'), {8}, 0, 0)}, data(32)), 1);
}

void TestGguf::oddButValidFilesAreRead()
{
    QFETCH(QByteArray, bytes);
    QFETCH(int, tensors);
    write(bytes.toStdString());
    const GgufFile file(m_path);
    QCOMPARE(file.tensors().size(), static_cast<std::size_t>(tensors));
    for (const GgufTensor &tensor : file.tensors())
        QCOMPARE(file.readBytes(tensor).size(), tensor.bytes);
}

// F-17: what the header says decides, not how large the file is.
void TestGguf::hugeSparseFileIsRefusedByItsHeader()
{
    write("GGUF" + littleEndian32(3) + littleEndian(1) + littleEndian(1'000'000));
    std::filesystem::resize_file(m_path, 5'000'000'000);
    const std::string message = errorOf([&] { GgufFile file(m_path); });
    QVERIFY2(message.find("key 0 at byte 32: the name is empty") != std::string::npos, message.c_str());
    write(ggufFile({ggufArrayKey("k", String, 1U << 23, {})}, {}, {}));
    std::filesystem::resize_file(m_path, 5'000'000'000);
    const std::string texts = errorOf([&] { GgufFile file(m_path); });
    QVERIFY2(texts.find("an array of 8388608 elements, more than the 4194304") != std::string::npos, texts.c_str());
}

void TestGguf::hundredThousandTensorsAreRead()
{
    std::vector<std::string> entries;
    constexpr std::uint64_t count = 100'000;
    for (std::uint64_t i = 0; i < count; ++i)
        entries.push_back(ggufTensor("blk." + std::to_string(i) + ".ffn_down.weight", {1}, 0, 32 * i));
    write(ggufFile({architecture}, entries, std::string(32 * count, '\0')));
    const GgufFile file(m_path);
    QCOMPARE(file.tensors().size(), count);
    QCOMPARE(file.findTensor("blk.99999.ffn_down.weight")->offset, file.tensors()[0].offset + 32 * (count - 1));
}

void TestGguf::everyValueSurvivesTheRoundTrip()
{
    const GgufMetadata metadata{
        {"u8", std::uint8_t(200)}, {"i8", std::int8_t(-5)}, {"u16", std::uint16_t(60'000)}, {"i16", std::int16_t(-30'000)},
        {"u32", std::uint32_t(4'000'000'000)}, {"i32", std::int32_t(-2'000'000'000)}, {"f32", 1.5F}, {"yes", true}, {"no", false},
        {"text", std::string("gr\xc3\xbc\xc3\x9f\n")}, {"u64", ~std::uint64_t(0)}, {"i64", std::int64_t(-1) << 62}, {"f64", 0.1},
        {"au8", GgufArray(std::vector<std::uint8_t>{1, 2})}, {"ai8", GgufArray(std::vector<std::int8_t>{-1})},
        {"au16", GgufArray(std::vector<std::uint16_t>{3})}, {"ai16", GgufArray(std::vector<std::int16_t>{-3})},
        {"au32", GgufArray(std::vector<std::uint32_t>{4})}, {"ai32", GgufArray(std::vector<std::int32_t>{-4, 4})},
        {"af32", GgufArray(std::vector<float>{0.5F})}, {"abool", GgufArray(std::vector<bool>{true, false, true})},
        {"atext", GgufArray(std::vector<std::string>{"", "b"})}, {"au64", GgufArray(std::vector<std::uint64_t>{5})},
        {"ai64", GgufArray(std::vector<std::int64_t>{-5})}, {"af64", GgufArray(std::vector<double>{})}};
    GgufWriter(m_path, metadata, {}).finished().commit();
    const GgufFile file(m_path);
    QVERIFY(file.metadata() == metadata);
    QCOMPARE(file.integer("i16"), -30'000);
    QCOMPARE(file.real("f32"), 1.5);
}

// Second opinion: the bytes put together by hand.
void TestGguf::writerMakesTheBytesTheFormatDescribes()
{
    std::filesystem::remove(m_path);
    GgufWriter writer(m_path, {{"general.architecture", std::string("llama")}},
                      {{.name = "a", .type = GgmlType::F32, .shape = {2, 4}}, {.name = "b", .type = GgmlType::Q4_0, .shape = {32}}});
    const std::string content = data(64);
    writer.write(std::as_bytes(std::span(content).first(32)));
    writer.write(std::as_bytes(std::span(content).subspan(32, 18)));
    QVERIFY(!std::filesystem::exists(m_path));
    writer.finished().commit();
    const std::string expected = ggufFile({architecture}, twoTensors, content.substr(0, 50) + std::string(14, '\0'));
    QVERIFY(readRaw(m_path) == expected);
    QCOMPARE(writer.bytes(), expected.size());
    QCOMPARE(namesIn(m_folder.path().toStdString()).size(), 1U);
}

void TestGguf::writerTakesTensorsInPieces()
{
    GgufWriter writer(m_path, {}, {{.name = "a", .type = GgmlType::I8, .shape = {5}}, {.name = "b", .type = GgmlType::I8, .shape = {3}}});
    const std::string content = "abcdefgh";
    for (const char &byte : content)
        writer.write(std::as_bytes(std::span(&byte, 1)));
    writer.finished().commit();
    const GgufFile file(m_path);
    QCOMPARE(static_cast<char>(file.readBytes(*file.findTensor("a"))[4]), 'e');
    QCOMPARE(static_cast<char>(file.readBytes(*file.findTensor("b"))[0]), 'f');
}

void TestGguf::uncommittedFileLeavesTheOldOne()
{
    write("old");
    {
        GgufWriter writer(m_path, {}, {{.name = "a", .type = GgmlType::I8, .shape = {5}}});
        writer.write(std::as_bytes(std::span("abc", 3)));
    }
    QCOMPARE(readRaw(m_path), std::string("old"));
    QCOMPARE(namesIn(m_folder.path().toStdString()).size(), 1U);
}

void TestGguf::tensorsThatCannotBeReadAreNotWritten_data()
{
    QTest::addColumn<QByteArray>("name");
    QTest::addColumn<int>("width");
    QTest::addColumn<QByteArray>("expected");
    QTest::newRow("twice") << QByteArray("first") << 32 << QByteArray("tensor 'first': the name appears twice");
    QTest::newRow("long name") << QByteArray(64, 't') << 32 << QByteArray("a name of 64 bytes, GGUF allows 1 to 63");
    QTest::newRow("empty name") << QByteArray() << 32 << QByteArray("a name of 0 bytes");
    QTest::newRow("ragged row") << QByteArray("t") << 48 << QByteArray("tensor 't': shape 2x48 is not possible in Q4_0");
}

void TestGguf::tensorsThatCannotBeReadAreNotWritten()
{
    QFETCH(QByteArray, name);
    QFETCH(int, width);
    QFETCH(QByteArray, expected);
    const std::string path = m_folder.filePath("none.gguf").toStdString();
    ErrorCode code = ErrorCode::Shape;
    const std::string message = errorOf([&] {
        GgufWriter writer(path, {}, {{.name = "first", .type = GgmlType::F32, .shape = {1}}, {.name = name.toStdString(), .type = GgmlType::Q4_0, .shape = {2, width}}});
    }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(path), message.c_str());
    QVERIFY(code == ErrorCode::Argument);
    QVERIFY(!std::filesystem::exists(path));
}

// Bits per weight as llama.cpp's documentation of its types gives them.
void TestGguf::blockSizesAreThoseOfTheFormat()
{
    const std::pair<GgmlType, double> bits[] = {
        {GgmlType::F32, 32}, {GgmlType::F16, 16}, {GgmlType::BF16, 16}, {GgmlType::Q4_0, 4.5}, {GgmlType::Q4_1, 5}, {GgmlType::Q5_0, 5.5},
        {GgmlType::Q5_1, 6}, {GgmlType::Q8_0, 8.5}, {GgmlType::Q2_K, 2.625}, {GgmlType::Q3_K, 3.4375}, {GgmlType::Q4_K, 4.5},
        {GgmlType::Q5_K, 5.5}, {GgmlType::Q6_K, 6.5625}, {GgmlType::IQ4_NL, 4.5}, {GgmlType::IQ4_XS, 4.25}, {GgmlType::IQ2_XXS, 2.0625},
        {GgmlType::IQ2_XS, 2.3125}, {GgmlType::IQ2_S, 2.5625}, {GgmlType::IQ3_XXS, 3.0625}, {GgmlType::IQ3_S, 3.4375},
        {GgmlType::IQ1_S, 1.5625}, {GgmlType::IQ1_M, 1.75}, {GgmlType::TQ1_0, 1.6875}, {GgmlType::TQ2_0, 2.0625},
        {GgmlType::MXFP4, 4.25}, {GgmlType::NVFP4, 4.5}};
    for (const auto &[type, expected] : bits)
        QCOMPARE(ggmlBlock(type).bitsPerElement(), expected);
    QVERIFY((ggmlBytes(GgmlType::Q4_K, {3, 512}) == 864U));
    QVERIFY(!ggmlBytes(GgmlType::Q4_K, {3, 500}));
}

QTEST_GUILESS_MAIN(TestGguf)
#include "tst_gguf.moc"
