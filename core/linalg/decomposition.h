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
// Both work in the matrix they are given: hand it over where it is not needed any more.
SymmetricEigen symmetricEigen(MatrixF64 matrix);
// Values only, ascending. Of a large matrix by reduction to a band, on the pool; polls the stop token.
VectorF64 symmetricEigenvalues(MatrixF64 matrix, const TaskContext &context = {});

struct SymmetricLeading {
    VectorF64 values;   // all n, descending
    MatrixF64 vectors;  // (n, k): of the k largest
};
// All eigenvalues and the eigenvectors of the k largest, for little more than the values alone (one tridiagonalisation, in
// place). Polls the stop token, but for the eigenvectors of the tridiagonal matrix (LAPACK's dstemr): 0.4 s for half of them at order 2048,
// 1.4 s for a quarter at 4096.
SymmetricLeading symmetricLeading(MatrixF64 matrix, Index k, const TaskContext &context = {});

// L (n, r) with matrix = L L^T up to rounding, r the numerical rank (Cholesky with diagonal pivoting, so singular is fine), from the lower
// triangle. The rows of L are in the matrix's own order: L is a permuted triangle. No square root of a matrix is involved. In fixed tiles over
// the pool; polls the stop token per column.
MatrixF64 semidefiniteFactor(MatrixF64 matrix, const TaskContext &context = {});

// Overwrites the columns of q (n, k) by an orthonormal basis of their span, each column close to the direction it had
// (Householder QR with positive diagonal). k <= n.
void orthonormalizeColumns(MatrixF64 &q);
// The symmetric square root of a positive semi-definite matrix (negative eigenvalues count as zero).
MatrixF64 symmetricSqrt(const ConstMatrixF64Ref &matrix);

// A symmetric positive semi-definite operator known by its products with a block of vectors, which are rows: y = x G, (b, n) -> (b,
// n). Float or bfloat16 products are enough: the basis is re-orthogonalised, and an error in a direction costs energy only to
// second order.
using GramOperator = std::function<void(const ConstMatrixRef &x, MatrixRef y)>;

struct LeadingSubspace {
    // (k, n), rows: orthonormal Ritz vectors of the k largest eigenvalues, descending, improved by what the last product says beyond its
    // space.
    MatrixF64 vectors;
    VectorF64 values;   // k Ritz values of G, descending (sigma^2), to the accuracy of the products: the vectors capture as much or more
    Index blocks = 0;   // Krylov blocks built
};
struct LeadingSubspaceOptions {
    Index block = 32;
    Index maxBlocks = 64;
    double tolerance = 1e-4;      // stop when what the vectors capture has less than this still to gain, relative, as the growth of the
                                  // summed top-k Ritz values over the last three blocks says
    std::uint64_t seed = 0x1F2E;  // of the random start block
};
// Block Krylov iteration with full reorthogonalisation (Golub and Underwood 1977; Musco and Musco 2015). n is the order of G; k
// <= n. Memory: n floats per basis vector, block * (blocks built) of them, and n * k doubles for the result. Polls the stop token
// per block. Throws Error(Numeric) when a product is not finite.
LeadingSubspace leadingSubspace(Index n, Index k, const GramOperator &gram, const LeadingSubspaceOptions &options,
                                const TaskContext &context);

// What no k orthonormal vectors can capture more of: an upper bound of the sum of G's k largest eigenvalues, from any k orthonormal vectors
// (rows), tight where they are near the leading ones. It rests on an iteration of 32 random directions that finds the largest eigenvalue of
// what the vectors leave; that all of them miss it is as good as impossible (Kuczynski and Wozniakowski 1992). Costs some 15 products with
// 32 rows.
double leadingEnergyBound(const MatrixF64 &vectors, const GramOperator &gram, const TaskContext &context);

}  // namespace lqer
