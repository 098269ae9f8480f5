// SPDX-License-Identifier: Apache-2.0
// Broken tokenizer files: reliability.md 4 TK.
#include <QtTest>

#include <random>

#include "core/text/tokenizer.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

Json good()
{
    return bpeFile({"a", "b", "c", "ab", "abc"}, {"a b", "ab c"});
}

Json withModel(const char *key, Json value)
{
    Json file = good();
    Json model = *file.find("model");
    model.set(key, std::move(value));
    return file.set("model", std::move(model));
}

Json with(const char *key, const std::string &json)
{
    return good().set(key, parse(json));
}

std::string added(const std::string &content, const std::string &id = "5")
{
    return R"([{"id":)" + id + R"(,"content":)" + Json(content).dump() + R"(,"special":true,"normalized":false}])";
}

std::string nested(int depth, const std::string &open, const std::string &close)
{
    std::string text;
    for (int i = 0; i < depth; ++i)
        text += open;
    for (int i = 0; i < depth; ++i)
        text += close;
    return text;
}

}  // namespace

class TokenizerErrors : public QObject {
    Q_OBJECT
private slots:
    void brokenFilesAreNamed_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QString>("message");
        QTest::addColumn<int>("code");
        const auto text = [](const char *name, const std::string &json, const char *message, ErrorCode code = ErrorCode::Format) {
            QTest::newRow(name) << QByteArray::fromStdString(json) << QString(message) << static_cast<int>(code);
        };
        const auto row = [&](const char *name, const Json &json, const char *message, ErrorCode code = ErrorCode::Format) {
            text(name, json.dump(), message, code);
        };
        text("TK-01 no model", R"({"version":"1.0"})", "lacks 'model'");
        row("TK-02 Unigram", withModel("type", "Unigram"), "tokenizer type 'Unigram' is not supported yet",
            ErrorCode::Unsupported);
        row("TK-02 WordPiece", withModel("type", "WordPiece"), "tokenizer type 'WordPiece'", ErrorCode::Unsupported);
        row("TK-04 vocab list", withModel("vocab", parse("[\"a\"]")), "key 'model.vocab': must be an object");
        row("no vocab", good().set("model", parse(R"({"type":"BPE","merges":[]})")), "key 'model': lacks 'vocab'");
        row("no merges", good().set("model", parse(R"({"type":"BPE","vocab":{"a":0}})")), "key 'model': lacks 'merges'");
        for (const char *id : {"-1", "1.5", "\"0\"", "4294967296", "2147483648", "null", "18446744073709551616"})
            row(qPrintable(QString("TK-05 id %1").arg(id)), withModel("vocab", parse(std::string(R"({"x":)") + id + "}")),
                "token 'x': id must be 0 ... 2^31-1");
        row("TK-08 huge id", withModel("vocab", parse(R"({"a":0,"b":1,"c":2147483646})")),
            "id 2147483646 is larger than 3 tokens x 4");
        row("TK-10 vocab empty", withModel("vocab", Json::object()), "vocabulary is empty");
        row("two tokens, one id", withModel("vocab", parse(R"({"a":0,"b":0})")), "token 'b': has id 0, which 'a' has too");
        text("token twice", R"({"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}})", "a");
        for (const char *merge : {"\"a b c\"", "\"a\"", "\"\"", "[\"a\"]", "[\"a\",\"b\",\"c\"]", "7", "[1,2]", "null"})
            row(qPrintable(QString("TK-11 merge %1").arg(merge)), withModel("merges", parse(std::string("[\"a b\",") + merge
                + "]")),
                "merge #2: is not a pair");
        row("merges no list", withModel("merges", "a b"), "key 'model.merges': must be a list");
        row("TK-13 left part", withModel("merges", parse(R"(["a b","xx c"])")), "merge #2: 'xx' is not in the vocabulary");
        row("TK-13 right part", withModel("merges", parse(R"(["a yy"])")), "merge #1: 'yy' is not in the vocabulary");
        row("TK-14 result", withModel("merges", parse(R"(["b c"])")), "merge #1: 'bc' is not in the vocabulary");
        row("TK-17 long token", withModel("vocab", Json::object().set(std::string(1 << 20, 'a'), 0)), "token longer than 64 kB");
        row("TK-17 long merge", withModel("merges", Json::array().append(std::string(1 << 20, 'a') + " b")),
            "merge #1: token longer than 64 kB");
        row("TK-19 empty added token", with("added_tokens", added("")), "has no content");
        row("long added token", with("added_tokens", added(std::string(5000, 'x'))), "at most 4096");
        row("added token, negative id", with("added_tokens", added("<x>", "-2")), "must be at least 0, found -2");
        row("added token, id taken", with("added_tokens", R"([{"id":5,"content":"<x>"},{"id":5,"content":"<y>"}])"),
            "added token '<y>': has id 5, which '<x>' has too");
        row("added tokens no list", with("added_tokens", "{}"), "key 'added_tokens': must be a list");
        row("TK-22 normalizer", with("normalizer", R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]})"),
            "key 'normalizer.normalizers[1]': normalizer 'Nmt' is not supported", ErrorCode::Unsupported);
        row("TK-23 Precompiled", with("normalizer", R"({"type":"Precompiled","precompiled_charsmap":"!!"})"),
            "normalizer 'Precompiled' is not supported", ErrorCode::Unsupported);
        row("normalizer without type", with("normalizer", "{}"), "key 'normalizer': lacks 'type'");
        const auto split = [](const std::string &expression) {
            return with("pre_tokenizer", R"({"type":"Split","pattern":{"Regex":)" + Json(expression).dump()
                + R"(},"behavior":"Isolated","invert":false})");
        };
        row("TK-25 long expression", split(std::string(10000, 'a')), "pattern too large");
        row("TK-25 nested repeats", split("((a{1000}){1000}){1000}"), "pattern too large");
        row("TK-26 open group", split("ab("), "invalid pattern at char 3");
        row("TK-26 behind a rewritten part", split("\\s\\s("), "invalid pattern at char 5");
        row("callbacks", split("(*ACCEPT)"), "pattern has (*", ErrorCode::Unsupported);
        row("sets in sets", split("[a[bc]]"), "pattern has [...] inside [...]", ErrorCode::Unsupported);
        row("set intersection", split("[a-z&&b]"), "pattern has && inside", ErrorCode::Unsupported);
        row("possessive interval", split("a{1,3}+"), "pattern has {n,m}+", ErrorCode::Unsupported);
        row("single bytes", split("\\C"), "invalid pattern");
        row("empty pattern", with("normalizer", R"({"type":"Replace","pattern":{"String":""},"content":"x"})"),
            "must not be empty");
        row("pattern of no kind", with("normalizer", R"({"type":"Replace","pattern":{"Glob":"*"},"content":"x"})"),
            "lacks 'String'");
        row("behavior", with("pre_tokenizer", R"({"type":"Split","pattern":{"String":" "},"behavior":"Merged","invert":false})"),
            "key 'pre_tokenizer.behavior': must be Removed, Isolated");
        row("pre-tokenizer", with("pre_tokenizer", R"({"type":"UnicodeScripts"})"),
            "pre_tokenizer 'UnicodeScripts' is not supported",
            ErrorCode::Unsupported);
        text("TK-28 nested 100 deep", R"({"model":{},"pre_tokenizer":)" + nested(100,
            R"({"type":"Sequence","pretokenizers":[)", "]}") + "}",
             "nested deeper than");
        row("TK-29 fixed length 0", with("pre_tokenizer", R"({"type":"FixedLength","length":0})"), "length must be >= 1");
        row("metaspace replacement", with("pre_tokenizer", R"({"type":"Metaspace","replacement":"ab"})"),
            "must be one character");
        row("metaspace contradiction", with("pre_tokenizer",
            R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})"),
            "contradicts prepend_scheme 'first'");
        row("TK-31 template", with("post_processor",
            R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}}],"special_tokens":{}})"),
            "template needs '[CLS]'");
        row("template id", with("post_processor",
            R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s","type_id":0}}],
                "special_tokens":{"s":{"ids":[5]}}})"),
            "5 is larger than 4");
        row("post-processor", with("post_processor", R"({"type":"Magic"})"), "post_processor 'Magic' is not supported",
            ErrorCode::Unsupported);
        row("TK-32 stride", with("truncation", R"({"max_length":8,"stride":8,"strategy":"LongestFirst"})"),
            "stride must be < max_length");
        row("TK-34 padding id", with("padding", R"({"pad_id":5,"pad_token":"x"})"), "5 is larger than 4");
        row("dropout", withModel("dropout", 0.1), "dropout makes tokens random", ErrorCode::Unsupported);
        text("no object", "[]", "must be an object");
        text("no JSON", "{\"model\":", "");
        text("empty file", "", "empty");
        text("web page", "<!DOCTYPE html><html></html>", "");
    }
    void brokenFilesAreNamed()
    {
        QFETCH(QByteArray, json);
        QFETCH(QString, message);
        QFETCH(int, code);
        TokenizerFolder folder;
        folder.write("tokenizer.json", json.toStdString());
        ErrorCode found{};
        const std::string what = errorOf([&] { folder.load(); }, &found);
        QVERIFY2(what.find(message.toStdString()) != std::string::npos, what.c_str());
        QVERIFY2(what.find("tokenizer.json") != std::string::npos, what.c_str());
        QVERIFY2(what.find('\n') == std::string::npos, what.c_str());
        QCOMPARE(static_cast<int>(found), code);
    }

    void oddFilesLoad_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QString>("warning");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("ids");
        const auto row = [](const char *name, const Json &json, const char *warning, const char *text, const char *ids) {
            QTest::newRow(name) << QByteArray::fromStdString(json.dump()) << QString(warning) << QString(text) << QString(ids);
        };
        row("good", good(), "", "abcab", "4 3 ");
        row("TK-07 gap", withModel("vocab", parse(R"({"a":0,"b":1,"c":2,"ab":5,"abc":9})")),
            "ids 3...4 unused (5 unused ids in all)", "abc", "9 ");
        row("TK-20 expression characters", with("added_tokens", added("a.*(")), "", "ab a.*(", "3 5 ");
        row("TK-35 decoder", with("decoder", R"({"type":"Magic"})"), "decoder 'Magic' is not known", "abc", "4 ");
        row("TK-37 byte tokens", withModel("byte_fallback", true), "byte tokens missing: <0x00> and 255 more", "abc", "4 ");
        row("TK-38 no byte tokens", withModel("vocab",
            parse(R"({"a":0,"b":1,"c":2,"ab":3,"abc":4,"<0x-1>":5,"<0xZZ>":6,"<0x123>":7})")), "", "b", "1 ");
        row("added token of the vocabulary with another id", with("added_tokens", added("b", "9")),
            "added token 'b' has id 9, the vocabulary says 1",
            "aba", "0 1 0 ");
        row("truncation is not applied", with("truncation", R"({"max_length":1,"stride":0})"), "", "abcab", "4 3 ");
        row("unknown characters vanish before merging", good(), "", "axb", "3 ");
    }
    void oddFilesLoad()
    {
        QFETCH(QByteArray, json);
        QFETCH(QString, warning);
        QFETCH(QString, text);
        QFETCH(QString, ids);
        TokenizerFolder folder;
        folder.write("tokenizer.json", json.toStdString());
        const Warnings warnings;
        const auto tokenizer = folder.load();
        QCOMPARE(shown(tokenizer->encode(text.toStdString(), true)), ids);
        if (warning.isEmpty())
            QVERIFY2(warnings.text().empty(), warnings.text().c_str());
        else
            QVERIFY2(warnings.has(warning.toUtf8().constData()), warnings.text().c_str());
    }

    void brokenVocabularyAndMergesAreNamed_data()
    {
        QTest::addColumn<QByteArray>("vocabulary");
        QTest::addColumn<QByteArray>("merges");
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QString>("message");
        const QByteArray vocabulary(R"({"a":0,"b":1,"ab":2})");
        QTest::newRow("not a pair") << vocabulary << QByteArray("#version: 0.2\na b\nab\n") << QByteArray("{}")
            << "merges.txt, line 3: is not a pair";
        QTest::newRow("three parts") << vocabulary << QByteArray("a b c\n") << QByteArray("{}")
            << "merges.txt, line 1: is not a pair";
        QTest::newRow("empty line") << vocabulary << QByteArray("a b\n\na b\n") << QByteArray("{}")
            << "merges.txt, line 2: is not a pair";
        QTest::newRow("unknown part") << vocabulary << QByteArray("#version: 0.2\na c\n") << QByteArray("{}")
            << "merge #1: 'c' is not in the vocabulary";
        QTest::newRow("no UTF-8") << vocabulary << QByteArray("a \xFF\n") << QByteArray("{}")
            << "merges.txt, byte 2: invalid UTF-8";
        QTest::newRow("vocabulary list") << QByteArray("[]") << QByteArray() << QByteArray("{}")
            << "vocab.json: must be an object";
        QTest::newRow("id no number") << QByteArray(R"({"a":"0"})") << QByteArray("#version: 0.2\n") << QByteArray("{}")
            << "token 'a': id must be";
        QTest::newRow("class") << vocabulary << QByteArray("#version: 0.2\n")
            << QByteArray(R"({"tokenizer_class":"CLIPTokenizer"})")
                               << "a CLIPTokenizer are not supported";
        QTest::newRow("added tokens") << vocabulary << QByteArray("#version: 0.2\n")
            << QByteArray(R"({"added_tokens_decoder":{"x":{"content":"y"}}})")
                                      << "key 'added_tokens_decoder.x': is not a token id";
        QTest::newRow("special token") << vocabulary << QByteArray("#version: 0.2\n") << QByteArray(R"({"bos_token":3})")
                                       << "tokenizer_config.json, key 'bos_token': must be a string";
    }
    void brokenVocabularyAndMergesAreNamed()
    {
        QFETCH(QByteArray, vocabulary);
        QFETCH(QByteArray, merges);
        QFETCH(QByteArray, config);
        QFETCH(QString, message);
        TokenizerFolder folder;
        folder.write("vocab.json", vocabulary.toStdString()).write("merges.txt", merges.toStdString());
        folder.write("tokenizer_config.json", config.toStdString());
        const std::string what = errorOf([&] { folder.load(); });
        QVERIFY2(what.find(message.toStdString()) != std::string::npos, what.c_str());
    }

    void whatIsMissingIsNamed()
    {
        TokenizerFolder folder;
        ErrorCode code{};
        std::string what = errorOf([&] { folder.load(); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY(what.find("looked for tokenizer.json, tokenizer.model, vocab.json with merges.txt") != std::string::npos);
        folder.write("vocab.json", "{}");
        what = errorOf([&] { folder.load(); });
        QVERIFY(what.find("merges.txt is missing beside vocab.json") != std::string::npos);
        what = errorOf([&] { loadTokenizer(folder.path("vocab.json")); }, &code);
        QVERIFY2(what.find("is not a folder") != std::string::npos, what.c_str());
        what = errorOf([&] { loadTokenizer(folder.path("nowhere")); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
    }

    // Whatever is flipped or cut: an Error or a tokenizer that encodes, never a crash (the sanitizers watch).
    void damagedFilesNeverCrash()
    {
        Json file = good();
        file.set("added_tokens", parse(added("<x>")));
        file.set("normalizer",
            parse(R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"_"},
                {"type":"Replace","pattern":{"Regex":"b+c?"},"content":"b"}]})"));
        file.set("pre_tokenizer",
            parse(R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s+(?!\\S)|[^\\s]+"},
                "behavior":"MergedWithNext","invert":true},
                {"type":"Digits","individual_digits":true}]})"));
        file.set("decoder", parse(R"({"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},
                {"type":"Strip","content":" ","start":1,"stop":1}]})"));
        const std::string whole = file.dump();
        const Warnings warnings;
        std::mt19937 random(3);
        int loaded = 0;
        for (int i = 0; i < 600; ++i) {
            std::string damaged = whole;
            for (std::uint32_t k = 0; k < 1 + random() % 3; ++k)
                damaged[random() % damaged.size()] =
                    i % 2 == 0 ? static_cast<char>(random()) : "\"\\()[]{}|*+?,:0129ab"[random() % 20];
            TokenizerFolder folder;
            folder.write("tokenizer.json", damaged);
            errorOf([&] {
                const auto tokenizer = folder.load();
                tokenizer->decode(tokenizer->encode("abc <x> 12 bb", true), false);
                ++loaded;
            });
        }
        QVERIFY(loaded > 0);
        QVERIFY(loaded < 600);
    }
};

QTEST_GUILESS_MAIN(TokenizerErrors)
#include "tst_tokenizer_errors.moc"
