// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/task/task_context.h"

using namespace lqer;

class TestThreadPool : public QObject {
    Q_OBJECT
private slots:
    void everyIndexIsCalledOnce_data();
    void everyIndexIsCalledOnce();
    void severalThreadsWorkAtTheSameTime();
    void exceptionOfTheSmallestIndexWins_data();
    void exceptionOfTheSmallestIndexWins();
    void callsNotBegunAreLeftOutAfterAnException();
    void poolIsUsableAfterAnException();
    void callFromInsideRunsInPlace();
    void callersGetOnWhileThePoolIsHeldElsewhere();
    void callersOnSeveralThreadsShareThePool();
    void zeroThreadsTakesTheProcessors();
    void partitionDependsOnCountAndGrainOnly_data();
    void partitionDependsOnCountAndGrainOnly();
    void orderedSumsAreTheSameForEveryNumberOfThreads();
    void stoppedLoopThrowsCancelled();
    void pausedLoopWaitsAndGoesOn();
    void threadsOfThePoolLetTheCallerGoFirst();
};

void TestThreadPool::everyIndexIsCalledOnce_data()
{
    QTest::addColumn<int>("threads");
    QTest::addColumn<int>("count");
    for (const int threads : {1, 2, 5})
        for (const int count : {0, 1, 2, 3, 1000})
            QTest::addRow("%d threads, %d calls", threads, count) << threads << count;
}

void TestThreadPool::everyIndexIsCalledOnce()
{
    QFETCH(int, threads);
    QFETCH(int, count);
    ThreadPool pool(static_cast<std::size_t>(threads));
    QCOMPARE(pool.threads(), static_cast<std::size_t>(threads));
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
    pool.run(calls.size(), [&](std::size_t i) { ++calls[i]; });
    for (const std::atomic<int> &times : calls)
        QCOMPARE(times.load(), 1);
}

// Would never end if the calls came one after the other.
void TestThreadPool::severalThreadsWorkAtTheSameTime()
{
    ThreadPool pool(3);
    std::latch all(3);
    std::mutex mutex;
    std::set<std::thread::id> threads;
    pool.run(3, [&](std::size_t) {
        all.arrive_and_wait();
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
    });
    QCOMPARE(threads.size(), 3U);
    QVERIFY(threads.contains(std::this_thread::get_id()));
}

void TestThreadPool::exceptionOfTheSmallestIndexWins_data()
{
    QTest::addColumn<int>("threads");
    for (const int threads : {1, 2, 4})
        QTest::addRow("%d threads", threads) << threads;
}

void TestThreadPool::exceptionOfTheSmallestIndexWins()
{
    QFETCH(int, threads);
    ThreadPool pool(static_cast<std::size_t>(threads));
    for (int repeat = 0; repeat < 200; ++repeat) {
        std::string thrown;
        try {
            pool.run(64, [&](std::size_t i) {
                if (i % 7 == 3)
                    throw std::runtime_error(std::to_string(i));
            });
        } catch (const std::runtime_error &error) {
            thrown = error.what();
        }
        QCOMPARE(thrown, std::string("3"));
    }

    // The larger index fails first for certain, and the smaller one must win all the same.
    if (threads > 1) {
        std::latch laterFailed(1);
        std::string thrown;
        try {
            pool.run(2, [&](std::size_t i) {
                if (i == 0)
                    laterFailed.wait();
                else
                    laterFailed.count_down();
                throw std::runtime_error(std::to_string(i));
            });
        } catch (const std::runtime_error &error) {
            thrown = error.what();
        }
        QCOMPARE(thrown, std::string("0"));
    }
}

void TestThreadPool::callsNotBegunAreLeftOutAfterAnException()
{
    for (const std::size_t threads : {1U, 3U}) {
        ThreadPool pool(threads);
        std::atomic<std::size_t> calls = 0;
        QVERIFY_THROWS_EXCEPTION(std::runtime_error, pool.run(1'000'000, [&](std::size_t) {
            ++calls;
            throw std::runtime_error("stop");
        }));
        QVERIFY(calls <= threads);
    }
}

void TestThreadPool::poolIsUsableAfterAnException()
{
    ThreadPool pool(3);
    QVERIFY_THROWS_EXCEPTION(std::logic_error, pool.run(10, [](std::size_t) { throw std::logic_error("x"); }));
    std::atomic<int> calls = 0;
    pool.run(100, [&](std::size_t) { ++calls; });
    QCOMPARE(calls.load(), 100);
}

void TestThreadPool::callFromInsideRunsInPlace()
{
    ThreadPool pool(3);
    std::atomic<int> inner = 0;
    std::atomic<bool> samePlace = true;
    pool.run(8, [&](std::size_t) {
        const auto outer = std::this_thread::get_id();
        std::vector<std::size_t> order;
        pool.run(5, [&](std::size_t i) {
            samePlace = samePlace && std::this_thread::get_id() == outer;
            order.push_back(i);
            ++inner;
        });
        samePlace = samePlace && order == std::vector<std::size_t>{0, 1, 2, 3, 4};
    });
    QCOMPARE(inner.load(), 40);
    QVERIFY(samePlace.load());
}

// A paused batch job holds the pool's threads inside its work; an answer to a drag must not wait for it.
void TestThreadPool::callersGetOnWhileThePoolIsHeldElsewhere()
{
    ThreadPool pool(3);
    std::latch held(3);
    std::latch release(1);
    std::jthread batch([&] {
        pool.run(3, [&](std::size_t) {
            held.count_down();
            release.wait();
        });
    });
    held.wait();
    std::atomic<int> calls = 0;
    pool.run(10, [&](std::size_t) { ++calls; });
    QCOMPARE(calls.load(), 10);
    release.count_down();
}

