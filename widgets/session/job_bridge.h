// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QTimer>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/task/job_queue.h"

namespace lqer {

// Background work for the GUI thread. Work runs on the queue's threads and returns what is to be done with its result; that
// runs on the GUI thread. Results travel through a mutex-guarded mailbox with one queued wake-up by name; progress is polled.
// Source: reliability.md 9.
class JobBridge final : public QObject {
    Q_OBJECT

public:
    using Delivery = std::function<void()>;
    using Work = std::function<Delivery(const TaskContext &)>;

    explicit JobBridge(ThreadPool &pool, QObject *parent = nullptr);
    // Stops and waits; nothing is delivered any more.
    ~JobBridge() override;

    // A newer job with the same tag replaces an older one, whose result is not delivered.
    std::shared_ptr<Job> start(JobLane lane, const QString &tag, const QString &title, Work work);
    // From a worker, while its job runs: `delivery` runs on the GUI thread soon, whatever becomes of the job.
    void post(Delivery delivery);
    // Jobs that are queued or running, oldest first.
    std::vector<std::shared_ptr<Job>> active() const { return m_active; }
    bool isBusy(JobLane lane) const;
    bool isBusy(const QString &tag) const;
    void cancel(const QString &tag);
    void cancelAll();
    // Seconds since the job began to run; of its present stage, an estimate of what is left (negative: not known yet) and the
    // steps per second.
    double elapsedSeconds(const Job &job) const;
    double remainingSeconds(const Job &job) const;
    double stepsPerSecond(const Job &job) const;
    // Waits for all work and delivers it. For tests and for closing.
    void finishAll();

signals:
    void started(const std::shared_ptr<lqer::Job> &job);
    // Ten times a second while anything runs.
    void progressed();
    // After its delivery ran.
    void finished(const std::shared_ptr<lqer::Job> &job);
    void failed(const QString &title, const QString &message);

private slots:
    void drain();

private:
    struct Timing {
        std::uint64_t job = 0;
        qint64 startedAt = -1;       // milliseconds of the monotonic clock; -1: still queued
        qint64 stageStartedAt = -1;
        std::string stage;
    };
    const Timing *timingOf(const Job &job) const;
    void poll();
    void wake();

    std::mutex m_mutex;
    std::vector<std::pair<std::uint64_t, Delivery>> m_mailbox;  // by job id; 0: of no job
    bool m_woken = false;
    std::vector<std::shared_ptr<Job>> m_active;
    std::vector<Timing> m_timings;
    QTimer m_poll;
    // Last: its threads use everything above.
    std::unique_ptr<JobQueue> m_queue;
};

}  // namespace lqer
