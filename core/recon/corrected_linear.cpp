// SPDX-License-Identifier: Apache-2.0
#include "core/recon/corrected_linear.h"

#include <optional>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/gemm.h"
#include "core/model/layers.h"

namespace lqer {

namespace {

// A format that values go through on their way, and what is made of it.
struct ValueFormat {
    std::string text;
    std::unique_ptr<Quantizer> quantizer;  // null: passthrough

    explicit ValueFormat(const FormatSpec &spec) : text(spec.toString())
    {
        if (!spec.isPassthrough())
            quantizer = makeQuantizer(spec);
    }
    // True if bfloat16 holds every result, but for tiny values that pass through.
    bool isNarrow() const { return quantizer && quantizer->significantBits() <= 8; }
};

// The second operand of y = x M^T.
class Factor {
public:
    // `narrow`: x fits bfloat16. M (n, k) then is multiplied in it if it fits, too, and the processor can.
    Factor(Matrix values, bool narrow)
    {
        if (narrow && values.size() > 0 && Bf16Weight::isSupported() && Bf16Weight::holds(values))
            m_narrow.emplace(values);
        else
            m_values = std::move(values);
    }
    bool isNarrow() const { return m_narrow.has_value(); }
    void multiply(const Bf16Rows &x, MatrixRef y) const { m_narrow->multiply(x, std::move(y)); }
    void multiply(const ConstMatrixRef &x, MatrixRef y) const { multiplyTransposed(x, m_values, std::move(y)); }
    Matrix values() const { return m_narrow ? m_narrow->values() : m_values; }

private:
    Matrix m_values;  // empty if narrow
    std::optional<Bf16Weight> m_narrow;
};

}  // namespace

struct CorrectedLinear::State {
    ValueFormat activation, xa, xab;
    Factor weight;
    Vector bias;
    Index rank;
    Factor a, b;  // A^T (rank, in), B^T (out, rank)
    bool flatActivations = false;

    // Qx(x).
    PooledMatrix quantized(const ValueFormat &format, const ConstMatrixRef &x, MatrixPool &pool) const
    {
        PooledMatrix y = pool.take(x.rows(), x.cols());
        if (x.outerStride() != x.cols())
            *y = x;
        quantize(format, x.outerStride() == x.cols() ? x.data() : y->data(), *y);
        return y;
    }
    void quantize(const ValueFormat &format, const float *x, Matrix &y) const
    {
        if (!format.quantizer)
            return;
        const auto size = static_cast<std::size_t>(y.size());
        format.quantizer->quantize({x, size}, flatActivations ? Shape{y.rows(), y.cols()} : Shape{1, y.rows(), y.cols()},
                                   {y.data(), size});
    }
    // y = values M^T, the values as they are or in bfloat16, as the factor wants them.
    static void multiply(const Factor &factor, const ConstMatrixRef &values, MatrixPool &pool, MatrixRef y)
    {
        if (factor.isNarrow())
            factor.multiply(Bf16Rows(values, pool), std::move(y));
        else
            factor.multiply(values, std::move(y));
    }
};

CorrectedLinear::CorrectedLinear(Matrix quantizedWeight, Vector bias, LowRankCorrection correction, const LinearFormats &formats)
{
    const Index out = quantizedWeight.rows();
    const Index in = quantizedWeight.cols();
    if (bias.size() != 0 && bias.size() != out)
        throw Error(ErrorCode::Shape, fmt::format("weight is {}x{}, the bias has {} elements", out, in, bias.size()));
    if (correction.rank() > 0
        && (correction.a.rows() != in || correction.b.cols() != out || correction.b.rows() != correction.rank()))
        throw Error(ErrorCode::Shape, fmt::format("weight is {}x{}, A {}x{}, B {}x{}", out, in, correction.a.rows(),
                                                  correction.a.cols(), correction.b.rows(), correction.b.cols()));
    ValueFormat activation(formats.activation), xa(formats.xa), xab(formats.xab);
    if (const ValueFormat format(formats.bias); format.quantizer && bias.size() > 0) {
        const std::span<float> flat(bias.data(), static_cast<std::size_t>(bias.size()));
        format.quantizer->quantize(flat, {bias.size()}, flat);
    }
    const bool narrow = activation.isNarrow(), narrowXa = xa.isNarrow();
    m_state.reset(new State{std::move(activation), std::move(xa), std::move(xab), Factor(std::move(quantizedWeight), narrow), std::move(bias),
                            correction.rank(), Factor(correction.a.transpose(), narrow), Factor(correction.b.transpose(), narrowXa),
                            formats.flatActivations});
}

CorrectedLinear::~CorrectedLinear() = default;

void CorrectedLinear::apply(const LinearInput &input, MatrixRef y) const
{
    const State &s = *m_state;
    MatrixPool &pool = input.pool();
    const bool wide = !s.weight.isNarrow() || (s.rank > 0 && !s.a.isNarrow());
    const std::string key = fmt::format("{}{}", s.activation.text, s.flatActivations ? ", flat" : "");
    const auto quantized = [&] { return s.quantized(s.activation, input.x(), pool); };
    const auto rows = [&]() -> ConstMatrixRef {
        return s.activation.quantizer ? ConstMatrixRef(*input.made<PooledMatrix>(key, quantized)) : input.x();
    };
    const auto narrowRows = [&]() -> const Bf16Rows & {
        return input.made<Bf16Rows>(key + ", bf16", [&] { return Bf16Rows(wide ? rows() : ConstMatrixRef(*quantized()), pool); });
    };
    const auto product = [&](const Factor &factor, MatrixRef result) {
        if (factor.isNarrow())
            factor.multiply(narrowRows(), std::move(result));
        else
            factor.multiply(rows(), std::move(result));
    };
    product(s.weight, y);
    if (s.bias.size() > 0)
        addToRows(y, s.bias);
    if (s.rank == 0)
        return;
    PooledMatrix xa = pool.take(y.rows(), s.rank);
    product(s.a, *xa);
    s.quantize(s.xa, xa->data(), *xa);
    PooledMatrix xab = pool.take(y.rows(), y.cols());
    State::multiply(s.b, *xa, pool, *xab);
    s.quantize(s.xab, xab->data(), *xab);
    add(std::move(y), *xab);
}

Matrix CorrectedLinear::quantizedWeight() const
{
    return m_state->weight.values();
}

const Vector &CorrectedLinear::quantizedBias() const
{
    return m_state->bias;
}

}  // namespace lqer
