// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/session/job_bridge.h"

#include <QDeadlineTimer>

#include <algorithm>
#include <atomic>
#include <iterator>

namespace lqer {

namespace {

constexpr int pollMilliseconds = 100;

qint64 nowMilliseconds()
{
    return QDeadlineTimer::current(Qt::PreciseTimer).deadline();
}

bool hasEnded(const Job &job)
{
    const JobState state = job.state();
    return state == JobState::Done || state == JobState::Failed || state == JobState::Cancelled;
}

}  // namespace

JobBridge::JobBridge(ThreadPool &pool, QObject *parent) : QObject(parent)
{
    m_poll.setInterval(pollMilliseconds);
    connect(&m_poll, &QTimer::timeout, this, &JobBridge::poll);
    m_queue = std::make_unique<JobQueue>(pool, [this] { wake(); });
}

void JobBridge::poll()
{
    const qint64 now = nowMilliseconds();
    for (Timing &timing : m_timings) {
        const auto job = std::find_if(m_active.begin(), m_active.end(), [&](const auto &active) { return active->id() == timing.job; });
        if (job == m_active.end() || (*job)->state() != JobState::Running)
            continue;
        if (timing.startedAt < 0)
            timing.startedAt = now;
        std::string stage = (*job)->progress().stage();
        if (timing.stageStartedAt < 0 || stage != timing.stage) {
            timing.stage = std::move(stage);
            timing.stageStartedAt = now;
        }
    }
    emit progressed();
}

const JobBridge::Timing *JobBridge::timingOf(const Job &job) const
{
    const auto found = std::find_if(m_timings.begin(), m_timings.end(), [&](const Timing &timing) { return timing.job == job.id(); });
    return found == m_timings.end() ? nullptr : &*found;
}

JobBridge::~JobBridge()
{
    m_queue.reset();
}

void JobBridge::wake()
{
    {
        const std::lock_guard lock(m_mutex);
        if (std::exchange(m_woken, true))
            return;
    }
    QMetaObject::invokeMethod(this, "drain", Qt::QueuedConnection);
}

std::shared_ptr<Job> JobBridge::start(JobLane lane, const QString &tag, const QString &title, Work work)
{
    // The id is known only once the job exists; the work may begin before that.
    auto id = std::make_shared<std::atomic<std::uint64_t>>(0);
    std::shared_ptr<Job> job = m_queue->submit(lane, tag.toStdString(), title.toStdString(), [this, id, run = std::move(work)](const TaskContext &context) {
        Delivery delivery = run(context);
        id->wait(0);
        const std::lock_guard lock(m_mutex);
        m_mailbox.emplace_back(id->load(), std::move(delivery));
    });
    id->store(job->id());
    id->notify_all();
    m_active.push_back(job);
    m_timings.push_back({job->id(), -1, -1, {}});
    if (!m_poll.isActive())
        m_poll.start();
    emit started(job);
    return job;
}

void JobBridge::drain()
{
    // Who has ended is asked before the mail is taken: a job puts its letter in before it ends, so these letters are all there. One that
    // ends while deliveries run below is for the next time; it wakes this thread again.
    std::vector<std::shared_ptr<Job>> ended;
    std::vector<std::pair<std::uint64_t, Delivery>> mail;
    {
        const std::lock_guard lock(m_mutex);
        m_woken = false;
    }
    std::copy_if(m_active.begin(), m_active.end(), std::back_inserter(ended), [](const auto &job) { return hasEnded(*job); });
    std::erase_if(m_active, [&](const auto &job) { return std::find(ended.begin(), ended.end(), job) != ended.end(); });
    {
        const std::lock_guard lock(m_mutex);
        mail.swap(m_mailbox);
    }
    for (const auto &[id, delivery] : mail)
        if (id == 0)
            delivery();
    std::erase_if(mail, [](const auto &entry) { return entry.first == 0; });
    for (const std::shared_ptr<Job> &job : ended) {
        std::erase_if(m_timings, [&](const Timing &timing) { return timing.job == job->id(); });
        const auto letter = std::find_if(mail.begin(), mail.end(), [&](const auto &entry) { return entry.first == job->id(); });
        if (letter != mail.end()) {
            if (job->state() == JobState::Done && letter->second)
                letter->second();
            mail.erase(letter);
        }
        if (job->state() == JobState::Failed)
            emit failed(QString::fromStdString(job->title()), QString::fromStdString(job->error()));
        emit finished(job);
    }
    // The letter of a job that is about to end waits for its state change.
    if (!mail.empty()) {
        const std::lock_guard lock(m_mutex);
        m_mailbox.insert(m_mailbox.begin(), std::make_move_iterator(mail.begin()), std::make_move_iterator(mail.end()));
    }
    if (m_active.empty())
        m_poll.stop();
    poll();
}

void JobBridge::post(Delivery delivery)
{
    {
        const std::lock_guard lock(m_mutex);
        m_mailbox.emplace_back(0, std::move(delivery));
    }
    wake();
}

bool JobBridge::isBusy(JobLane lane) const
{
    return m_queue->isBusy(lane);
}

bool JobBridge::isBusy(const QString &tag) const
{
    return std::any_of(m_active.begin(), m_active.end(), [&](const auto &job) { return job->tag() == tag.toStdString() && !hasEnded(*job); });
}

void JobBridge::cancel(const QString &tag)
{
    for (const std::shared_ptr<Job> &job : m_active) {
        if (job->tag() == tag.toStdString()) {
            job->setPaused(false);
            job->cancel();
        }
    }
}

void JobBridge::cancelAll()
{
    for (const std::shared_ptr<Job> &job : m_active)
        job->setPaused(false);
    m_queue->cancelAll();
}

double JobBridge::elapsedSeconds(const Job &job) const
{
    const Timing *timing = timingOf(job);
    return timing && timing->startedAt >= 0 ? static_cast<double>(nowMilliseconds() - timing->startedAt) / 1000.0 : 0;
}

double JobBridge::stepsPerSecond(const Job &job) const
{
    const Timing *timing = timingOf(job);
    if (!timing || timing->stageStartedAt < 0)
        return 0;
    const double seconds = static_cast<double>(nowMilliseconds() - timing->stageStartedAt) / 1000.0;
    return seconds > 0.3 ? static_cast<double>(job.progress().done()) / seconds : 0;
}

double JobBridge::remainingSeconds(const Job &job) const
{
    const double rate = stepsPerSecond(job);
    const std::uint64_t done = job.progress().done();
    const std::uint64_t total = job.progress().total();
    return rate > 0 && total >= done ? static_cast<double>(total - done) / rate : -1;
}

void JobBridge::finishAll()
{
    while (!m_active.empty()) {
        m_queue->waitIdle();
        drain();
    }
}

}  // namespace lqer
