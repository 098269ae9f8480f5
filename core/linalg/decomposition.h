// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

struct Svd {
    MatrixF64 u;      // (rows, r)
    VectorF64 sigma;  // r values, descending
    MatrixF64 vt;     // (r, cols)
};

// Thin SVD by LAPACK gesdd. Throws Error(Numeric) on NaN, infinity or failure to converge.
Svd thinSvd(const ConstMatrixF64Ref &matrix);
// All singular values only, descending.
VectorF64 singularValues(const ConstMatrixF64Ref &matrix);

struct SymmetricEigen {
    VectorF64 values;   // ascending
    MatrixF64 vectors;  // columns belong to values
};
SymmetricEigen symmetricEigen(const ConstMatrixF64Ref &matrix);
// Values only, ascending.
VectorF64 symmetricEigenvalues(const ConstMatrixF64Ref &matrix);
// The symmetric square root of a positive semi-definite matrix (negative eigenvalues count as zero).
MatrixF64 symmetricSqrt(const ConstMatrixF64Ref &matrix);

// A symmetric positive semi-definite operator known by its products: y = G x for a block x of columns, (n, b) -> (n, b).
using GramOperator = std::function<void(const ConstMatrixRef &x, MatrixRef y)>;

struct LeadingSubspace {
    MatrixF64 vectors;   // (n, k): orthonormal Ritz vectors of the k largest eigenvalues, descending
    VectorF64 values;    // k Ritz values of G, descending (sigma^2)
    Index blocks = 0;    // Krylov blocks built
};
struct LeadingSubspaceOptions {
    Index block = 32;
    Index maxBlocks = 64;
    double tolerance = 1e-4;     // stop when the summed top-k Ritz energy grows by less than this, relative, per block
    std::uint64_t seed = 0x1F2E;  // of the random start block
};
// Block Krylov iteration with full reorthogonalisation (math.md "Getting the leading subspace fast", speed.md b). n is the order of G; k <= n.
LeadingSubspace leadingSubspace(Index n, Index k, const GramOperator &gram, const LeadingSubspaceOptions &options,
                                const TaskContext &context);

}  // namespace lqer
