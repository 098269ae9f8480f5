// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/linalg/bf16_operand.h"
#include "core/linalg/precision.h"
#include "core/recon/scaling.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// M in float with its largest diagonal element at 1, so that nothing over- or underflows in float products: M = unit * (r or
// diagonal).
class FloatScaling {
public:
    // keep: R is held as a float matrix; else each product takes it to float part by part.
    FloatScaling(const Scaling &scaling, bool keep, const TaskContext &context);

    const Scaling &exactly() const { return m_scaling; }
    bool isDiagonal() const { return m_scaling.kind() != ScalingKind::Exact; }
    double unit() const { return m_unit; }
    const Vector &diagonal() const { return m_diagonal; }  // whatever the kind
    // M / unit times x (in, columns).
    Matrix times(const ConstMatrixRef &x, const TaskContext &context) const;
    // What has x^T y + y^T x = 2 x^T (M / unit) x: half the work of times().
    Matrix halfTimes(const ConstMatrixRef &x, const TaskContext &context) const;
    // Rows [begin, end), columns [left, right) of R / unit. Exact only.
    Matrix part(Index begin, Index end, Index left, Index right) const;

private:
    const Scaling &m_scaling;
    double m_unit;
    Vector m_diagonal;
    Matrix m_r;
};

// Products with G = E^T M E, (out, out), of a quantization error E^T = W - W_q (out, in): what the iteration multiplies by. In
// float with the error as it lies, or in bfloat16 with E and M packed for it, which takes bytes().
class ErrorGram {
public:
    // Keeps references to both. BFloat16 only where Bf16Weight::isSupported().
    ErrorGram(const ConstMatrixRef &error, const FloatScaling &scaling, Precision precision, const TaskContext &context);

    Index in() const { return m_error.cols(); }
    Index out() const { return m_error.rows(); }
    const FloatScaling &scaling() const { return m_scaling; }
    // y = x G / unit, x (b, out).
    void times(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const;
    // Of what is packed, P = F E / sqrt(unit) for a diagonal F, else E: y = x P^T P, x (b, out), or y = x P P^T, x (b, in).
    enum class Side { Outputs, Inputs };
    void packedTimes(Side side, const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const;
    static std::uint64_t bytes(Index out, Index in, ScalingKind scaling, Precision precision);

private:
    Matrix forward(const ConstMatrixRef &x, const TaskContext &context) const;
    Matrix backward(const ConstMatrixRef &z, const TaskContext &context) const;

    ConstMatrixRef m_error;
    const FloatScaling &m_scaling;
    // F E in both directions for M = F^2 diagonal; E and R for Exact. Null in float.
    std::unique_ptr<Bf16Operand> m_toInput, m_autocorrelation, m_toOutput;
};

}  // namespace lqer
