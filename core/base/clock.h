// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace lqer {

// Now, UTC, ISO 8601: "2025-01-31T12:00:00Z".
std::string utcNow();

// Seconds since it was made, by a clock that nobody sets.
class Stopwatch {
public:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - m_start).count(); }

private:
    std::chrono::steady_clock::time_point m_start = std::chrono::steady_clock::now();
};

}  // namespace lqer
