// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/task/task_context.h"

namespace lqer {

enum class JobLane {
    Interactive,  // answers a drag; short
    Batch,        // calibrate, decompose, evaluate
};

enum class JobState { Queued, Running, Done, Failed, Cancelled };

// One piece of background work and what became of it. Shared between the queue and whoever shows it; thread-safe.
class Job {
public:
    virtual ~Job() = default;
    virtual std::uint64_t id() const = 0;
    virtual const std::string &tag() const = 0;
    virtual const std::string &title() const = 0;
    virtual JobState state() const = 0;
    virtual const Progress &progress() const = 0;
    // Text of the error when state() is Failed.
    virtual std::string error() const = 0;
    virtual void cancel() = 0;
    // While paused the work waits at its next stop check.
    virtual void setPaused(bool paused) = 0;
    virtual bool isPaused() const = 0;
};

// Two lanes, one running job each. A newer job with the same tag replaces the queued one and stops the running one.
class JobQueue {
public:
    // Called from a worker thread whenever a job changed its state. Must only wake somebody up.
    using Changed = std::function<void()>;

    explicit JobQueue(ThreadPool &pool, Changed changed = {});
    // Stops everything, waits for it.
    ~JobQueue();
    JobQueue(const JobQueue &) = delete;
    JobQueue &operator=(const JobQueue &) = delete;

    // Results leave `work` through what it captures (a mutex-guarded mailbox). Error and std::exception end the job as
    // Failed, Cancelled as Cancelled.
    std::shared_ptr<Job> submit(JobLane lane, std::string tag, std::string title,
                                std::function<void(const TaskContext &)> work);
    void cancelAll();
    // True while anything is queued or running in the lane.
    bool isBusy(JobLane lane) const;
    // Blocks until both lanes are empty. For tests and for closing.
    void waitIdle();

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace lqer
