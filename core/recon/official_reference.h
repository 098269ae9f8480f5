// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/tensor/matrix.h"

namespace lqer {

// The reconstruction as the official LQER and QERA code computes it, in double: scale the error, full SVD, undo the scale
// (numerics.md C). For comparison and for reproducing published factors; decompose() gives the same A B where this one is well
// defined, needs neither root nor inverse, and stays harmless where this one is not.
struct OfficialFactors {
    MatrixF64 a;      // (in, k)
    MatrixF64 b;      // (k, out)
    VectorF64 sigma;  // all min(in, out) of the scaled error
};

// F = diag(scale): A = diag(scale)^-1 U_k, B = Sigma_k V_k^T. In the inverse only, entries <= 0 count as the float32 epsilon; a
// dead channel's row of A is then rounding noise divided by it. error = W - W_q, (out, in).
OfficialFactors officialReconstruction(const ConstMatrixRef &error, const VectorF64 &scale, Index rank);

// F = S with S^2 = E[x^T x], (in, in): A = solve(S, U_k). An S that is exactly singular is replaced by its SVD with singular
// values
// <= 0 raised to the float32 epsilon. One that is nearly singular is not: then A gets huge components in its null space.
OfficialFactors officialReconstruction(const ConstMatrixRef &error, const MatrixF64 &scale, Index rank);

}  // namespace lqer
