// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/base/error.h"
#include "core/pipeline/python_literal.h"

using namespace lqer;

class TestPythonLiteral : public QObject {
    Q_OBJECT
private slots:
    // Expected values: ast.literal_eval and json.dumps of Python 3.11.
    void readsWhatPythonReads_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("json");
        QTest::newRow("none") << "None"
                              << "null";
        QTest::newRow("true") << "True"
                              << "true";
        QTest::newRow("false") << " False "
                               << "false";
        QTest::newRow("integer") << "-12"
                                 << "-12";
        QTest::newRow("plus") << "+7"
                              << "7";
        QTest::newRow("grouped digits") << "1_000"
                                        << "1000";
        QTest::newRow("zeros") << "00"
                               << "0";
        QTest::newRow("float") << "1e-3"
                               << "0.001";
        QTest::newRow("float with sign") << "-2.5e+2"
                                         << "-250.0";
        QTest::newRow("dots") << ".5"
                              << "0.5";
        QTest::newRow("string") << "'a \"b\" c'"
                                << "\"a \\\"b\\\" c\"";
        QTest::newRow("escapes") << R"("\n\t\\ \d")"
                                 << R"("\n\t\\ \\d")";
        QTest::newRow("list") << "[1,16]"
                              << "[1,16]";
        QTest::newRow("trailing comma") << "[1, 16, ]"
                                        << "[1,16]";
        QTest::newRow("empty") << "[[], (), {}]"
                               << "[[],[],{}]";
        QTest::newRow("tuple") << "(1, 'a')"
                               << R"([1,"a"])";
        QTest::newRow("tuple of one") << "(1,)"
                                      << "[1]";
        QTest::newRow("grouping") << "(1)"
                                  << "1";
        QTest::newRow("dict") << "{'a': 1, 0: '20GB', 'a': 2}"
                              << R"({"a":2,"0":"20GB"})";
        QTest::newRow("words of a sweep") << "['W4', 'A8', 'w-block-size_[1,16]']"
                                          << R"(["W4","A8","w-block-size_[1,16]"])";
    }
    void readsWhatPythonReads()
    {
        QFETCH(QString, text);
        QTEST(QString::fromStdString(parsePythonLiteral(text.toStdString()).dump()), "json");
    }

    void refusesEverythingElse_data()
    {
        QTest::addColumn<QByteArray>("text");
        for (const char *text : {"", " ", "none", "true", "1 2", "[1", "[1 2]", "[,]", "{1}", "{'a' 1}", "{[1]: 2}", "'a", "'a\\",
                 "a", "1+1", "0x10", "1__0", "_1", "1_", "007", "inf", "nan", "1e999", "99999999999999999999", "'\\x41'", "b'a'",
                 "[1]]", "\xff", "--1"})
            QTest::newRow(QByteArray("'" + QByteArray(text) + "'").toPercentEncoding().constData()) << QByteArray(text);
        QTest::newRow("a hundred thousand brackets") << QByteArray(100'000, '[');
    }
    void refusesEverythingElse()
    {
        QFETCH(QByteArray, text);
        try {
            parsePythonLiteral(std::string_view(text.constData(), static_cast<std::size_t>(text.size())));
            QFAIL("accepted");
        } catch (const Error &error) {
            QVERIFY(error.code() == ErrorCode::Argument);
            QVERIFY2(QString(error.what()).contains("at character"), error.what());
        }
    }
};

QTEST_GUILESS_MAIN(TestPythonLiteral)
#include "tst_python_literal.moc"
