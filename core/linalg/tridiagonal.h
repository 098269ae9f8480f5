// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// T = Q^T A Q of a symmetric A.
struct Tridiagonal {
    VectorF64 diagonal, below;  // n, n - 1
    VectorF64 tau;              // n - 1, of the reflections whose product is Q
};

// Works in the lower triangle (column-major) of a symmetric matrix, where it leaves the vectors of the reflections as LAPACK's
// dsytrd does, by whose blocked algorithm it goes. Polls the stop token at every column.
Tridiagonal reduceToTridiagonal(MatrixF64 &symmetric, const TaskContext &context);

// All eigenvalues, ascending, by QL iterations without square roots (Parlett, The Symmetric Eigenvalue Problem, 8.15), exact to
// rounding of the largest. Polls the stop token at every iteration. Throws Error(Numeric) where they do not converge.
VectorF64 tridiagonalEigenvalues(VectorF64 diagonal, const VectorF64 &below, const TaskContext &context);

// Q z for every row z of `rows` (k, n), of what reduceToTridiagonal() left. Polls the stop token.
void applyReflections(const MatrixF64 &reduced, const VectorF64 &tau, MatrixF64 &rows, const TaskContext &context);

}  // namespace lqer
