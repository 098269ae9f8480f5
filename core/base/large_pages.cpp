// SPDX-License-Identifier: Apache-2.0
#include "core/base/large_pages.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace lqer {

namespace {

constexpr std::size_t page = 2U << 20U;

}  // namespace

void preferLargePages(void *begin, std::size_t bytes)
{
#ifdef __linux__
    const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
    const auto last = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / page * page;
    if (first + page < last)  // two pages or more that lie wholly inside, so that nothing else comes to lie on them
        madvise(reinterpret_cast<void *>(first), last - first, MADV_HUGEPAGE);
#else
    static_cast<void>(begin);
    static_cast<void>(bytes);
#endif
}

void *allocateOnLargePages(std::size_t bytes)
{
    constexpr std::size_t line = 64;
    const std::size_t alignment = bytes > 2 * page ? page : line;
    void *memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (!memory)
        throw std::bad_alloc();
    preferLargePages(memory, bytes);
    return memory;
}

}  // namespace lqer
