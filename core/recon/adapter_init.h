// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/quant/quantizer.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// Fine-tuning initialisations: base weight Q and adapter factors with W ~ Q + loraB loraA (before PEFT's alpha/r). numerics.md G.
struct AdapterInit {
    Matrix loraA;                  // (rank, in)
    Matrix loraB;                  // (out, rank)
    Matrix base;                   // (out, in), dequantized
    std::vector<double> errors;    // per iteration, the norm the official code logs
};

AdapterInit initLoftq(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, int iterations);
// scale: one column (in) for diag, or (in, in) for the matrix square root S of E[x^T x].
AdapterInit initQera(const ConstMatrixRef &weight, const Quantizer &quantizer, Index rank, const ConstMatrixRef &scale);
// Quantizes only; the adapter keeps PEFT's default.
AdapterInit initQlora(const ConstMatrixRef &weight, const Quantizer &quantizer);

}  // namespace lqer
