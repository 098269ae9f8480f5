// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/task/progress.h"
#include "core/task/thread_pool.h"

namespace lqer {

// Where work asks whether it may go on, and waits while it is paused. Shared by the job and whoever presses the button.
class PauseGate {
public:
    virtual ~PauseGate() = default;
    void setPaused(bool paused)
    {
        {
            const std::lock_guard lock(m_mutex);
            m_paused = paused;
        }
        m_changed.notify_all();
    }
    bool isPaused() const
    {
        const std::lock_guard lock(m_mutex);
        return m_paused;
    }
    // Returns when not paused or when a stop is requested.
    virtual void wait(std::stop_token stop)
    {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, std::move(stop), [this] { return !m_paused; });
    }

private:
    mutable std::mutex m_mutex;
    std::condition_variable_any m_changed;
    bool m_paused = false;
};

// What long-running work is handed: where to compute, when to stop, where to report. Cheap to copy; the pool and the
// progress outlive it.
struct TaskContext {
    ThreadPool *pool = nullptr;      // null: everything on the calling thread
    Progress *progress = nullptr;    // null: nobody watches
    std::stop_token stop = {};
    PauseGate *gate = nullptr;       // null: cannot be paused

    // Waits while paused; throws Cancelled if a stop was asked for.
    void checkStop() const
    {
        if (gate)
            gate->wait(stop);
        if (stop.stop_requested())
            throw Cancelled();
    }
    void beginStage(std::string stage, std::uint64_t total) const
    {
        if (progress)
            progress->beginStage(std::move(stage), total);
    }
    void advance(std::uint64_t steps = 1) const
    {
        if (progress)
            progress->add(steps);
    }
    void setDetail(std::string detail) const
    {
        if (progress)
            progress->setDetail(std::move(detail));
    }
    // The same work without reporting, for a step inside a bigger stage.
    TaskContext silent() const { return {pool, nullptr, stop, gate}; }
};

// Splits [0, count) into blocks of `grain` (the last one shorter) and calls body(begin, end) for each. The partition depends
// on count and grain only, never on the number of threads, so ordered reductions over blocks give the same numbers always.
// Polls the stop token before each block.
template <typename Body>
void parallelFor(const TaskContext &context, std::ptrdiff_t count, std::ptrdiff_t grain, Body &&body)
{
    const std::ptrdiff_t blocks = (count + grain - 1) / grain;
    const auto block = [&](std::size_t b) {
        context.checkStop();
        const auto begin = static_cast<std::ptrdiff_t>(b) * grain;
        body(begin, std::min(count, begin + grain));
    };
    if (context.pool) {
        context.pool->run(static_cast<std::size_t>(blocks), block);
    } else {
        for (std::ptrdiff_t b = 0; b < blocks; ++b)
            block(static_cast<std::size_t>(b));
    }
}

}  // namespace lqer
