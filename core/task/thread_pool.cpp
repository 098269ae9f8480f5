// SPDX-License-Identifier: Apache-2.0
#include "core/task/thread_pool.h"

#include <sched.h>

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

}  // namespace

// One batch at a time: callers on different threads take turns.
struct ThreadPool::State {
    std::mutex callerMutex;

    std::mutex mutex;
    std::condition_variable wake;
    std::condition_variable finished;
    const std::function<void(std::size_t)> *work = nullptr;
    std::size_t count = 0;
    std::size_t next = 0;
    std::size_t running = 0;
    std::size_t failedIndex = std::numeric_limits<std::size_t>::max();
    std::exception_ptr failure;
    bool stopping = false;
    std::vector<std::jthread> workers;

    // Takes indices until none is left. The lock is held on entry and on return.
    void drain(std::unique_lock<std::mutex> &lock)
    {
        while (next < count) {
            const std::size_t index = next++;
            ++running;
            const auto *job = work;
            lock.unlock();
            std::exception_ptr thrown;
            try {
                (*job)(index);
            } catch (...) {
                thrown = std::current_exception();
            }
            lock.lock();
            --running;
            if (thrown) {
                next = count;
                if (index < failedIndex) {
                    failedIndex = index;
                    failure = thrown;
                }
            }
        }
        if (running == 0)
            finished.notify_all();
    }

    void loop()
    {
        insidePool = true;
        std::unique_lock lock(mutex);
        while (true) {
            wake.wait(lock, [this] { return stopping || next < count; });
            if (stopping)
                return;
            drain(lock);
        }
    }
};

ThreadPool::ThreadPool(std::size_t threads) : m_state(std::make_unique<State>())
{
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

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t)> &work)
{
    if (insidePool || m_state->workers.empty() || count <= 1) {
        for (std::size_t i = 0; i < count; ++i)
            work(i);
        return;
    }
    const std::lock_guard turn(m_state->callerMutex);
    std::unique_lock lock(m_state->mutex);
    m_state->work = &work;
    m_state->count = count;
    m_state->next = 0;
    m_state->failure = nullptr;
    m_state->failedIndex = std::numeric_limits<std::size_t>::max();
    m_state->wake.notify_all();
    insidePool = true;
    m_state->drain(lock);
    insidePool = false;
    m_state->finished.wait(lock, [this] { return m_state->running == 0; });
    m_state->count = 0;
    m_state->next = 0;
    m_state->work = nullptr;
    if (m_state->failure)
        std::rethrow_exception(std::exchange(m_state->failure, nullptr));
}

}  // namespace lqer