void TestThreadPool::callersOnSeveralThreadsShareThePool()
{
    ThreadPool pool(3);
    std::array<std::atomic<int>, 4> sums{};
    std::vector<std::jthread> callers;
    for (std::size_t caller = 0; caller < sums.size(); ++caller)
        callers.emplace_back([&, caller] {
            for (int repeat = 0; repeat < 50; ++repeat)
                pool.run(100, [&](std::size_t i) { sums[caller] += static_cast<int>(i); });
        });
    callers.clear();
    for (const std::atomic<int> &sum : sums)
        QCOMPARE(sum.load(), 50 * 4950);
}

void TestThreadPool::zeroThreadsTakesTheProcessors()
{
    QVERIFY(ThreadPool().threads() >= 1);
    QVERIFY(ThreadPool().threads() <= std::max(1U, std::thread::hardware_concurrency()));
}

void TestThreadPool::partitionDependsOnCountAndGrainOnly_data()
{
    QTest::addColumn<int>("count");
    QTest::addColumn<int>("grain");
    QTest::newRow("nothing") << 0 << 4;
    QTest::newRow("less than a block") << 3 << 4;
    QTest::newRow("whole blocks") << 8 << 4;
    QTest::newRow("shorter last block") << 10 << 4;
    QTest::newRow("grain 1") << 5 << 1;
}

void TestThreadPool::partitionDependsOnCountAndGrainOnly()
{
    QFETCH(int, count);
    QFETCH(int, grain);
    std::set<std::pair<std::ptrdiff_t, std::ptrdiff_t>> expected;
    for (int begin = 0; begin < count; begin += grain)
        expected.emplace(begin, std::min(begin + grain, count));
    const auto blocksWith = [&](ThreadPool *pool) {
        std::mutex mutex;
        std::set<std::pair<std::ptrdiff_t, std::ptrdiff_t>> blocks;
        parallelFor(TaskContext{pool}, count, grain, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
            const std::lock_guard lock(mutex);
            blocks.emplace(begin, end);
        });
        return blocks;
    };
    ThreadPool one(1);
    ThreadPool four(4);
    QVERIFY(blocksWith(nullptr) == expected);
    QVERIFY(blocksWith(&one) == expected);
    QVERIFY(blocksWith(&four) == expected);
}

void TestThreadPool::orderedSumsAreTheSameForEveryNumberOfThreads()
{
    // Values of very different size, so that any other order of the additions gives other bits.
    std::vector<float> values(10'007);
    std::uint32_t random = 12345;
    for (float &value : values) {
        random = random * 1664525U + 1013904223U;
        value = std::ldexp(static_cast<float>(random >> 8), static_cast<int>(random % 40U) - 20);
    }
    const auto sumWith = [&](std::size_t threads) {
        ThreadPool pool(threads);
        constexpr std::ptrdiff_t grain = 64;
        std::vector<float> partial((values.size() + grain - 1) / grain);
        parallelFor(TaskContext{&pool}, std::ssize(values), grain, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
            float sum = 0;
            for (std::ptrdiff_t i = begin; i < end; ++i)
                sum += values[static_cast<std::size_t>(i)];
            partial[static_cast<std::size_t>(begin / grain)] = sum;
        });
        return std::accumulate(partial.begin(), partial.end(), 0.0F);
    };
    const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
    const std::uint32_t one = bits(sumWith(1));
    for (const std::size_t threads : {2U, 3U, 7U})
        QCOMPARE(bits(sumWith(threads)), one);
    QVERIFY2(bits(std::accumulate(values.rbegin(), values.rend(), 0.0F)) != one, "the values do not show the order");
}

void TestThreadPool::stoppedLoopThrowsCancelled()
{
    for (const std::size_t threads : {1U, 3U}) {
        ThreadPool pool(threads);
        std::stop_source stop;
        std::atomic<int> calls = 0;
        const TaskContext context{&pool, nullptr, stop.get_token()};
        QVERIFY_THROWS_EXCEPTION(Cancelled, parallelFor(context, 1'000'000, 1, [&](std::ptrdiff_t, std::ptrdiff_t) {
            ++calls;
            stop.request_stop();
        }));
        QVERIFY(calls <= static_cast<int>(threads));
    }
}

void TestThreadPool::pausedLoopWaitsAndGoesOn()
{
    ThreadPool pool(2);
    PauseGate gate;
    std::stop_source stop;
    std::atomic<int> calls = 0;
    std::latch begun(1);
    gate.setPaused(true);
    std::jthread worker([&] {
        begun.count_down();
        parallelFor(TaskContext{&pool, nullptr, stop.get_token(), &gate}, 20, 1, [&](std::ptrdiff_t, std::ptrdiff_t) { ++calls; });
    });
    begun.wait();
    QCOMPARE(calls.load(), 0);
    gate.setPaused(false);
    worker.join();
    QCOMPARE(calls.load(), 20);
}

void TestThreadPool::threadsOfThePoolLetTheCallerGoFirst()
{
    const int mine = getpriority(PRIO_PROCESS, 0);
    ThreadPool pool(2, 3);
    std::latch bothHere(2);
    std::mutex mutex;
    std::vector<int> found;
    pool.run(2, [&](std::size_t) {
        bothHere.arrive_and_wait();
        const std::lock_guard lock(mutex);
        found.push_back(getpriority(PRIO_PROCESS, 0));
    });
    std::sort(found.begin(), found.end());
    QCOMPARE(found, (std::vector<int>{mine, std::min(19, mine + 3)}));
    QCOMPARE(getpriority(PRIO_PROCESS, 0), mine);
}

QTEST_GUILESS_MAIN(TestThreadPool)
#include "tst_thread_pool.moc"
