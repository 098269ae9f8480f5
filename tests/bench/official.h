// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tensor/matrix.h"

// The official Python code's steps for one layer, with the LAPACK and BLAS calls that torch and scipy make for them. They exist to
// be timed: nothing is left out, nothing is done better. One thread.
namespace lqer::bench {

// torch.linalg.svd's call: sgesdd with all of U and V^T. Singular values, descending; u (rows, rows), vt (cols, cols).
struct FullSvd {
    Matrix u;
    Vector sigma;
    Matrix vt;
};
FullSvd fullSvd(const Matrix &matrix);
// sgesdd, values only.
Vector gesddValues(const Matrix &matrix);

struct Factors {
    Matrix a;  // (in, k)
    Matrix b;  // (k, out)
};
// LQER and QERA-approx: diag(s) as a dense matrix times E, full SVD, solve(diag(s), U_k). error (in, out).
Factors lqerFactors(const Matrix &error, const Vector &scale, Index rank);

// scipy.linalg.sqrtm of a real matrix: Schur form (gees), square root of the triangle in blocks of 64, and back.
MatrixF64 schurSqrt(const MatrixF64 &matrix);
// QERA-exact: sqrtm of R in double, product, full SVD and solve in float.
Factors exactFactors(const Matrix &error, const MatrixF64 &autocorrelation, Index rank);

// QERA's mxint in tensor operations, one pass over memory each, as quantize/quantizers/mxint.py writes them: 4 bits, blocks of 32.
Matrix mxint4ByPasses(const Matrix &weight);

}  // namespace lqer::bench
