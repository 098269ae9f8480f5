// SPDX-License-Identifier: Apache-2.0
#include "core/engine/memory_estimate.h"

#include <fstream>
#include <limits>
#include <sstream>

#include <fmt/format.h>
#include <malloc.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

// "MemAvailable:   21027432 kB" of a file of such lines, in bytes; `fallback` if it is not there.
std::uint64_t kilobyteLine(const char *path, const std::string &label, std::uint64_t fallback)
{
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(label))
            continue;
        std::istringstream rest(line.substr(label.size()));
        std::uint64_t kilobytes = 0;
        if (rest >> kilobytes)
            return kilobytes * 1024;
    }
    return fallback;
}

}  // namespace

void MemoryEstimate::require(const std::string &stage) const
{
    if (fits())
        return;
    std::string text;
    for (const auto &[name, size] : parts)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, formatBytes(static_cast<double>(size)));
    throw Error(ErrorCode::Memory, fmt::format("{} needs about {} at {} ({}), {} may be used; raise the memory limit or free memory", stage,
                                               formatBytes(static_cast<double>(bytes)), where, text,
                                               formatBytes(static_cast<double>(limit))));
}

std::uint64_t availableMemory()
{
    return kilobyteLine("/proc/meminfo", "MemAvailable:", std::numeric_limits<std::uint64_t>::max());
}

void releaseFreedMemory()
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

std::uint64_t residentMemory()
{
    return kilobyteLine("/proc/self/status", "VmRSS:", 0);
}

}  // namespace lqer
