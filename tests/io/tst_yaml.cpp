// SPDX-License-Identifier: Apache-2.0
#include <QProcess>
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "core/io/yaml.h"
#include "tests/io/test_files.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

std::string repeated(std::string_view part, std::size_t times)
{
    std::string text;
    text.reserve(part.size() * times);
    for (std::size_t i = 0; i < times; ++i)
        text += part;
    return text;
}

QByteArray raw(std::string_view text)
{
    return {text.data(), static_cast<qsizetype>(text.size())};
}

// A configuration in the style of the papers': comments, quoted patterns, aliases by name, flow lists over lines.
constexpr std::string_view sample = R"(model_name: TinyLlama/TinyLlama_v1.1 # a name
output_dir: null
AB_dict: ~
nothing:
disable_lm_eval: false
overwrite: yes
num_calibration_samples: 256
learning_rate: 1.0e-4
weight_decay: 0.1
text_not_number: 1e-3
lm_eval_tasks:
  [
    "arc_easy",
    'boolq',
    wikitext,
  ]
qera_config:
  # patterns
  'model\.layers\.[0-9]+\.self_attn\.(k|q|v|o)_proj': default-1
  default-1:
    rank: 32
    w_quantizer: &w {name: block_fp, width: 4, block_size: [1, -1], exponent_bias: null}
    b_quantizer:
      <<: *w
      width: 8
    x_quantizer: *w
folded: >
  one
  two

literal: |-
  a: b
    c
list:
- 1
- - 2
  - 0x10
- key: 010
  other: 1_000
)";

// Without the order of members, which merge keys change.
Json sorted(Json value)
{
    if (value.isArray())
        for (Json &element : value.asArray())
            element = sorted(std::move(element));
    if (value.isObject()) {
        std::ranges::sort(value.asObject(), {}, &Json::Object::value_type::first);
        for (auto &[key, member] : value.asObject())
            member = sorted(std::move(member));
    }
    return value;
}

