// SPDX-License-Identifier: Apache-2.0
// Real tokenizers against ids that others computed: /shared/tokenizers and the references beside /shared/models.
#include <QtTest>

#include <cstring>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"
#include "core/text/token_windows.h"
#include "core/text/tokenizer.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// Each row of a reference's windows.
std::vector<Ids> rowsOf(const std::string &npy)
{
    const Tensor tensor = readNpy(npy);
    const auto columns = static_cast<std::size_t>(tensor.shape()[1]);
    std::vector<Ids> rows(static_cast<std::size_t>(tensor.shape()[0]), Ids(columns));
    for (std::size_t r = 0; r < rows.size(); ++r)
        std::memcpy(rows[r].data(), tensor.bytes().data() + r * columns * sizeof(TokenId), columns * sizeof(TokenId));
    return rows;
}

// The files of one form of a tokenizer, alone in a folder.
void copyFiles(TokenizerFolder &folder, const std::string &from, const QString &files)
{
    for (const QString &name : files.split(' '))
        folder.copy(from + "/" + name.toStdString(), name.toLatin1().constData());
}

}  // namespace

class TokenizerReferences : public QObject {
    Q_OBJECT
private slots:
    void casesGiveTheirIds_data()
    {
        QTest::addColumn<QString>("cases");
        QTest::addColumn<QString>("from");
        QTest::addColumn<QString>("files");
        QTest::addColumn<bool>("special");  // the cases' ids have BOS
        QTest::addColumn<bool>("lossless");  // every case decodes to its text
        QTest::newRow("gpt2, tokenizer.json") << "gpt2" << "tokenizers/gpt2" << "tokenizer.json tokenizer_config.json"
            << false << true;
        QTest::newRow("gpt2, tokenizer.json alone") << "gpt2" << "tokenizers/gpt2" << "tokenizer.json" << false << true;
        QTest::newRow("gpt2, vocab and merges") << "gpt2" << "tokenizers/gpt2"
                                                << "vocab.json merges.txt tokenizer_config.json special_tokens_map.json"
                                                    << false << true;
        QTest::newRow("gpt2, vocab and merges alone") << "gpt2" << "tokenizers/gpt2" << "vocab.json merges.txt" << false << true;
        QTest::newRow("llama2, tokenizer.json") << "llama2" << "tokenizers/llama2" << "tokenizer.json tokenizer_config.json"
            << true << true;
        QTest::newRow("llama2, tokenizer.json alone") << "llama2" << "tokenizers/llama2" << "tokenizer.json" << true << true;
        QTest::newRow("llama2, tokenizer.model") << "llama2" << "tokenizers/llama2"
            << "tokenizer.model tokenizer_config.json" << true << true;
        QTest::newRow("llama2, tokenizer.model alone") << "llama2" << "tokenizers/llama2" << "tokenizer.model" << true << true;
        QTest::newRow("stories260k, tokenizer.json") << "stories260k" << "models/stories260k"
                                                     << "tokenizer.json tokenizer_config.json special_tokens_map.json config.json"
                                                     << true << true;
        QTest::newRow("stories260k, tokenizer.model") << "stories260k" << "models/stories260k"
                                                      << "tokenizer.model tokenizer_config.json config.json" << true << true;
        QTest::newRow("stories260k, tokenizer.model alone") << "stories260k" << "models/stories260k" << "tokenizer.model"
            << true << true;
        QTest::newRow("tinystories-656k") << "tinystories-656k" << "models/tinystories-656k"
                                          << "tokenizer.json tokenizer_config.json special_tokens_map.json config.json"
                                              << true << false;
    }
    void casesGiveTheirIds()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, cases);
        QFETCH(QString, from);
        QFETCH(QString, files);
        QFETCH(bool, special);
        QFETCH(bool, lossless);
        TokenizerFolder folder;
        copyFiles(folder, sharedFolder() + "/" + from.toStdString(), files);
        const auto tokenizer = folder.load();
        if (files != "tokenizer.json")  // alone, that file adds a token without saying that it is BOS
            QCOMPARE(tokenizer->addsBos(), special);
        const Json json = readJsonFile(sharedFolder() + "/tokenizers/cases/" + cases.toStdString() + ".json");
        const JsonReader reader(json, cases.toStdString());
        QVERIFY(reader["cases"].size() > 100);
        for (std::size_t i = 0; i < reader["cases"].size(); ++i) {
            const JsonReader entry = reader["cases"].at(i);
            const std::string &text = entry["text"].string();
            const Ids ids = tokenizer->encode(text, special);
            COMPARE_IDS(ids, idsOf(entry["ids"].value()));
            if (lossless)
                QCOMPARE(tokenizer->decode(ids, true), text);
        }
    }

    // llama.cpp's own vectors: texts between "\n__ggml_vocab_test__\n" in .inp, one line of ids each in .out.
    void llamaCppVectorsAreReproduced_data()
    {
        QTest::addColumn<QString>("folder");
        QTest::addColumn<QString>("vectors");
        QTest::newRow("gpt2") << "gpt2" << "ggml-vocab-gpt-2.gguf";
        QTest::newRow("llama2") << "llama2" << "ggml-vocab-llama-spm.gguf";
    }
    void llamaCppVectorsAreReproduced()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, folder);
        QFETCH(QString, vectors);
        const std::string path = sharedFolder() + "/tokenizers/" + folder.toStdString();
        const auto tokenizer = loadTokenizer(path);
        const QString input = QString::fromStdString(readTextFile(path + "/" + vectors.toStdString() + ".inp", 1 << 20));
        const QString output = QString::fromStdString(readTextFile(path + "/" + vectors.toStdString() + ".out", 1 << 20));
        const QStringList texts = input.split("\n__ggml_vocab_test__\n");
        const QStringList lines = output.split('\n');
        QVERIFY(texts.size() > 40);
        for (qsizetype i = 0; i + 1 < texts.size(); ++i) {
            Ids expected;
            for (const QString &id : lines.at(i).split(' ', Qt::SkipEmptyParts))
                expected.push_back(id.toInt());
            COMPARE_IDS(tokenizer->encode(texts[i].toStdString(), false), expected);
        }
    }

    void windowsOfTheModelsAreReproduced_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("reference");
        QTest::addColumn<int>("convention");
        const auto row = [](const char *model, const char *reference, WindowConvention convention) {
            QTest::addRow("%s %s", model, reference) << model << reference << static_cast<int>(convention);
        };
        for (const char *model : {"stories260k", "tinystories-656k"}) {
            row(model, "tinystories.A", WindowConvention::Joined);
            row(model, "wikitext2raw.A", WindowConvention::Joined);
            row(model, "tinystories.B", WindowConvention::BosPerWindow);
        }
        for (const char *model : {"stories260k-f16", "tinystories-656k-f16", "tinystories-656k-bf16", "tinystories-656k-sharded"})
            row(model, "tinystories.A", WindowConvention::Joined);
        row("shakespeare-gpt2", "shakespeare.A", WindowConvention::Joined);
        row("shakespeare-opt", "shakespeare.A", WindowConvention::Joined);
    }
    void windowsOfTheModelsAreReproduced()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        QFETCH(QString, reference);
        QFETCH(int, convention);
        const std::string folder = sharedFolder() + "/models/" + model.toStdString();
        const std::string stem = folder + "/reference/" + reference.toStdString();
        const Json json = readJsonFile(stem + ".json");
        const JsonReader protocol(json, stem);
        WindowOptions options;
        options.convention = static_cast<WindowConvention>(convention);
        options.length = protocol["window_tokens"].integer(2, 4096);
        options.maxWindows = protocol["n_windows"].integer(1, 100000);
        const auto tokenizer = loadTokenizer(folder);
        const TokenWindows windows = makeWindows({sharedFolder() + "/" + protocol["text"].string()}, *tokenizer, options);
        QCOMPARE(windows.totalIds, protocol["total_ids_in_text"].integer(0, INT64_MAX));
        QCOMPARE(windows.scoredTokens(), protocol["n_scored_tokens"].integer(0, INT64_MAX));
        const std::vector<Ids> expected = rowsOf(stem + ".windows.npy");
        QCOMPARE(windows.windows.size(), expected.size());
        for (std::size_t w = 0; w < expected.size(); ++w) {
            QCOMPARE(windows.windows[w].firstScored, std::int64_t{1});
            COMPARE_IDS(windows.windows[w].ids, expected[w]);
        }
        // The same windows read from the file.
        options.convention = WindowConvention::Tokens;
        const TokenWindows read = readTokenWindows(stem + ".windows.npy", options, tokenizer->size());
        QCOMPARE(read.windows.size(), expected.size());
        COMPARE_IDS(read.windows.back().ids, expected.back());
    }

    // Protocol C has no window file: its counts must be met, and its windows are cut from the same ids as protocol A's.
    void stridedWindowsScoreWhatTheReferenceScores_data()
    {
        QTest::addColumn<QString>("model");
        QTest::newRow("stories260k") << "stories260k";
        QTest::newRow("tinystories-656k") << "tinystories-656k";
    }
    void stridedWindowsScoreWhatTheReferenceScores()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        const std::string folder = sharedFolder() + "/models/" + model.toStdString();
        const Json json = readJsonFile(folder + "/reference/tinystories.C.json");
        const JsonReader protocol(json, "tinystories.C.json");
        WindowOptions options;
        options.convention = WindowConvention::Strided;
        options.length = protocol["window_tokens"].integer(2, 4096);
        options.stride = protocol["stride"].integer(1, 4096);
        options.maxWindows = protocol["n_windows"].integer(1, 100000);
        const auto tokenizer = loadTokenizer(folder);
        const std::string text = sharedFolder() + "/" + protocol["text"].string();
        const TokenWindows windows = makeWindows({text}, *tokenizer, options);
        QCOMPARE(windows.scoredTokens(), protocol["n_scored_tokens"].integer(0, INT64_MAX));
        const Ids ids = tokenizer->encode(readTextFile(text, 1 << 24), true);
        for (std::size_t k = 0; k < windows.windows.size(); ++k) {
            const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(k) * options.stride;
            COMPARE_IDS(windows.windows[k].ids, Ids(begin, begin + options.length));
            QCOMPARE(windows.windows[k].firstScored, k == 0 ? std::int64_t{1} : options.length - options.stride);
        }
    }

    void namesAreLettersBetweenMarks()
    {
        LQER_NEED_SHARED();
        const std::string folder = sharedFolder() + "/models/names-gpt2";
        const auto tokenizer = loadTokenizer(folder);
        QCOMPARE(tokenizer->bosId().value_or(-1), 0);
        const std::vector<std::string> names = readRows({sharedFolder() + "/text/names_open.txt"});
        const std::vector<Ids> expected = rowsOf(folder + "/reference/names.N.windows.npy");
        QVERIFY(names.size() >= expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const std::string name = names[i].substr(0, names[i].find('\n'));
            Ids ids = tokenizer->encode("<S>" + name + "<S>", true);
            ids.resize(expected[i].size(), 0);
            COMPARE_IDS(ids, expected[i]);
        }
    }

    void promptsAndContinuationsOfGreedyDecoding_data()
    {
        QTest::addColumn<QString>("model");
        for (const char *model : {"stories260k", "tinystories-656k", "shakespeare-gpt2", "shakespeare-opt"})
            QTest::newRow(model) << model;
    }
    void promptsAndContinuationsOfGreedyDecoding()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        const std::string folder = sharedFolder() + "/models/" + model.toStdString();
        const auto tokenizer = loadTokenizer(folder);
        const Json json = readJsonFile(folder + "/reference/greedy.json");
        const JsonReader items = JsonReader(json, "greedy.json")["items"];
        QVERIFY(items.size() > 0);
        for (std::size_t i = 0; i < items.size(); ++i) {
            const JsonReader item = items.at(i);
            Ids ids = tokenizer->encode(item["prompt"].string(), true);
            COMPARE_IDS(ids, idsOf(item["prompt_ids"].value()));
            for (const TokenId id : idsOf(item["greedy_ids"].value()))
                ids.push_back(id);
            QCOMPARE(tokenizer->decode(ids, true), item["text"].string());
        }
    }

    void aModelWithoutTokenizerSaysWhatWasLookedFor()
    {
        LQER_NEED_SHARED();
        ErrorCode code{};
        const std::string message = errorOf([] { loadTokenizer(sharedFolder() + "/models/capp-gpt2"); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        for (const char *name : {"capp-gpt2", "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"})
            QVERIFY2(message.find(name) != std::string::npos, message.c_str());
    }

    void missingByteTokensAreAWarning()
    {
        LQER_NEED_SHARED();
        const Warnings warnings;
        const auto tokenizer = loadTokenizer(sharedFolder() + "/models/tinystories-656k");
        QVERIFY2(warnings.has("byte tokens missing: <0x00> and 255 more"), warnings.text().c_str());
        COMPARE_IDS(tokenizer->encode("\xE4\xBD\xA0\xE5\xA5\xBD", false), (Ids{80, 0}));
    }
};

QTEST_GUILESS_MAIN(TokenizerReferences)
#include "tst_tokenizer_references.moc"
