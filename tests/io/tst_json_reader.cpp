// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/io/json.h"
#include "tests/support/shared_data.h"

using namespace lqer;

class TestJsonReader : public QObject {
    Q_OBJECT
private slots:
    void valuesAreReadByKeyAndPlace();
    void fallbacksStandForAbsentAndNull();
    void faultsNameFileKeyAndBothSides_data();
    void faultsNameFileKeyAndBothSides();
};

void TestJsonReader::valuesAreReadByKeyAndPlace()
{
    const Json json = parseJson(R"({"a":{"b":[{"c":7},{"c":8}]},"n":1.5,"whole":3,"t":true,"s":"x"})", "f");
    const JsonReader reader(json, "f");
    QCOMPARE(reader["a"]["b"].size(), 2U);
    QCOMPARE(reader["a"]["b"].at(1)["c"].integer(0, 10), 8);
    QCOMPARE(reader["a"]["b"].at(1)["c"].path(), std::string("a.b[1].c"));
    QCOMPARE(reader["n"].number(), 1.5);
    QCOMPARE(reader["whole"].number(), 3.0);
    QVERIFY(reader["t"].boolean());
    QCOMPARE(reader["s"].string(), std::string("x"));
    QVERIFY(reader.has("s") && !reader.has("absent"));
}

void TestJsonReader::fallbacksStandForAbsentAndNull()
{
    const Json json = parseJson(R"({"null":null,"t":true,"i":5,"n":2.5,"s":"x"})", "f");
    const JsonReader reader(json, "f");
    for (const char *key : {"absent", "null"}) {
        QVERIFY(!reader.has(key));
        QCOMPARE(reader.boolean(key, true), true);
        QCOMPARE(reader.integer(key, 0, 10, 99), 99);
        QCOMPARE(reader.number(key, 0.5), 0.5);
        QCOMPARE(reader.string(key, "other"), std::string("other"));
    }
    QCOMPARE(reader.boolean("t", false), true);
    QCOMPARE(reader.integer("i", 0, 10, 99), 5);
    QCOMPARE(reader.number("n", 0.5), 2.5);
    QCOMPARE(reader.string("s", "other"), std::string("x"));
}

// J-05, J-23, J-25 of reliability.md.
void TestJsonReader::faultsNameFileKeyAndBothSides_data()
{
    QTest::addColumn<QString>("text");
    QTest::addColumn<QString>("kind");
    QTest::addColumn<QString>("expected");
    const auto row = [](const char *name, const char *text, const char *kind, const char *expected) {
        QTest::newRow(name) << text << kind << expected;
    };
    row("top level null", "null", "integer", "f.json: must be an object {...}, found null");
    row("top level list", "[1]", "integer", "f.json: must be an object {...}, found a list");
    row("top level string", "\"x\"", "has", "f.json: must be an object {...}, found the string \"x\"");
    row("lacking", "{}", "integer", "f.json: lacks 'K'");
    row("lacking inside", "{\"K\":{}}", "inside", "f.json, key 'K': lacks 'L'");
    row("1.0 for a count", "{\"K\":1.0}", "integer", "f.json, key 'K': must be a whole number, found 1.0");
    row("1e3 for a count", "{\"K\":1e3}", "integer", "key 'K': must be a whole number");
    row("-0 for a count", "{\"K\":-0}", "integer", "key 'K': must be a whole number");
    row("J-22 2^64", "{\"K\":18446744073709551616}", "integer", "key 'K': 18446744073709551616 is out of range");
    row("J-22 2^63", "{\"K\":9223372036854775808}", "integer", "key 'K': 9223372036854775808 is out of range");
    row("J-22 -2^63-1", "{\"K\":-9223372036854775809}", "integer", "is out of range");
    row("string for a count", "{\"K\":\"12\"}", "integer", "key 'K': must be a whole number, found the string \"12\"");
    row("null for a count", "{\"K\":null}", "integer", "key 'K': must be a whole number, found null");
    row("too small", "{\"K\":0}", "integer", "key 'K': must be at least 1, found 0");
    row("too large", "{\"K\":101}", "integer", "key 'K': 101 is larger than 100");
    row("number for a string", "{\"K\":5}", "string", "key 'K': must be a string, found 5");
    row("list for a string", "{\"K\":[]}", "string", "key 'K': must be a string, found a list");
    row("object for a number", "{\"K\":{}}", "number", "key 'K': must be a number, found an object");
    row("true for a number", "{\"K\":true}", "number", "key 'K': must be a number, found true");
    row("number for a truth value", "{\"K\":1}", "boolean", "key 'K': must be true or false, found 1");
    row("object for a list", "{\"K\":{}}", "list", "key 'K': must be a list [...], found an object");
    row("list too short", "{\"K\":[1]}", "second", "key 'K': has 1 elements, number 2 was expected");
    row("wrong element", "{\"K\":[1,\"x\"]}", "second", "key 'K[1]': must be a whole number");
    row("wrong type despite a fallback", "{\"K\":\"x\"}", "fallback", "key 'K': must be a whole number");
    row("key is shown escaped", "{\"K\":\"\\u001b[31m\"}", "integer", "found the string \"\\u001b[31m\"");
}

void TestJsonReader::faultsNameFileKeyAndBothSides()
{
    QFETCH(QString, text);
    QFETCH(QString, kind);
    QFETCH(QString, expected);
    const Json json = parseJson(text.toStdString(), "f.json");
    const JsonReader reader(json, "f.json");
    ErrorCode code = ErrorCode::Io;
    const std::string message = test::errorOf(
        [&] {
            if (kind == "integer")
                reader["K"].integer(1, 100);
            else if (kind == "has")
                reader.has("K");
            else if (kind == "inside")
                reader["K"]["L"].number();
            else if (kind == "string")
                reader["K"].string();
            else if (kind == "number")
                reader["K"].number();
            else if (kind == "boolean")
                reader["K"].boolean();
            else if (kind == "list")
                reader["K"].size();
            else if (kind == "second")
                reader["K"].at(1).integer(0, 5);
            else if (kind == "fallback")
                reader.integer("K", 0, 5, 1);
        },
        &code);
    QVERIFY2(message.find(expected.toStdString()) != std::string::npos, message.c_str());
    QVERIFY(code == ErrorCode::Format);
}

QTEST_GUILESS_MAIN(TestJsonReader)
#include "tst_json_reader.moc"
