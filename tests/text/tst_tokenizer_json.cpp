// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, vocab.json + merges.txt and the configuration files as a whole, on vocabularies small enough to read.
#include <QtTest>

#include "core/text/byte_level.h"
#include "core/text/tokenizer.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// The 256 characters of byte-level BPE, and these tokens.
std::vector<std::string> byteLevelTokens(const std::vector<std::string> &more)
{
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        tokens.push_back(bytesToCharacters(std::string_view(&c, 1)));
    }
    tokens.insert(tokens.end(), more.begin(), more.end());
    return tokens;
}

Json addedToken(std::int64_t id, const char *content, bool special, bool normalized = false)
{
    Json token = Json::object();
    token.set("id", id).set("content", content).set("special", special).set("normalized", normalized);
    token.set("lstrip", false).set("rstrip", false).set("single_word", false);
    return token;
}

constexpr const char *byteLevelDecoder = R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

// The pre-tokenizer of LLaMA-3 and Qwen2, which differ in how digits are cut.
Json splitAndByteLevel(const std::string &digits)
{
    const std::string expression = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits
                                   + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    Json split = Json::object();
    split.set("type", "Split").set("pattern", Json::object().set("Regex", expression)).set("behavior",
        "Isolated").set("invert", false);
    Json bytes = Json::object();
    bytes.set("type", "ByteLevel").set("add_prefix_space", false).set("trim_offsets", true).set("use_regex", false);
    return Json::object().set("type", "Sequence").set("pretokenizers", Json::array().append(split).append(bytes));
}

// Laid out as Meta's: Split and ByteLevel, merges ignored for whole words, BOS by a template behind ByteLevel.
Json llama3File()
{
    Json file = bpeFile(byteLevelTokens({"\u0120w", "or", "\u0120wor", "12", "123", "\u010a\u010a", "Hello"}),
                        {"\u0120 w", "o r", "\u0120w or", "1 2", "12 3", "\u010a \u010a"});
    file.set("added_tokens", Json::array()
                                 .append(addedToken(263, "<|begin_of_text|>", true))
                                 .append(addedToken(264, "<|end_of_text|>", true)));
    file.set("pre_tokenizer", splitAndByteLevel("\\p{N}{1,3}"));
    file.set("post_processor",
        parse(R"({"type":"Sequence","processors":[{"type":"ByteLevel","add_prefix_space":true,
            "trim_offsets":false,"use_regex":true},
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|begin_of_text|>","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}}],
        "pair":[],"special_tokens":{"<|begin_of_text|>":{"id":"<|begin_of_text|>",
            "ids":[263],"tokens":["<|begin_of_text|>"]}}}]})"));
    file.set("decoder", parse(byteLevelDecoder));
    Json model = *file.find("model");
    model.set("ignore_merges", true);
    return file.set("model", model);
}

constexpr const char *llama3Config = R"({"bos_token":"<|begin_of_text|>","eos_token":"<|end_of_text|>",
            "clean_up_tokenization_spaces":true,
    "model_max_length":1000000000000000019884624838656,"tokenizer_class":"PreTrainedTokenizerFast"})";

TokenId byteId(char c)
{
    return static_cast<unsigned char>(c);
}

}  // namespace

