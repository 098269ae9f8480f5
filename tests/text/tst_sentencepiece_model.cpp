// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <bit>
#include <limits>
#include <random>

#include "core/text/sentencepiece_model.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Writes protobuf by hand: the format's definition, independent of the reader.
std::string varint(std::uint64_t value)
{
    std::string bytes;
    for (; value >= 0x80; value >>= 7)
        bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}
std::string field(unsigned number, std::string_view content)
{
    return varint(number << 3 | 2) + varint(content.size()) + std::string(content);
}
std::string field(unsigned number, std::uint64_t value)
{
    return varint(number << 3) + varint(value);
}
std::string field(unsigned number, float value)
{
    std::string bytes = varint(number << 3 | 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8)
        bytes += static_cast<char>(bits >> shift);
    return bytes;
}
std::string piece(std::string_view text, float score, std::uint64_t kind = 1)
{
    return field(1, field(1, text) + field(2, score) + field(3, kind));
}

constexpr std::uint64_t bpe = 2;

// <unk> <s> </s> and a few letters; 'ab' better than 'bc'.
std::string smallModel(const std::string &normalizer = {}, std::uint64_t kind = bpe)
{
    const std::string pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("\u2581a", -1)
        + piece("ab", -2)
                             + piece("bc", -3) + piece("\u2581", -4) + piece("a", -5) + piece("b", -6) + piece("c", -7)
                                 + piece("<mask>", 0, 4);
    return pieces + field(2, field(3, kind) + field(41, std::uint64_t{1}) + field(42, std::uint64_t{2}) + field(43,
        ~std::uint64_t{0})) + field(3, normalizer);
}

std::string errorOfModel(const std::string &bytes, ErrorCode *code = nullptr)
{
    TokenizerFolder folder;
    folder.write("tokenizer.model", bytes);
    return errorOf([&] { folder.load(); }, code);
}

}  // namespace

class SentencePieceModelTest : public QObject {
    Q_OBJECT
private slots:
    void theProtobufIsRead()
    {
        const SentencePieceModel model = parseSentencePieceModel(
            smallModel(field(1, "identity") + field(3, std::uint64_t{0})) + field(4, "skipped") + field(100,
                std::uint64_t{7}), "test");
        QCOMPARE(model.pieces.size(), std::size_t{11});
        QCOMPARE(model.pieces[4].text, std::string("ab"));
        QCOMPARE(model.pieces[4].score, -2.0F);
        QVERIFY(model.pieces[1].kind == SentencePieceModel::PieceKind::Control);
        QVERIFY(model.kind == SentencePieceModel::Kind::Bpe);
        QCOMPARE(model.normalization, std::string("identity"));
        QVERIFY(!model.addDummyPrefix);
        QCOMPARE(model.padId, std::int64_t{-1});
    }

    void mergesComeInOrderOfTheirScore()
    {
        QStringList merges;
        for (const BpeMerge &merge : mergesOf(parseSentencePieceModel(smallModel(), "test")))
            merges.append(QString::fromStdString(merge.left + " " + merge.right));
        QCOMPARE(merges.join(", "), QString("\u2581 a, a b, b c"));
    }

    // Two ways to one piece: longer left part first, as convert_slow_tokenizer.py sorts in reverse.
    void waysToOnePieceAreSortedByLength()
    {
        const SentencePieceModel model = parseSentencePieceModel(
            piece("abc", -1) + piece("a", -4) + piece("bc", -2) + piece("ab", -3) + piece("c", -5) + piece("b", -6) + field(2,
                field(3, bpe)), "test");
        QStringList merges;
        for (const BpeMerge &merge : mergesOf(model))
            merges.append(QString::fromStdString(merge.left + " " + merge.right));
        QCOMPARE(merges.join(", "), QString("ab c, a bc, b c, a b"));
    }

    void textBecomesIds_data()
    {
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("ids");
        QTest::newRow("a space goes in front") << QByteArray("{}") << "abc" << "1 3 5 ";
        QTest::newRow("spaces stay") << QByteArray("{}") << "  a " << "1 6 6 3 6 ";
        QTest::newRow("special tokens are recognised") << QByteArray("{}") << "a</s>a" << "1 3 2 3 ";
        QTest::newRow("not legacy: a space in front once") << QByteArray(R"({"legacy":false})") << "a</s>a" << "1 3 2 7 ";
        QTest::newRow("not legacy: nothing in front of a token") << QByteArray(R"({"legacy":false})") << "</s>a" << "1 2 7 ";
        QTest::newRow("no prefix") << QByteArray(R"({"add_prefix_space":false})") << "ab c" << "1 4 6 9 ";
        QTest::newRow("no BOS") << QByteArray(R"({"add_bos_token":false,"add_eos_token":true})") << "a" << "3 2 ";
        QTest::newRow("user defined") << QByteArray("{}") << "a<mask>" << "1 3 10 ";
        QTest::newRow("unknown ones are fused") << QByteArray("{}") << "axya" << "1 3 0 7 ";
    }
    void textBecomesIds()
    {
        QFETCH(QByteArray, config);
        QFETCH(QString, text);
        QFETCH(QString, ids);
        TokenizerFolder folder;
        folder.write("tokenizer.model", smallModel()).write("tokenizer_config.json", config.toStdString());
        const auto tokenizer = folder.load();
        QCOMPARE(shown(tokenizer->encode(text.toStdString(), true)), ids);
        QCOMPARE(tokenizer->bosId().value_or(-1), 1);
        QCOMPARE(tokenizer->eosId().value_or(-1), 2);
        QVERIFY(!tokenizer->padId());
    }

