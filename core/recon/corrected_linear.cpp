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
#include "core/base/processor.h"
#include "core/linalg/bf16_panels.h"
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
    std::shared_ptr<const Quantizer> quantizer;  // null: passthrough

    explicit ValueFormat(const FormatSpec &spec) : text(spec.toString())
    {
        if (!spec.isPassthrough())
            quantizer = makeQuantizer(spec);
    }
    // y = Q(x), x rows next to each other and perhaps y's own. flat: LinearFormats::flatActivations.
    void quantize(const float *x, bool flat, Matrix &y) const
    {
        const auto size = static_cast<std::size_t>(y.size());
        if (quantizer)
            quantizer->quantize({x, size}, flat ? Shape{y.rows(), y.cols()} : Shape{1, y.rows(), y.cols()}, {y.data(), size});
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
    bool within = format.quantizer->rowGranularity({tokens, features}) == 1;
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

// The first operand of products: Q(x), in every form that a second one asks for. x and the pool outlive it. Used on one thread.
class QuantizedInput {
public:
    QuantizedInput(const ConstMatrixRef &x, const ValueFormat &format, bool flat, MatrixPool &pool)
        : m_x(x), m_pool(pool), m_format(format), m_flat(flat), m_byToken(isTokenByToken(format, flat, x.cols()))
    {
    }

    const ConstMatrixRef &floats() const
    {
        if (!m_format.quantizer)
            return m_x;
        if (!m_floats) {
            m_floats = m_pool.take(m_x.rows(), m_x.cols());
            const bool apart = m_x.outerStride() != m_x.cols();
            if (apart)
                *m_floats = m_x;
            m_format.quantize(apart ? m_floats->data() : m_x.data(), m_flat, *m_floats);
            m_view.emplace(*m_floats);
        }
        return *m_view;
    }
    // The floats are then made only if somebody asks for them: a few tokens at a time they stay in the cache.
    const Int8Rows &integers(const TaskContext &context) const
    {
        if (m_integers)
            return *m_integers;
        if (!m_byToken || !m_format.quantizer || m_floats)
            return m_integers.emplace(floats(), m_pool, context);
        try {
            return m_integers.emplace(
                m_x.rows(), m_x.cols(),
                [&](Index first, Matrix &rows) {
                    rows = m_x.middleRows(first, rows.rows());
                    m_format.quantize(rows.data(), m_flat, rows);
                },
                m_pool, context);
        } catch (const Error &) {
            floats();  // an error counts from the first element of what was quantized: have it said of all
            throw;
        }
    }
    const Bf16Rows &narrow(const TaskContext &context) const
    {
        return m_narrow ? *m_narrow : m_narrow.emplace(floats(), m_pool, context);
    }

private:
    ConstMatrixRef m_x;
    MatrixPool &m_pool;
    ValueFormat m_format;
    bool m_flat, m_byToken;
    mutable PooledMatrix m_floats;
    mutable std::optional<ConstMatrixRef> m_view;
    mutable std::optional<Int8Rows> m_integers;
    mutable std::optional<Bf16Rows> m_narrow;
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
    void multiply(const QuantizedInput &x, MatrixRef y, const TaskContext &context) const
    {
        if (const Int8Rows *rows = integersOf(x, context))
            m_integers->multiply(*rows, std::move(y), context);
        else if (m_integers)
            multiplyTransposed(x.floats(), m_integers->values(context), std::move(y), context);
        else if (m_narrow)
            m_narrow->multiply(x.narrow(context), std::move(y), context);
        else
            m_floats->multiply(x.floats(), std::move(y), context);
    }
    // Null if the product is not one of integers: M is in another form, or a tiny value of x passed through its format.
    const Int8Rows *integersOf(const QuantizedInput &x, const TaskContext &context) const
    {
        return m_integers && x.integers(context).isExact() ? &x.integers(context) : nullptr;
    }
    const Int8Weight &integers() const { return *m_integers; }
    Matrix values() const { return m_integers ? m_integers->values() : m_narrow ? m_narrow->values() : m_floats->values(); }

private:
    // One of them.
    std::optional<FloatWeight> m_floats;
    std::optional<Int8Weight> m_integers;
    std::optional<Bf16Weight> m_narrow;
};

static_assert(Bf16Panels::panel == Int8Weight::panel);

// True if tokens and panels of an integer product's columns can be quantized one by one.
bool isPanelByPanel(const ValueFormat &format, bool flat, Index features)
{
    bool within = features % Int8Weight::panel == 0;
    if (format.quantizer)
        format.quantizer->layout(flat ? Shape{1, features} : Shape{1, 1, features})
            .forEachRun([&](std::size_t, std::size_t first, std::size_t length) {
                within = within && first / Int8Weight::panel == (first + length - 1) / Int8Weight::panel;
            });
    return within && isTokenByToken(format, flat, features);
}

}  // namespace

