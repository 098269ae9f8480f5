// SPDX-License-Identifier: Apache-2.0
#include "core/recon/corrected_linear.h"

#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/gemm.h"

namespace lqer {

struct CorrectedLinear::State {
    Matrix weight;                     // empty if narrow
    std::optional<Bf16Weight> narrow;  // the same where bfloat16 holds it and the inputs
    Vector bias;
    LowRankCorrection correction;
    bool flatActivations = false;
    std::unique_ptr<Quantizer> activation, xa, xab;  // null: passthrough

    void quantizeRows(const std::unique_ptr<Quantizer> &format, Matrix &x) const
    {
        if (!format)
            return;
        const std::span<float> flat(x.data(), static_cast<std::size_t>(x.size()));
        format->quantize(flat, flatActivations ? Shape{x.rows(), x.cols()} : Shape{1, x.rows(), x.cols()}, flat);
    }
};

namespace {

std::unique_ptr<Quantizer> quantizerOrNull(const FormatSpec &spec)
{
    return spec.isPassthrough() ? nullptr : makeQuantizer(spec);
}

}  // namespace

CorrectedLinear::CorrectedLinear(Matrix quantizedWeight, Vector bias, LowRankCorrection correction, const LinearFormats &formats)
    : m_state(std::make_unique<State>())
{
    const Index out = quantizedWeight.rows();
    const Index in = quantizedWeight.cols();
    if (bias.size() != 0 && bias.size() != out)
        throw Error(ErrorCode::Shape, fmt::format("weight is {}x{}, the bias has {} elements", out, in, bias.size()));
    if (correction.rank() > 0
        && (correction.a.rows() != in || correction.b.cols() != out || correction.b.rows() != correction.rank()))
        throw Error(ErrorCode::Shape, fmt::format("weight is {}x{}, A {}x{}, B {}x{}", out, in, correction.a.rows(),
                                                  correction.a.cols(), correction.b.rows(), correction.b.cols()));
    m_state->activation = quantizerOrNull(formats.activation);
    m_state->xa = quantizerOrNull(formats.xa);
    m_state->xab = quantizerOrNull(formats.xab);
    m_state->flatActivations = formats.flatActivations;
    if (const auto format = quantizerOrNull(formats.bias); format && bias.size() > 0) {
        const std::span<float> flat(bias.data(), static_cast<std::size_t>(bias.size()));
        format->quantize(flat, {bias.size()}, flat);
    }
    if (m_state->activation && m_state->activation->significantBits() <= 8 && quantizedWeight.size() > 0 && Bf16Weight::isSupported()
        && Bf16Weight::holds(quantizedWeight))
        m_state->narrow.emplace(quantizedWeight);
    else
        m_state->weight = std::move(quantizedWeight);
    m_state->bias = std::move(bias);
    m_state->correction = std::move(correction);
}

CorrectedLinear::~CorrectedLinear() = default;

void CorrectedLinear::apply(const ConstMatrixRef &x, MatrixRef y) const
{
    Matrix copy;
    if (m_state->activation) {
        copy = x;
        m_state->quantizeRows(m_state->activation, copy);
    }
    const ConstMatrixRef input = m_state->activation ? ConstMatrixRef(copy) : x;
    if (m_state->narrow)
        m_state->narrow->multiply(input, y);
    else
        multiplyTransposed(input, m_state->weight, y);
    if (m_state->bias.size() > 0)
        y.rowwise() += m_state->bias.transpose();
    if (m_state->correction.rank() == 0)
        return;
    Matrix xa(x.rows(), m_state->correction.rank());
    multiply(input, m_state->correction.a, xa);
    m_state->quantizeRows(m_state->xa, xa);
    Matrix xab(x.rows(), y.cols());
    multiply(xa, m_state->correction.b, xab);
    m_state->quantizeRows(m_state->xab, xab);
    y += xab;
}

Matrix CorrectedLinear::quantizedWeight() const
{
    return m_state->narrow ? m_state->narrow->values() : m_state->weight;
}

const Vector &CorrectedLinear::quantizedBias() const
{
    return m_state->bias;
}

}  // namespace lqer
