// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/io/checkpoint.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

Tensor filled(std::int64_t count, float value, DType dtype = DType::F32)
{
    Tensor tensor(dtype, {count});
    for (std::size_t i = 0; i < tensor.bytes().size() && dtype == DType::F32; i += 4)
        std::copy_n(std::as_bytes(std::span(&value, 1)).begin(), 4, tensor.bytes().begin() + static_cast<std::ptrdiff_t>(i));
    return tensor;
}

}  // namespace

class TestCheckpoint : public QObject {
    Q_OBJECT
private slots:
    void init();
    void cleanup();
    void singleFileIsRead();
    void shardsAreRead();
    void badIndexIsRefused_data();
    void badIndexIsRefused();
    void allMissingShardsAreListed();
    void shardThatIsNoFileIsNamed_data();
    void shardThatIsNoFileIsNamed();
    void swappedShardsAreNoticed();
    void tensorsOutsideTheIndexAreWarnedAbout();
    void tensorInTwoShardsMustAgree();
    void sameFileUnderTwoNamesIsWarnedAbout();
    void linksToBlobsAreFollowed();
    void singleFileWinsOverTheIndex();
    void picklesAreRefusedWithAdvice_data();
    void picklesAreRefusedWithAdvice();
    void foldersWithoutACheckpointAreNamed();
    void badConfigIsRefused_data();
    void badConfigIsRefused();
    void missingTensorSuggestsTheNearest();
    void aliasComesFromTheMetadata();
    void fingerprintFollowsContent();
    void fingerprintsOfEarlierVersionsAreStillMade();
    void everyTensorIsPartOfTheFingerprint();
    void bigShardsAreHashedInPlaces();
    void changedShardIsNoticed();
    void threadsReadTogether();
    void hundredThousandTensorsInAnIndexAreRead();
    void shardedCopyEqualsTheSingleFile();
    void realModelsOpen();

private:
    std::string folder() const { return m_folder->path().toStdString(); }
    std::string at(const std::string &name) const { return folder() + "/" + name; }
    void writeIndex(const std::string &map) const { test::writeRaw(at("model.safetensors.index.json"), "{\"weight_map\":" + map + "}"); }
    // Two shards: x, y in 1 and z in 2.
    void writeShards() const
    {
        writeSafetensors(at("m-1.safetensors"), {{"x", filled(2, 1)}, {"y", filled(3, 2)}});
        writeSafetensors(at("m-2.safetensors"), {{"z", filled(4, 3)}});
        writeIndex(R"({"x":"m-1.safetensors","y":"m-1.safetensors","z":"m-2.safetensors"})");
    }
    std::string errorOfOpening(ErrorCode *code = nullptr) const
    {
        return test::errorOf([&] { Checkpoint checkpoint(folder()); }, code);
    }

    std::unique_ptr<QTemporaryDir> m_folder;
    std::vector<std::string> m_warnings;
};

void TestCheckpoint::init()
{
    m_folder = std::make_unique<QTemporaryDir>();
    test::writeRaw(at("config.json"), R"({"model_type":"llama"})");
    m_warnings.clear();
    setLogSink([this](LogLevel level, const std::string &text) {
        if (level == LogLevel::Warning)
            m_warnings.push_back(text);
    });
}

void TestCheckpoint::cleanup() { setLogSink({}); }

void TestCheckpoint::singleFileIsRead()
{
    writeSafetensors(at("model.safetensors"), {{"b", filled(2, 5)}, {"a", filled(3, 7)}});
    const Checkpoint checkpoint(folder());
    QCOMPARE(checkpoint.config().find("model_type")->asString(), std::string("llama"));
    QCOMPARE(checkpoint.names(), (std::vector<std::string>{"a", "b"}));
    QCOMPARE(checkpoint.find("a")->shape, (Shape{3}));
    QVERIFY(checkpoint.find("c") == nullptr);
    QCOMPARE(checkpoint.read("b").toMatrix()(0, 1), 5.0F);
    QCOMPARE(checkpoint.fileOf("a"), at("model.safetensors"));
    QCOMPARE(checkpoint.fileOf("c"), folder());
    QCOMPARE(checkpoint.totalBytes(), 20U);
    QVERIFY(m_warnings.empty());
}

