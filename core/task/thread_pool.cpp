// SPDX-License-Identifier: Apache-2.0
#include "core/task/thread_pool.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

extern "C" void openblas_set_num_threads(int) __attribute__((weak));

namespace lqer {

namespace {

thread_local bool insidePool = false;

std::size_t usableProcessors()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
    return std::max(1U, std::thread::hardware_concurrency());
}

// Linux keeps a priority per thread; who: 0 is the calling one. Raising the niceness is always allowed.
void lowerPriority(int niceness)
{
    if (niceness > 0)
        (void)setpriority(PRIO_PROCESS, 0, std::min(19, getpriority(PRIO_PROCESS, 0) + niceness));
}

}  // namespace

// Several batches can be open at once: their callers work on their own and so always get on, even while the threads of the
// pool sit in the work of a paused job. Threads of the pool prefer the youngest batch, which keeps answers to a drag short.
struct ThreadPool::State {
    struct Batch {
        const std::function<void(std::size_t)> &work;
        std::size_t count;
        std::size_t next = 0;
        std::size_t running = 0;
        std::size_t failedIndex = std::numeric_limits<std::size_t>::max();
        std::exception_ptr failure;
        std::condition_variable finished;

        Batch(const std::function<void(std::size_t)> &calls, std::size_t number) : work(calls), count(number) {}
        bool hasWork() const { return next < count; }
    };

    std::mutex mutex;
    std::condition_variable wake;
    std::vector<Batch *> batches;  // oldest first
    bool stopping = false;
    int niceness = 0;
    std::vector<std::jthread> workers;

    Batch *youngestWithWork() const
    {
        const auto found = std::find_if(batches.rbegin(), batches.rend(), [](const Batch *batch) { return batch->hasWork(); });
        return found == batches.rend() ? nullptr : *found;
    }

    // Does the next index of the batch. The lock is held on entry and on return, not while working.
    static void step(Batch &batch, std::unique_lock<std::mutex> &lock)
    {
        const std::size_t index = batch.next++;
        ++batch.running;
        lock.unlock();
        std::exception_ptr thrown;
        try {
            batch.work(index);
        } catch (...) {
            thrown = std::current_exception();
        }
        lock.lock();
        --batch.running;
        if (thrown) {
            batch.next = batch.count;
            // Indices begin in order, so all smaller ones have begun: the smallest failure does not depend on timing.
            if (index < batch.failedIndex) {
                batch.failedIndex = index;
                batch.failure = thrown;
            }
        }
        if (batch.running == 0)
            batch.finished.notify_all();
    }

    void loop()
    {
        lowerPriority(niceness);
        insidePool = true;
        std::unique_lock lock(mutex);
        while (true) {
            wake.wait(lock, [this] { return stopping || youngestWithWork(); });
            if (stopping)
                return;
            step(*youngestWithWork(), lock);
        }
    }
};

ThreadPool::ThreadPool(std::size_t threads, int niceness) : m_state(std::make_unique<State>())
{
    m_state->niceness = niceness;
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
    const std::size_t total = threads == 0 ? usableProcessors() : threads;
    for (std::size_t i = 1; i < total; ++i)
        m_state->workers.emplace_back([state = m_state.get()] { state->loop(); });
}

ThreadPool::~ThreadPool()
{
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->stopping = true;
    }
    m_state->wake.notify_all();
}

std::size_t ThreadPool::threads() const
{
    return m_state->workers.size() + 1;
}

void ThreadPool::yieldToOthers() const
{
    lowerPriority(m_state->niceness);
}

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t)> &work)
{
    if (insidePool || m_state->workers.empty() || count <= 1) {
        for (std::size_t i = 0; i < count; ++i)
            work(i);
        return;
    }
    State::Batch batch(work, count);
    std::unique_lock lock(m_state->mutex);
    m_state->batches.push_back(&batch);
    m_state->wake.notify_all();
    insidePool = true;
    while (batch.hasWork())
        State::step(batch, lock);
    insidePool = false;
    batch.finished.wait(lock, [&] { return batch.running == 0; });
    std::erase(m_state->batches, &batch);
    if (batch.failure)
        std::rethrow_exception(std::exchange(batch.failure, nullptr));
}

}  // namespace lqer