    void theModelMayForbidThePrefix()
    {
        TokenizerFolder folder;
        folder.write("tokenizer.model", smallModel(field(3, std::uint64_t{0})));
        const auto tokenizer = folder.load();
        COMPARE_IDS(tokenizer->encode("ab", true), (Ids{1, 4}));
        QCOMPARE(tokenizer->decode({1, 6, 4}, true), std::string(" ab"));
    }

    void badModelsAreNamed_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QString>("message");
        const auto row = [](const char *name, const std::string &bytes, const char *message) {
            QTest::newRow(name) << QByteArray::fromStdString(bytes) << QString(message);
        };
        row("empty", "", "vocabulary is empty");
        row("unigram", smallModel({}, 1), "SentencePiece model of type Unigram is not supported");
        row("unknown type", smallModel({}, 9), "model type 9 is unknown");
        row("character map", smallModel(field(1, "nmt_nfkc") + field(2, "xyz")), "normalization 'nmt_nfkc' is not supported");
        row("truncated", smallModel().substr(0, 35), "does not fit into the");
        row("truncated between two pieces", piece("<unk>", 0, 2) + piece("a", -1), "there is no trainer_spec behind the pieces");
        row("length beyond the end", field(1, std::string_view("x")).replace(1, 1, varint(~std::uint64_t{0})), "does not fit");
        row("endless varint", std::string("\x0a") + std::string(12, '\xff'), "more than 64 bits");
        row("group", "\x0b", "wire type 3 is not possible");
        row("field zero", std::string("\x02\x00", 2), "field number 0 is not possible");
        row("wrong wire type", field(1, field(1, std::uint64_t{5})), "has wire type 0, expected 2");
        row("piece is no text", piece("\xff", 0), "invalid UTF-8");
        row("score is NaN", piece("a", std::numeric_limits<float>::quiet_NaN()), "score that is no number");
        row("unknown kind", piece("a", 0, 7), "known are 1 ... 6");
        row("long piece", piece(std::string(600, 'a'), 0), "at most 512 are allowed");
        row("piece twice", smallModel() + piece("a", 0), "token 'a': has two ids, 7 and 11");
        row("LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer");
    }
    void badModelsAreNamed()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QString, message);
        const std::string found = errorOfModel(bytes.toStdString());
        QVERIFY2(found.find(message.toStdString()) != std::string::npos, found.c_str());
        QVERIFY2(found.find("tokenizer.model") != std::string::npos, found.c_str());
    }

    void otherClassesAreRefused()
    {
        TokenizerFolder folder;
        folder.write("tokenizer.model", smallModel()).write("tokenizer_config.json", R"({"tokenizer_class":"T5Tokenizer"})");
        QVERIFY(errorOf([&] { folder.load(); }).find("T5Tokenizer") != std::string::npos);
    }

    // Whatever is flipped or cut: an Error or a tokenizer that encodes, never a crash (the sanitizers watch).
    void damagedFilesNeverCrash()
    {
        const std::string whole = smallModel();
        const Warnings warnings;
        std::mt19937 random(5);
        int loaded = 0;
        for (int i = 0; i < 400; ++i) {
            std::string damaged = whole;
            if (i % 4 == 0)
                damaged.resize(random() % damaged.size());
            for (int k = 0; k < 3 && !damaged.empty(); ++k)
                damaged[random() % damaged.size()] = static_cast<char>(random());
            TokenizerFolder folder;
            folder.write("tokenizer.model", damaged);
            errorOf([&] {
                const auto tokenizer = folder.load();
                tokenizer->decode(tokenizer->encode("abc \u00e9", true), false);
                ++loaded;
            });
        }
        QVERIFY(loaded > 0);
        QVERIFY(loaded < 400);
    }
};

QTEST_GUILESS_MAIN(SentencePieceModelTest)
#include "tst_sentencepiece_model.moc"
