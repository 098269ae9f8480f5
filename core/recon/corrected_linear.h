// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/model/hooks.h"
#include "core/quant/quantizer.h"
#include "core/recon/error_decomposition.h"

namespace lqer {

// The formats of one layer's values besides its weight. Passthrough by default. numerics.md D.
struct LinearFormats {
    FormatSpec weight;
    FormatSpec activation;  // x
    FormatSpec bias;
    FormatSpec a, b;     // stored factors
    FormatSpec xa, xab;  // x A and (x A) B; the papers use the activation's format
    // Activations are quantized as (1, tokens, features), one batch of one window, or as (tokens, features): OPT's fc1 and fc2
    // see their input flattened (numerics.md D). The same for blocks within one token.
    bool flatActivations = false;
    friend bool operator==(const LinearFormats &, const LinearFormats &) = default;
};

// y = Qx(x) Wq^T + Qb(b) + Qxab(Qxa(Qx(x) A) B), float32. Products in fixed blocks of tokens over the pool, values quantized on the
// calling thread; polls the stop token between such steps. Each of the three products is computed in integers of 8 bits where the first operand's format has at most 7 significant bits under powers of two for multiples of
// 32 neighbours, the second operand's values fit the same form (looked at) and the processor multiplies such integers: sums are exact
// within 32 neighbours. Else in bfloat16, exact products again, where it holds the second operand, the format leaves at most 8
// significant bits and the processor can. All but the products of inputs that a format passes through as they are, |x| <= 1e-8 in
// block_fp: in bfloat16 each is rounded, by 2e-11 at most, so an output changes by no more than 2e-11 times the sum of |Wq| over such
// inputs. Else in float.
class CorrectedLinear final : public LinearOperator {
public:
    // quantizedWeight (out, in) is W_q already; bias empty without one; correction may be empty (rank 0), its factors are
    // quantized already. Throws Error(Shape) where the parts do not fit together, Error(Argument) on an unknown format,
    // Error(Numeric) on a bias that its format cannot hold.
    CorrectedLinear(Matrix quantizedWeight, Vector bias, LowRankCorrection correction, const LinearFormats &formats);
    ~CorrectedLinear() override;
    using LinearOperator::apply;
    void apply(const LinearInput &x, MatrixRef y, const TaskContext &context) const override;
    Matrix quantizedWeight() const;
    const Vector &quantizedBias() const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace lqer
