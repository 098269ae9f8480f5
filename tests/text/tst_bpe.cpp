// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <algorithm>
#include <random>

#include "core/text/bpe.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

Vocabulary vocabularyOf(const std::vector<std::string> &tokens)
{
    Vocabulary vocabulary("test");
    for (std::size_t i = 0; i < tokens.size(); ++i)
        vocabulary.add(tokens[i], static_cast<std::int64_t>(i));
    vocabulary.close();
    return vocabulary;
}

std::vector<std::string> tokensOf(const Bpe &bpe, const Vocabulary &vocabulary, std::string_view word)
{
    Ids ids;
    bpe.encode(word, ids);
    std::vector<std::string> tokens;
    for (const TokenId id : ids)
        tokens.emplace_back(vocabulary.token(id));
    return tokens;
}

QString joined(const std::vector<std::string> &tokens)
{
    QStringList list;
    for (const std::string &token : tokens)
        list.append(QString::fromStdString(token));
    return list.join('|');
}

// The definition: again and again the earliest rule that applies anywhere, at its leftmost place.
std::vector<std::string> mergedByDefinition(const std::string &word, const std::vector<BpeMerge> &merges)
{
    std::vector<std::string> symbols;
    for (const char c : word)
        symbols.emplace_back(1, c);
    while (true) {
        std::size_t bestRule = merges.size();
        std::size_t place = 0;
        for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
            for (std::size_t r = 0; r < bestRule; ++r) {
                if (merges[r].left == symbols[i] && merges[r].right == symbols[i + 1]) {
                    bestRule = r;
                    place = i;
                }
            }
        }
        if (bestRule == merges.size())
            return symbols;
        symbols[place] += symbols[place + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
}

struct RandomModel {
    std::vector<std::string> tokens{"a", "b", "c"};
    std::vector<BpeMerge> merges;
};

// Merges in random order, so that a rule's parts may be made later than the rule comes: trained models never do that.
RandomModel randomModel(std::mt19937 &random, bool shuffled)
{
    RandomModel model;
    for (int i = 0; i < 60; ++i) {
        const BpeMerge merge{model.tokens[random() % model.tokens.size()], model.tokens[random() % model.tokens.size()]};
        const std::string token = merge.left + merge.right;
        const bool known = std::any_of(model.merges.begin(), model.merges.end(),
                                       [&](const BpeMerge &m) { return m.left == merge.left && m.right == merge.right; });
        if (token.size() > 12 || known)
            continue;
        model.merges.push_back(merge);
        if (std::find(model.tokens.begin(), model.tokens.end(), token) == model.tokens.end())
            model.tokens.push_back(token);
    }
    if (shuffled)
        std::shuffle(model.merges.begin(), model.merges.end(), random);
    return model;
}

}  // namespace

class BpeTest : public QObject {
    Q_OBJECT
private slots:
    void followsTheDefinitionOnWordsOfEveryLength_data()
    {
        QTest::addColumn<bool>("shuffled");
        QTest::newRow("as trained") << false;
        QTest::newRow("in any order") << true;
    }
    void followsTheDefinitionOnWordsOfEveryLength()
    {
        QFETCH(bool, shuffled);
        std::mt19937 random(17);
        for (int m = 0; m < 20; ++m) {
            const RandomModel model = randomModel(random, shuffled);
            const Vocabulary vocabulary = vocabularyOf(model.tokens);
            const Bpe bpe(vocabulary, model.merges, {});
            // 32 symbols is where the way of computing changes.
            for (const std::size_t length : {1U, 2U, 5U, 31U, 32U, 33U, 34U, 100U, 400U}) {
                for (int k = 0; k < 4; ++k) {
                    std::string word;
                    for (std::size_t i = 0; i < length; ++i)
                        word += k == 0 ? 'a' : static_cast<char>('a' + random() % 3);
                    QCOMPARE(joined(tokensOf(bpe, vocabulary, word)), joined(mergedByDefinition(word, model.merges)));
                }
            }
        }
    }

    // O(n^2) would need hours.
    void aWordOfTenMegabytesEnds()
    {
        const Vocabulary vocabulary = vocabularyOf({"a", "b", "aa", "aaaa", "ab"});
        const Bpe bpe(vocabulary, {{"a", "b"}, {"a", "a"}, {"aa", "aa"}}, {});
        Ids ids;
        bpe.encode(std::string(10'000'000, 'a') + "b", ids);
        // The last a goes to the b; of the 9999999 others, pairs from the left, and pairs of those.
        QCOMPARE(ids.size(), std::size_t{2'499'999 + 3});
        COMPARE_IDS(Ids(ids.end() - 4, ids.end()), (Ids{3, 2, 0, 4}));
    }

