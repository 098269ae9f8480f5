// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <set>

#include "core/export/gguf_tokenizer.h"
#include "core/io/file.h"
#include "core/text/sentencepiece_model.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

const GgufValue *find(const GgufTokenizer &made, const std::string &key)
{
    for (const auto &[name, value] : made.keys)
        if (name == key)
            return &value;
    return nullptr;
}

template <typename T>
T scalar(const GgufTokenizer &made, const std::string &key)
{
    const GgufValue *value = find(made, key);
    if (!value)
        qFatal("no key %s", key.c_str());
    return std::get<T>(*value);
}

template <typename T>
std::vector<T> list(const GgufTokenizer &made, const std::string &key)
{
    return std::get<std::vector<T>>(scalar<GgufArray>(made, key));
}

// A byte-level tokenizer.json whose pre-tokenizer is this JSON.
std::string byteLevelJson(const std::string &preTokenizer, const std::string &model = "")
{
    return R"({"version":"1.0","added_tokens":[{"id":4,"content":"<|end|>","special":true},{"id":5,"content":"<tool>","special":false}],
               "normalizer":null,"pre_tokenizer":)" + preTokenizer + R"(,"post_processor":null,"decoder":{"type":"ByteLevel"},
               "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"c":3},"merges":["a b"])" + model + "}}";
}

std::string split(const std::string &expression)
{
    return R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":")" + expression + R"("},"behavior":"Isolated","invert":false},
              {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";
}

}  // namespace

class TestGgufTokenizer : public QObject {
    Q_OBJECT
private slots:
    void wordRulesAreRecognised_data();
    void wordRulesAreRecognised();
    void tokensHaveTypesAndFillTheEmbedding();
    void aFolderWithoutTokenizerIsSaid();
    void aBrokenTokenizerIsAnError();
    void chatTemplateIsTakenAlong();
    void realTokenizers_data();
    void realTokenizers();
    void scoresOrderMergesAsTheModelDoes();

private:
    GgufTokenizer made(const std::string &json, std::int64_t rows = 8)
    {
        test::writeRaw(m_folder.filePath("tokenizer.json").toStdString(), json);
        return ggufTokenizer(m_folder.path().toStdString(), rows);
    }
    QTemporaryDir m_folder;
};

void TestGgufTokenizer::wordRulesAreRecognised_data()
{
    QTest::addColumn<QByteArray>("json");
    QTest::addColumn<QByteArray>("name");
    QTest::addColumn<int>("differences");  // besides that there is no end token
    const auto row = [](const char *title, const std::string &json, const char *name, int differences) {
        QTest::newRow(title) << QByteArray::fromStdString(json) << QByteArray(name) << differences;
    };
    const std::string gpt2 = R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
    const std::string common = "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}%1| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";
    const std::string endings = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|";
    const auto with = [&](const std::string &count) { return split(endings + QString::fromStdString(common).arg(QString::fromStdString(count)).toStdString()); };
    row("GPT-2", byteLevelJson(gpt2), "gpt-2", 0);
    row("LLaMA 3", byteLevelJson(with("{1,3}"), R"(,"ignore_merges":true)"), "llama-bpe", 0);
    row("LLaMA 3 that applies merges", byteLevelJson(with("{1,3}")), "llama-bpe", 1);
    row("Qwen 2", byteLevelJson(with("")), "qwen2", 0);
    row("SmolLM", byteLevelJson(R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)" + gpt2 + "]}"), "smollm", 0);
    row("unknown rule", byteLevelJson(split("\\\\p{L}+")), "default", 1);
    row("a space in front", byteLevelJson(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})"), "default", 1);
}

void TestGgufTokenizer::wordRulesAreRecognised()
{
    QFETCH(QByteArray, json);
    QFETCH(QByteArray, name);
    QFETCH(int, differences);
    const GgufTokenizer tokenizer = made(json.toStdString());
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.ggml.model"), std::string("gpt2"));
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.ggml.pre"), name.toStdString());
    QCOMPARE(tokenizer.differences.size(), static_cast<std::size_t>(differences) + 1);
    QVERIFY((list<std::string>(tokenizer, "tokenizer.ggml.merges") == std::vector<std::string>{"a b"}));
}

