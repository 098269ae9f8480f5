// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cstring>

#include "core/io/npy.h"
#include "core/text/token_windows.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// "^abc" for BOS, a, b, c; "$" for EOS; a bar stands in front of the first scored id.
QString shown(const TokenWindow &window)
{
    QString text;
    for (std::size_t i = 0; i < window.ids.size(); ++i) {
        if (static_cast<std::int64_t>(i) == window.firstScored)
            text += '|';
        text += window.ids[i] == 1 ? QChar('^') : window.ids[i] == 2 ? QChar('$') : QChar(window.ids[i] - 10);
    }
    return text;
}

QStringList shown(const TokenWindows &windows)
{
    QStringList list;
    for (const TokenWindow &window : windows.windows)
        list.append(shown(window));
    return list;
}

WindowOptions optionsOf(WindowConvention convention, std::int64_t length)
{
    WindowOptions options;
    options.convention = convention;
    options.length = length;
    return options;
}

template <typename T>
std::string writeIds(TokenizerFolder &folder, DType dtype, Shape shape, const std::vector<T> &ids)
{
    Tensor tensor(dtype, std::move(shape));
    if (!ids.empty())
        std::memcpy(tensor.bytes().data(), ids.data(), ids.size() * sizeof(T));
    const std::string path = folder.path("ids.npy");
    writeNpy(path, tensor);
    return path;
}

std::string repeated(const char *text, int count)
{
    std::string result;
    for (int i = 0; i < count; ++i)
        result += text;
    return result;
}

}  // namespace