struct CorrectedLinear::State {
    ValueFormat activation, xa, xab;
    Factor weight;
    Vector bias;
    Index rank;
    Factor a, b;  // A^T (rank, in), B^T (out, rank)
    bool flatActivations = false;
    bool xabByToken = false;
    std::optional<Bf16Panels> panelsOfB;  // B^T again, if multiplyByPanels() may be used

    // y = (x W^T + bias) + Q(xa B), all of it panel by panel while it is in the cache.
    void multiplyByPanels(const Int8Rows &x, const Bf16Rows &ofXa, MatrixRef y, const TaskContext &context) const
    {
        weight.integers().multiply(x, std::move(y), context, [&](Index column, Index begin, Index end, float *sums) {
            constexpr Index panel = Int8Weight::panel;
            const Index rows = end - begin;
            alignas(64) float correction[Int8Weight::grain * panel];
            panelsOfB->multiply(ofXa, begin, end, column, correction);
            const std::span<float> values(correction, static_cast<std::size_t>(rows * panel));
            if (xab.quantizer)
                xab.quantizer->quantize(values, flatActivations ? Shape{rows, panel} : Shape{1, rows, panel}, values);
            forProcessor([=, own = bias.size() > 0 ? bias.data() + column : nullptr, added = values.data()] {
                for (Index i = 0; own && i < rows * panel; ++i)
                    sums[i] += own[i % panel];
                for (Index i = 0; i < rows * panel; ++i)
                    sums[i] += added[i];
            });
        });
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
    const Matrix transposedB = correction.b.transpose();
    std::optional<Bf16Panels> panelsOfB;
    if (correction.rank() > 0 && correction.rank() % 2 == 0 && ofX.integers && ofXa.bfloat16 && isPanelByPanel(xab, flat, out)
        && Bf16Weight::holds(transposedB))
        panelsOfB.emplace(transposedB);
    m_state.reset(new State{std::move(activation), std::move(xa), std::move(xab), Factor(std::move(quantizedWeight), ofX),
                            std::move(bias), correction.rank(), Factor(correction.a.transpose(), ofX), Factor(transposedB, ofXa),
                            flat, byToken, std::move(panelsOfB)});
}

CorrectedLinear::~CorrectedLinear() = default;

void CorrectedLinear::apply(const LinearInput &given, MatrixRef y, const TaskContext &context) const
{
    context.checkStop();
    const State &s = *m_state;
    MatrixPool &pool = given.pool();
    const auto &x = given.made<QuantizedInput>(fmt::format("{}{}", s.activation.text, s.flatActivations ? ", flat" : ""), [&] {
        return QuantizedInput(given.x(), s.activation, s.flatActivations, pool);
    });
    PooledMatrix xa = pool.take(y.rows(), s.rank);
    if (s.rank > 0)
        s.a.multiply(x, *xa, context);
    const QuantizedInput ofXa(*xa, s.xa, s.flatActivations, pool);
    if (s.panelsOfB)
        if (const Int8Rows *rows = s.weight.integersOf(x, context)) {
            s.multiplyByPanels(*rows, ofXa.narrow(context), y, context);
            return;
        }
    s.weight.multiply(x, y, context);
    if (s.bias.size() > 0)
        addToRows(y, s.bias);
    if (s.rank == 0)
        return;
    // A few tokens at a time, as long as what is made of them is in the cache.
    constexpr Index fewTokens = 48;
    for (Index begin = 0, step = s.xabByToken ? fewTokens : y.rows(); begin < y.rows(); begin += step) {
        const Index tokens = std::min(step, y.rows() - begin);
        PooledMatrix xab = pool.take(tokens, y.cols());
        const QuantizedInput some(ofXa.floats().middleRows(begin, tokens), ValueFormat(FormatSpec()), s.flatActivations, pool);
        s.b.multiply(some, *xab, context);
        s.xab.quantize(xab->data(), s.flatActivations, *xab);
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
