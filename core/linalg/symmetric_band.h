// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// A symmetric matrix of `width` diagonals below the main one is kept as (order, width + 1): row j holds column j from the
// diagonal down.

// Q^T A Q of that form for a symmetric A, given in full, by blocks of Householder reflections; an order below width + 1 keeps
// what it has. In the same tiles for any number of threads; polls the stop token from block to block.
MatrixF64 reducedToBand(MatrixF64 symmetric, Index width, const TaskContext &context);

// All eigenvalues, ascending, exact to rounding of the largest. The band is narrowed to one diagonal by reflections that chase
// their own fill-in down to its end (Lang 1993), then tridiagonalEigenvalues(). LAPACK does the same, but cannot be stopped: at
// order 8192 for seconds. Polls the stop token every few milliseconds.
VectorF64 bandEigenvalues(const MatrixF64 &band, const TaskContext &context);

}  // namespace lqer
