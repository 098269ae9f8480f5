// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// All min(rows, cols) singular values, descending; works in the matrix it is given. Reduced from both sides to a band by blocks of
// Householder reflections in float (Grosser and Lang 1999), so values are exact to some 1e-7 of the largest, small ones mostly to far less;
// those of the band in double from its Gram matrix, which has twice its width (bandEigenvalues()). Polls the stop token from block to block.
// Throws Error(Numeric) on what is not finite.
VectorF64 allSingularValues(Matrix matrix, const TaskContext &context);
// Bytes that it takes beside the matrix.
std::uint64_t allSingularValuesBytes(Index rows, Index cols);

}  // namespace lqer
