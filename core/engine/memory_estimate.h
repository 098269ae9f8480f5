// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lqer {

// What a stage will need at its worst moment, by formula, beyond what the process holds already.
struct MemoryEstimate {
    std::string where;       // "model.layers.3.mlp.down_proj"
    std::uint64_t bytes = 0; // sum of parts
    std::vector<std::pair<std::string, std::uint64_t>> parts;  // "R (11008 x 11008)" -> bytes
    std::uint64_t limit = 0; // what may be used now: the engine's limit less what is in use, and not more than the machine has free
    bool fits() const { return bytes <= limit; }
    // Throws Error(Memory) with the parts, the limit and what can be done; `stage` begins the sentence ("decomposing").
    void require(const std::string &stage) const;
};

// Bytes the machine can still give without swapping (MemAvailable of /proc/meminfo); all of it if that cannot be read.
std::uint64_t availableMemory();
// Gives the system back what this process has freed but the allocator kept, so that what it holds is what it uses.
void releaseFreedMemory();
// Bytes this process holds (VmRSS of /proc/self/status); 0 if that cannot be read.
std::uint64_t residentMemory();

}  // namespace lqer