void TestGgufTokenizer::tokensHaveTypesAndFillTheEmbedding()
{
    const GgufTokenizer tokenizer
        = made(byteLevelJson(R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})"), 8);
    QVERIFY((list<std::string>(tokenizer, "tokenizer.ggml.tokens")
             == std::vector<std::string>{"a", "b", "ab", "c", "<|end|>", "<tool>", "[PAD6]", "[PAD7]"}));
    QVERIFY((list<std::int32_t>(tokenizer, "tokenizer.ggml.token_type") == std::vector<std::int32_t>{1, 1, 1, 1, 3, 4, 5, 5}));
    QVERIFY(!find(tokenizer, "tokenizer.ggml.scores"));
    QVERIFY(!find(tokenizer, "tokenizer.ggml.bos_token_id"));
    QCOMPARE(scalar<bool>(tokenizer, "tokenizer.ggml.add_bos_token"), false);
    QVERIFY(tokenizer.differences.back().starts_with("The tokenizer names no token for the beginning and the end of a text"));
}

void TestGgufTokenizer::aFolderWithoutTokenizerIsSaid()
{
    QTemporaryDir empty;
    const GgufTokenizer tokenizer = ggufTokenizer(empty.path().toStdString(), 10);
    QCOMPARE(tokenizer.keys.size(), 1U);
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.ggml.model"), std::string("none"));
    QCOMPARE(tokenizer.differences.size(), 1U);
}

void TestGgufTokenizer::aBrokenTokenizerIsAnError()
{
    const std::string broken = test::errorOf([&] { made("{"); });
    QVERIFY2(broken.find("tokenizer.json") != std::string::npos, broken.c_str());
    ErrorCode code = ErrorCode::Shape;
    // Whole words without any mark for spaces: nothing in llama.cpp does that.
    const std::string json = R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},
                                 "post_processor":null,"decoder":null,"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})";
    const std::string message = test::errorOf([&] { made(json); }, &code);
    QVERIFY2(message.find("llama.cpp has no tokenizer like this one") != std::string::npos, message.c_str());
    QVERIFY(code == ErrorCode::Unsupported);
}

void TestGgufTokenizer::chatTemplateIsTakenAlong()
{
    QTemporaryDir folder;
    const std::string path = folder.path().toStdString();
    const std::string json = byteLevelJson(R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})");
    test::writeRaw(path + "/tokenizer.json", json);
    test::writeRaw(path + "/tokenizer_config.json", R"({"chat_template":"{{ a }}","eos_token":"<|end|>"})");
    const GgufTokenizer tokenizer = ggufTokenizer(path, 8);
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.chat_template"), std::string("{{ a }}"));
    QCOMPARE(scalar<std::uint32_t>(tokenizer, "tokenizer.ggml.eos_token_id"), 4U);
    test::writeRaw(path + "/chat_template.jinja", "{{ b }}");
    QCOMPARE(scalar<std::string>(ggufTokenizer(path, 8), "tokenizer.chat_template"), std::string("{{ b }}"));
}

void TestGgufTokenizer::realTokenizers_data()
{
    QTest::addColumn<QByteArray>("folder");
    QTest::addColumn<int>("rows");
    QTest::addColumn<QByteArray>("model");
    QTest::addColumn<QByteArray>("pre");
    QTest::addColumn<bool>("addsBos");
    QTest::addColumn<int>("differences");
    QTest::newRow("gpt2") << QByteArray("tokenizers/gpt2") << 50257 << QByteArray("gpt2") << QByteArray("gpt-2") << false << 0;
    QTest::newRow("llama2") << QByteArray("tokenizers/llama2") << 32000 << QByteArray("llama") << QByteArray("default") << true << 0;
    QTest::newRow("stories260k") << QByteArray("models/stories260k") << 512 << QByteArray("llama") << QByteArray("default") << true << 0;
    // Rules for one way to each token only, and no byte tokens.
    QTest::newRow("tinystories") << QByteArray("models/tinystories-656k") << 2048 << QByteArray("llama") << QByteArray("default") << true << 2;
    QTest::newRow("shakespeare") << QByteArray("models/shakespeare-gpt2") << 67 << QByteArray("gpt2") << QByteArray("gpt-2") << false << 0;
    QTest::newRow("capp, none") << QByteArray("models/capp-gpt2") << 39 << QByteArray("none") << QByteArray() << false << 1;
}

