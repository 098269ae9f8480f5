// SPDX-License-Identifier: Apache-2.0
#include "tests/io/failing_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace lqer::test {

namespace {

struct Plan {
    bool active = false;
    std::size_t k = 0;
    int code = 0;
    FailingCalls::Times times = FailingCalls::Times::Once;
    FailingCalls::Fault fault = FailingCalls::Fault::Errno;
    std::vector<std::string> calls;
    std::size_t counted = 0;
    bool struck = false;
    std::vector<std::string> log;
};

// Of the testing thread only: nobody else's calls are counted or fail.
thread_local Plan plan;

bool strikes(const char *call)
{
    if (!plan.active)
        return false;
    plan.active = false;  // the log itself must not come back here
    plan.log.emplace_back(call);
    const bool counts = plan.calls.empty() || std::find(plan.calls.begin(), plan.calls.end(), call) != plan.calls.end();
    plan.active = true;
    if (!counts)
        return false;
    ++plan.counted;
    const bool hit = plan.counted == plan.k || (plan.counted > plan.k && plan.times == FailingCalls::Times::Always);
    plan.struck = plan.struck || hit;
    return hit;
}

long failed()
{
    errno = plan.code;
    return -1;
}

}  // namespace

FailingCalls::FailingCalls(std::size_t k, int code, Times times, std::vector<std::string> calls, Fault fault)
{
    plan = {};
    plan.k = k;
    plan.code = code;
    plan.times = times;
    plan.fault = fault;
    plan.calls = std::move(calls);
    plan.active = true;
}

FailingCalls::~FailingCalls() { plan = {}; }

bool FailingCalls::hasStruck() const { return plan.struck; }
const std::vector<std::string> &FailingCalls::log() const { return plan.log; }

}  // namespace lqer::test

using namespace lqer::test;

extern "C" {

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return static_cast<int>(strikes("open") ? failed() : syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    if (strikes("write")) {
        if (plan.fault == FailingCalls::Fault::Errno)
            return failed();
        count = (count + 1) / 2;
    }
    return syscall(SYS_write, descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset)
{
    if (strikes("write")) {
        if (plan.fault == FailingCalls::Fault::Errno)
            return failed();
        count = (count + 1) / 2;
    }
    return syscall(SYS_pwrite64, descriptor, bytes, count, offset);
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset)
{
    if (strikes("pread")) {
        if (plan.fault == FailingCalls::Fault::Errno)
            return failed();
        if (plan.fault == FailingCalls::Fault::EndOfFile)
            return 0;
        count = (count + 1) / 2;
    }
    return syscall(SYS_pread64, descriptor, bytes, count, offset);
}

int fsync(int descriptor) { return static_cast<int>(strikes("fsync") ? failed() : syscall(SYS_fsync, descriptor)); }

// As Linux does: the descriptor is gone even if close reports a fault.
int close(int descriptor)
{
    const bool struck = strikes("close");
    const long result = syscall(SYS_close, descriptor);
    return static_cast<int>(struck ? failed() : result);
}

int rename(const char *from, const char *to) noexcept
{
    return static_cast<int>(strikes("rename") ? failed() : syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}

int renameat2(int fromFolder, const char *from, int toFolder, const char *to, unsigned flags) noexcept
{
    return static_cast<int>(strikes("renameat2") ? failed() : syscall(SYS_renameat2, fromFolder, from, toFolder, to, flags));
}

int posix_fallocate(int descriptor, off_t offset, off_t length)
{
    if (strikes("posix_fallocate"))
        return plan.code;
    return syscall(SYS_fallocate, descriptor, 0, offset, length) == 0 ? 0 : errno;
}

int ftruncate(int descriptor, off_t length) noexcept
{
    return static_cast<int>(strikes("ftruncate") ? failed() : syscall(SYS_ftruncate, descriptor, length));
}

int fchmod(int descriptor, mode_t mode) noexcept
{
    return static_cast<int>(strikes("fchmod") ? failed() : syscall(SYS_fchmod, descriptor, mode));
}

}
