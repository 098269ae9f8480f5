// SPDX-License-Identifier: Apache-2.0
#include "core/recon/corrected_linear.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/float_weight.h"
#include "core/linalg/gemm.h"
#include "core/linalg/int8_weight.h"
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
};

// True if no block of the format goes beyond one token, so that tokens may be quantized a few at a time.
bool isTokenByToken(const ValueFormat &format, bool flat, Index features)
{
    if (!format.quantizer)
        return true;
    constexpr std::int64_t tokens = 2;
    const auto width = static_cast<std::size_t>(features);
    std::vector<std::size_t> tokenOf(2 * width, tokens);  // of each block, as far as known
    bool within = true;
    format.quantizer->layout(flat ? Shape{tokens, features} : Shape{1, tokens, features})
        .forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
            const std::size_t token = first / width;
            within = within && (first + length - 1) / width == token && (tokenOf[block] == tokens || tokenOf[block] == token);
            tokenOf[block] = token;
        });
    return within;
}

// In what the second operand of a product may be kept, if it fits: what holds every first operand, but for tiny values that a format
// passes through.
struct Products {
    bool integers = false;  // of 8 bits, 32 neighbours under one scale
    bool bfloat16 = false;

    Products(const ValueFormat &format, bool flat, Index features)
    {
        if (!format.quantizer)
            return;
        bfloat16 = format.quantizer->significantBits() <= 8 && Bf16Weight::isSupported();
        // Scales that are powers of two, over whole multiples of 32 neighbours.
        integers = format.quantizer->significantBits() <= 7 && Int8Weight::isSupported();
        if (integers)
            format.quantizer->layout(flat ? Shape{1, features} : Shape{1, 1, features})
                .forEachRun([&](std::size_t, std::size_t first, std::size_t length) {
                    const std::size_t end = first + length;
                    integers = integers && first % Int8Rows::block == 0
                               && (end % Int8Rows::block == 0 || end == static_cast<std::size_t>(features));
                });
    }
};

// The second operand of y = x M^T, M (n, k).
class Factor {
public:
    Factor(Matrix values, const Products &products)
    {
        if (products.integers && values.size() > 0 && Int8Weight::holds(values))
            m_integers.emplace(values);
        else if (products.bfloat16 && values.size() > 0 && Bf16Weight::holds(values))
            m_narrow.emplace(values);
        else
            m_floats.emplace(std::move(values));
    }
    // x: its values, quantized; what is made of them is kept there.
    void multiply(const LinearInput &x, MatrixRef y, const TaskContext &context) const
    {
        if (m_integers) {
            const auto &rows = x.made<Int8Rows>("int8", [&] { return Int8Rows(x.x(), x.pool(), context); });
            if (rows.isExact())
                m_integers->multiply(rows, std::move(y), context);
            else  // a tiny value that passed through
                multiplyTransposed(x.x(), m_integers->values(), std::move(y), context);
        } else if (m_narrow) {
            m_narrow->multiply(x.made<Bf16Rows>("bf16", [&] { return Bf16Rows(x.x(), x.pool(), context); }), std::move(y), context);
        } else {
            m_floats->multiply(x.x(), std::move(y), context);
        }
    }
    Matrix values() const { return m_integers ? m_integers->values() : m_narrow ? m_narrow->values() : m_floats->values(); }

private:
    // One of them.
    std::optional<FloatWeight> m_floats;
    std::optional<Int8Weight> m_integers;
    std::optional<Bf16Weight> m_narrow;
};

// Values of a format, and the input that they make for products.
struct QuantizedInput {
    PooledMatrix values;
    std::unique_ptr<LinearInput> input;

    QuantizedInput(PooledMatrix made, MatrixPool &pool) : values(std::move(made)), input(std::make_unique<LinearInput>(*values, pool)) {}
};

}  // namespace

struct CorrectedLinear::State {
    ValueFormat activation, xa, xab;
    Factor weight;
    Vector bias;
    Index rank;
    Factor a, b;  // A^T (rank, in), B^T (out, rank)
    bool flatActivations = false;
    bool xabByToken = false;

    // y = Q(x), x rows next to each other and perhaps y's own.
    void quantize(const ValueFormat &format, const float *x, Matrix &y) const
    {
        const auto size = static_cast<std::size_t>(y.size());
        if (format.quantizer)
            format.quantizer->quantize({x, size}, flatActivations ? Shape{y.rows(), y.cols()} : Shape{1, y.rows(), y.cols()},
                                       {y.data(), size});
    }
    QuantizedInput quantized(const ConstMatrixRef &x, MatrixPool &pool) const
    {
        PooledMatrix y = pool.take(x.rows(), x.cols());
        const bool apart = x.outerStride() != x.cols();
        if (apart)
            *y = x;
        quantize(activation, apart ? y->data() : x.data(), *y);
        return {std::move(y), pool};
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
    const bool flat = formats.flatActivations;
    const Products ofX(activation, flat, in), ofXa(xa, flat, correction.rank());
    const bool byToken = isTokenByToken(xab, flat, out);
    m_state.reset(new State{std::move(activation), std::move(xa), std::move(xab), Factor(std::move(quantizedWeight), ofX), std::move(bias),
                            correction.rank(), Factor(correction.a.transpose(), ofX), Factor(correction.b.transpose(), ofXa), flat, byToken});
}

CorrectedLinear::~CorrectedLinear() = default;

void CorrectedLinear::apply(const LinearInput &given, MatrixRef y, const TaskContext &context) const
{
    context.checkStop();
    const State &s = *m_state;
    MatrixPool &pool = given.pool();
    const LinearInput &x =
        s.activation.quantizer
            ? *given.made<QuantizedInput>(fmt::format("{}{}", s.activation.text, s.flatActivations ? ", flat" : ""),
                                          [&] { return s.quantized(given.x(), pool); }).input
            : given;
    s.weight.multiply(x, y, context);
    if (s.bias.size() > 0)
        addToRows(y, s.bias);
    if (s.rank == 0)
        return;
    PooledMatrix xa = pool.take(y.rows(), s.rank);
    s.a.multiply(x, *xa, context);
    s.quantize(s.xa, xa->data(), *xa);
    // A few tokens at a time, as long as what is made of them is in the cache.
    constexpr Index fewTokens = 48;
    for (Index begin = 0, step = s.xabByToken ? fewTokens : y.rows(); begin < y.rows(); begin += step) {
        const Index tokens = std::min(step, y.rows() - begin);
        PooledMatrix xab = pool.take(tokens, y.cols());
        s.b.multiply(LinearInput(xa->middleRows(begin, tokens), pool), *xab, context);
        s.quantize(s.xab, xab->data(), *xab);
        add(y.middleRows(begin, tokens), *xab);
    }
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
