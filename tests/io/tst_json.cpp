// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QJsonDocument>
#include <QJsonObject>
#include <QTemporaryDir>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "core/io/json.h"
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

QByteArray raw(std::string_view text) { return {text.data(), static_cast<qsizetype>(text.size())}; }

}  // namespace

class TestJson : public QObject {
    Q_OBJECT
private slots:
    void badTextIsRefused_data();
    void badTextIsRefused();
    void everyTruncationIsRefused();
    void everyChangedByteIsReadOrRefused();
    void valuesKeepTheirTypes();
    void objectsKeepTheOrderOfTheFile();
    void numbersAtTheLimitsAreRead();
    void integersBeyond64BitsAreNumbersOnly();
    void doublesSurviveTheRoundTrip();
    void stringsSurviveTheRoundTrip();
    void badUtf8IsReplacedWhenWritten();
    void indentationIsOnlyLayout();
    void writtenTextIsReadTheSameByQt();
    void sixtyFourLevelsAreAllowed();
    void bigObjectsAreRead();
    void filesAboveTheLimitAreRefused();
    void setReplacesAndAppendAdds();
    void realTokenizersSurviveTheRoundTrip();
};

// The numbers are rows of reliability.md 4 J.
void TestJson::badTextIsRefused_data()
{
    using namespace std::string_view_literals;
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("expected");
    const auto row = [](const char *name, std::string_view text, const char *expected) { QTest::newRow(name) << raw(text) << QByteArray(expected); };

    row("J-01 comma before the end", "{\"a\":1,}", "bad.json: invalid JSON at byte 7");
    row("comma before the end of a list", "[1,]", "invalid JSON at byte 3");
    row("J-02 text behind", "{\"a\":1} x", "text after the end at byte 8");
    row("second value", "{}{}", "text after the end at byte 2");
    row("J-04 cut off in a list", "{\"a\":[1,2", "ends in the middle (interrupted download?)");
    row("cut off in a name", "{\"a", "ends in the middle");
    row("cut off behind a name", "{\"a\"", "ends in the middle");
    row("cut off in a word", "[tru", "ends in the middle");
    row("cut off in an escape", "[\"\\u00", "ends in the middle");
    row("white space only", " \n ", "ends in the middle");
    row("F-05 empty", "", "is empty (0 bytes)");
    row("J-06 duplicate key", "{\"a\":1,\"a\":1}", "duplicate key 'a' at byte 10");
    row("J-07 duplicate key, other type", "{\"a\":1,\"b\":2,\"a\":\"x\"}", "duplicate key 'a' at byte 16");
    row("J-08 duplicate through an escape", "{\"w\":1,\"\\u0077\":2}", "duplicate key 'w'");
    row("duplicate key inside", "{\"a\":{\"x\":1,\"y\":[{\"q\":1,\"q\":2}]}}", "duplicate key 'q'");
    row("J-09 65 levels", repeated("[", 65) + repeated("]", 65), "nested deeper than 64 at byte 65");
    row("J-10 depth 100,000 closed", repeated("[", 100'000) + repeated("]", 100'000), "nested deeper than 64");
    row("objects in objects", repeated("{\"a\":", 65) + "1" + repeated("}", 65), "nested deeper than 64");
    row("J-11 5,000,000 brackets", repeated("[", 5'000'000), "nested deeper than 64");
    row("J-13 invalid UTF-8 in a key", "{\"\xff\":1}", "invalid UTF-8 at byte 2");
    row("J-13 invalid UTF-8 in a value", "{\"a\":\"b\x80\"}", "invalid UTF-8 at byte 7");
    row("J-14 overlong UTF-8", "[\"\xc0\xaf\"]", "invalid UTF-8 at byte 2");
    row("J-15 surrogate in UTF-8", "[\"\xed\xa0\x80\"]", "invalid UTF-8 at byte 2");
    row("lone surrogate as escape", "[\"\\ud800\"]", "invalid JSON at byte");
    row("J-16 NUL in a name", "{\"a\\u0000b\":1}", "NUL in name 'a\\u0000b'");
    row("J-17 raw control character", "[\"a\x01\"]", "control character 0x01");
    row("raw newline in a string", "[\"a\nb\"]", "control character 0x0a");
    row("control character outside", "[\x02]", "control character 0x02");
    row("NUL behind the value", "{}\0garbage"sv, "control character 0x00");
    row("NUL inside", "{\"a\"\0:1}"sv, "control character 0x00");
    row("J-18 byte order mark", "\xef\xbb\xbf{}", "byte order mark");
    row("J-19 UTF-16 with mark", "\xff\xfe{\0}\0"sv, "is UTF-16, UTF-8 was expected");
    row("UTF-16 little-endian", "{\0}\0"sv, "is UTF-16, UTF-8 was expected");
    row("UTF-16 big-endian", "\0{\0}"sv, "is UTF-16, UTF-8 was expected");
    row("J-20 NaN", "{\"a\":NaN}", "NaN is not JSON at byte 5");
    row("J-20 Infinity", "{\"a\":Infinity}", "Infinity is not JSON at byte 5");
    row("J-20 -Infinity", "{\"a\":-Infinity}", "Infinity is not JSON at byte 6");
    row("1e400", "[1e400]", "number is out of range");
    row("leading zero", "[01]", "invalid JSON at byte 3");
    row("single quotes", "{'a':1}", "invalid JSON at byte 1");
    row("name without quotes", "{a:1}", "invalid JSON at byte 1");
    row("comment", "{} // x", "text after the end");
    row("missing comma", "[1 2]", "invalid JSON at byte 4");
    row("Python word", "[True]", "invalid JSON at byte 1");
    row("F-13 LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer, not the data: run git lfs pull");
    row("F-14 web page", "<!DOCTYPE html><html></html>", "is a web page");
    row("F-14 answer of a server", "Entry not found", "is an error message of a server");
    row("safetensors", test::safetensorsBytes("{\"\xff", 9), "is a safetensors file");
    row("pickle", "\x80\x02}q", "is a pickle checkpoint");
}

