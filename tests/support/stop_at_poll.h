// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <set>

#include "core/task/task_context.h"

namespace lqer::test {

// Counts how often work asks whether it may go on, and has it stopped when it asks for a certain time: what a person's click
// does, at a moment that does not depend on speed.
class StopAtPoll final : public PauseGate {
public:
    explicit StopAtPoll(long at = 0) : m_at(at) {}  // from 1; 0: never

    TaskContext context(ThreadPool *pool = nullptr) { return {pool, nullptr, m_source.get_token(), this}; }
    long polls() const { return m_polls; }
    void wait(std::stop_token) override
    {
        if (++m_polls == m_at)
            m_source.request_stop();
    }

private:
    std::stop_source m_source;
    std::atomic<long> m_polls = 0;
    long m_at;
};

// How often work(context) polls on one thread; -1 if it did not end as Cancelled at once when it was stopped at its first, its
// last and some polls between.
template <typename Work>
long pollsOf(const Work &work)
{
    StopAtPoll counting;
    work(counting.context());
    const long polls = counting.polls();
    for (const long at : std::set<long>{1, polls / 3, polls / 2, polls - 1, polls}) {
        if (at < 1)
            continue;
        StopAtPoll stopping(at);
        try {
            work(stopping.context());
            return -1;
        } catch (const Cancelled &) {
        }
        if (stopping.polls() != at)
            return -1;
    }
    return polls;
}

}  // namespace lqer::test
