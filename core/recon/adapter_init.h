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

// Both take the leading part of W - Q from decompose(), large layers' by its iteration in float: no SVD of the whole, no root of
// R. Alternates Q = quant(W - B A) and the leading part of W - Q, sigma split evenly over both factors. Throws Error(Argument) on
// a rank outside 1 ... min(in, out) or fewer than one iteration, as does the other on the rank.
AdapterInit initLoftq(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, int iterations,
                      const TaskContext &context = {});
// With D = W - Q, S S^T the scaling's M and U_k the leading left vectors of D S: B = U_k Sigma_k, A = Sigma_k^-1 U_k^T D, which
// is the official solve(S, V_k) without a solve, so that a dead channel is harmless.
AdapterInit initQera(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, const Scaling &scaling,
                     const TaskContext &context = {});
// Bytes that either takes for a weight (out, in), beside it and the statistics.
std::uint64_t adapterInitBytes(Index out, Index in, ScalingKind scaling, Index rank, std::size_t threads);
// Quantizes only; the adapter keeps PEFT's default.
AdapterInit initQlora(const ConstMatrixRef &weight, const Quantizer &quantizer);

}  // namespace lqer
