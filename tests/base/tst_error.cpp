// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <exception>
#include <set>
#include <type_traits>

#include "core/base/error.h"

using namespace lqer;

class TestError : public QObject {
    Q_OBJECT
private slots:
    void messageIsComposedOfFilePlaceAndFault_data();
    void messageIsComposedOfFilePlaceAndFault();
    void messageIsOneSafeLine();
    void longPartsAreCut();
    void everyCodeHasItsOwnName();
    void cancelledIsNoError();
};

void TestError::messageIsComposedOfFilePlaceAndFault_data()
{
    QTest::addColumn<QString>("file");
    QTest::addColumn<QString>("where");
    QTest::addColumn<QString>("expected");
    QTest::newRow("all three") << "a.json" << "line 3" << "a.json, line 3: is wrong";
    QTest::newRow("no place") << "a.json" << "" << "a.json: is wrong";
    QTest::newRow("no file") << "" << "key 'x'" << "key 'x': is wrong";
    QTest::newRow("fault only") << "" << "" << "is wrong";
}

void TestError::messageIsComposedOfFilePlaceAndFault()
{
    QFETCH(QString, file);
    QFETCH(QString, where);
    QFETCH(QString, expected);
    const Error error(ErrorCode::Format, file.toStdString(), where.toStdString(), "is wrong");
    QCOMPARE(QString(error.what()), expected);
    QVERIFY(error.code() == ErrorCode::Format);
}

void TestError::messageIsOneSafeLine()
{
    const Error error(ErrorCode::Io, "new\nline\x1b[31m", "tensor 'a\tb'", "\xff broken");
    QCOMPARE(QString(error.what()), QString("new\\nline\\u001b[31m, tensor 'a\\u0009b': \\xff broken"));
    QCOMPARE(QString(Error(ErrorCode::Io, "a\nb").what()), QString("a\\nb"));
}

void TestError::longPartsAreCut()
{
    const Error error(ErrorCode::Io, std::string(5000, 'f'), std::string(5000, 'w'), std::string(50000, 'm'));
    QVERIFY(std::string_view(error.what()).size() < 3000);
}

void TestError::everyCodeHasItsOwnName()
{
    std::set<std::string_view> names;
    for (int code = static_cast<int>(ErrorCode::Argument); code <= static_cast<int>(ErrorCode::Conflict); ++code)
        names.insert(toString(static_cast<ErrorCode>(code)));
    QCOMPARE(names.size(), 10U);
    QVERIFY(!names.contains("unknown"));
    QCOMPARE(std::string(toString(ErrorCode::DiskFull)), std::string("disk-full"));
}

void TestError::cancelledIsNoError()
{
    static_assert(!std::is_base_of_v<Error, Cancelled> && !std::is_base_of_v<std::runtime_error, Cancelled>);
    static_assert(std::is_base_of_v<std::exception, Cancelled>);
    QCOMPARE(QString(Cancelled().what()), QString("cancelled"));
}

QTEST_GUILESS_MAIN(TestError)
#include "tst_error.moc"
