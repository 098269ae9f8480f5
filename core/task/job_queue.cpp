// SPDX-License-Identifier: Apache-2.0
#include "core/task/job_queue.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace lqer {

namespace {

class QueuedJob final : public Job {
public:
    QueuedJob(std::uint64_t id, std::string tag, std::string title, std::function<void(const TaskContext &)> work)
        : m_id(id), m_tag(std::move(tag)), m_title(std::move(title)), m_work(std::move(work))
    {
    }

    std::uint64_t id() const override { return m_id; }
    const std::string &tag() const override { return m_tag; }
    const std::string &title() const override { return m_title; }
    JobState state() const override { return m_state.load(); }
    const Progress &progress() const override { return m_progress; }
    std::string error() const override
    {
        const std::lock_guard lock(m_mutex);
        return m_error;
    }
    void cancel() override { m_stop.request_stop(); }
    void setPaused(bool paused) override { m_gate.setPaused(paused); }
    bool isPaused() const override { return m_gate.isPaused(); }

    // Runs the work on the calling thread and records how it ended.
    void execute(ThreadPool &pool, const std::function<void()> &changed)
    {
        if (m_stop.stop_requested()) {
            finish(JobState::Cancelled, {});
            return;
        }
        m_state = JobState::Running;
        changed();
        try {
            m_work(TaskContext{&pool, &m_progress, m_stop.get_token(), &m_gate});
            finish(JobState::Done, {});
        } catch (const Cancelled &) {
            finish(JobState::Cancelled, {});
        } catch (const std::bad_alloc &) {
            finish(JobState::Failed, "not enough memory for this step");
        } catch (const std::exception &error) {
            finish(JobState::Failed, error.what());
        }
    }

    void finish(JobState state, std::string error)
    {
        {
            const std::lock_guard lock(m_mutex);
            m_error = std::move(error);
        }
        m_work = nullptr;
        m_state = state;
    }

private:
    const std::uint64_t m_id;
    const std::string m_tag;
    const std::string m_title;
    std::function<void(const TaskContext &)> m_work;
    std::atomic<JobState> m_state{JobState::Queued};
    std::stop_source m_stop;
    PauseGate m_gate;
    Progress m_progress;
    mutable std::mutex m_mutex;
    std::string m_error;
};

}  // namespace

struct JobQueue::State {
    struct Lane {
        std::deque<std::shared_ptr<QueuedJob>> queued;
        std::shared_ptr<QueuedJob> running;
    };

    ThreadPool &pool;
    Changed changed;
    mutable std::mutex mutex;
    std::condition_variable wake;
    std::condition_variable idle;
    std::array<Lane, 2> lanes;
    bool stopping = false;
    std::uint64_t nextId = 1;
    std::array<std::jthread, 2> threads;

    State(ThreadPool &usedPool, Changed onChanged) : pool(usedPool), changed(std::move(onChanged)) {}

    void notifyChanged() const
    {
        if (changed)
            changed();
    }

    void loop(Lane &lane)
    {
        pool.yieldToOthers();
        std::unique_lock lock(mutex);
        while (true) {
            wake.wait(lock, [&] { return stopping || !lane.queued.empty(); });
            if (stopping)
                return;
            lane.running = lane.queued.front();
            lane.queued.pop_front();
            const std::shared_ptr<QueuedJob> job = lane.running;
            lock.unlock();
            job->execute(pool, [this] { notifyChanged(); });
            lock.lock();
            lane.running.reset();
            if (lane.queued.empty())
                idle.notify_all();
            lock.unlock();
            notifyChanged();
            lock.lock();
        }
    }

    // Under the lock. Queued jobs end at once, the running one at its next stop check.
    void cancelLane(Lane &lane)
    {
        for (const auto &job : lane.queued)
            job->finish(JobState::Cancelled, {});
        lane.queued.clear();
        if (lane.running)
            lane.running->cancel();
    }
};

JobQueue::JobQueue(ThreadPool &pool, Changed changed) : m_state(std::make_unique<State>(pool, std::move(changed)))
{
    for (std::size_t i = 0; i < m_state->lanes.size(); ++i)
        m_state->threads[i] = std::jthread([state = m_state.get(), i] { state->loop(state->lanes[i]); });
}

JobQueue::~JobQueue()
{
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->stopping = true;
        for (State::Lane &lane : m_state->lanes)
            m_state->cancelLane(lane);
    }
    m_state->wake.notify_all();
    for (std::jthread &thread : m_state->threads)
        thread.join();
}

std::shared_ptr<Job> JobQueue::submit(JobLane lane, std::string tag, std::string title,
                                      std::function<void(const TaskContext &)> work)
{
    std::shared_ptr<QueuedJob> job;
    {
        const std::lock_guard lock(m_state->mutex);
        job = std::make_shared<QueuedJob>(m_state->nextId++, std::move(tag), std::move(title), std::move(work));
        State::Lane &target = m_state->lanes[static_cast<std::size_t>(lane)];
        for (auto queued = target.queued.begin(); queued != target.queued.end();) {
            if ((*queued)->tag() == job->tag()) {
                (*queued)->finish(JobState::Cancelled, {});
                queued = target.queued.erase(queued);
            } else {
                ++queued;
            }
        }
        if (target.running && target.running->tag() == job->tag())
            target.running->cancel();
        target.queued.push_back(job);
    }
    m_state->wake.notify_all();
    m_state->notifyChanged();
    return job;
}

void JobQueue::cancelAll()
{
    {
        const std::lock_guard lock(m_state->mutex);
        for (State::Lane &lane : m_state->lanes)
            m_state->cancelLane(lane);
        m_state->idle.notify_all();
    }
    m_state->notifyChanged();
}

bool JobQueue::isBusy(JobLane lane) const
{
    const std::lock_guard lock(m_state->mutex);
    const State::Lane &asked = m_state->lanes[static_cast<std::size_t>(lane)];
    return asked.running || !asked.queued.empty();
}

void JobQueue::waitIdle()
{
    std::unique_lock lock(m_state->mutex);
    m_state->idle.wait(lock, [this] {
        for (const State::Lane &lane : m_state->lanes)
            if (lane.running || !lane.queued.empty())
                return false;
        return true;
    });
}

}  // namespace lqer