void TestCheckpoint::shardsAreRead()
{
    writeShards();
    const Checkpoint checkpoint(folder());
    QCOMPARE(checkpoint.names(), (std::vector<std::string>{"x", "y", "z"}));
    QCOMPARE(checkpoint.fileOf("z"), at("m-2.safetensors"));
    QCOMPARE(checkpoint.read("y").toMatrix()(0, 2), 2.0F);
    QCOMPARE(checkpoint.read("z").toMatrix()(0, 3), 3.0F);
    QVERIFY(m_warnings.empty());
}

// Rows IX of reliability.md.
void TestCheckpoint::badIndexIsRefused_data()
{
    QTest::addColumn<QByteArray>("index");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, const std::string &index, const char *expected) {
        QTest::newRow(name) << QByteArray::fromStdString(index) << QByteArray(expected);
    };
    const auto map = [](const std::string &shard) { return "{\"weight_map\":{\"x\":\"" + shard + "\"}}"; };
    row("IX-01 no weight_map", R"({"metadata":{}})", "index.json: lacks 'weight_map'");
    row("IX-02 list", R"({"weight_map":[]})", "key 'weight_map': must be a non-empty object");
    row("IX-02 null", R"({"weight_map":null})", "key 'weight_map': must be a non-empty object");
    row("IX-02 empty", R"({"weight_map":{}})", "key 'weight_map': must be a non-empty object");
    row("IX-03 number as shard", R"({"weight_map":{"x":1}})", "key 'weight_map.x': must be a string, found 1");
    row("top level list", "[]", "must be an object {...}, found a list");
    row("J-04 truncated", R"({"weight_map":{"x":)", "ends in the middle");
    row("F-05 empty", "", "is empty (0 bytes)");
    row("F-13 LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer");
    row("IX-04 parent folder", map("../x.safetensors"), "shard name '../x.safetensors' is not a plain file name");
    row("IX-05 absolute", map("/etc/passwd"), "shard name '/etc/passwd' is not a plain file name");
    row("IX-06 subfolder", map("a/x.safetensors"), "is not a plain file name");
    row("IX-07 Windows parent", map("..\\\\x.safetensors"), "is not a plain file name");
    row("IX-07 drive", map("C:\\\\x.safetensors"), "is not a plain file name");
    row("IX-08 NUL", map("x.safetensors\\u0000.txt"), "is not a plain file name");
    row("IX-09 newline", map("x\\n.safetensors"), "shard name 'x\\n.safetensors' is not a plain file name");
    row("IX-10 file address", map("file:///x.safetensors"), "is not a plain file name");
    row("IX-10 web address", map("http://host/x.safetensors"), "is not a plain file name");
    row("empty name", map(""), "is not a plain file name");
    row("dot dot", map(".."), "is not a plain file name");
    row("space", map("x y.safetensors"), "is not a plain file name");
    row("too long", map(std::string(201, 'x')), "is not a plain file name");
    row("IX-11 pickle", map("pytorch_model-00001.bin"), "'pytorch_model-00001.bin' is a pickle checkpoint: convert to safetensors first");
    row("other ending", map("x.txt"), "shard name 'x.txt' does not end in .safetensors");
    row("IX-19 tensor twice", R"({"weight_map":{"x":"a.safetensors","x":"a.safetensors"}})", "duplicate key 'x'");
}

void TestCheckpoint::badIndexIsRefused()
{
    QFETCH(QByteArray, index);
    QFETCH(QByteArray, expected);
    test::writeRaw(at("model.safetensors.index.json"), index.toStdString());
    ErrorCode code = ErrorCode::Shape;
    const std::string message = errorOfOpening(&code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos && message.starts_with(at("model.safetensors.index.json")), message.c_str());
    QVERIFY(code == ErrorCode::Format);
}

