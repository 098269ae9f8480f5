// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/base/text.h"

using namespace lqer;

class TestText : public QObject {
    Q_OBJECT
private slots:
    void unsafeCharactersAreEscaped_data();
    void unsafeCharactersAreEscaped();
    void escapingTwiceChangesNothing();
    void longTextIsCutOnlyBetweenCharacters();
    void utf8IsJudgedByTheStandard_data();
    void utf8IsJudgedByTheStandard();
    void everyCodePointSurvives();
    void nearestFindsTypingErrorsOnly_data();
    void nearestFindsTypingErrorsOnly();
    void bytesHaveThreeDigits_data();
    void bytesHaveThreeDigits();
};

void TestText::unsafeCharactersAreEscaped_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<QByteArray>("expected");
    QTest::newRow("plain") << QByteArray("model.layers.0") << QByteArray("model.layers.0");
    QTest::newRow("umlaut") << QByteArray("gr\xc3\xbc\xc3\x9f") << QByteArray("gr\xc3\xbc\xc3\x9f");
    QTest::newRow("emoji") << QByteArray("\xf0\x9f\x98\x80") << QByteArray("\xf0\x9f\x98\x80");
    QTest::newRow("newline") << QByteArray("a\nb") << QByteArray("a\\nb");
    QTest::newRow("carriage return") << QByteArray("a\rb") << QByteArray("a\\u000db");
    QTest::newRow("terminal colour") << QByteArray("\x1b[31m") << QByteArray("\\u001b[31m");
    QTest::newRow("NUL") << QByteArray("a\0b", 3) << QByteArray("a\\u0000b");
    QTest::newRow("delete") << QByteArray("\x7f") << QByteArray("\\u007f");
    QTest::newRow("C1 control") << QByteArray("\xc2\x9b") << QByteArray("\\u009b");
    QTest::newRow("right-to-left override") << QByteArray("\xe2\x80\xae") << QByteArray("\\u202e");
    QTest::newRow("isolate") << QByteArray("\xe2\x81\xa6") << QByteArray("\\u2066");
    QTest::newRow("line separator") << QByteArray("\xe2\x80\xa8") << QByteArray("\\u2028");
    QTest::newRow("Arabic letter mark") << QByteArray("\xd8\x9c") << QByteArray("\\u061c");
    QTest::newRow("lone continuation") << QByteArray("a\x80") << QByteArray("a\\x80");
    QTest::newRow("cut sequence") << QByteArray("\xe2\x82") << QByteArray("\\xe2\\x82");
    QTest::newRow("surrogate") << QByteArray("\xed\xa0\x80") << QByteArray("\\xed\\xa0\\x80");
}

void TestText::unsafeCharactersAreEscaped()
{
    QFETCH(QByteArray, text);
    QFETCH(QByteArray, expected);
    QCOMPARE(QByteArray::fromStdString(escaped(text.toStdString())), expected);
}

// Errors are composed from parts that were escaped before.
void TestText::escapingTwiceChangesNothing()
{
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    const std::string once = escaped(all, 10'000);
    QCOMPARE(escaped(once, 10'000), once);
    QVERIFY(isValidUtf8(once));
}

void TestText::longTextIsCutOnlyBetweenCharacters()
{
    QCOMPARE(escaped("abcdef", 6), std::string("abcdef"));
    QCOMPARE(escaped("abcdef", 5), std::string("abcde..."));
    std::string text;
    for (int i = 0; i < 100; ++i)
        text += "\xe2\x82\xac";
    for (std::size_t length = 0; length < 20; ++length)
        QVERIFY(isValidUtf8(escaped(text, length)));
}

void TestText::utf8IsJudgedByTheStandard_data()
{
    QTest::addColumn<QByteArray>("text");
    QTest::addColumn<int>("badByte");  // -1: well-formed
    QTest::newRow("empty") << QByteArray() << -1;
    QTest::newRow("ASCII") << QByteArray("abc") << -1;
    QTest::newRow("NUL is a character") << QByteArray("a\0b", 3) << -1;
    QTest::newRow("two to four bytes") << QByteArray("\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80") << -1;
    QTest::newRow("last code point") << QByteArray("\xf4\x8f\xbf\xbf") << -1;
    QTest::newRow("beyond the last") << QByteArray("a\xf4\x90\x80\x80") << 1;
    QTest::newRow("overlong slash") << QByteArray("ab\xc0\xaf") << 2;
    QTest::newRow("overlong three") << QByteArray("\xe0\x80\x80") << 0;
    QTest::newRow("overlong four") << QByteArray("\xf0\x80\x80\x80") << 0;
    QTest::newRow("surrogate") << QByteArray("x\xed\xbf\xbf") << 1;
    QTest::newRow("cut off") << QByteArray("abc\xe2\x82") << 3;
    QTest::newRow("five bytes") << QByteArray("\xf8\x88\x80\x80\x80") << 0;
    QTest::newRow("FF") << QByteArray("\xff") << 0;
}

void TestText::utf8IsJudgedByTheStandard()
{
    QFETCH(QByteArray, text);
    QFETCH(int, badByte);
    std::size_t found = 12345;
    QCOMPARE(isValidUtf8(text.toStdString(), &found), badByte < 0);
    if (badByte >= 0)
        QCOMPARE(static_cast<int>(found), badByte);
}

// Second opinion: Qt's encoder.
void TestText::everyCodePointSurvives()
{
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        const std::string text = QString::fromUcs4(&c, 1).toStdString();
        if (!isValidUtf8(text))
            QFAIL(qPrintable(QString("U+%1 was refused").arg(static_cast<uint>(c), 0, 16)));
    }
}

void TestText::nearestFindsTypingErrorsOnly_data()
{
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("expected");
    QTest::newRow("exact") << "block_fp" << "block_fp";
    QTest::newRow("one letter") << "block_pf" << "block_fp";
    QTest::newRow("missing letter") << "intger" << "integer";
    QTest::newRow("nothing near") << "quarternion" << "";
    QTest::newRow("empty") << "" << "";
    QTest::newRow("one edit of a short name") << "bp" << "fp";
}

void TestText::nearestFindsTypingErrorsOnly()
{
    QFETCH(QString, name);
    QFETCH(QString, expected);
    const std::array<std::string, 4> candidates{"block_fp", "integer", "fp", "mxint"};
    QCOMPARE(nearest(name.toStdString(), candidates), expected.toStdString());
}

void TestText::bytesHaveThreeDigits_data()
{
    QTest::addColumn<double>("bytes");
    QTest::addColumn<QString>("expected");
    QTest::newRow("none") << 0.0 << "0 B";
    QTest::newRow("below 1 kB") << 999.0 << "999 B";
    QTest::newRow("rounds up to the next unit") << 999.6 << "1.00 kB";
    QTest::newRow("two decimals") << 1234.0 << "1.23 kB";
    QTest::newRow("one decimal") << 12'345.0 << "12.3 kB";
    QTest::newRow("no decimal") << 340'000.0 << "340 kB";
    QTest::newRow("9.996 has three digits") << 9'996.0 << "10.0 kB";
    QTest::newRow("99.96") << 99'960.0 << "100 kB";
    QTest::newRow("giga") << 1.2e9 << "1.20 GB";
    QTest::newRow("beyond the last unit") << 5.0e18 << "5000 PB";
}

void TestText::bytesHaveThreeDigits()
{
    QFETCH(double, bytes);
    QFETCH(QString, expected);
    QCOMPARE(QString::fromStdString(formatBytes(bytes)), expected);
}

QTEST_GUILESS_MAIN(TestText)
#include "tst_text.moc"
