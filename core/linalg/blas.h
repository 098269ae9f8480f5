// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <cblas.h>

#include "core/base/check.h"
#include "core/tensor/matrix.h"

namespace lqer {

// Called before the first use of BLAS or LAPACK: parallelism is over blocks of our own, never inside a call, also when no
// ThreadPool was made.
inline void useSingleThreadedBlas()
{
    static const bool done = [] {
        openblas_set_num_threads(1);
        return true;
    }();
    static_cast<void>(done);
}

// Debian's OpenBLAS and LAPACKE take 32-bit extents.
inline int blasInt(Index value)
{
    LQER_ASSERT(value >= 0 && value <= std::numeric_limits<int>::max());
    return static_cast<int>(value);
}

}  // namespace lqer