// IX-13.
void TestCheckpoint::allMissingShardsAreListed()
{
    writeShards();
    writeIndex(R"({"x":"m-1.safetensors","z":"m-2.safetensors","p":"m-3.safetensors","q":"m-4.safetensors"})");
    ErrorCode code = ErrorCode::Shape;
    QCOMPARE(errorOfOpening(&code),
             at("model.safetensors.index.json") + ": 2 of 4 shards missing (interrupted download?): m-3.safetensors, m-4.safetensors");
    QVERIFY(code == ErrorCode::NotFound);
}

// IX-14.
void TestCheckpoint::shardThatIsNoFileIsNamed_data()
{
    QTest::addColumn<QString>("kind");
    QTest::addColumn<QString>("expected");
    QTest::newRow("folder") << "folder" << "is a folder, a file was expected";
    QTest::newRow("FIFO") << "fifo" << "is not a regular file";
    QTest::newRow("dangling link") << "link" << "link points to missing file ../../blobs/abc";
    QTest::newRow("LFS pointer") << "lfs" << "is a Git LFS pointer";
}

void TestCheckpoint::shardThatIsNoFileIsNamed()
{
    QFETCH(QString, kind);
    QFETCH(QString, expected);
    writeShards();
    const std::string shard = at("m-2.safetensors");
    fs::remove(shard);
    if (kind == "folder")
        fs::create_directory(shard);
    else if (kind == "fifo")
        QCOMPARE(::mkfifo(shard.c_str(), 0600), 0);
    else if (kind == "link")
        fs::create_symlink("../../blobs/abc", shard);
    else
        test::writeRaw(shard, "version https://git-lfs.github.com/spec/v1\n");
    const std::string message = errorOfOpening();
    QVERIFY2(message.starts_with(shard) && message.find(expected.toStdString()) != std::string::npos, message.c_str());
}

// IX-15, IX-29.
void TestCheckpoint::swappedShardsAreNoticed()
{
    writeShards();
    fs::rename(at("m-1.safetensors"), at("t"));
    fs::rename(at("m-2.safetensors"), at("m-1.safetensors"));
    fs::rename(at("t"), at("m-2.safetensors"));
    const std::string message = errorOfOpening();
    QVERIFY2(message.find("3 tensors are not in the shard that the index names: 'x in m-1.safetensors', 'y in") != std::string::npos, message.c_str());
}

// IX-16.
void TestCheckpoint::tensorsOutsideTheIndexAreWarnedAbout()
{
    writeShards();
    writeIndex(R"({"x":"m-1.safetensors","z":"m-2.safetensors"})");
    const Checkpoint checkpoint(folder());
    QVERIFY(checkpoint.find("y") == nullptr);
    QCOMPARE(m_warnings.size(), 1U);
    QVERIFY2(m_warnings[0].find("1 tensors of the shards are not in the index and stay unused: 'y'") != std::string::npos, m_warnings[0].c_str());
}

// IX-17.
void TestCheckpoint::tensorInTwoShardsMustAgree()
{
    writeShards();
    writeSafetensors(at("m-2.safetensors"), {{"z", filled(4, 3)}, {"x", filled(2, 9)}});
    const Checkpoint checkpoint(folder());
    QCOMPARE(checkpoint.read("x").toMatrix()(0, 0), 1.0F);
    QCOMPARE(m_warnings.size(), 1U);
    QVERIFY2(m_warnings[0].find("1 tensors are in two shards, the one that the index names is used: 'x'") != std::string::npos, m_warnings[0].c_str());

    for (const Tensor &other : {filled(3, 9), filled(2, 9, DType::BF16)}) {
        writeSafetensors(at("m-2.safetensors"), {{"z", filled(4, 3)}, {"x", other}});
        const std::string message = errorOfOpening();
        QVERIFY2(message.find("tensor 'x': is F32 2 in m-1.safetensors and ") != std::string::npos, message.c_str());
    }
}