class TokenizerJsonTest : public QObject {
    Q_OBJECT
private slots:
    void llama3LikeFile()
    {
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", llama3File()).write("tokenizer_config.json", llama3Config);
        const auto tokenizer = folder.load();
        QCOMPARE(tokenizer->size(), std::int64_t{265});
        QCOMPARE(tokenizer->bosId().value_or(-1), 263);
        QCOMPARE(tokenizer->eosId().value_or(-1), 264);
        QVERIFY(tokenizer->addsBos());
        QCOMPARE(tokenizer->description(), std::string("byte-level BPE (tokenizer.json), 265 tokens"));
        // "Hello" is a token no merge leads to; " wor" is merged, "ld" is not; 1234 is cut after three digits.
        const std::string text = "Hello world1234\n\n<|end_of_text|>";
        const Ids ids{263, 262, 258, byteId('l'), byteId('d'), 260, byteId('4'), 261, 264};
        COMPARE_IDS(tokenizer->encode(text, true), ids);
        COMPARE_IDS(tokenizer->encode(text, false), Ids(ids.begin() + 1, ids.end()));
        QCOMPARE(tokenizer->decode(ids, true), std::string("Hello world1234\n\n"));
        QCOMPARE(tokenizer->decode(ids, false), "<|begin_of_text|>" + text);
        QCOMPARE(tokenizer->piece(258), std::string("\u0120wor"));
        QCOMPARE(tokenizer->piece(263), std::string("<|begin_of_text|>"));
        QCOMPARE(tokenizer->piece(265), std::string());
        QCOMPARE(tokenizer->piece(-1), std::string());
    }

    void qwen2LikeFile()
    {
        Json file = bpeFile(byteLevelTokens({"\u00c3\u00a9"}), {"\u00c3 \u00a9"});
        file.set("added_tokens", Json::array().append(addedToken(257, "<|endoftext|>", true)).append(addedToken(258,
            "<|im_start|>", true)));
        file.set("normalizer", parse(R"({"type":"NFC"})"));
        file.set("pre_tokenizer", splitAndByteLevel("\\p{N}"));
        file.set("post_processor",
            parse(R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false})"));
        file.set("decoder", parse(byteLevelDecoder));
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", file);
        folder.write("tokenizer_config.json",
            R"({"add_bos_token":false,"bos_token":null,"eos_token":"<|endoftext|>","pad_token":"<|endoftext|>",
            "tokenizer_class":"Qwen2Tokenizer","unk_token":null})");
        const auto tokenizer = folder.load();
        QVERIFY(!tokenizer->bosId());
        QVERIFY(!tokenizer->addsBos());
        QCOMPARE(tokenizer->padId().value_or(-1), 257);
        COMPARE_IDS(tokenizer->encode("e\u0301 1<|im_start|>", true), (Ids{256, byteId(' '), byteId('1'), 258}));

