// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/task/job_queue.h"

using namespace lqer;

namespace {

// A job that says when it runs and then works until it is stopped or told to end.
struct HeldJob {
    std::latch running{1};
    std::binary_semaphore mayEnd{0};

    std::function<void(const TaskContext &)> work()
    {
        return [this](const TaskContext &context) {
            running.count_down();
            mayEnd.acquire();
            context.checkStop();
        };
    }
};

}  // namespace

class TestJobQueue : public QObject {
    Q_OBJECT
private slots:
    void jobRunsAndIsDone();
    void exceptionsEndAJobAsFailed_data();
    void exceptionsEndAJobAsFailed();
    void jobsOfALaneRunInOrder();
    void lanesRunBesideEachOther();
    void newerJobReplacesTheQueuedOneWithItsTag();
    void newerJobStopsTheRunningOneWithItsTag();
    void otherTagsAndOtherLanesAreLeftAlone();
    void cancelledJobInTheQueueNeverRuns();
    void cancelAllEndsBothLanes();
    void pausedJobWaitsUntilItMayGoOn();
    void pausedJobCanBeCancelled();
    void pausedBatchJobLeavesThePoolToTheInteractiveLane();
    void progressIsSeenFromOutside();
    void changeIsReportedForEveryState();
    void destructionStopsEverything();
    void workIsReleasedWhenAJobEnds();
    void jobsHaveThePoolsPriority();
};

void TestJobQueue::jobRunsAndIsDone()
{
    ThreadPool pool(2);
    JobQueue queue(pool);
    std::atomic<int> result = 0;
    const auto job = queue.submit(JobLane::Batch, "tag", "title", [&](const TaskContext &context) {
        parallelFor(context, 10, 1, [&](std::ptrdiff_t, std::ptrdiff_t) { ++result; });
    });
    queue.waitIdle();
    QCOMPARE(job->state(), JobState::Done);
    QCOMPARE(result.load(), 10);
    QCOMPARE(job->tag(), std::string("tag"));
    QCOMPARE(job->title(), std::string("title"));
    QVERIFY(job->error().empty());
    QVERIFY(!queue.isBusy(JobLane::Batch));
}

void TestJobQueue::exceptionsEndAJobAsFailed_data()
{
    QTest::addColumn<int>("kind");
    QTest::addColumn<JobState>("state");
    QTest::addColumn<QString>("message");
    QTest::newRow("Error") << 0 << JobState::Failed << "a.json: is wrong";
    QTest::newRow("standard exception") << 1 << JobState::Failed << "standard";
    QTest::newRow("memory") << 2 << JobState::Failed << "not enough memory for this step";
    QTest::newRow("Cancelled") << 3 << JobState::Cancelled << "";
}

void TestJobQueue::exceptionsEndAJobAsFailed()
{
    QFETCH(int, kind);
    QFETCH(JobState, state);
    QFETCH(QString, message);
    ThreadPool pool(1);
    JobQueue queue(pool);
    const auto job = queue.submit(JobLane::Batch, "t", "t", [kind](const TaskContext &) {
        switch (kind) {
        case 0: throw Error(ErrorCode::Format, "a.json", {}, "is wrong");
        case 1: throw std::runtime_error("standard");
        case 2: throw std::bad_alloc();
        default: throw Cancelled();
        }
    });
    queue.waitIdle();
    QCOMPARE(job->state(), state);
    QCOMPARE(QString::fromStdString(job->error()), message);
    const auto next = queue.submit(JobLane::Batch, "t", "t", [](const TaskContext &) {});
    queue.waitIdle();
    QCOMPARE(next->state(), JobState::Done);
}

void TestJobQueue::jobsOfALaneRunInOrder()
{
    ThreadPool pool(2);
    JobQueue queue(pool);
    std::vector<int> order;  // one lane, one thread: no lock needed
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 20; ++i)
        ids.push_back(queue.submit(JobLane::Batch, std::to_string(i), "t", [&order, i](const TaskContext &) { order.push_back(i); })->id());
    queue.waitIdle();
    QCOMPARE(order.size(), 20U);
    QVERIFY(std::is_sorted(order.begin(), order.end()));
    QCOMPARE(std::set<std::uint64_t>(ids.begin(), ids.end()).size(), 20U);
}

// Would never end if the lanes took turns.
void TestJobQueue::lanesRunBesideEachOther()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    std::latch both(2);
    const auto meet = [&](const TaskContext &) { both.arrive_and_wait(); };
    const auto first = queue.submit(JobLane::Batch, "a", "a", meet);
    const auto second = queue.submit(JobLane::Interactive, "b", "b", meet);
    queue.waitIdle();
    QCOMPARE(first->state(), JobState::Done);
    QCOMPARE(second->state(), JobState::Done);
}