// IX-20.
void TestCheckpoint::sameFileUnderTwoNamesIsWarnedAbout()
{
    writeSafetensors(at("m-1.safetensors"), {{"x", filled(2, 1)}, {"z", filled(3, 2)}});
    fs::create_hard_link(at("m-1.safetensors"), at("m-2.safetensors"));
    writeIndex(R"({"x":"m-1.safetensors","z":"m-2.safetensors"})");
    const Checkpoint checkpoint(folder());
    QVERIFY(std::any_of(m_warnings.begin(), m_warnings.end(), [](const std::string &warning) {
        return warning.find("m-1.safetensors and m-2.safetensors are the same file") != std::string::npos;
    }));
}

// The cache of the Hugging Face hub is made of such links.
void TestCheckpoint::linksToBlobsAreFollowed()
{
    QTemporaryDir blobs;
    writeSafetensors(blobs.filePath("abc").toStdString(), {{"x", filled(2, 1)}});
    fs::create_symlink(blobs.filePath("abc").toStdString(), at("m-1.safetensors"));
    writeIndex(R"({"x":"m-1.safetensors"})");
    QCOMPARE(Checkpoint(folder()).read("x").toMatrix()(0, 0), 1.0F);
    fs::remove(at("model.safetensors.index.json"));
    fs::rename(at("m-1.safetensors"), at("model.safetensors"));
    QCOMPARE(Checkpoint(folder()).read("x").toMatrix()(0, 0), 1.0F);
}

// IX-25, IX-26.
void TestCheckpoint::singleFileWinsOverTheIndex()
{
    std::vector<std::string> debug;
    setLogSink([&](LogLevel level, const std::string &text) {
        if (level == LogLevel::Debug)
            debug.push_back(text);
    });
    writeShards();
    writeSafetensors(at("model.safetensors"), {{"single", filled(1, 1)}});
    test::writeRaw(at("pytorch_model.bin.index.json"), "not even JSON");
    QCOMPARE(Checkpoint(folder()).names(), std::vector<std::string>{"single"});
    QCOMPARE(debug.size(), 1U);
    QVERIFY2(debug[0].find("model.safetensors and model.safetensors.index.json, the former is used") != std::string::npos, debug[0].c_str());
    fs::remove(at("model.safetensors"));
    QCOMPARE(Checkpoint(folder()).names().size(), 3U);
}

void TestCheckpoint::picklesAreRefusedWithAdvice_data()
{
    QTest::addColumn<QString>("name");
    for (const char *name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "consolidated.00.pth", "last.ckpt"})
        QTest::newRow(name) << name;
}

void TestCheckpoint::picklesAreRefusedWithAdvice()
{
    QFETCH(QString, name);
    test::writeRaw(at(name.toStdString()), "PK\x03\x04");
    ErrorCode code = ErrorCode::Shape;
    const std::string message = errorOfOpening(&code);
    QCOMPARE(message, folder() + ": '" + name.toStdString() + "' is a pickle checkpoint, which can run programs when loaded: convert to safetensors first");
    QVERIFY(code == ErrorCode::Unsupported);
}

void TestCheckpoint::foldersWithoutACheckpointAreNamed()
{
    ErrorCode code = ErrorCode::Shape;
    QCOMPARE(errorOfOpening(&code), folder() + ": contains neither model.safetensors nor model.safetensors.index.json");
    QVERIFY(code == ErrorCode::NotFound);
    test::writeRaw(at("consolidated.safetensors"), "");
    QVERIFY(errorOfOpening().find("it has 'consolidated.safetensors'") != std::string::npos);

    QCOMPARE(test::errorOf([&] { Checkpoint checkpoint(at("absent/deeper")); }, &code),
             at("absent/deeper") + ": does not exist (nearest existing folder: " + folder() + ")");
    QVERIFY(code == ErrorCode::NotFound);
    QCOMPARE(test::errorOf([&] { Checkpoint checkpoint(at("config.json")); }, &code),
             at("config.json") + ": is a file, the folder of a checkpoint was expected");

    writeSafetensors(at("model.safetensors"), {});
    QCOMPARE(errorOfOpening(), at("model.safetensors") + ": contains no tensors");
}