void TestJson::badTextIsRefused()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, expected);
    ErrorCode code = ErrorCode::Io;
    const std::string message = test::errorOf([&] { parseJson(text.toStdString(), "bad.json"); }, &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos, message.c_str());
    QVERIFY2(message.starts_with("bad.json"), message.c_str());
    QVERIFY2(message.find("nlohmann") == std::string::npos && message.find("exception") == std::string::npos, message.c_str());
    QVERIFY(code == ErrorCode::Format);
}

void TestJson::everyTruncationIsRefused()
{
    const std::string whole = R"({"a":[1,-2.5e3,true,null,"x\n\u00e9é"],"b":{"c":{},"d":[]}})";
    parseJson(whole, "x");
    for (std::size_t length = 0; length < whole.size(); ++length)
        QVERIFY2(!test::errorOf([&] { parseJson(std::string_view(whole).substr(0, length), "x"); }).empty(), qPrintable(QString::number(length)));
}

// Nothing crashes, and what is accepted is accepted by Qt's reader too (which is looser about duplicates only).
void TestJson::everyChangedByteIsReadOrRefused()
{
    const std::string whole = R"({"a":[1,-2.5,true,null,"x\u00e9"],"b":{"c":{}}})";
    int accepted = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            std::string text = whole;
            text[at] = static_cast<char>(byte);
            if (test::errorOf([&] { parseJson(text, "x"); }).empty()) {
                ++accepted;
                QJsonParseError fault;
                QJsonDocument::fromJson(QByteArray::fromStdString(text), &fault);
                QVERIFY2(fault.error == QJsonParseError::NoError, text.c_str());
            }
        }
    }
    QVERIFY(accepted > 500);
}

void TestJson::valuesKeepTheirTypes()
{
    const Json json = parseJson(R"([null,true,false,7,-7,7.0,1e2,-0,"text",[],{}])", "x");
    const Json::Array &all = json.asArray();
    QVERIFY(all[0].isNull());
    QVERIFY(all[1].isBool() && all[1].asBool());
    QVERIFY(all[2].isBool() && !all[2].asBool());
    QVERIFY(all[3].isInteger() && all[3].asInteger() == 7);
    QVERIFY(all[4].isInteger() && all[4].asInteger() == -7);
    QVERIFY(!all[5].isInteger() && all[5].isNumber() && all[5].asNumber() == 7.0);
    QVERIFY(!all[6].isInteger() && all[6].asNumber() == 100.0);
    QVERIFY(!all[7].isInteger() && std::signbit(all[7].asNumber()));
    QVERIFY(all[8].isString() && all[8].asString() == "text");
    QVERIFY(all[9].isArray() && all[9].asArray().empty());
    QVERIFY(all[10].isObject() && all[10].asObject().empty());
    QCOMPARE(all[3].asNumber(), 7.0);
    QVERIFY(all[3].find("a") == nullptr);
}

