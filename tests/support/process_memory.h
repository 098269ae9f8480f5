// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#ifdef __GLIBC__
#include <malloc.h>
#endif

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

// Freed blocks above a bound that glibc moves up to 32 MB leave the process at once, as nearly all do at real sizes; smaller ones may stay
// in the heap, as its layout has it. Where shapes are small, the bound has to be as well: 1 MB from here on.
inline void returnFreedBlocks()
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

// From here on the peak is counted anew. False where the kernel does not let a process do that.
inline bool resetPeak()
{
    std::ofstream file("/proc/self/clear_refs");
    file << "5";
    return static_cast<bool>(file.flush());
}

}  // namespace lqer::test