void TestCheckpoint::badConfigIsRefused_data()
{
    QTest::addColumn<QByteArray>("config");
    QTest::addColumn<QByteArray>("expected");
    QTest::newRow("list") << QByteArray("[]") << QByteArray("must be an object {...}");
    QTest::newRow("null") << QByteArray("null") << QByteArray("must be an object {...}");
    QTest::newRow("web page") << QByteArray("<html>") << QByteArray("is a web page");
    QTest::newRow("duplicate") << QByteArray(R"({"hidden_size":1,"hidden_size":2})") << QByteArray("duplicate key 'hidden_size'");
}

void TestCheckpoint::badConfigIsRefused()
{
    QFETCH(QByteArray, config);
    QFETCH(QByteArray, expected);
    writeShards();
    test::writeRaw(at("config.json"), config.toStdString());
    const std::string message = errorOfOpening();
    QVERIFY2(message.starts_with(at("config.json")) && message.find(expected.toStdString()) != std::string::npos, message.c_str());
    fs::remove(at("config.json"));
    QVERIFY(errorOfOpening().starts_with(at("config.json") + ": does not exist"));
}

void TestCheckpoint::missingTensorSuggestsTheNearest()
{
    writeSafetensors(at("model.safetensors"), {{"model.embed_tokens.weight", filled(2, 5)}});
    const Checkpoint checkpoint(folder());
    ErrorCode code = ErrorCode::Shape;
    QCOMPARE(test::errorOf([&] { checkpoint.read("model.embed_token.weight"); }, &code),
             folder() + ", tensor 'model.embed_token.weight': is not in this checkpoint (did you mean 'model.embed_tokens.weight'?)");
    QVERIFY(code == ErrorCode::NotFound);
    QCOMPARE(test::errorOf([&] { checkpoint.read("x"); }), folder() + ", tensor 'x': is not in this checkpoint");
}

void TestCheckpoint::aliasComesFromTheMetadata()
{
    writeSafetensors(at("model.safetensors"), {{"lm_head.weight", filled(2, 5)}, {"stored", filled(2, 5)}},
                     {{"format", "pt"}, {"model.embed_tokens.weight", "lm_head.weight"}, {"stored", "lm_head.weight"}, {"a", "absent"}});
    const Checkpoint checkpoint(folder());
    QCOMPARE(checkpoint.aliasOf("model.embed_tokens.weight"), std::string("lm_head.weight"));
    for (const char *name : {"stored", "a", "format", "lm_head.weight", "unknown"})
        QCOMPARE(checkpoint.aliasOf(name), std::string());
    QVERIFY(checkpoint.find("model.embed_tokens.weight") == nullptr);
}

void TestCheckpoint::fingerprintFollowsContent()
{
    writeShards();
    const std::string before = Checkpoint(folder()).fingerprint();
    QCOMPARE(before.size(), 34U);
    QVERIFY(before.starts_with("t-"));
    QCOMPARE(Checkpoint(folder()).fingerprint(before), before);
    QCOMPARE(Checkpoint(folder()).fingerprint(), before);

    test::writeRaw(at("config.json"), "{ \"model_type\" : \"llama\" }");  // layout only
    QCOMPARE(Checkpoint(folder()).fingerprint(), before);
    test::writeRaw(at("config.json"), R"({"model_type":"opt"})");
    QVERIFY(Checkpoint(folder()).fingerprint() != before);
    test::writeRaw(at("config.json"), R"({"model_type":"llama"})");

    std::string bytes = test::readRaw(at("m-2.safetensors"));
    bytes.back() ^= 1;
    test::writeRaw(at("m-2.safetensors"), bytes);
    QVERIFY(Checkpoint(folder()).fingerprint() != before);
}