class TokenWindowsTest : public QObject {
    Q_OBJECT
private slots:
    void joinedCutsTheWholeTextOnce()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij");
        const TokenWindows windows = makeWindows({folder.path("t.txt")}, ByteTokenizer(), optionsOf(WindowConvention::Joined, 4));
        QCOMPARE(shown(windows), (QStringList{"^|abc", "d|efg"}));
        QCOMPARE(windows.totalIds, std::int64_t{11});
        QCOMPARE(windows.scoredTokens(), std::int64_t{6});
        QCOMPARE(windows.source, folder.path("t.txt"));
    }

    void bosPerWindowPutsItInFrontOfEach()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij");
        const TokenWindows windows = makeWindows({folder.path("t.txt")}, ByteTokenizer(),
            optionsOf(WindowConvention::BosPerWindow, 4));
        QCOMPARE(shown(windows), (QStringList{"^|abc", "^|def", "^|ghi"}));
        QCOMPARE(windows.totalIds, std::int64_t{10});
        const std::string message = errorOf([&] {
            makeWindows({folder.path("t.txt")}, ByteTokenizer(false), optionsOf(WindowConvention::BosPerWindow, 4));
        });
        QVERIFY2(message.find("needs a tokenizer with a BOS token") != std::string::npos, message.c_str());
    }

    void stridedScoresEveryTokenOnce_data()
    {
        QTest::addColumn<int>("length");
        QTest::addColumn<int>("stride");
        QTest::addColumn<QStringList>("windows");
        QTest::newRow("half") << 4 << 2 << QStringList{"^|abc", "bc|de", "de|fg", "fg|hi", "hi|j"};
        QTest::newRow("one") << 4 << 1 << QStringList{"^|abc", "abc|d", "bcd|e", "cde|f", "def|g", "efg|h", "fgh|i", "ghi|j"};
        QTest::newRow("almost whole") << 4 << 3 << QStringList{"^|abc", "c|def", "f|ghi", "i|j"};
        QTest::newRow("one window is enough") << 20 << 5 << QStringList{"^|abcdefghij"};
    }
    void stridedScoresEveryTokenOnce()
    {
        QFETCH(int, length);
        QFETCH(int, stride);
        QFETCH(QStringList, windows);
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij");
        WindowOptions options = optionsOf(WindowConvention::Strided, length);
        options.stride = stride;
        const TokenWindows made = makeWindows({folder.path("t.txt")}, ByteTokenizer(), options);
        QCOMPARE(shown(made), windows);
        QCOMPARE(made.scoredTokens(), std::int64_t{10});
        QCOMPARE(made.bytes, std::int64_t{10});
        options.maxWindows = 1;
        QCOMPARE(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options).bytes,
            windows.size() == 1 ? std::int64_t{10} : std::int64_t{0});
        options.maxWindows = 0;
        QCOMPARE(makeWindows({folder.path("t.txt")}, ByteTokenizer(false), options).bytes, std::int64_t{0});
    }

    // numerics.md E.1: five rows in two shards of three and two, each one batch; a blank line between rows, BOS per batch.
    void shardedFollowsTheOfficialCode()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "ab\n \ncd\nef\ngh");
        WindowOptions options = optionsOf(WindowConvention::Sharded, 4);
        options.shards = 2;
        const TokenWindows windows = makeWindows({folder.path("t.txt")}, ByteTokenizer(), options);
        // Rows "ab\n", "" (white space only), "cd\n" | "ef\n", "gh".
        QCOMPARE(shown(windows), (QStringList{"^|ab\n", "\n|\n\n\n", "^|ef\n", "\n|\ngh"}));
        QCOMPARE(windows.totalIds, std::int64_t{1 + 10 + 1 + 7});
        options.shards = 1;
        QCOMPARE(shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options)).size(), 5);
        options.shards = 8;  // more shards than rows: one row each
        options.length = 3;
        const Warnings warnings;
        QCOMPARE(shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options)), (QStringList{"^|ab", "^|cd", "^|ef",
            "^|gh"}));
        QVERIFY(warnings.has("a shard has 1 tokens, fewer than a window of 3"));
        options.length = 5;
        const std::string message = errorOf([&] { makeWindows({folder.path("t.txt")}, ByteTokenizer(), options); });
        QVERIFY2(message.find("too few for one window of 5 in any shard: use fewer shards") != std::string::npos,
            message.c_str());
    }

    // 2001 rows in two shards are 1001 and 1000 rows: batches of 1000, 1 and 1000. The second map shards these three lists anew,
    // into two and one.
    void shardedCutsBatchesOfAThousandRows()
    {
        TokenizerFolder folder;
        folder.write("t.txt", repeated("x\n", 2001));
        WindowOptions options = optionsOf(WindowConvention::Sharded, 1000);
        options.shards = 2;
        const TokenWindows windows = makeWindows({folder.path("t.txt")}, ByteTokenizer(), options);
        const std::int64_t batch = 1 + 1000 * 2 + 999 * 2;  // BOS, rows, blank lines between them
        QCOMPARE(windows.totalIds, 2 * batch + 3);
        QCOMPARE(windows.windows.size(), static_cast<std::size_t>((batch + 3) / 1000 + batch / 1000));
        // The second list's BOS follows the first list inside a window.
        const Ids &last = windows.windows[3].ids;
        QCOMPARE(windows.windows[4].ids[0], 1);
        COMPARE_IDS(Ids(last.end() - 1, last.end()), Ids{last[999]});
        options.shards = 1;
        QCOMPARE(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options).windows.size(),
            static_cast<std::size_t>((2 * batch + 3) / 1000));
    }

    // lm_eval.utils.get_rolling_token_windows("abcdefghij", prefix, max_seq_len 4, context_len 1), by hand:
    // ([p a b c], [a b c d]), ([d e f g], [e f g h]), ([f g h i], [i j]).
    void wordPerplexityRolls()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij");
        const TokenWindows windows = makeWindows({folder.path("t.txt")}, ByteTokenizer(),
            optionsOf(WindowConvention::WordPerplexity, 4));
        QCOMPARE(shown(windows), (QStringList{"^|abcd", "d|efgh", "fgh|ij"}));
        QCOMPARE(windows.scoredTokens(), std::int64_t{10});
        QCOMPARE(windows.words, std::int64_t{1});
        QCOMPARE(windows.bytes, std::int64_t{10});
        // No BOS: EOS is the prefix; neither: it cannot be done.
        QCOMPARE(shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(false), optionsOf(WindowConvention::WordPerplexity,
            40))),
                 QStringList{"$|abcdefghij"});
        QVERIFY(!errorOf([&] {
                     makeWindows({folder.path("t.txt")}, ByteTokenizer(false, false),
                         optionsOf(WindowConvention::WordPerplexity, 4));
                 }).empty());
    }

    void documentsAreScoredAloneAndTheirWordsCounted()
    {
        TokenizerFolder folder;
        // len(re.split(r"\s+", text)) of Python: 2, 4 (empty strings at both ends), 1, 2.
        folder.write("t.jsonl",
            "{\"text\":\"a b\"}\n{\"text\":\" c\\u00a0\\td \"}\n\n{\"text\":\"\"}\n{\"text\":\"e\\u001ff\"}\n");
        const TokenWindows windows = makeWindows({folder.path("t.jsonl")}, ByteTokenizer(),
            optionsOf(WindowConvention::WordPerplexity, 9));
        QCOMPARE(windows.windows.size(), std::size_t{3});
        QCOMPARE(windows.words, std::int64_t{2 + 4 + 1 + 2});
        QCOMPARE(windows.bytes, std::int64_t{3 + 7 + 0 + 3});
        WindowOptions options = optionsOf(WindowConvention::WordPerplexity, 9);
        options.maxWindows = 2;
        const Warnings warnings;
        const TokenWindows cut = makeWindows({folder.path("t.jsonl")}, ByteTokenizer(), options);
        QCOMPARE(cut.words, std::int64_t{0});
        QVERIFY(warnings.has("no perplexity per word"));
    }

    // The WikiText loader empties lines of white space; documents of JSON lines come as they are.
    void whiteSpaceStaysInRowsOfJsonLines()
    {
        TokenizerFolder folder;
        folder.write("t.jsonl", "{\"text\":\"a\"}\n{\"text\":\" \"}\n{\"text\":\"b\"}\n").write("t.txt", "a\n \nb\n");
        WindowOptions options = optionsOf(WindowConvention::Sharded, 8);
        options.shards = 1;
        QCOMPARE(shown(makeWindows({folder.path("t.jsonl")}, ByteTokenizer(), options)), QStringList{"^|a\n\n \n\nb"});
        options.length = 9;
        QCOMPARE(shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options)), QStringList{"^|a\n\n\n\n\nb\n"});
    }

    void onlyTheFirstRowsAreUsed()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "ab\ncd\nef\n");
        WindowOptions options = optionsOf(WindowConvention::Joined, 4);
        options.maxRows = 2;
        const TokenWindows windows = makeWindows({.path = folder.path("t.txt"), .dataSet = "mine", .split = "test"}, ByteTokenizer(), options);
        QCOMPARE(shown(windows), QStringList{"^|ab\n"});
        QCOMPARE(windows.rows, std::int64_t{2});
        QCOMPARE(windows.provenance(), "mine, test split, 2 rows of " + folder.path("t.txt"));
        options.maxRows = 0;
        const TokenWindows all = makeWindows({folder.path("t.txt")}, ByteTokenizer(), options);
        QCOMPARE(all.rows, std::int64_t{3});
        QCOMPARE(all.provenance(), folder.path("t.txt"));
        QVERIFY(all.hash != windows.hash);
    }

    void jsonlDocumentsAreJoinedByABlankLine()
    {
        TokenizerFolder folder;
        folder.write("t.jsonl", "{\"text\":\"no\",\"page\":\"ab\"}\n{\"page\":\"cd\"}\n");
        const TokenWindows windows = makeWindows({folder.path("t.jsonl"), "page"}, ByteTokenizer(),
            optionsOf(WindowConvention::Joined, 7));
        QCOMPARE(shown(windows), QStringList{"^|ab\n\ncd"});
        const std::string message = errorOf([&] { readRows({folder.path("t.jsonl")}); });
        QVERIFY2(message.find("t.jsonl, line 2: lacks 'text'") != std::string::npos, message.c_str());
    }

    void rowsKeepTheirLineFeeds()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "a\n\nb\r\nc");
        const std::vector<std::string> rows = readRows({folder.path("t.txt")});
        QCOMPARE(rows, (std::vector<std::string>{"a\n", "\n", "b\r\n", "c"}));
        QCOMPARE(readDocuments({folder.path("t.txt")}), (std::vector<std::string>{"a\n\nb\r\nc"}));
    }

    void badTextsAreNamed_data()
    {
        QTest::addColumn<QString>("name");
        QTest::addColumn<QByteArray>("content");
        QTest::addColumn<QString>("message");
        QTest::newRow("empty") << "t.txt" << QByteArray() << "t.txt: is empty";
        QTest::newRow("no UTF-8") << "t.txt" << QByteArray("ab\xC0\xAF") << "t.txt, line 1, byte 2: invalid UTF-8";
        QTest::newRow("blank JSONL") << "t.jsonl" << QByteArray("\n \n") << "t.jsonl: has no lines with JSON";
        QTest::newRow("broken JSONL") << "t.jsonl" << QByteArray("{\"text\":\"a\"}\n{\"text\":\n") << "t.jsonl, line 2";
        QTest::newRow("field of another type") << "t.jsonl" << QByteArray("{\"text\":5}")
            << "line 1, key 'text': must be a string";
        QTest::newRow("too short") << "t.txt" << QByteArray("abc") << "t.txt: has 4 tokens, too few for one window of 8";
    }
    void badTextsAreNamed()
    {
        QFETCH(QString, name);
        QFETCH(QByteArray, content);
        QFETCH(QString, message);
        TokenizerFolder folder;
        folder.write(name.toLatin1().constData(), content.toStdString());
        const std::string what = errorOf([&] {
            makeWindows({folder.path(name.toLatin1().constData())}, ByteTokenizer(), optionsOf(WindowConvention::Joined, 8));
        });
        QVERIFY2(what.find(message.toStdString()) != std::string::npos, what.c_str());
    }

    void badOptionsAreArguments_data()
    {
        QTest::addColumn<int>("convention");
        QTest::addColumn<int>("length");
        QTest::addColumn<int>("stride");
        QTest::addColumn<int>("shards");
        QTest::addColumn<int>("maxWindows");
        QTest::addColumn<int>("batch");
        const auto row = [](const char *name, WindowConvention convention, int length, int stride, int shards, int most,
            int batch) {
            QTest::newRow(name) << static_cast<int>(convention) << length << stride << shards << most << batch;
        };
        row("length", WindowConvention::Joined, 1, 0, 8, 0, 1);
        row("negative length", WindowConvention::Joined, -5, 0, 8, 0, 1);
        row("no stride", WindowConvention::Strided, 4, 0, 8, 0, 1);
        row("stride of a window", WindowConvention::Strided, 4, 4, 8, 0, 1);
        row("no shards", WindowConvention::Sharded, 4, 0, 0, 0, 1);
        row("negative count", WindowConvention::Joined, 4, 0, 8, -1, 1);
        row("no batch", WindowConvention::Joined, 4, 0, 8, 0, 0);
        row("text as ids", WindowConvention::Tokens, 4, 0, 8, 0, 1);
    }
    void badOptionsAreArguments()
    {
        QFETCH(int, convention);
        QFETCH(int, length);
        QFETCH(int, stride);
        QFETCH(int, shards);
        QFETCH(int, maxWindows);
        QFETCH(int, batch);
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij");
        const WindowOptions options{static_cast<WindowConvention>(convention), length, stride, shards, maxWindows, batch};
        ErrorCode code{};
        QVERIFY(!errorOf([&] { makeWindows({folder.path("t.txt")}, ByteTokenizer(), options); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }

    void onlySoManyWindowsAsAskedFor()
    {
        TokenizerFolder folder;
        folder.write("t.txt", repeated("abcdefgh\n", 20));
        for (const WindowConvention convention : {WindowConvention::Joined, WindowConvention::BosPerWindow,
            WindowConvention::Sharded,
                                                  WindowConvention::Strided, WindowConvention::WordPerplexity}) {
            WindowOptions options = optionsOf(convention, 8);
            options.stride = 4;
            options.shards = 2;
            const Warnings warnings;
            const QStringList all = shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options));
            options.maxWindows = 3;
            QCOMPARE(shown(makeWindows({folder.path("t.txt")}, ByteTokenizer(), options)), all.mid(0, 3));
        }
    }

    void theHashFollowsIdsAndOptions()
    {
        TokenizerFolder folder;
        folder.write("t.txt", "abcdefghij").write("u.txt", "abcdefghij").write("v.txt", "abcdefghiX");
        const auto hash = [&](const char *file, const WindowOptions &options) {
            return makeWindows({folder.path(file)}, ByteTokenizer(), options).hash;
        };
        const WindowOptions options = optionsOf(WindowConvention::Joined, 4);
        QCOMPARE(hash("t.txt", options).size(), std::size_t{32});
        QCOMPARE(hash("u.txt", options), hash("t.txt", options));  // where it lies does not matter
        WindowOptions batches = options;
        batches.batch = 2;
        QVERIFY(hash("t.txt", batches) != hash("t.txt", options));
        QVERIFY(hash("v.txt", optionsOf(WindowConvention::Joined, 11)) != hash("t.txt", optionsOf(WindowConvention::Joined, 11)));
        // The same ids, scored differently.
        WindowOptions strided = optionsOf(WindowConvention::Strided, 11);
        strided.stride = 1;
        QVERIFY(hash("t.txt", strided) != hash("t.txt", optionsOf(WindowConvention::Joined, 11)));
    }

    void rowsOfAnArrayAreWindows()
    {
        TokenizerFolder folder;
        const std::vector<std::int32_t> ids{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
        const std::string path = writeIds(folder, DType::I32, {2, 5}, ids);
        const TokenWindows whole = readTokenWindows(path, optionsOf(WindowConvention::Tokens, 2048), 11);
        QCOMPARE(whole.windows.size(), std::size_t{2});
        COMPARE_IDS(whole.windows[1].ids, (Ids{6, 7, 8, 9, 10}));
        QCOMPARE(whole.windows[1].firstScored, std::int64_t{1});
        QVERIFY(whole.options.convention == WindowConvention::Tokens);
        QCOMPARE(whole.totalIds, std::int64_t{10});
        const TokenWindows cut = readTokenWindows(path, optionsOf(WindowConvention::Joined, 2), 11);
        QCOMPARE(cut.windows.size(), std::size_t{4});
        COMPARE_IDS(cut.windows[2].ids, (Ids{6, 7}));
        QVERIFY(cut.hash != whole.hash);
        const std::string row = writeIds(folder, DType::I64, {10}, std::vector<std::int64_t>(ids.begin(), ids.end()));
        const TokenWindows fromRow = readTokenWindows(row, optionsOf(WindowConvention::Tokens, 4), 11);
        QCOMPARE(fromRow.windows.size(), std::size_t{2});
        COMPARE_IDS(fromRow.windows[1].ids, (Ids{5, 6, 7, 8}));
    }

    void badArraysAreNamed_data()
    {
        QTest::addColumn<QByteArray>("kind");
        QTest::addColumn<QString>("message");
        QTest::newRow("id beyond the vocabulary") << QByteArray("large")
            << "row 1, column 2: token id 11 is outside the vocabulary [0, 11)";
        QTest::newRow("negative id") << QByteArray("negative") << "row 0, column 3: token id -1 is outside";
        QTest::newRow("id of 64 bits") << QByteArray("wide") << "row 0, column 0: token id 4294967297 is outside";
        QTest::newRow("floats") << QByteArray("float") << "holds F32, token ids must be I32 or I64";
        QTest::newRow("three dimensions") << QByteArray("cube") << "has 3 dimensions";
        QTest::newRow("no rows") << QByteArray("none") << "0 rows of 4 token ids give no window";
        QTest::newRow("one id a row") << QByteArray("narrow") << "8 rows of 1 token ids give no window";
    }
    void badArraysAreNamed()
    {
        QFETCH(QByteArray, kind);
        QFETCH(QString, message);
        TokenizerFolder folder;
        std::vector<std::int32_t> ids{1, 2, 3, 4, 5, 6, 7, 8};
        Shape shape{2, 4};
        DType dtype = DType::I32;
        if (kind == "large")
            ids[6] = 11;
        if (kind == "negative")
            ids[3] = -1;
        if (kind == "float")
            dtype = DType::F32;
        if (kind == "cube")
            shape = {2, 2, 2};
        if (kind == "narrow")
            shape = {8, 1};
        if (kind == "none") {
            shape = {0, 4};
            ids.clear();
        }
        std::string path;
        if (kind == "wide")
            path = writeIds(folder, DType::I64, {2, 2}, std::vector<std::int64_t>{4294967297, 2, 3, 4});
        else
            path = writeIds(folder, dtype, shape, ids);
        const std::string what = errorOf([&] { readTokenWindows(path, optionsOf(WindowConvention::Tokens, 4), 11); });
        QVERIFY2(what.find(message.toStdString()) != std::string::npos, what.c_str());
        QVERIFY2(what.find("ids.npy") != std::string::npos, what.c_str());
    }

    void conventionsHaveNames()
    {
        for (const WindowConvention convention : {WindowConvention::Joined, WindowConvention::BosPerWindow,
            WindowConvention::Sharded,
                                                  WindowConvention::Strided, WindowConvention::WordPerplexity,
                                                      WindowConvention::Tokens})
            QVERIFY(windowConventionFromString(lqer::toString(convention)) == convention);
        ErrorCode code{};
        const std::string message = errorOf([] { windowConventionFromString("shraded"); }, &code);
        QVERIFY(code == ErrorCode::Argument);
        const char *known = "known: joined, bos-per-window, sharded, strided, word-perplexity, tokens";
        QVERIFY2(message.find(known) != std::string::npos, message.c_str());
        QVERIFY2(message.find("did you mean 'sharded'?") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TokenWindowsTest)
#include "tst_token_windows.moc"
