// SPDX-License-Identifier: Apache-2.0
#include <QProcess>
#include <QtTest>

#include <algorithm>
#include <limits>
#include <optional>
#include <random>

#include "core/base/error.h"
#include "core/io/toml.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

// Texts that are TOML, from the specification's examples and from what LQER's configurations look like.
const std::vector<std::pair<std::string, std::string>> &goodTexts()
{
    static const std::vector<std::pair<std::string, std::string>> texts{
        {"pipeline",
            "project = \"lqer\"\nenable=true # comment\ntags=[\"a\", 'b']\n\n[wandb]\n    job_type=\"opt-125m\"\n[approximate]\n"
            "  name=\"lqer-act\"\n  [approximate.lqer_svd]\n  [approximate.approximator]\n"
            "    'model\\.layers\\.[0-9]+\\.self_attn\\.(k|q|v|o)_proj\\.weight'=\"default\"\n"
            "    [approximate.approximator.default]\n    rank=32\n      [approximate.approximator.default.W_quantizer]\n"
            "      name=\"block_fp\"\n      exponent_bias=\"NA\"\n      block_size=[1, -1]\n"},
        {"only a comment", "# nothing"},
        {"integers",
            "a=1\nb=-17\nc=+99\nd=0\ne=-0\nf=1_000\ng=0xDEAD_beef\nh=0o755\ni=0b1101\nj=9223372036854775807\nk=-"
            "9223372036854775808"},
        {"floats", "a=1.0\nb=-0.01\nc=5e+22\nd=1e06\ne=-2E-2\nf=6.626e-34\ng=224_617.445_991_228\nh=-0.0\ni=0.1\nj=1e-320"},
        {"basic texts", R"x(a="tab\t quote\" slash\\ \u00e9 \U0001F600 \b\f\n\r"
b=""
c="é ü 中")x"},
        {"literal texts", R"(a='C:\Users\n'
b=''
c='"quoted"')"},
        {"lines",
            "a=\"\"\"\nRoses\nViolets\"\"\"\nb=\"\"\"The quick \\\n\n   fox \\  \n  jumps.\"\"\"\nc='''\nfirst\n  'second' "
            "\\n'''\n"
            "d=\"\"\"two \"\" "
            "here\"\"\"\ne=\"\"\"\"quoted\"\"\"\"\nf=\"\"\"\"\"two\"\"\"\"\"\ng=''''one''''\nh=\"\"\"\"\"\"\ni=\"\"\"\\\n\"\"\""},
        {"carriage returns", "a=1\r\nb=\"\"\"x\r\ny\"\"\"\r\n[t]\r\n# c\r\n"},
        {"keys",
            "bare_-1=1\n1234=2\n\"quoted "
            "key\"=3\n'lit.eral'=4\n\"\"=5\n\"a\\\"b\"=6\nphysical.color='orange'\nsite.\"google.com\"=true\na . b . c=1"},
        {"dotted keys", "[fruit]\napple.color=1\napple.taste.sweet=true\n[fruit.apple.texture]\nsmooth=true\n"},
        {"keys out of order", "apple.type=1\norange.type=2\napple.skin=3\n"},
        {"implied tables", "[x.y.z.w]\n[x]\na=1\n[x.y]\nb=2\n"},
        {"dotted key into an implied table", "[a.b.c]\nz=1\n[a]\nd.e=2\n"},
        {"spaces in headers", "[ a . 'b.c' ]\n[\td\t]\n[[ e ]]\n"},
        {"array of tables", "[[p]]\nname=1\n[[p]]\n[[p]]\nname=2\n[p.inner]\nx=1\n[[p.list]]\ny=1\n[[p.list]]\ny=2\n"},
        {"inline tables", "a={x=1, y={z=[1,2]}, b.c=2}\nb={}\nc=[{a=1},{b=2},[]]\n"},
        {"arrays", "a=[]\nb=[ 1, # one\n 2 , \n ]\nc=[[1,2],['a',\"b\"],[[]]]\nd=[1,'a',2.5,true,{x=1}]\ne=[\n\n]\n"},
        {"flags", "a=true\nb=false#c"},
        {"sixteen dots", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1"},
        {"no line feed at the end", "a=1"},
        {"blanks", " \t a \t=\t 1 \t \n\n\n"},
    };
    return texts;
}

// What tomllib of Python 3.11 makes of each text: the value as JSON, or nothing where it refuses; an empty list without Python.
std::vector<std::optional<std::string>> readByPython(const std::vector<std::string> &texts)
{
    static const QString program
        = "import tomllib, json, sys, base64\n"
          "for line in sys.stdin:\n"
          "    try: print(json.dumps(tomllib.loads(base64.b64decode(line).decode()), allow_nan=True, default=str))\n"
          "    except (ValueError, RecursionError): print('refused')\n";
    QProcess python;
    python.start("/usr/bin/python3", {"-c", program});
    if (!python.waitForStarted())
        return {};
    for (const std::string &text : texts)
        python.write(QByteArray::fromStdString(text).toBase64() + '\n');
    python.closeWriteChannel();
    if (!python.waitForFinished(300'000) || python.exitCode() != 0)
        return {};
    std::vector<std::optional<std::string>> answers;
    for (const QByteArray &line : python.readAllStandardOutput().split('\n'))
        if (!line.isEmpty())
            answers.push_back(line == "refused" ? std::nullopt : std::optional(line.toStdString()));
    return answers.size() == texts.size() ? answers : std::vector<std::optional<std::string>>();
}

Json sorted(Json value)
{
    if (value.isObject()) {
        for (auto &member : value.asObject())
            member.second = sorted(member.second);
        std::sort(
            value.asObject().begin(), value.asObject().end(), [](const auto &x, const auto &y) { return x.first < y.first; });
    } else if (value.isArray()) {
        for (Json &element : value.asArray())
            element = sorted(element);
    }
    return value;
}

std::string mutated(std::mt19937 &random)
{
    std::string text = goodTexts()[random() % goodTexts().size()].second;
    static const std::string interesting = "[]{}=.,'\"\\#\n\r\t :-+_0e19tfn\x00\x7f\xc3\xff";
    for (int edits = 1 + static_cast<int>(random() % 4); edits > 0 && !text.empty(); --edits) {
        const std::size_t at = random() % text.size();
        const char c = random() % 4 ? interesting[random() % interesting.size()] : static_cast<char>(random());
        switch (random() % 4) {
        case 0:
            text[at] = c;
            break;
        case 1:
            text.insert(at, 1, c);
            break;
        case 2:
            text.erase(at, 1 + random() % 3);
            break;
        default:
            text.insert(at, text.substr(random() % text.size(), 1 + random() % 12));
            break;
        }
    }
    return text;
}

}  // namespace

class TestToml : public QObject {
    Q_OBJECT
private slots:
    void valuesAreWhatTheTextSays()
    {
        const Json config = parseToml(goodTexts()[0].second, "x.toml");
        QCOMPARE(config.find("enable")->asBool(), true);
        const Json &approximator = *config.find("approximate")->find("approximator");
        QCOMPARE(
            approximator.find(R"(model\.layers\.[0-9]+\.self_attn\.(k|q|v|o)_proj\.weight)")->asString(), std::string("default"));
        QCOMPARE(approximator.find("default")->find("W_quantizer")->dump(),
            std::string(R"({"name":"block_fp","exponent_bias":"NA","block_size":[1,-1]})"));
    }

    void readsWhatPythonReads()
    {
        std::vector<std::string> texts;
        for (const auto &[name, text] : goodTexts())
            texts.push_back(text);
        const std::vector<std::optional<std::string>> answers = readByPython(texts);
        if (answers.empty())
            QSKIP("tomllib is not there (python3 3.11 or newer)");
        for (std::size_t i = 0; i < texts.size(); ++i) {
            QVERIFY2(answers[i], goodTexts()[i].first.c_str());
            const Json ours = parseToml(texts[i], "x.toml");
            QCOMPARE(ours.dump(), parseJson(*answers[i], "python").dump());
        }
    }

    void refusesBadTexts_data()
    {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QString>("part");
        const auto row
            = [](const char *name, const QByteArray &text, const char *part) { QTest::newRow(name) << text << QString(part); };
        row("nothing", "", "is empty");
        row("same key", "a=1\n\na=2", "line 3: 'a' is defined twice (first in line 1)");
        row("same table", "[a]\n[b]\n[a]", "line 3: 'a' is defined twice (first in line 1)");
        row("same quoted key", "a=1\n'a'=2", "defined twice");
        row("table over a value", "a=1\n[a]", "defined twice");
        row("table into a value", "a=1\n[a.b]", "'a' is a value already (line 1)");
        row("table over a dotted one", "[f]\na.c=1\n[f.a]", "defined twice");
        row("dotted key into a table", "[a.b]\nx=1\n[a]\nb.y=2", "cannot be extended by a dotted key");
        row("dotted key into a value", "a=1\na.b=2", "cannot be extended by a dotted key");
        row("dotted key into an inline table", "a={b=1}\na.c=2", "cannot be extended");
        row("header into an inline table", "a={b=1}\n[a.c]", "cannot be extended");
        row("array over a table", "[a]\n[[a]]", "defined twice");
        row("table over an array", "[[a]]\n[a]", "defined twice");
        row("array over a list", "a=[]\n[[a]]", "defined twice");
        row("dotted key into an array", "[[a.b]]\n[a]\nb.c=1", "cannot be extended");
        row("same key in an inline table", "a={b=1, b=2}", "defined twice");
        row("empty key at the start of a header", "[.a]", "line 1: empty key");
        row("header over two lines", "[\n]", "empty key");
        row("empty key inside", "[a..b]", "empty key");
        row("empty key at the end", "[a.]", "empty key");
        row("empty header", "[]", "empty key");
        row("header of a comment", "[ #]", "empty key");
        row("open header", "[a", "']' expected");
        row("open array header", "[[a]", "']]' expected");
        row("letters of other scripts in a header", "[\xc3\xa9]", "only A-Z a-z 0-9 _ -");
        row("letters of other scripts in a key", "\xc3\xa9=1", "only A-Z a-z 0-9 _ -");
        row("key of a dot", ".a=1", "empty key");
        row("no key", "=1", "empty key");
        row("key that ends with a dot", "a.=1", "empty key");
        row("key of several lines", "\"\"\"a\"\"\"=1", "cannot be a text of several lines");
        row("no value", "a=", "a value is missing");
        row("no value, comment", "a= # 1", "a value is missing");
        row("no equals sign", "a", "'=' expected");
        row("two on a line", "a=1 b=2", "the line should end");
        row("text behind a header", "[a] b=1", "the line should end");
        row("open text", "a=\"b\nc\"", "line 1: a text that is never closed");
        row("open text at the end", "a=\"b", "a text that is never closed");
        row("open literal", "a='b", "a text that is never closed");
        row("open lines", "a=1\nb=\"\"\"x\n\n", "line 2: a text that is never closed begins here");
        row("open literal lines", "a='''x''", "line 1: a text that is never closed begins here");
        row("six quotes too many", "a=\"\"\"x\"\"\"\"\"\"\"\"", "the line should end");
        row("open list", "a=[1,\n2", "line 1: a list that is never closed");
        row("list without commas", "a=[1 2]", "',' or ']' expected");
        row("list of a comma", "a=[,]", "a value is missing");
        row("two commas", "a=[1,,2]", "a value is missing");
        row("open inline table", "a={b=1", "must be closed in its line");
        row("inline table over lines", "a={b=1,\nc=2}", "empty key");
        row("comma at the end of an inline table", "a={b=1,}", "without quotes a key may have only");
        row("inline table without commas", "a={b=1 c=2}", "',' or '}' expected");
        row("YAML", "a: 1\nb: 2", "looks like YAML");
        row("JSON", "{\"a\": 1}", "looks like JSON");
        row("web page", "<!DOCTYPE html><html>", "is a web page");
        row("word", "a=yes", "'yes' is no value; a text needs quotes");
        row("capital flag", "a=True", "'True' is no value");
        row("leading zero", "a=012", "'012' is no value");
        row("leading zero of a float", "a=00.5", "no value");
        row("two signs", "a=+-1", "no value");
        row("signed hexadecimal", "a=-0x1", "no value");
        row("capital hexadecimal", "a=0X1", "no value");
        row("misplaced _", "a=1__0", "no value");
        row("_ at the end", "a=1_", "no value");
        row("_ at the start", "a=0x_1", "no value");
        row("dot at the end", "a=1.", "no value");
        row("dot at the start", "a=.5", "no value");
        row("empty exponent", "a=1e", "no value");
        row("_ beside a dot", "a=1_.5", "no value");
        row("too large", "a=9223372036854775808", "does not fit 64 bits");
        row("too large, hexadecimal", "a=0xFFFFFFFFFFFFFFFF", "does not fit 64 bits");
        row("too large a float", "a=1e999", "does not fit 64 bits");
        row("infinity", "a=-inf", "no finite number");
        row("NaN", "a=nan", "no finite number");
        row("date", "a=1979-05-27T07:32:00Z", "dates and times are not supported");
        row("time", "a=07:32:00", "dates and times are not supported");
        row("unknown escape", "a=\"\\d\"", "single quotes");
        row("escape at the end", "a=\"\\", "unknown escape");
        row("short code point", "a=\"\\u12\"", "hexadecimal digits");
        row("surrogate", "a=\"\\ud800\"", "hexadecimal digits");
        row("beyond Unicode", "a=\"\\U00110000\"", "hexadecimal digits");
        row("signed code point", "a=\"\\u-123\"", "hexadecimal digits");
        row("byte order mark",
            "\xEF\xBB\xBF"
            "a=1",
            "byte order mark");
        row("UTF-16",
            QByteArray("\xFF\xFE"
                       "a\0",
                4),
            "UTF-16");
        row("invalid UTF-8", "a=\"\xff\"", "invalid UTF-8 at byte 3");
        row("NUL", QByteArray("a=1\n\0b=2", 8), "control character 0x00");
        row("control character in a text", "a=\"\x01\"", "control character 0x01");
        row("control character in a comment", "a=1 # \x07", "control character 0x07");
        row("delete in a literal", "a='\x7f'", "control character 0x7f");
        row("control character behind a value", "a=1 \x0b", "control character 0x0b");
        row("lone carriage return", "a=1\rb=2", "carriage return");
        row("lone carriage return in lines", "a='''\r'''", "carriage return");
        row("seventeen dots", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r=1", "more than 16 dots");
        row("a hundred thousand dots", QByteArray("a.").repeated(100'000) + "b=1", "more than 16 dots");
        row("33 lists", "a=" + QByteArray(33, '['), "more than 32");
        row("a hundred thousand lists", "a=" + QByteArray(100'000, '['), "more than 32");
        row("fifty thousand inline tables", "a=" + QByteArray("{a=").repeated(50'000), "more than 32");
        row("deep by headers and lists", "[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q]\na=" + QByteArray(16, '['), "more than 32");
        QByteArray arrays = "[[a]]\n", key = "a";
        for (int i = 0; i < 16; ++i)
            arrays += "[[" + (key += ".a") + "]]\n";
        row("deep by arrays of tables", arrays, "more than 32");
        QByteArray tables;
        for (int i = 0; i < 100'000; ++i)
            tables += "[t" + QByteArray::number(i) + "]\n";
        row("a hundred thousand tables", tables, "a TOML file may have");
    }
    void refusesBadTexts()
    {
        QFETCH(QByteArray, text);
        QFETCH(QString, part);
        ErrorCode code{};
        const std::string message = test::errorOf(
            [&] {
                parseToml({text.constData(), static_cast<std::size_t>(text.size())}, "x.toml");
            },
            &code);
        QVERIFY2(QString::fromStdString(message).startsWith("x.toml"), message.c_str());
        QVERIFY2(QString::fromStdString(message).contains(part), message.c_str());
        QVERIFY(code == ErrorCode::Format);
    }

    // Whatever is done to a text: a value or an Error, and no value that Python would not read from it too.
    void mutatedTextsAreReadAsPythonReadsThemOrRefused()
    {
        std::mt19937 random(11);
        std::vector<std::string> texts;
        std::vector<std::optional<Json>> ours;
        int accepted = 0;
        for (int i = 0; i < 6000; ++i) {
            texts.push_back(mutated(random));
            ours.emplace_back();
            const std::string message = test::errorOf([&] { ours.back() = parseToml(texts.back(), "x.toml"); });
            QCOMPARE(message.empty(), ours.back().has_value());
            accepted += ours.back() ? 1 : 0;
        }
        QVERIFY2(accepted > 500 && accepted < 5500, qPrintable(QString::number(accepted)));

        const std::vector<std::optional<std::string>> answers = readByPython(texts);
        if (answers.empty())
            QSKIP("tomllib is not there (python3 3.11 or newer)");
        int stricter = 0;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            if (!ours[i]) {
                stricter += answers[i] ? 1 : 0;
                continue;
            }
            QVERIFY2(answers[i], texts[i].c_str());
            QVERIFY2(ours[i]->dump() == parseJson(*answers[i], "python").dump(), texts[i].c_str());
        }
        // Dates, infinities and integers beyond 64 bits only.
        QVERIFY2(stricter < 60, qPrintable(QString::number(stricter)));
    }

    void whatIsWrittenReadsBack_data()
    {
        QTest::addColumn<QString>("json");
        for (const auto &[name, text] : goodTexts())
            QTest::newRow(name.c_str()) << QString::fromStdString(parseToml(text, "x.toml").dump());
        QTest::newRow("floats to the last bit") << "{\"a\":[0.1,1e-323,1.7976931348623157e+308,-0.0,3.0,1e16]}";
        QTest::newRow("names that need quotes")
            << "{\"a b\":{\"'\":{\"\":1}},\"a\\\\.b\":2,\"\\u0001\":3,\"x\\n\":\"\\u007f\\t\\u0000\"}";
        QTest::newRow("objects in lists of lists") << "{\"a\":[[{\"b\":[{\"c\":{}}]}]],\"d\":[{},{\"e\":[]}]}";
        QTest::newRow("values behind tables") << "{\"t\":{\"u\":{}},\"a\":1}";
    }
    void whatIsWrittenReadsBack()
    {
        QFETCH(QString, json);
        const Json config = parseJson(json.toStdString(), "json");
        const std::string text = toToml(config);
        const Json back = text.empty() ? Json::object() : parseToml(text, "x.toml");
        // Values stand before the tables now; written again, nothing moves.
        QCOMPARE(toToml(back), text);
        if (const auto answers = readByPython({text}); !answers.empty()) {
            QVERIFY2(answers[0], text.c_str());
            QCOMPARE(parseJson(*answers[0], "python").dump(), back.dump());
        }
        QCOMPARE(sorted(back).dump(), sorted(config).dump());
    }

    void whatTomlCannotHoldIsAnError()
    {
        QCOMPARE(test::errorOf([] { toToml(parseJson(R"({"a":{"b.c":[1,null]}})", "json")); }),
            std::string("key 'a.\"b.c\"': is null, which TOML cannot hold"));
        QVERIFY(!test::errorOf([] { toToml(Json(Json::Array{})); }).empty());
        QVERIFY(!test::errorOf([] { toToml(Json::object().set("a", std::numeric_limits<double>::infinity())); }).empty());
    }
};

QTEST_GUILESS_MAIN(TestToml)
#include "tst_toml.moc"