// What projects of earlier versions hold: 32 digits over config.json and, for each shard, its name and fileFingerprint().
void TestCheckpoint::fingerprintsOfEarlierVersionsAreStillMade()
{
    writeShards();
    Hasher hasher;
    hasher.add(readJsonFile(at("config.json")).dump());
    for (const char *name : {"m-1.safetensors", "m-2.safetensors"}) {
        const SafetensorsFile shard(at(name));
        hasher.add(name).add(fileFingerprint(shard.file(), shard.dataOffset()));
    }
    const Checkpoint checkpoint(folder());
    QCOMPARE(checkpoint.fingerprint("0123456789abcdef0123456789abcdef"), hasher.hex());
    QVERIFY(checkpoint.fingerprint() != hasher.hex());
}

// Three tensors of 50 MB of sparse data, one of 5 bytes: each is looked at at its ends and between, wherever it lies.
void TestCheckpoint::everyTensorIsPartOfTheFingerprint()
{
    constexpr std::int64_t tensorBytes = 50'000'000;
    const std::string path = at("model.safetensors");
    const auto printWith = [&](std::int64_t changedByte) {
        test::writeRaw(path, test::safetensorsBytes(R"({"a":{"dtype":"U8","shape":[50000000],"data_offsets":[0,50000000]},)"
                                                    R"("b":{"dtype":"U8","shape":[50000000],"data_offsets":[50000000,100000000]},)"
                                                    R"("c":{"dtype":"U8","shape":[5],"data_offsets":[100000000,100000005]},)"
                                                    R"("d":{"dtype":"U8","shape":[50000000],"data_offsets":[100000005,150000005]}})",
                                                    0));
        const auto dataOffset = static_cast<std::int64_t>(fs::file_size(path));
        fs::resize_file(path, static_cast<std::uint64_t>(dataOffset + 3 * tensorBytes + 5));
        if (changedByte >= 0) {
            QFile file(QString::fromStdString(path));
            file.open(QIODevice::ReadWrite);
            file.seek(dataOffset + changedByte);
            file.write("x");
        }
        return Checkpoint(folder()).fingerprint();
    };
    const std::string zeros = printWith(-1);
    QCOMPARE(printWith(-1), zeros);
    for (const std::int64_t begin : {std::int64_t{0}, tensorBytes, 2 * tensorBytes + 5})
        for (const std::int64_t byte : {std::int64_t{0}, (tensorBytes - 4096) / 3 + 100, tensorBytes - 1})
            QVERIFY2(printWith(begin + byte) != zeros, std::to_string(begin + byte).c_str());
    for (std::int64_t byte = 0; byte < 5; ++byte)
        QVERIFY(printWith(2 * tensorBytes + byte) != zeros);
}

// 100 MB of sparse data: a change inside one of the 64 blocks shows, the first and the last byte are among them.
void TestCheckpoint::bigShardsAreHashedInPlaces()
{
    constexpr std::uint64_t dataBytes = 100'000'000;
    std::string header = R"({"a":{"dtype":"U8","shape":[100000000],"data_offsets":[0,100000000]}})";
    const std::string path = at("model.safetensors");
    const auto hashWith = [&](std::int64_t changedByte) {
        test::writeRaw(path, test::safetensorsBytes(header, 0));
        const auto dataOffset = static_cast<std::int64_t>(fs::file_size(path));
        fs::resize_file(path, static_cast<std::uint64_t>(dataOffset) + dataBytes);
        if (changedByte >= 0) {
            QFile file(QString::fromStdString(path));
            file.open(QIODevice::ReadWrite);
            file.seek(dataOffset + changedByte);
            file.write("x");
        }
        return Checkpoint(folder()).fingerprint("");
    };
    const std::string zeros = hashWith(-1);
    QCOMPARE(hashWith(-1), zeros);
    // Block 40 of 0..63 begins at 40/63 of the way to the last one.
    const std::int64_t block40 = static_cast<std::int64_t>(dataBytes - 1'048'576) * 40 / 63;
    for (const std::int64_t byte : {std::int64_t{0}, static_cast<std::int64_t>(dataBytes) - 1, block40, block40 + 1'048'570})
        QVERIFY(hashWith(byte) != zeros);
    header[2] = 'b';
    QVERIFY(hashWith(-1) != zeros);
}