// What PyYAML makes of each text: {"value": ...}, {"error": true}, or nothing without PyYAML.
std::vector<Json> secondOpinions(const std::vector<std::string> &texts)
{
    QProcess python;
    python.start("/usr/bin/python3", {"-c", R"(
import json, sys
try:
    import yaml
except ImportError:
    sys.exit(3)
def text(value):  # keys as JSON has them
    if isinstance(value, dict):
        return {key: text(member) for key, member in value.items()}
    return [text(element) for element in value] if isinstance(value, list) else value
for line in sys.stdin:
    try:
        print(json.dumps({"value": text(yaml.safe_load(json.loads(line)))}))
    except Exception as error:
        print(json.dumps({"error": True}))
)"});
    for (const std::string &text : texts)
        python.write(QByteArray::fromStdString(Json(text).dump() + "\n"));
    python.closeWriteChannel();
    std::vector<Json> opinions;
    if (!python.waitForFinished(60'000) || python.exitCode() != 0)
        return opinions;
    for (const QByteArray &line : python.readAllStandardOutput().split('\n'))
        if (!line.isEmpty())
            opinions.push_back(parseJson(line.toStdString(), "python"));
    return opinions;
}

}  // namespace

class TestYaml : public QObject {
    Q_OBJECT
private slots:
    void badTextIsRefused_data();
    void badTextIsRefused();
    void aConfigurationIsRead();
    void scalarsAreReadAsPyYamlDoes();
    void everyTruncationIsReadOrRefused();
    void everyChangedByteIsReadOrRefused();
    void aliasesCannotBlowUp();
    void valuesSurviveTheRoundTrip();
    void filesAboveTheLimitAreRefused();
};

void TestYaml::badTextIsRefused_data()
{
    using namespace std::string_view_literals;
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, std::string_view text, const char *expected) {
        QTest::newRow(name) << raw(text) << QByteArray(expected);
    };

    row("empty", "", "bad.yaml: is empty (0 bytes)");
    row("not UTF-8", "a: \xff\n", "bad.yaml: invalid UTF-8 at byte 3");
    row("NUL", "a: \0\n"sv, "byte 3: control character 0x00");
    row("control character", "a: 1\nb: \x01\n", "bad.yaml, line 2: control character 0x01");
    row("duplicate key", "a: 1\nb: 2\na: 3\n", "bad.yaml, line 3: duplicate key 'a', first on line 1");
    row("duplicate key, quoted", "a: 1\n'a': 3\n", "line 2: duplicate key 'a'");
    row("duplicate key inside", "a: {x: 1, y: 2, x: 3}\n", "line 1: duplicate key 'x'");
    row("two documents", "a: 1\n---\nb: 2\n", "a second document begins; one is expected");
    row("list as key", "? [1, 2]\n: 3\n", "line 1: a list or mapping cannot be a key");
    row("mapping as key", "{a: 1}: 3\n", "line 1: a list or mapping cannot be a key");
    row("alias as key", "a: &k x\n*k : 3\n", "line 2: an alias cannot be a key");
    row("NUL in a key", "\"\\0\": 1\n", "line 1: NUL in key");
    row("unknown alias", "a: *b\n", "line 1: ");
    row("alias to its own list", "a: &b [1, *b]\n", "line 1: an alias to what it is part of");
    row("program in a tag", "a: !!python/object/apply:os.system [ls]\n",
        "line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' has no place here");
    row("tag of its own", "a: !quantizer {}\n", "line 1: the tag '!quantizer' has no place here");
    row("tag that does not fit", "a: !!int x\n", "line 1: the tag 'tag:yaml.org,2002:int' has no place here");
    row("infinity", "a: .inf\n", "line 1: '.inf' is not a finite number");
    row("not a number", "a:\n  - .nan\n", "line 2: '.nan' is not a finite number");
    row("beyond a double", "a: 1.0e+999\n", "line 1: '1.0e+999' is out of range");
    row("hexadecimal beyond 64 bits", "a: 0x1ffffffffffffffff\n", "line 1: '0x1ffffffffffffffff' is out of range");
    row("merge of a number", "a:\n  <<: 1\n", "line 2: '<<' takes a mapping or a list of mappings");
    row("unclosed list", "a: [1, 2\nb: 3\n", "line ");
    row("unclosed quote", "a: 'b\n", "line ");
    row("mapping in a scalar", "a: b: c\n", "line 1: ");
    row("65 levels", repeated("[", 65) + repeated("]", 65), "line 1: nested deeper than 64");
    row("100,000 levels", repeated("[", 100'000), "line 1: ");
    row("100,000 dashes", repeated("- ", 100'000), "line 1: nested deeper than 64");
    row("100,000 question marks", repeated("? ", 100'000), "line 1: ");
    row("too many values", "[" + repeated("1,", 100'001) + "]", "line 1: more than 100000 values");
}

void TestYaml::badTextIsRefused()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, expected);
    ErrorCode code = ErrorCode::Io;
    const std::string error = test::errorOf(
        [&] { parseYaml(std::string_view(text.data(), static_cast<std::size_t>(text.size())), "bad.yaml"); }, &code);
    QVERIFY2(error.find(expected.toStdString()) != std::string::npos, error.c_str());
    QVERIFY2(error.starts_with("bad.yaml"), error.c_str());
    QVERIFY(code == ErrorCode::Format);
}

void TestYaml::aConfigurationIsRead()
{
    const Json read = parseYaml(sample, "sample.yaml");
    const JsonReader root(read, "sample.yaml");
    QCOMPARE(root["model_name"].string(), std::string("TinyLlama/TinyLlama_v1.1"));
    QVERIFY(root["output_dir"].value().isNull() && root["AB_dict"].value().isNull() && root["nothing"].value().isNull());
    QVERIFY(!root["disable_lm_eval"].boolean() && root["overwrite"].boolean());
    QCOMPARE(root["num_calibration_samples"].integer(0, 1000), 256);
    QCOMPARE(root["learning_rate"].number(), 1e-4);
    QCOMPARE(root["text_not_number"].string(), std::string("1e-3"));
    QCOMPARE(root["lm_eval_tasks"].size(), std::size_t(3));
    QCOMPARE(read.asObject()[11].first, std::string("qera_config"));
    const JsonReader config = root["qera_config"];
    QCOMPARE(config[R"(model\.layers\.[0-9]+\.self_attn\.(k|q|v|o)_proj)"].string(), std::string("default-1"));
    QCOMPARE(config["default-1"]["b_quantizer"].value(),
             parseJson(R"({"name": "block_fp", "block_size": [1, -1], "exponent_bias": null, "width": 8})", ""));
    QCOMPARE(config["default-1"]["x_quantizer"].value(),
             parseJson(R"({"name": "block_fp", "width": 4, "block_size": [1, -1], "exponent_bias": null})", ""));
    QCOMPARE(root["folded"].string(), std::string("one two\n"));
    QCOMPARE(root["literal"].string(), std::string("a: b\n  c"));
    QCOMPARE(root["list"].value(), parseJson(R"([1, [2, 16], {"key": 8, "other": 1000}])", ""));
}

// Left out: "v: =", "v: !" and a tab behind the colon, where the library follows YAML 1.2.
void TestYaml::scalarsAreReadAsPyYamlDoes()
{
    std::vector<std::string> texts = {std::string(sample)};
    for (const char *word : {"null",
                             "Null",
                             "NULL",
                             "nULL",
                             "~",
                             "",
                             "true",
                             "True",
                             "TRUE",
                             "tRUE",
                             "yes",
                             "Yes",
                             "y",
                             "n",
                             "no",
                             "NO",
                             "on",
                             "off",
                             "Off",
                             "0",
                             "-0",
                             "+7",
                             "007",
                             "08",
                             "0o7",
                             "0b101",
                             "-0b11",
                             "0x1F",
                             "-0x1f",
                             "0x",
                             "1_000",
                             "1__0_",
                             "_1",
                             "1:30",
                             "1:30:00",
                             "-1:30",
                             "1:60",
                             "1:30.5",
                             "1.",
                             "1.5",
                             "-1.5",
                             "+1.5",
                             ".5",
                             "-.5",
                             "1e3",
                             "1.0e3",
                             "1.0e+3",
                             "1.0E-3",
                             ".5e+2",
                             "1.e+2",
                             "1_0.2_5",
                             "3.0e-4",
                             "1.2.3",
                             "9223372036854775807",
                             "-9223372036854775808",
                             "0x7fffffffffffffff",
                             "'1'",
                             "\"1\"",
                             "'yes'",
                             "!!str 12",
                             "!!float 3",
                             "!!int '3'",
                             "!!bool 'no'",
                             "a b",
                             "a#b",
                             "a #b",
                             "a:b",
                             "-",
                             "- 1",
                             "-1",
                             "--",
                             "[a, 1, yes]",
                             "{a: 1, b: [x, {c: }]}",
                             "[a, ]",
                             "\"\\u00e9\\t\\x41\"",
                             "'it''s'",
                             "\"a\\\n  b\"",
                             "h\xc3\xa9llo",
                             "1 2",
                             "12e03",
                             "0.1",
                             "1e-3",
                             "model\\.layers",
                             "[0-9]+",
                             "(k|q)",
                             "@x",
                             "`x",
                             "%x",
                             "&a x",
                             "*",
                             "!!null ''",
                             "? a",
                             "a: b",
                             "'a' b"})
        texts.push_back(std::string("v: ") + word + "\n");
    for (const char *text : {"--- \na: 1\n...\n",
                             "%YAML 1.1\n---\na: 1\n",
                             "# only\n",
                             "- a\n-\n- b\n",
                             "a:\n  b: 1\n c: 2\n",
                             "a:\n - 1\n- 2\n",
                             "a: 1\n b: 2\n",
                             "a\n",
                             "a: |\n  x\n  y\n\nb: >-\n  x\n  y\n",
                             "base: &b {x: 1, y: 2}\nv:\n  <<: [*b, {y: 3, z: 4}]\n  x: 9\n",
                             "a: [1\n, 2]\n",
                             "a: {b: 1\n",
                             "\ta: 1\n",
                             "a: 'x\n\n  y'\n",
                             "a: \"x\\q\"\n",
                             "a: x\n  y\n",
                             "{a: 1} b\n",
                             "a: *x\n",
                             "a: ]\n",
                             "a: }\n",
                             "- a: 1\n  b: 2\n- c\n",
                             "? a\n: b\n",
                             "a: 1\r\nb: 2\r\n",
                             "'a': 1\n\"b\": 2\n",
                             "a : 1\n",
                             "a:1\n",
                             "a: 1 # c\n# d\n",
                             "a: \"1\" # c\n"})
        texts.push_back(text);
    const std::vector<Json> opinions = secondOpinions(texts);
    if (opinions.empty())
        QSKIP("PyYAML is not there (python3-yaml)");
    QCOMPARE(opinions.size(), texts.size());
    std::string differing;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        const Json *expected = opinions[i].find("value");
        std::optional<Json> read;
        const std::string error = test::errorOf([&] { read = parseYaml(texts[i], "x.yaml"); });
        if (expected ? !read || sorted(*read) != sorted(*expected) : read.has_value())
            differing += texts[i] + "ours: " + (read ? read->dump() : error)
                + "\nPyYAML: " + (expected ? expected->dump() : "refuses") + "\n\n";
    }
    QVERIFY2(differing.empty(), differing.c_str());
}

void TestYaml::everyTruncationIsReadOrRefused()
{
    for (std::size_t length = 0; length < sample.size(); ++length)
        test::errorOf([&] { parseYaml(sample.substr(0, length), "cut.yaml"); });
}

void TestYaml::everyChangedByteIsReadOrRefused()
{
    for (std::size_t at = 0; at < sample.size(); ++at) {
        for (const char changed : {'\0', '\n', '\t', '[', '}', '*', '&', '!', ':', '-', '"', '\'', '\xc3', '|', '?'}) {
            std::string text(sample);
            text[at] = changed;
            test::errorOf([&] { parseYaml(text, "changed.yaml"); });
        }
    }
}

void TestYaml::aliasesCannotBlowUp()
{
    // A billion copies in nine lines.
    std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i)
        text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeated("*a" + std::to_string(i - 1) + ", ", 10)
            + "]\n";
    const std::string error = test::errorOf([&] { parseYaml(text, "bomb.yaml"); });
    QVERIFY2(error.find("more than 100000 values, copies by aliases counted") != std::string::npos, error.c_str());
    // 64 levels by aliases of aliases.
    text = "b0: &b0 [x]\n";
    for (int i = 1; i < 70; ++i)
        text += "b" + std::to_string(i) + ": &b" + std::to_string(i) + " [*b" + std::to_string(i - 1) + "]\n";
    QVERIFY(test::errorOf([&] { parseYaml(text, "deep.yaml"); }).find("line 64: nested deeper than 64") != std::string::npos);
}

void TestYaml::valuesSurviveTheRoundTrip()
{
    Json value = parseYaml(sample, "sample.yaml");
    Json texts = Json::array();
    for (const char *text : {"",
                             "null",
                             "yes",
                             "12",
                             "1.5",
                             "0-of-3",
                             "a: b",
                             "- a",
                             "'",
                             "\"",
                             "\\",
                             "a\nb",
                             "\ttab",
                             " a ",
                             "#",
                             "h\xc3\xa9llo",
                             "\x7f",
                             "\xc2\x85",
                             "\xe2\x80\xa8",
                             "\xef\xbb\xbf",
                             "\xf0\x9f\x98\x80",
                             "model\\.layers\\.[0-9]+\\.(a|b)",
                             "~",
                             "1e-3",
                             "=",
                             "<<",
                             "2024-01-01",
                             "[",
                             "{}",
                             "? a",
                             "a, b",
                             "%",
                             "@",
                             "..."})
        texts.append(text);
    value.set("texts", std::move(texts))
        .set("empty list", Json::array())
        .set("empty", Json::object())
        .set(std::string(300, 'k'), 1)
        .set("true", 2)
        .set("12", 3)
        .set("long", std::string(5000, ' ') + "x");
    value.set("numbers",
              Json(Json::Array{1e-5, 1.0, -0.0, 1e22, 123456789.25, 5e-324, std::numeric_limits<double>::max(),
                               std::numeric_limits<std::int64_t>::min(), 0.1f}));
    value.set("nested",
              Json(Json::Array{Json(Json::Array{Json(Json::Array{1, Json::object()}),
                                                Json::object().set("a", Json::array()).set("b", Json(Json::Array{1}))}),
                               Json()}));
    const std::string written = toYaml(value);
    QCOMPARE(parseYaml(written, "written.yaml"), value);
    for (const Json &alone : {Json(), Json(true), Json("a"), Json(1), Json::array(), Json::object(), Json(Json::Array{1, "b"})})
        QCOMPARE(parseYaml(toYaml(alone), "alone.yaml"), alone);

    const std::vector<Json> opinions = secondOpinions({written});
    if (opinions.empty())
        QSKIP("PyYAML is not there (python3-yaml): only our own reader read the text");
    QVERIFY(opinions[0].find("value"));
    QCOMPARE(opinions[0].find("value")->dump(), value.dump());
}

void TestYaml::filesAboveTheLimitAreRefused()
{
    const QTemporaryDir folder;
    const std::string path = folder.filePath("big.yaml").toStdString();
    test::writeRaw(path, "a: " + std::string(1 << 20, 'x'));
    QVERIFY(test::errorOf([&] { readYamlFile(path); }).find("big.yaml") != std::string::npos);
    test::writeRaw(path, "a: 1\n");
    QCOMPARE(readYamlFile(path), Json::object().set("a", 1));
}

QTEST_GUILESS_MAIN(TestYaml)
#include "tst_yaml.moc"
