// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace lqer {

// What a running piece of work tells the outside. Written by workers, polled by a screen; never calls back.
class Progress {
public:
    // A new stage ("calibrating", "decomposing model.layers.3.mlp.up_proj") of `total` steps; done() starts at 0 again.
    void beginStage(std::string stage, std::uint64_t total)
    {
        const std::lock_guard lock(m_mutex);
        m_stage = std::move(stage);
        m_detail.clear();
        m_done.store(0, std::memory_order_relaxed);
        m_total.store(total, std::memory_order_relaxed);
    }
    void add(std::uint64_t steps) { m_done.fetch_add(steps, std::memory_order_relaxed); }

    // A line that says more about the present step (layer name, running perplexity).
    void setDetail(std::string detail)
    {
        const std::lock_guard lock(m_mutex);
        m_detail = std::move(detail);
    }

    std::uint64_t done() const { return m_done.load(std::memory_order_relaxed); }
    std::uint64_t total() const { return m_total.load(std::memory_order_relaxed); }
    std::string stage() const
    {
        const std::lock_guard lock(m_mutex);
        return m_stage;
    }
    std::string detail() const
    {
        const std::lock_guard lock(m_mutex);
        return m_detail;
    }

private:
    std::atomic<std::uint64_t> m_done{0};
    std::atomic<std::uint64_t> m_total{0};
    mutable std::mutex m_mutex;
    std::string m_stage;
    std::string m_detail;
};

}  // namespace lqer