void TestCheckpoint::changedShardIsNoticed()
{
    writeShards();
    const Checkpoint checkpoint(folder());
    checkpoint.checkUnchanged();
    QCOMPARE(::truncate(at("m-2.safetensors").c_str(), 20), 0);
    ErrorCode code = ErrorCode::Shape;
    const std::string message = test::errorOf([&] { checkpoint.checkUnchanged(); }, &code);
    QVERIFY2(message.starts_with(at("m-2.safetensors") + ": changed while in use"), message.c_str());
    QVERIFY(code == ErrorCode::Conflict);
}

void TestCheckpoint::threadsReadTogether()
{
    writeShards();
    const Checkpoint checkpoint(folder());
    std::vector<std::string> prints(4);
    std::atomic<int> wrong = 0;
    {
        std::vector<std::jthread> threads;
        for (std::string &print : prints)
            threads.emplace_back([&] {
                for (int i = 0; i < 100; ++i)
                    wrong += checkpoint.read("z").toMatrix()(0, 0) == 3.0F && checkpoint.read("x").toMatrix()(0, 1) == 1.0F ? 0 : 1;
                print = checkpoint.fingerprint();
            });
    }
    QCOMPARE(wrong.load(), 0);
    QCOMPARE(std::count(prints.begin(), prints.end(), prints[0]), 4);
}

// IX-23, smaller. Quadratic searching would take minutes.
void TestCheckpoint::hundredThousandTensorsInAnIndexAreRead()
{
    std::string header = "{";
    std::string map = "{";
    constexpr int count = 100'000;
    for (int i = 0; i < count; ++i) {
        const std::string name = (i ? ",\"t" : "\"t") + std::to_string(i) + "\":";
        header += name + R"({"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," + std::to_string(i + 1) + "]}";
        map += name + "\"m.safetensors\"";
    }
    test::writeRaw(at("m.safetensors"), test::safetensorsBytes(header + "}", count));
    writeIndex(map + "}");
    QCOMPARE(Checkpoint(folder()).totalBytes(), 100'000U);
}

void TestCheckpoint::shardedCopyEqualsTheSingleFile()
{
    LQER_NEED_SHARED();
    const Checkpoint single(test::sharedFolder() + "/models/tinystories-656k");
    const Checkpoint sharded(test::sharedFolder() + "/models/tinystories-656k-sharded");
    QCOMPARE(single.aliasOf("model.embed_tokens.weight"), std::string("lm_head.weight"));
    int compared = 0;
    for (const std::string &name : sharded.names()) {
        const std::string kept = single.find(name) ? name : single.aliasOf(name);
        QVERIFY2(!kept.empty(), name.c_str());
        QVERIFY2(std::ranges::equal(single.read(kept).bytes(), sharded.read(name).bytes()), name.c_str());
        ++compared;
    }
    QCOMPARE(compared, 20);
    QVERIFY(m_warnings.empty());
}

void TestCheckpoint::realModelsOpen()
{
    LQER_NEED_SHARED();
    int models = 0;
    for (const auto &entry : fs::directory_iterator(test::sharedFolder() + "/models")) {
        if (!entry.is_directory())
            continue;
        const Checkpoint checkpoint(entry.path().string());
        QVERIFY(checkpoint.totalBytes() > 100'000);
        QVERIFY(checkpoint.config().find("model_type"));
        ++models;
    }
    QVERIFY(models >= 10);
    QVERIFY(m_warnings.empty());
}

QTEST_GUILESS_MAIN(TestCheckpoint)
#include "tst_checkpoint.moc"
