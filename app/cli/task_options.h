// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/engine/engine.h"

namespace CLI {
class App;
}

namespace lqer::cli {

// Which downstream tasks, and what they leave open.
class TaskOptions {
public:
    void add(CLI::App &command);
    bool isStated() const { return !m_tasks.empty(); }

    // Throws Error(Argument) on unknown tasks and on numbers that are none.
    std::vector<TaskRequest> requests() const;
    TasksOptions options(const std::string &dataFolder) const;

private:
    std::vector<std::string> m_tasks;
    int m_fewShot = 0;
    std::string m_shotSplit;
    std::int64_t m_limit = 0;
    bool m_bos = false;
    std::string m_boundary = "context-length";
};

}  // namespace lqer::cli
