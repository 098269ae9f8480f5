// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace lqer {

// Asks the system for pages of megabytes under memory that was just allocated and not yet written: the first pass over it takes a tenth
// of the time, and products that stride through it miss fewer translations. A wish: nothing depends on it, small extents are left alone.
void preferLargePages(void *begin, std::size_t bytes);

// New memory that begins with such a page where it is larger than two of them, with a cache line where not; for std::free(). Throws
// std::bad_alloc.
void *allocateOnLargePages(std::size_t bytes);

// preferLargePages() for a matrix (Eigen) whose elements are not set yet.
template <typename Dense>
Dense &&onLargePages(Dense &&matrix)
{
    preferLargePages(matrix.data(), static_cast<std::size_t>(matrix.size()) * sizeof *matrix.data());
    return static_cast<Dense &&>(matrix);
}

}  // namespace lqer