    void unknownCharacters_data()
    {
        QTest::addColumn<QString>("unknown");
        QTest::addColumn<bool>("fuse");
        QTest::addColumn<bool>("bytes");
        QTest::addColumn<QString>("tokens");
        // "a?\u00e9\u00ea?b": ? is unknown and has no byte token, \u00e9 = C3 A9 has both, \u00ea = C3 AA lacks one.
        QTest::newRow("vanish") << "" << false << false << "a|b";
        QTest::newRow("one each") << "<unk>" << false << false << "a|<unk>|<unk>|<unk>|<unk>|b";
        QTest::newRow("fused") << "<unk>" << true << false << "a|<unk>|b";
        // Bytes overtake the unknown token that waits, and only letters of the vocabulary end the wait.
        QTest::newRow("bytes") << "<unk>" << false << true << "a|<0xC3>|<0xA9>|<unk>|<unk>|<unk>|b";
        QTest::newRow("bytes, fused") << "<unk>" << true << true << "a|<0xC3>|<0xA9>|<unk>|b";
        QTest::newRow("bytes, no unknown token") << "" << false << true << "a|<0xC3>|<0xA9>|b";
    }
    void unknownCharacters()
    {
        QFETCH(QString, unknown);
        QFETCH(bool, fuse);
        QFETCH(bool, bytes);
        QFETCH(QString, tokens);
        const Warnings warnings;
        const Vocabulary vocabulary = vocabularyOf({"a", "b", "<unk>", "<0xC3>", "<0xA9>", "<0x-1>"});
        BpeOptions options;
        options.unknownToken = unknown.toStdString();
        options.fuseUnknown = fuse;
        options.byteFallback = bytes;
        const Bpe bpe(vocabulary, {}, options);
        QCOMPARE(warnings.has("byte tokens missing: <0x00> and 253 more"), bytes);
        QCOMPARE(joined(tokensOf(bpe, vocabulary, "a?\u00e9\u00ea?b")), tokens);
    }

    void anUnknownTokenThatIsMissingIsAnErrorWhenItIsNeeded()
    {
        const Warnings warnings;
        const Vocabulary vocabulary = vocabularyOf({"a"});
        BpeOptions options;
        options.unknownToken = "<unk>";
        const Bpe bpe(vocabulary, {}, options);
        QVERIFY(warnings.has("unk_token '<unk>' is not in the vocabulary"));
        QCOMPARE(joined(tokensOf(bpe, vocabulary, "aa")), QString("a|a"));
        Ids ids;
        QVERIFY(errorOf([&] { bpe.encode("ax", ids); }).find("the text needs unk_token '<unk>'") != std::string::npos);
    }

    void prefixesAndSuffixesMarkThePlaceInTheWord()
    {
        const Vocabulary vocabulary = vocabularyOf({"a", "##b", "##c</w>", "a</w>", "ab", "abc</w>", "##c"});
        BpeOptions options;
        options.continuingSubwordPrefix = "##";
        options.endOfWordSuffix = "</w>";
        const Bpe bpe(vocabulary, {{"a", "##b"}, {"ab", "##c</w>"}}, options);
        QCOMPARE(joined(tokensOf(bpe, vocabulary, "abc")), QString("abc</w>"));
        QCOMPARE(joined(tokensOf(bpe, vocabulary, "a")), QString("a</w>"));
        QCOMPARE(joined(tokensOf(bpe, vocabulary, "abcc")), QString("ab|##c|##c</w>"));
    }

    void aWholeWordMayComeBeforeItsMerges()
    {
        const Vocabulary vocabulary = vocabularyOf({"a", "b", "c", "ab", "abc"});
        BpeOptions options;
        QCOMPARE(joined(tokensOf(Bpe(vocabulary, {{"a", "b"}}, options), vocabulary, "abc")), QString("ab|c"));
        options.ignoreMerges = true;
        QCOMPARE(joined(tokensOf(Bpe(vocabulary, {{"a", "b"}}, options), vocabulary, "abc")), QString("abc"));
        QCOMPARE(joined(tokensOf(Bpe(vocabulary, {{"a", "b"}}, options), vocabulary, "abca")), QString("ab|c|a"));
    }

    void theLaterOfTwoRulesForOnePairCounts()
    {
        const Vocabulary vocabulary = vocabularyOf({"a", "b", "c", "ab", "bc"});
        const std::vector<BpeMerge> merges{{"a", "b"}, {"b", "c"}, {"a", "b"}};
        QCOMPARE(joined(tokensOf(Bpe(vocabulary, merges, {}), vocabulary, "abc")), QString("a|bc"));
    }
};

QTEST_GUILESS_MAIN(BpeTest)
#include "tst_bpe.moc"
