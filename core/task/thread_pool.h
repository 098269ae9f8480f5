// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace lqer {

// The one pool that computes. The calling thread works along, so a pool of 1 starts no thread.
// Creating it sets BLAS to one thread: parallelism is over blocks of our own, never inside a BLAS call.
class ThreadPool {
public:
    // threads: 0 takes the number of processors this process may use.
    // niceness: added to that of the pool's threads and of a JobQueue over it, so that a window's own thread goes first.
    explicit ThreadPool(std::size_t threads = 0, int niceness = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    std::size_t threads() const;
    // Gives the calling thread the pool's niceness.
    void yieldToOthers() const;

    // Calls work(i) for every i in [0, count), each once, in any order, on any thread of the pool; returns when all are
    // finished. If calls throw, the exception of the smallest i is rethrown and calls not yet begun are left out.
    // A call from inside work() runs in place on the calling thread. Calls from several threads share the pool; each
    // caller gets on by itself even if the pool's threads are busy or paused elsewhere.
    void run(std::size_t count, const std::function<void(std::size_t)> &work);

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace lqer
