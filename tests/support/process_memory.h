// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace lqer::test {

// Largest resident size of this process since resetPeak(), in bytes (VmHWM of /proc/self/status).
inline std::uint64_t peakMemory()
{
    constexpr std::string_view label = "VmHWM:";
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(label))
            return std::strtoull(line.c_str() + label.size(), nullptr, 10) * 1024;
    return 0;
}

// From here on the peak is counted anew. False where the kernel does not let a process do that.
inline bool resetPeak()
{
    std::ofstream file("/proc/self/clear_refs");
    file << "5";
    return static_cast<bool>(file.flush());
}

}  // namespace lqer::test
