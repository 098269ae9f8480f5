// SPDX-License-Identifier: Apache-2.0
#include "core/base/large_pages.h"

#include <QtTest>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

using namespace lqer;

class TestLargePages : public QObject {
    Q_OBJECT

private slots:
    void memoryBeginsWithAPageOrALine_data()
    {
        QTest::addColumn<quint64>("bytes");
        QTest::addColumn<quint64>("alignment");
        constexpr quint64 page = 2 << 20, line = 64;
        QTest::newRow("nothing") << quint64(0) << line;
        QTest::newRow("one byte") << quint64(1) << line;
        QTest::newRow("two pages") << 2 * page << line;
        QTest::newRow("a byte more") << 2 * page + 1 << page;
        QTest::newRow("many pages and a half") << 9 * page + page / 2 << page;
    }
    void memoryBeginsWithAPageOrALine()
    {
        QFETCH(quint64, bytes);
        QFETCH(quint64, alignment);
        const std::unique_ptr<void, decltype(&std::free)> memory(allocateOnLargePages(bytes), &std::free);
        QVERIFY(memory != nullptr);
        QCOMPARE(reinterpret_cast<std::uintptr_t>(memory.get()) % alignment, std::uintptr_t(0));
        std::memset(memory.get(), 0x5A, bytes);
        if (bytes > 0)
            QCOMPARE(static_cast<const unsigned char *>(memory.get())[bytes - 1], static_cast<unsigned char>(0x5A));
    }
};

QTEST_GUILESS_MAIN(TestLargePages)
#include "tst_large_pages.moc"
