// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>
#include <thread>

namespace lqer::cli {

// Ctrl-C and SIGTERM as a stop request. The first signal asks the work to stop at its next check; a second one ends the process
// at once with status 130 (what is in the project stays valid: it survives a kill). One per process.
class Interrupt {
public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt &) = delete;
    Interrupt &operator=(const Interrupt &) = delete;

    std::stop_token token() const { return m_stop.get_token(); }

private:
    void watch();

    std::stop_source m_stop;
    std::thread m_watcher;
};

}  // namespace lqer::cli