void TestJson::objectsKeepTheOrderOfTheFile()
{
    const Json json = parseJson(R"({"z":1,"a":{"y":2,"b":3},"m":4})", "x");
    QCOMPARE(json.dump(), std::string(R"({"z":1,"a":{"y":2,"b":3},"m":4})"));
    QCOMPARE(json.find("a")->find("b")->asInteger(), 3);
    QVERIFY(json.find("q") == nullptr);
}

void TestJson::numbersAtTheLimitsAreRead()
{
    const Json json = parseJson("[9223372036854775807,-9223372036854775808,1.7976931348623157e308,5e-324]", "x");
    QCOMPARE(json.asArray()[0].asInteger(), std::numeric_limits<std::int64_t>::max());
    QCOMPARE(json.asArray()[1].asInteger(), std::numeric_limits<std::int64_t>::min());
    QVERIFY(json.asArray()[2].asNumber() == std::numeric_limits<double>::max());
    QVERIFY(json.asArray()[3].asNumber() == std::numeric_limits<double>::denorm_min());
}

// "model_max_length": 1000000000000000019884624838656 stands in most tokenizer_config.json files.
void TestJson::integersBeyond64BitsAreNumbersOnly()
{
    const Json json = parseJson("[9223372036854775808,18446744073709551616,-9223372036854775809,1000000000000000019884624838656]", "x");
    const double expected[] = {0x1p63, 0x1p64, -0x1p63, 1e30};
    for (std::size_t i = 0; i < 4; ++i) {
        QVERIFY(!json.asArray()[i].isInteger());
        QCOMPARE(json.asArray()[i].asNumber(), expected[i]);
    }
}

void TestJson::doublesSurviveTheRoundTrip()
{
    std::vector<double> values{0.0, -0.0, 1.0, 0.1, 1.0 / 3.0, 1e300, 1e-300, 123456789.0, 1e15, 1e16, 1e17, 4.9e-324};
    std::uint64_t random = 88172645463325252ULL;
    while (values.size() < 20'000) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (const double value = std::bit_cast<double>(random); std::isfinite(value))
            values.push_back(value);
    }
    for (const double value : values) {
        const std::string text = Json(value).dump();
        const Json back = parseJson("[" + text + "]", "x").asArray()[0];
        QVERIFY2(!back.isInteger() && std::bit_cast<std::uint64_t>(back.asNumber()) == std::bit_cast<std::uint64_t>(value), text.c_str());
    }
    QCOMPARE(Json(1.0).dump(), std::string("1.0"));
    QCOMPARE(Json(std::numeric_limits<double>::quiet_NaN()).dump(), std::string("null"));
    QCOMPARE(Json(-std::numeric_limits<double>::infinity()).dump(), std::string("null"));
}

void TestJson::stringsSurviveTheRoundTrip()
{
    std::string text;
    for (char32_t c = 1; c < 0x3000; ++c)
        text += QString::fromUcs4(&c, 1).toStdString();
    text += "\"\\/\xf0\x9f\x98\x80";
    text.push_back('\0');  // allowed in values, not in names
    QCOMPARE(parseJson("[" + Json(text).dump() + "]", "x").asArray()[0].asString(), text);
    QCOMPARE(parseJson(R"(["\ud83d\ude00"])", "x").asArray()[0].asString(), std::string("\xf0\x9f\x98\x80"));
}

// A path can hold any bytes; the written file must be JSON all the same.
void TestJson::badUtf8IsReplacedWhenWritten()
{
    const std::string text = Json::object().set("a\xff", "b\xc3").dump();
    const Json back = parseJson(text, "x");
    QCOMPARE(back.asObject()[0].first, std::string("a\xef\xbf\xbd"));
    QCOMPARE(back.asObject()[0].second.asString(), std::string("b\xef\xbf\xbd"));
}