        // The same from vocab.json and merges.txt, where the added tokens stand in the configuration.
        TokenizerFolder slow;
        slow.writeJson("vocab.json", vocabulary(byteLevelTokens({"\u00c3\u00a9"}))).write("merges.txt",
            "#version: 0.2\n\u00c3 \u00a9\n");
        slow.write("tokenizer_config.json",
            R"({"added_tokens_decoder":{"257":{"content":"<|endoftext|>","special":true,"normalized":false},
            "258":{"content":"<|im_start|>","special":true,"normalized":false}},"bos_token":null,
            "eos_token":"<|endoftext|>","tokenizer_class":"Qwen2Tokenizer"})");
        COMPARE_IDS(slow.load()->encode("e\u0301 1<|im_start|>", true), (Ids{256, byteId(' '), byteId('1'), 258}));
    }

    // facebook/opt: vocab.json and merges.txt, </s> in front of every text.
    void optPutsItsEndTokenInFront()
    {
        TokenizerFolder folder;
        std::vector<std::string> tokens{"<s>", "<pad>", "</s>", "<unk>"};
        for (const std::string &token : byteLevelTokens({"\u0120a"}))
            tokens.push_back(token);
        folder.writeJson("vocab.json", vocabulary(tokens)).write("merges.txt", "#version: 0.2\r\n\u0120 a\r\n");
        folder.write("tokenizer_config.json",
            R"({"errors":"replace","unk_token":{"content":"</s>","normalized":true},
            "bos_token":{"content":"</s>","normalized":true},
            "eos_token":{"content":"</s>","normalized":true},"add_prefix_space":false,
            "add_bos_token":true,"tokenizer_class":"GPT2Tokenizer"})");
        folder.write("special_tokens_map.json", R"({"bos_token":"<s>","pad_token":"<pad>"})");
        folder.write("config.json", R"({"vocab_size":261,"bos_token_id":2})");
        const auto tokenizer = folder.load();
        QCOMPARE(tokenizer->bosId().value_or(-1), 2);
        QCOMPARE(tokenizer->padId().value_or(-1), 1);
        QVERIFY(tokenizer->addsBos());
        COMPARE_IDS(tokenizer->encode("b a", true), (Ids{2, 4 + byteId('b'), 260}));
        COMPARE_IDS(tokenizer->encode("</s>", false), Ids{2});
    }

    void mergesMayBePairs()
    {
        TokenizerFolder folder;
        Json file = bpeFile({"a", "b", "c", "ab", "a b"}, {});
        Json model = *file.find("model");
        model.set("merges", parse(R"([["a","b"]])"));
        folder.writeJson("tokenizer.json", file.set("model", model));
        COMPARE_IDS(folder.load()->encode("abc", false), (Ids{3, 2}));
    }

    void llamaFlagsRebuildTheTemplate_data()
    {
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QString>("ids");
        QTest::addColumn<bool>("addsBos");
        QTest::newRow("the file's own") << QByteArray(R"({"tokenizer_class":"LlamaTokenizer","bos_token":"<s>"})") << "2 0 "
            << true;
        QTest::newRow("no BOS")
            << QByteArray(R"({"tokenizer_class":"LlamaTokenizer","bos_token":"<s>","add_bos_token":false})") << "0 " << false;
        QTest::newRow("EOS, too")
            << QByteArray(R"({"tokenizer_class":"LlamaTokenizerFast","bos_token":"<s>","eos_token":"</s>","add_eos_token":true})")
                                  << "2 0 3 " << true;
        QTest::newRow("another class follows the file")
            << QByteArray(R"({"tokenizer_class":"PreTrainedTokenizerFast","bos_token":"<s>","eos_token":"</s>",
            "add_bos_token":false,"add_eos_token":true})")
            << "2 0 " << true;
        QTest::newRow("BOS is not named") << QByteArray("{}") << "2 0 " << false;
    }
    void llamaFlagsRebuildTheTemplate()
    {
        QFETCH(QByteArray, config);
        QFETCH(QString, ids);
        QFETCH(bool, addsBos);
        TokenizerFolder folder;
        Json file = bpeFile({"a", "b", "<s>", "</s>"}, {});
        file.set("post_processor",
            parse(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}}],
            "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[2],"tokens":["<s>"]}}})"));
        folder.writeJson("tokenizer.json", file).write("tokenizer_config.json", config.toStdString());
        const auto tokenizer = folder.load();
        QCOMPARE(shown(tokenizer->encode("a", true)), ids);
        QCOMPARE(tokenizer->addsBos(), addsBos);
    }

    void addingATokenThatIsNotThereIsAnError()
    {
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", bpeFile({"a"}, {}));
        folder.write("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer","bos_token":"<s>","add_bos_token":true})");
        const Warnings warnings;
        QVERIFY(errorOf([&] { folder.load(); }).find("add_bos_token is true, but there is no bos_token") != std::string::npos);
        QVERIFY(warnings.has("bos_token '<s>' is not in the vocabulary"));
    }

    void specialTokensOfTheConfigurationAreRecognisedInText()
    {
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", bpeFile({"a", "<", "x", ">", "<x>"}, {}));
        COMPARE_IDS(folder.load()->encode("a<x>", false), (Ids{0, 1, 2, 3}));
        folder.write("special_tokens_map.json", R"({"eos_token":{"content":"<x>","lstrip":false}})");
        const auto tokenizer = folder.load();
        COMPARE_IDS(tokenizer->encode("a<x>", false), (Ids{0, 4}));
        QCOMPARE(tokenizer->eosId().value_or(-1), 4);
        QCOMPARE(tokenizer->decode({0, 4}, true), std::string("a"));
    }

    void theConfigurationDecidesAboutThePrefixSpace()
    {
        TokenizerFolder folder;
        Json file = bpeFile(byteLevelTokens({}), {});
        folder.writeJson("tokenizer.json", file.set("pre_tokenizer", parse(R"({"type":"ByteLevel","add_prefix_space":true})")));
        COMPARE_IDS(folder.load()->encode("a", false), (Ids{byteId(' '), byteId('a')}));
        folder.write("tokenizer_config.json", R"({"add_prefix_space":false})");
        COMPARE_IDS(folder.load()->encode("a", false), Ids{byteId('a')});
    }

    void modelConfigurationNamesWhatNobodyElseNames()
    {
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", bpeFile({"a", "b", "c"}, {}));
        folder.write("config.json", R"({"vocab_size":3,"bos_token_id":1,"eos_token_id":[2,0],"pad_token_id":-1})");
        const auto tokenizer = folder.load();
        QCOMPARE(tokenizer->bosId().value_or(-1), 1);
        QCOMPARE(tokenizer->eosId().value_or(-1), 2);
        QVERIFY(!tokenizer->padId());
        folder.write("tokenizer_config.json", R"({"bos_token":null})");
        QVERIFY(!folder.load()->bosId());
    }

    void theEmbeddingMustHoldTheVocabulary()
    {
        TokenizerFolder folder;
        Json file = bpeFile({"a", "b", "c"}, {});
        folder.writeJson("tokenizer.json", file).write("config.json", R"({"vocab_size":2})");
        const std::string message = errorOf([&] { folder.load(); });
        QVERIFY2(message.find("tokenizer has 3 tokens, embedding has 2 rows") != std::string::npos, message.c_str());
        // An added token beyond it, as fine-tunes have for padding, only fails where it is used.
        folder.write("config.json", R"({"vocab_size":3})");
        folder.writeJson("tokenizer.json", file.set("added_tokens", Json::array().append(addedToken(3, "<pad>", true))));
        const Warnings warnings;
        QCOMPARE(folder.load()->size(), std::int64_t{4});
        QVERIFY(warnings.has("added token '<pad>' has id 3, embedding has 3 rows"));
    }

    // reliability.md TK-41: NUL, byte order mark, U+FFFF, lone carriage returns.
    void everyTextSurvivesARoundTrip_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::newRow("NUL") << QByteArray("a\0b", 3);
        QTest::newRow("byte order mark") << QByteArray("\xEF\xBB\xBFx");
        QTest::newRow("U+FFFF") << QByteArray("\xEF\xBF\xBF");
        QTest::newRow("lone CR") << QByteArray("a\rb\r\n");
        QTest::newRow("emoji") << QByteArray("\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9");
        QTest::newRow("spaces") << QByteArray("  \t \xC2\xA0\n\n ");
        QTest::newRow("empty") << QByteArray("");
    }
    void everyTextSurvivesARoundTrip()
    {
        QFETCH(QByteArray, text);
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", llama3File());
        const auto tokenizer = folder.load();
        QCOMPARE(tokenizer->decode(tokenizer->encode(text.toStdString(), false), true), text.toStdString());
    }

    void textThatIsNotUtf8IsAnErrorWithItsByte()
    {
        TokenizerFolder folder;
        folder.writeJson("tokenizer.json", llama3File());
        const auto tokenizer = folder.load();
        ErrorCode code{};
        const std::string message = errorOf([&] { tokenizer->encode("abc\xFF", true); }, &code);
        QVERIFY(code == ErrorCode::Format);
        QVERIFY2(message.find("byte 3: invalid UTF-8") != std::string::npos, message.c_str());
    }

    void catastrophicExpressionsEnd()
    {
        TokenizerFolder folder;
        Json file = bpeFile({"a"}, {});
        file.set("pre_tokenizer",
            parse(R"({"type":"Split","pattern":{"Regex":"(a|aa)+$"},"behavior":"Isolated","invert":false})"));
        folder.writeJson("tokenizer.json", file);
        const auto tokenizer = folder.load();
        const std::string message = errorOf([&] { tokenizer->encode(std::string(60, 'a') + "b", false); });
        QVERIFY2(message.find("cannot be matched") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TokenizerJsonTest)
#include "tst_tokenizer_json.moc"
