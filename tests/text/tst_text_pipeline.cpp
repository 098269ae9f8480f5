// SPDX-License-Identifier: Apache-2.0
// The steps of a tokenizer one by one, on cases small enough to be derived by hand from the rules of the tokenizers library.
#include <QtTest>

#include "core/text/added_tokens.h"
#include "core/text/byte_level.h"
#include "core/text/decoder.h"
#include "core/text/normalizer.h"
#include "core/text/pattern.h"
#include "core/text/post_processor.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/unicode.h"
#include "tests/support/shared_data.h"
#include "tests/text/tokenizer_files.h"

using namespace lqer;
using namespace lqer::test;

namespace {

constexpr const char *llama3Expression =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char *qwen2Expression =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

Json splitBy(const char *kind, const char *pattern, const char *behavior = "Isolated", bool invert = false)
{
    Json expression = Json::object();
    expression.set(kind, pattern);
    Json split = Json::object();
    split.set("type", "Split").set("pattern", expression).set("behavior", behavior).set("invert", invert);
    return split;
}

// Pieces of `text` between bars.
QString piecesOf(const Json &preTokenizer, const std::string &text)
{
    const PreTokenizer steps = PreTokenizer::fromJson(JsonReader(preTokenizer, "test"));
    QStringList pieces;
    for (const TextPiece &piece : steps.apply({{text, Vocabulary::none, true}}))
        pieces.append(QString::fromStdString(piece.text));
    return pieces.join('|');
}

std::string normalizedBy(const char *json, const std::string &text)
{
    const Json value = parse(json);
    return Normalizer::fromJson(JsonReader(value, "test")).apply(text);
}

std::string decodedBy(const char *json, const std::vector<std::string> &tokens)
{
    const Json value = parse(json);
    return Decoder::fromJson(JsonReader(value, "test")).apply(tokens);
}

}  // namespace

class TextPipeline : public QObject {
    Q_OBJECT
private slots:
    void expressionsCutAsInTheirModels_data()
    {
        QTest::addColumn<QString>("expression");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("pieces");
        const auto llama3 = [](const char *name, const QString &text, const QString &pieces) {
            QTest::newRow(name) << llama3Expression << text << pieces;
        };
        llama3("words", "Hello world", "Hello| world");
        llama3("three digits at most", "I'm 12345 years", "I|'m| |123|45| years");
        llama3("contractions in capitals", "DON'T I'LL", "DON|'T| I|'LL");
        llama3("line feeds take spaces before them", "a \n\n  b", "a| \n\n| | b");
        llama3("punctuation takes line feeds behind it", "foo!?\nbar", "foo|!?\n|bar");
        llama3("one character may lead a word", "a\tb (c) x=y", "a|\tb| (|c|)| x|=y");
        llama3("tabs", "tabs\t\tx", "tabs|\t|\tx");
        llama3("numbers", "3.14 = pi", "3|.|14| =| pi");
        llama3("trailing spaces", "end   ", "end|   ");
        llama3("other scripts", "caf\u00e9 \u4f60\u597d\u0661\u0662\u0663\u0664",
            "caf\u00e9| \u4f60\u597d|\u0661\u0662\u0663|\u0664");
        llama3("long s is an s without case", "it'\u017f", "it|'\u017f");
        llama3("no-break space leads a word", "a\u00a0b", "a|\u00a0b");
        const auto qwen2 = [](const char *name, const QString &text, const QString &pieces) {
            QTest::newRow(name) << qwen2Expression << text << pieces;
        };
        qwen2("digits one by one", "In 2024!", "In| |2|0|2|4|!");
        qwen2("empty lines", "x\r\n\r\ny", "x|\r\n\r\n|y");
    }
    void expressionsCutAsInTheirModels()
    {
        QFETCH(QString, expression);
        QFETCH(QString, text);
        QFETCH(QString, pieces);
        QCOMPARE(piecesOf(splitBy("Regex", expression.toUtf8().constData()), text.toStdString()), pieces);
    }