void TestJson::indentationIsOnlyLayout()
{
    const Json json = parseJson(R"({"a":[1,{"b":[]}],"c":{}})", "x");
    const std::string text = json.dump(2);
    QCOMPARE(text, std::string("{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}"));
    QVERIFY(parseJson(text, "x") == json);
    QVERIFY(parseJson(json.dump(0), "x") == json);
}

void TestJson::writtenTextIsReadTheSameByQt()
{
    Json json = Json::object();
    json.set("text", "gr\xc3\xbc\xc3\x9f \"\\\n\t").set("number", 0.1).set("whole", 42).set("flag", true);
    QJsonParseError fault;
    const QJsonObject object = QJsonDocument::fromJson(QByteArray::fromStdString(json.dump(4)), &fault).object();
    QVERIFY2(fault.error == QJsonParseError::NoError, qPrintable(fault.errorString()));
    QCOMPARE(object["text"].toString(), QString::fromUtf8("gr\xc3\xbc\xc3\x9f \"\\\n\t"));
    QCOMPARE(object["number"].toDouble(), 0.1);
    QCOMPARE(object["whole"].toInt(), 42);
    QVERIFY(object["flag"].toBool());
}

void TestJson::sixtyFourLevelsAreAllowed()
{
    const std::string text = repeated("[", 64) + repeated("]", 64);
    QCOMPARE(parseJson(text, "x").dump(), text);
    QVERIFY(!test::errorOf([] { parseJson("[[[]]]", "x", 2); }).empty());
    parseJson("[[1]]", "x", 2);
}

// The size of a tokenizer's vocabulary. A quadratic search for duplicates would take minutes here.
void TestJson::bigObjectsAreRead()
{
    std::string text = "{";
    constexpr int count = 250'000;
    for (int i = 0; i < count; ++i)
        text += (i ? ",\"token" : "\"token") + std::to_string(i) + "\":" + std::to_string(i);
    const Json json = parseJson(text + "}", "x");
    QCOMPARE(json.asObject().size(), static_cast<std::size_t>(count));
    QCOMPARE(json.asObject()[123'456].first, std::string("token123456"));
    const std::string message = test::errorOf([&] { parseJson(text + ",\"token17\":0}", "x"); });
    QVERIFY2(message.find("duplicate key 'token17'") != std::string::npos, message.c_str());
}

// J-26. The file is sparse: nothing of it may be read.
void TestJson::filesAboveTheLimitAreRefused()
{
    QTemporaryDir folder;
    const std::string path = folder.filePath("big.json").toStdString();
    test::writeRaw(path, "{}");
    QVERIFY(QFile::resize(QString::fromStdString(path), 300'000'000));
    const std::string message = test::errorOf([&] { readJsonFile(path); });
    QVERIFY2(message.find("larger than the 256 MB limit for this file") != std::string::npos, message.c_str());
    QVERIFY(!test::errorOf([&] { readJsonFile(path, 1); }).empty());
}

void TestJson::setReplacesAndAppendAdds()
{
    Json json = Json::object().set("a", 1).set("b", Json::array().append("x").append(2.5)).set("a", "new");
    QCOMPARE(json.dump(), std::string(R"({"a":"new","b":["x",2.5]})"));
    json.asObject()[1].second.asArray().clear();
    QCOMPARE(json.dump(), std::string(R"({"a":"new","b":[]})"));
    QCOMPARE(Json(std::uint64_t{9223372036854775807ULL}).asInteger(), std::numeric_limits<std::int64_t>::max());
}

void TestJson::realTokenizersSurviveTheRoundTrip()
{
    LQER_NEED_SHARED();
    for (const char *name : {"gpt2", "llama2"}) {
        const Json json = readJsonFile(test::sharedFolder() + "/tokenizers/" + name + "/tokenizer.json");
        QVERIFY(json.isObject());
        QVERIFY(json.find("model")->find("vocab")->asObject().size() >= 32'000);
        QVERIFY(parseJson(json.dump(), "x") == json);
    }
}

QTEST_GUILESS_MAIN(TestJson)
#include "tst_json.moc"
