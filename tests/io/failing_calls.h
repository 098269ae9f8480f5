// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

// Makes file system calls of this process fail. The program that links failing_calls.cpp has its own open, write, pread,
// fsync, close, rename, renameat2, posix_fallocate, ftruncate and fchmod, which pass on to the kernel unless a FailingCalls is alive.
// Source of the idea: SQLite's fault loop, fail the k-th call for k = 1, 2, ... until the run succeeds (reliability.md 1).
namespace lqer::test {

class FailingCalls {
public:
    enum class Times { Once, Always };
    enum class Fault {
        Errno,      // the call fails with `code`
        HalfCount,  // write and pread do half of what they were asked
        EndOfFile,  // pread returns 0
    };

    // The k-th call (from 1) whose name is in `calls` (empty: every call) fails; Always: all later ones too.
    FailingCalls(std::size_t k, int code, Times times = Times::Once, std::vector<std::string> calls = {}, Fault fault = Fault::Errno);
    ~FailingCalls();
    FailingCalls(const FailingCalls &) = delete;
    FailingCalls &operator=(const FailingCalls &) = delete;

    bool hasStruck() const;
    // Names of all calls since construction, in order.
    const std::vector<std::string> &log() const;
};

}  // namespace lqer::test