    void gpt2CutsAndWritesBytes_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<bool>("prefixSpace");
        QTest::addColumn<QString>("pieces");
        QTest::newRow("spaces") << "Hello  world!!" << false << "Hello|\u0120|\u0120world|!!";
        QTest::newRow("contraction") << "it's 2024" << false << "it|'s|\u01202024";
        QTest::newRow("capitals are no contraction") << "IT'S" << false << "IT|'|S";
        QTest::newRow("prefix space") << "Hi" << true << "\u0120Hi";
        QTest::newRow("prefix space that is there") << " Hi" << true << "\u0120Hi";
        QTest::newRow("bytes") << "\n\u00e9" << false << "\u010a|\u00c3\u00a9";
    }
    void gpt2CutsAndWritesBytes()
    {
        QFETCH(QString, text);
        QFETCH(bool, prefixSpace);
        QFETCH(QString, pieces);
        Json json = Json::object();
        json.set("type", "ByteLevel").set("add_prefix_space", prefixSpace).set("trim_offsets", true);
        QCOMPARE(piecesOf(json, text.toStdString()), pieces);
        json.set("use_regex", false);
        QVERIFY(!piecesOf(json, text.toStdString()).contains('|'));
    }

    void delimitersGoWhereTheBehaviourSays_data()
    {
        QTest::addColumn<QString>("behavior");
        QTest::addColumn<bool>("invert");
        QTest::addColumn<QString>("pieces");
        // The library's own example: NormalizedString::split of "the-final--countdown".
        QTest::newRow("Removed") << "Removed" << false << "the|final|countdown";
        QTest::newRow("Isolated") << "Isolated" << false << "the|-|final|-|-|countdown";
        QTest::newRow("MergedWithPrevious") << "MergedWithPrevious" << false << "the-|final-|-|countdown";
        QTest::newRow("MergedWithNext") << "MergedWithNext" << false << "the|-final|-|-countdown";
        QTest::newRow("Contiguous") << "Contiguous" << false << "the|-|final|--|countdown";
        QTest::newRow("Removed, inverted") << "Removed" << true << "-|-|-";
    }
    void delimitersGoWhereTheBehaviourSays()
    {
        QFETCH(QString, behavior);
        QFETCH(bool, invert);
        QFETCH(QString, pieces);
        for (const char *kind : {"String", "Regex"})
            QCOMPARE(piecesOf(splitBy(kind, "-", behavior.toLatin1().constData(), invert), "the-final--countdown"), pieces);
    }

    void otherPreTokenizersCut_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("pieces");
        const auto row = [](const char *name, const char *json, const char *text, const QString &pieces) {
            QTest::newRow(name) << QByteArray(json) << QString(text) << pieces;
        };
        row("digits one by one", R"({"type":"Digits","individual_digits":true})", "a12b", "a|1|2|b");
        row("digits together", R"({"type":"Digits","individual_digits":false})", "a12b", "a|12|b");
        row("punctuation", R"({"type":"Punctuation"})", "hey!!$", "hey|!|!|$");
        row("punctuation together", R"({"type":"Punctuation","behavior":"Contiguous"})", "hey!!$ \u2014x", "hey|!!$| |\u2014|x");
        row("whitespace", R"({"type":"Whitespace"})", "Hey man, \u00e9_1!", "Hey|man|,|\u00e9_1|!");
        row("whitespace split", R"({"type":"WhitespaceSplit"})", " Hey  man,\u3000ok ", "Hey|man,|ok");
        row("fixed length", R"({"type":"FixedLength","length":3})", "abcd\u00e9fg", "abc|d\u00e9f|g");
        row("metaspace", R"({"type":"Metaspace","replacement":"\u2581"})", "Hey  my", "\u2581Hey|\u2581|\u2581my");
        row("metaspace is there", R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always"})", " Hey",
            "\u2581Hey");
        row("metaspace never", R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"never"})", "Hey my",
            "Hey|\u2581my");
        row("metaspace, old words", R"({"type":"Metaspace","replacement":"\u2581","add_prefix_space":false})", "Hey my",
            "Hey|\u2581my");
        row("metaspace unsplit", R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"first","split":false})",
            "Hey my",
            "\u2581Hey\u2581my");
        row("metaspace first, after a cut",
            R"({"type":"Sequence","pretokenizers":[{"type":"Punctuation"},
                {"type":"Metaspace","replacement":"\u2581","prepend_scheme":"first"}]})",
            "a,b", "\u2581a|,|b");
    }
    void otherPreTokenizersCut()
    {
        QFETCH(QByteArray, json);
        QFETCH(QString, text);
        QFETCH(QString, pieces);
        QCOMPARE(piecesOf(parse(json.toStdString()), text.toStdString()), pieces);
    }

    void addedTokensPassPreTokenizers()
    {
        PreTokenizer steps;
        steps.addByteLevel(false, true);
        const auto pieces = steps.apply({{"a b", Vocabulary::none, true}, {"", 7, false}, {"", Vocabulary::none, false}});
        QCOMPARE(pieces.size(), std::size_t{3});
        QCOMPARE(pieces[2].id, 7);
    }

    void normalizersNormalize_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("normalized");
        const auto row = [](const char *name, const char *json, const char *text, const QString &normalized) {
            QTest::newRow(name) << QByteArray(json) << QString(text) << normalized;
        };
        row("NFC", R"({"type":"NFC"})", "e\u0301", "\u00e9");
        row("NFD", R"({"type":"NFD"})", "\u00e9\uac00", "e\u0301\u1100\u1161");
        row("NFKC", R"({"type":"NFKC"})", "\ufb01\u00bd\uff21", "fi1\u20442A");
        row("NFKD", R"({"type":"NFKD"})", "\u00e9\u2460", "e\u03011");
        row("lower case", R"({"type":"Lowercase"})", "\u00c9\u03a3\u0130A", "\u00e9\u03c3i\u0307a");
        row("strip", R"({"type":"Strip","strip_left":true,"strip_right":true})", " \u3000a b\n", "a b");
        row("strip left", R"({"type":"Strip","strip_left":true,"strip_right":false})", " a ", "a ");
        row("strip right", R"({"type":"Strip","strip_left":false,"strip_right":true})", " a ", " a");
        row("strip everything", R"({"type":"Strip","strip_left":true,"strip_right":true})", "  ", "");
        row("accents", R"({"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]})", "caf\u00e9", "cafe");
        row("prepend", R"({"type":"Prepend","prepend":"\u2581"})", "a", "\u2581a");
        row("nothing before nothing", R"({"type":"Prepend","prepend":"\u2581"})", "", "");
        row("replace", R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"})", " a  b", "\u2581a\u2581\u2581b");
        row("replace by expression", R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "})", "a   b c", "a b c");
        row("a string is no expression", R"({"type":"Replace","pattern":{"String":"."},"content":"!"})", "a.b", "a!b");
        row("bytes", R"({"type":"ByteLevel"})", "a b", "a\u0120b");
    }
    void normalizersNormalize()
    {
        QFETCH(QByteArray, json);
        QFETCH(QString, text);
        QFETCH(QString, normalized);
        QCOMPARE(QString::fromStdString(normalizedBy(json.constData(), text.toStdString())), normalized);
    }

    void decodersDecode_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QStringList>("tokens");
        QTest::addColumn<QString>("text");
        const char *llama = R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},
            {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";
        QTest::newRow("llama") << QByteArray(llama) << QStringList{"\u2581Hey", "\u2581you", "<0xC3>", "<0xA9>", "!"}
            << "Hey you\u00e9!";
        QTest::newRow("llama, broken bytes") << QByteArray(llama) << QStringList{"a", "<0xE5>", "<0x8f>", "b", "<0xFF>"}
                                             << "a\ufffd\ufffdb\ufffd";
        QTest::newRow("llama, no bytes") << QByteArray(llama) << QStringList{"<0x-1>", "<0xZZ>", "<0x123>", "<0x4>", "<0x+1>"}
                                         << "<0x-1><0xZZ><0x123><0x4><0x+1>";
        QTest::newRow("byte level") << QByteArray(R"({"type":"ByteLevel"})")
            << QStringList{"\u0120a", "\u00c3", "\u00a9", "\u010a"}
                                    << " a\u00e9\n";
        QTest::newRow("byte level, cut character") << QByteArray(R"({"type":"ByteLevel"})")
            << QStringList{"a", "\u00e2\u0124"} << "a\ufffd";
        QTest::newRow("byte level, no bytes") << QByteArray(R"({"type":"ByteLevel"})") << QStringList{"\u4f60", "\u0120b"}
            << "\u4f60 b";
        QTest::newRow("metaspace") << QByteArray(R"({"type":"Metaspace","replacement":"\u2581"})")
            << QStringList{"\u2581Hey", "\u2581you"}
                                   << "Hey you";
        QTest::newRow("metaspace never") << QByteArray(R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"never"})")
                                         << QStringList{"\u2581Hey", "\u2581you"} << " Hey you";
        QTest::newRow("strip both ends") << QByteArray(R"({"type":"Strip","content":"H","start":1,"stop":2})")
            << QStringList{"HHeyHHH", "H"}
                                         << "HeyH";
        QTest::newRow("suffix") << QByteArray(R"({"type":"BPEDecoder","suffix":"</w>"})")
            << QStringList{"lo", "w</w>", "er</w>"} << "low er";
    }
    void decodersDecode()
    {
        QFETCH(QByteArray, json);
        QFETCH(QStringList, tokens);
        QFETCH(QString, text);
        std::vector<std::string> list;
        for (const QString &token : tokens)
            list.push_back(token.toStdString());
        QCOMPARE(QString::fromStdString(decodedBy(json.constData(), list)), text);
    }

    void withoutDecoderTokensAreJoinedBySpaces()
    {
        QCOMPARE(Decoder().apply({"a", "b"}), std::string("a b"));
    }

    void anUnknownDecoderIsAWarning()
    {
        const Warnings warnings;
        QCOMPARE(decodedBy(R"({"type":"CTC"})", {"a", "b"}), std::string("ab"));
        QVERIFY(warnings.has("decoder 'CTC' is not known"));
    }

    void postProcessorsAddTheirTokens_data()
    {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<QString>("ids");
        QTest::newRow("template")
            << QByteArray(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"two","type_id":0}}],"pair":[],
            "special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]},"two":{"id":"two","ids":[2,3],"tokens":["a","b"]}}})")
                                  << "1 8 9 2 3 ";
        QTest::newRow("bert") << QByteArray(R"({"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]})") << "1 8 9 2 ";
        QTest::newRow("roberta")
            << QByteArray(R"({"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0],"trim_offsets":true})")
                                 << "0 8 9 2 ";
        QTest::newRow("byte level") << QByteArray(R"({"type":"ByteLevel","trim_offsets":true})") << "8 9 ";
        QTest::newRow("sequence") << QByteArray(R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
            {"type":"BertProcessing","sep":["",2],"cls":["",1]},
            {"type":"BertProcessing","sep":["",4],"cls":["",3]}]})") << "3 1 8 9 2 4 ";
    }
    void postProcessorsAddTheirTokens()
    {
        QFETCH(QByteArray, json);
        QFETCH(QString, ids);
        const Json value = parse(json.toStdString());
        QCOMPARE(shown(PostProcessor::fromJson(JsonReader(value, "test"), 10).apply({8, 9})), ids);
    }

    void addedTokensAreCutOut_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("sections");
        QTest::newRow("none") << "abc" << "abc";
        QTest::newRow("longest first") << "x<e><e1>y" << "x|<1>|<2>|y";
        QTest::newRow("single word stands alone") << "cat concat cat_ cat" << "<3>| concat cat_ |<3>";
        QTest::newRow("swallows on the left") << "a  [L] b" << "a|<4>| b";
        QTest::newRow("swallows on the right") << "a [R]  \u3000b" << "a |<5>|b";
        QTest::newRow("side by side") << "[R] [L]<e>" << "<5>|<4>|<1>";
        QTest::newRow("expression characters are literal") << "a.*b" << "a|<6>|b";
        QTest::newRow("normalized ones wait") << "Day" << "Day";
    }
    void addedTokensAreCutOut()
    {
        QFETCH(QString, text);
        QFETCH(QString, sections);
        const AddedTokens tokens({{"<e>", 1}, {"<e1>", 2}, {"cat", 3, false, false, true},
                                  {"[L]", 4, true, false, false, true, false},
                                  {"[R]", 5, true, false, false, false, true}, {".*", 6}, {"Day", 7, false, true}},
                                 Normalizer(), "test");
        const std::string bytes = text.toStdString();
        QStringList shownSections;
        for (const TextSection &section : tokens.splitRaw(bytes))
            shownSections.append(section.id == Vocabulary::none
                                     ? QString::fromUtf8(section.text.data(), static_cast<qsizetype>(section.text.size()))
                                     : QString("<%1>").arg(section.id));
        QCOMPARE(shownSections.join('|'), sections);
    }

    void normalizedAddedTokensAreLookedForInTheirNormalizedForm()
    {
        const Json lower = parse(R"({"type":"Lowercase"})");
        const AddedTokens tokens({{"Day", 7, false, true}}, Normalizer::fromJson(JsonReader(lower, "test")), "test");
        const auto sections = tokens.splitNormalized("monday");
        QCOMPARE(sections.size(), std::size_t{2});
        QCOMPARE(sections[1].id, 7);
        QVERIFY(tokens.splitNormalized("monDay").size() == 1);
    }

    void everyByteHasACharacterAndBack()
    {
        std::string bytes;
        for (int i = 0; i < 256; ++i)
            bytes += static_cast<char>(i);
        const std::string text = bytesToCharacters(bytes);
        QCOMPARE(QString::fromStdString(text).size(), 256);
        QCOMPARE(QString::fromStdString(bytesToCharacters(std::string("\0 \n\x7f\xad", 5))),
            QString("\u0100\u0120\u010a\u0121\u0143"));
        std::string back;
        QVERIFY(appendBytes(text, back));
        QCOMPARE(back, bytes);
        QVERIFY(!appendBytes("\xE4\xBD\xA0", back));
        QCOMPARE(back, bytes);
    }

    void brokenUtf8BecomesReplacementCharacters_data()
    {
        QTest::addColumn<QByteArray>("bytes");
        QTest::addColumn<QString>("text");
        // Unicode 15, table 3-8 and the paragraphs before it.
        QTest::newRow("whole") << QByteArray("a\xC3\xA9\xF0\x9F\x98\x80") << "a\u00e9\U0001F600";
        QTest::newRow("overlong") << QByteArray("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") << QString(8, QChar(0xFFFD)) + "A";
        QTest::newRow("surrogate") << QByteArray("\xED\xA0\x80\xED\xBF\x41") << QString(5, QChar(0xFFFD)) + "A";
        QTest::newRow("too large") << QByteArray("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") << QString(5, QChar(0xFFFD))
            + "A\ufffd\ufffdB";
        QTest::newRow("cut") << QByteArray("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") << QString(4, QChar(0xFFFD)) + "A";
        QTest::newRow("cut at the end") << QByteArray("a\xE2\x82") << "a\ufffd";
    }
    void brokenUtf8BecomesReplacementCharacters()
    {
        QFETCH(QByteArray, bytes);
        QFETCH(QString, text);
        QCOMPARE(QString::fromStdString(replaceInvalidUtf8(bytes.toStdString())), text);
    }

    void whiteSpaceIsTheUnicodePropertyInExpressions()
    {
        const Json none;
        const Pattern space = Pattern::regex("\\s", JsonReader(none, "test"));
        const Pattern other = Pattern::regex("[\\S]", JsonReader(none, "test"));
        const Pattern word = Pattern::regex("\\w", JsonReader(none, "test"));
        for (char32_t c = 0; c < 0x11000; ++c) {
            if (c >= 0xD800 && c < 0xE000)
                continue;
            std::string text;
            appendCharacter(text, c);
            QCOMPARE(space.matches(text).size() == 1, isWhiteSpace(c));
            QCOMPARE(other.matches(text).size() == 1, !isWhiteSpace(c));
        }
        for (const char *text : {"a", "7", "_", "\u0301", "\u0903", "\u20dd", "\u203f", "\u4f60", "\u24b6"})
            QVERIFY2(word.matches(text).size() == 1, text);
        for (const char *text : {" ", "-", "\u00b2", "\u2460", "\u20ac"})
            QVERIFY2(word.matches(text).empty(), text);
    }

    void emptyMatchesMoveOn()
    {
        const Json none;
        QCOMPARE(Pattern::regex("x*", JsonReader(none, "test")).replaceAll("axb\u00e9", "-"), std::string("-a-b-\u00e9-"));
    }
};

QTEST_GUILESS_MAIN(TextPipeline)
#include "tst_text_pipeline.moc"
