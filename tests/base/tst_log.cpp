// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <atomic>
#include <thread>
#include <vector>

#include "core/base/log.h"

using namespace lqer;

class TestLog : public QObject {
    Q_OBJECT
private slots:
    void cleanup() { setLogSink({}); }
    void sinkGetsLevelAndText();
    void textIsEscaped();
    void nothingArrivesAfterTheSinkIsRemoved();
    void threadsCanLogTogether();
};

void TestLog::sinkGetsLevelAndText()
{
    std::vector<std::pair<LogLevel, std::string>> seen;
    setLogSink([&](LogLevel level, const std::string &text) { seen.emplace_back(level, text); });
    logInfo("one");
    logWarning("two {} %s");
    logDebug("three");
    QCOMPARE(seen.size(), 3U);
    QVERIFY(seen[0] == std::pair(LogLevel::Info, std::string("one")));
    QVERIFY(seen[1] == std::pair(LogLevel::Warning, std::string("two {} %s")));
    QVERIFY(seen[2] == std::pair(LogLevel::Debug, std::string("three")));
}

void TestLog::textIsEscaped()
{
    std::string seen;
    setLogSink([&](LogLevel, const std::string &text) { seen = text; });
    logInfo("tensor '\x1b[31m\n'");
    QCOMPARE(QString::fromStdString(seen), QString("tensor '\\u001b[31m\\n'"));
}

void TestLog::nothingArrivesAfterTheSinkIsRemoved()
{
    int count = 0;
    setLogSink([&](LogLevel, const std::string &) { ++count; });
    logInfo("seen");
    setLogSink({});
    logInfo("not seen");
    QCOMPARE(count, 1);
}

void TestLog::threadsCanLogTogether()
{
    int count = 0;  // guarded by the lock under which a sink is called
    setLogSink([&](LogLevel, const std::string &) { ++count; });
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([] {
            for (int i = 0; i < 250; ++i)
                logDebug("message");
        });
    threads.clear();
    QCOMPARE(count, 1000);
}

QTEST_GUILESS_MAIN(TestLog)
#include "tst_log.moc"