void TestGgufTokenizer::realTokenizers()
{
    LQER_NEED_SHARED();
    QFETCH(QByteArray, folder);
    QFETCH(int, rows);
    QFETCH(QByteArray, model);
    QFETCH(QByteArray, pre);
    QFETCH(bool, addsBos);
    QFETCH(int, differences);
    const std::string path = test::sharedFolder() + "/" + folder.toStdString();
    const GgufTokenizer tokenizer = ggufTokenizer(path, rows);
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.ggml.model"), model.toStdString());
    for (const std::string &sentence : tokenizer.differences)
        qInfo("%s", sentence.c_str());
    QCOMPARE(tokenizer.differences.size(), static_cast<std::size_t>(differences));
    if (model == "none")
        return;
    QCOMPARE(scalar<std::string>(tokenizer, "tokenizer.ggml.pre"), pre.toStdString());
    QCOMPARE(scalar<bool>(tokenizer, "tokenizer.ggml.add_bos_token"), addsBos);
    QCOMPARE(scalar<bool>(tokenizer, "tokenizer.ggml.add_eos_token"), false);
    const auto tokens = list<std::string>(tokenizer, "tokenizer.ggml.tokens");
    QCOMPARE(tokens.size(), static_cast<std::size_t>(rows));
    // llama.cpp looks tokens up by their text.
    QCOMPARE(std::set<std::string>(tokens.begin(), tokens.end()).size(), tokens.size());
    QCOMPARE(list<std::int32_t>(tokenizer, "tokenizer.ggml.token_type").size(), tokens.size());
    if (model == "llama") {
        QCOMPARE(scalar<bool>(tokenizer, "tokenizer.ggml.add_space_prefix"), true);
        QCOMPARE(list<float>(tokenizer, "tokenizer.ggml.scores").size(), tokens.size());
    }
}

// SentencePiece's own scores and types, read from tokenizer.model, against those made from tokenizer.json's merges.
void TestGgufTokenizer::scoresOrderMergesAsTheModelDoes()
{
    LQER_NEED_SHARED();
    const std::string path = test::sharedFolder() + "/tokenizers/llama2";
    const GgufTokenizer tokenizer = ggufTokenizer(path, 32000);
    const SentencePieceModel model = parseSentencePieceModel(readTextFile(path + "/tokenizer.model", 1 << 24), path);
    const auto tokens = list<std::string>(tokenizer, "tokenizer.ggml.tokens");
    const auto scores = list<float>(tokenizer, "tokenizer.ggml.scores");
    const auto types = list<std::int32_t>(tokenizer, "tokenizer.ggml.token_type");
    const float lowest = *std::min_element(scores.begin(), scores.end());
    std::vector<std::pair<float, float>> both;  // SentencePiece's score, ours
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        QCOMPARE(tokens[id], model.pieces[id].text);
        QCOMPARE(types[id], static_cast<std::int32_t>(model.pieces[id].kind));
        if (types[id] == 1 && scores[id] > lowest)
            both.emplace_back(model.pieces[id].score, scores[id]);
    }
    QVERIFY(both.size() > 25'000);
    std::sort(both.begin(), both.end());
    for (std::size_t i = 1; i < both.size(); ++i)
        QVERIFY(both[i].first == both[i - 1].first || both[i].second > both[i - 1].second);
    QVERIFY(lowest < both.front().second);
}

QTEST_GUILESS_MAIN(TestGgufTokenizer)
#include "tst_gguf_tokenizer.moc"