void TestJobQueue::newerJobReplacesTheQueuedOneWithItsTag()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    const auto running = queue.submit(JobLane::Interactive, "other", "t", held.work());
    held.running.wait();
    std::atomic<int> ran = 0;
    std::vector<std::shared_ptr<Job>> drags;
    for (int i = 1; i <= 5; ++i)
        drags.push_back(queue.submit(JobLane::Interactive, "drag", "t", [&ran, i](const TaskContext &) { ran = ran * 10 + i; }));
    for (int i = 0; i < 4; ++i)
        QCOMPARE(drags[static_cast<std::size_t>(i)]->state(), JobState::Cancelled);
    QCOMPARE(drags[4]->state(), JobState::Queued);
    held.mayEnd.release();
    queue.waitIdle();
    QCOMPARE(running->state(), JobState::Done);
    QCOMPARE(drags[4]->state(), JobState::Done);
    QCOMPARE(ran.load(), 5);
}

void TestJobQueue::newerJobStopsTheRunningOneWithItsTag()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    const auto old = queue.submit(JobLane::Interactive, "drag", "t", held.work());
    held.running.wait();
    QCOMPARE(old->state(), JobState::Running);
    const auto newer = queue.submit(JobLane::Interactive, "drag", "t", [](const TaskContext &) {});
    held.mayEnd.release();
    queue.waitIdle();
    QCOMPARE(old->state(), JobState::Cancelled);
    QCOMPARE(newer->state(), JobState::Done);
}

void TestJobQueue::otherTagsAndOtherLanesAreLeftAlone()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    const auto batch = queue.submit(JobLane::Batch, "same", "t", held.work());
    held.running.wait();
    const auto interactive = queue.submit(JobLane::Interactive, "same", "t", [](const TaskContext &) {});
    const auto waiting = queue.submit(JobLane::Batch, "different", "t", [](const TaskContext &) {});
    held.mayEnd.release();
    queue.waitIdle();
    QCOMPARE(batch->state(), JobState::Done);
    QCOMPARE(interactive->state(), JobState::Done);
    QCOMPARE(waiting->state(), JobState::Done);
}

void TestJobQueue::cancelledJobInTheQueueNeverRuns()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    queue.submit(JobLane::Batch, "a", "t", held.work());
    held.running.wait();
    std::atomic<bool> ran = false;
    const auto job = queue.submit(JobLane::Batch, "b", "t", [&](const TaskContext &) { ran = true; });
    job->cancel();
    held.mayEnd.release();
    queue.waitIdle();
    QCOMPARE(job->state(), JobState::Cancelled);
    QVERIFY(!ran);
}

void TestJobQueue::cancelAllEndsBothLanes()
{
    ThreadPool pool(2);
    JobQueue queue(pool);
    HeldJob batch;
    HeldJob interactive;
    const std::vector<std::shared_ptr<Job>> jobs{
        queue.submit(JobLane::Batch, "a", "t", batch.work()), queue.submit(JobLane::Interactive, "b", "t", interactive.work()),
        queue.submit(JobLane::Batch, "c", "t", [](const TaskContext &) {})};
    batch.running.wait();
    interactive.running.wait();
    QVERIFY(queue.isBusy(JobLane::Batch) && queue.isBusy(JobLane::Interactive));
    queue.cancelAll();
    batch.mayEnd.release();
    interactive.mayEnd.release();
    queue.waitIdle();
    for (const auto &job : jobs)
        QCOMPARE(job->state(), JobState::Cancelled);
    const auto next = queue.submit(JobLane::Batch, "d", "t", [](const TaskContext &) {});
    queue.waitIdle();
    QCOMPARE(next->state(), JobState::Done);
}

void TestJobQueue::pausedJobWaitsUntilItMayGoOn()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    std::atomic<bool> wentOn = false;
    const auto job = queue.submit(JobLane::Batch, "a", "t", [&, work = held.work()](const TaskContext &context) {
        work(context);
        wentOn = true;
    });
    held.running.wait();
    job->setPaused(true);
    QVERIFY(job->isPaused());
    held.mayEnd.release();  // from here on the job stands at its stop check
    QVERIFY(!wentOn);
    QCOMPARE(job->state(), JobState::Running);
    QVERIFY(queue.isBusy(JobLane::Batch));
    job->setPaused(false);
    queue.waitIdle();
    QVERIFY(wentOn);
    QCOMPARE(job->state(), JobState::Done);
}

void TestJobQueue::pausedJobCanBeCancelled()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    const auto job = queue.submit(JobLane::Batch, "a", "t", held.work());
    held.running.wait();
    job->setPaused(true);
    held.mayEnd.release();
    job->cancel();
    queue.waitIdle();
    QCOMPARE(job->state(), JobState::Cancelled);
}

