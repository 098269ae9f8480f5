// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/quant/quantizer.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// Fine-tuning initialisations: base weight Q and adapter factors with W ~ Q + loraB loraA (before PEFT's alpha/r). numerics.md G.
struct AdapterInit {
    Matrix loraA;                // (rank, in)
    Matrix loraB;                // (out, rank)
    Matrix base;                 // (out, in), dequantized
    std::vector<double> errors;  // ||W - base - loraB loraA||_F, per iteration for LoftQ
};

// Alternates Q = quant(W - B A) and the rank-k SVD of W - Q, sigma split evenly over both factors. Throws Error(Argument) on a
// rank above min(in, out) or fewer than one iteration, as do the others on the rank.
AdapterInit initLoftq(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, int iterations);
// scale: one column (in) for diag, or (in, in) for the matrix square root S of E[x^T x]. With D = W - Q and U_k the leading left
// vectors of D S: B = U_k Sigma_k, A = Sigma_k^-1 U_k^T D, which is the official solve(S, V_k) without a solve, so that a dead
// channel is harmless.
AdapterInit initQera(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, const ConstMatrixRef &scale);
// Quantizes only; the adapter keeps PEFT's default.
AdapterInit initQlora(const ConstMatrixRef &weight, const Quantizer &quantizer);

}  // namespace lqer