void TestJobQueue::pausedBatchJobLeavesThePoolToTheInteractiveLane()
{
    ThreadPool pool(2);
    JobQueue queue(pool);
    std::latch inside(2);
    std::latch paused(1);
    const auto batch = queue.submit(JobLane::Batch, "a", "t", [&](const TaskContext &context) {
        parallelFor(context, 2, 1, [&](std::ptrdiff_t, std::ptrdiff_t) {
            inside.count_down();
            paused.wait();
            context.checkStop();
        });
    });
    inside.wait();
    batch->setPaused(true);
    paused.count_down();
    // Would never end if the paused job kept others from computing.
    std::binary_semaphore answered(0);
    const auto drag = queue.submit(JobLane::Interactive, "b", "t", [&](const TaskContext &context) {
        parallelFor(context, 100, 1, [](std::ptrdiff_t, std::ptrdiff_t) {});
        answered.release();
    });
    answered.acquire();
    QCOMPARE(batch->state(), JobState::Running);
    batch->setPaused(false);
    queue.waitIdle();
    QCOMPARE(batch->state(), JobState::Done);
    QCOMPARE(drag->state(), JobState::Done);
}

void TestJobQueue::progressIsSeenFromOutside()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    HeldJob held;
    const auto job = queue.submit(JobLane::Batch, "a", "t", [&](const TaskContext &context) {
        context.beginStage("first", 5);
        context.advance(5);
        context.beginStage("second", 10);
        context.advance();
        context.advance(2);
        context.setDetail("layer 3");
        context.silent().advance(100);
        context.silent().beginStage("unseen", 1);
        held.work()(context);
    });
    held.running.wait();
    QCOMPARE(job->progress().stage(), std::string("second"));
    QCOMPARE(job->progress().detail(), std::string("layer 3"));
    QCOMPARE(job->progress().done(), 3U);
    QCOMPARE(job->progress().total(), 10U);
    held.mayEnd.release();
    queue.waitIdle();
}

void TestJobQueue::changeIsReportedForEveryState()
{
    ThreadPool pool(1);
    std::mutex mutex;
    std::set<JobState> seen;
    std::shared_ptr<Job> job;
    std::latch known(1);
    {
        JobQueue queue(pool, [&] {
            const std::lock_guard lock(mutex);
            if (job)
                seen.insert(job->state());
        });
        HeldJob held;
        queue.submit(JobLane::Batch, "first", "t", held.work());
        held.running.wait();
        auto submitted = queue.submit(JobLane::Batch, "second", "t", [&](const TaskContext &) { known.wait(); });
        {
            const std::lock_guard lock(mutex);
            job = submitted;
        }
        queue.submit(JobLane::Interactive, "third", "t", [](const TaskContext &) {});  // reports while `job` is queued
        held.mayEnd.release();
        known.count_down();
        queue.waitIdle();
    }
    const std::lock_guard lock(mutex);
    QVERIFY(seen.contains(JobState::Queued));
    QVERIFY(seen.contains(JobState::Running));
    QVERIFY(seen.contains(JobState::Done));
}

void TestJobQueue::destructionStopsEverything()
{
    ThreadPool pool(2);
    std::latch running(1);
    std::atomic<bool> stopped = false;
    std::shared_ptr<Job> first;
    std::shared_ptr<Job> second;
    {
        JobQueue queue(pool);
        first = queue.submit(JobLane::Batch, "a", "t", [&](const TaskContext &context) {
            running.count_down();
            try {
                while (true)
                    context.checkStop();
            } catch (const Cancelled &) {
                stopped = true;
                throw;
            }
        });
        second = queue.submit(JobLane::Batch, "b", "t", [](const TaskContext &) {});
        running.wait();
    }
    QVERIFY(stopped);
    QCOMPARE(first->state(), JobState::Cancelled);
    QCOMPARE(second->state(), JobState::Cancelled);
}

// What the work captured (a whole model, perhaps) must not live as long as the job's entry in a list.
void TestJobQueue::workIsReleasedWhenAJobEnds()
{
    ThreadPool pool(1);
    JobQueue queue(pool);
    auto captured = std::make_shared<int>(7);
    const std::weak_ptr<int> watch = captured;
    const auto job = queue.submit(JobLane::Batch, "a", "t", [kept = std::move(captured)](const TaskContext &) {});
    queue.waitIdle();
    QCOMPARE(job->state(), JobState::Done);
    QVERIFY(watch.expired());
}

void TestJobQueue::jobsHaveThePoolsPriority()
{
    const int mine = getpriority(PRIO_PROCESS, 0);
    ThreadPool pool(1, 3);
    JobQueue queue(pool);
    std::atomic<int> found = -1;
    queue.submit(JobLane::Batch, "a", "t", [&](const TaskContext &) { found = getpriority(PRIO_PROCESS, 0); });
    queue.waitIdle();
    QCOMPARE(found.load(), std::min(19, mine + 3));
}

QTEST_GUILESS_MAIN(TestJobQueue)
#include "tst_job_queue.moc"
