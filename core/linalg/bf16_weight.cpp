// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_weight.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/check.h"
#include "core/base/processor.h"
#include "core/linalg/onednn.h"
#include "core/linalg/onednn_engine.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

// Tokens of one product. A constant, because the layout of the weight is chosen for it.
constexpr Index tileRows = 512;

using Type = dnnl::memory::data_type;

// W^T, (in, out), where W is row-major.
dnnl::memory::desc transposed(Index in, Index out)
{
    return {{in, out}, Type::f32, dnnl::memory::dims{1, in}};
}

dnnl::matmul::primitive_desc product(Index rows, Index in, Index out, const dnnl::memory::desc &weight, Index stride)
{
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::desc described(oneDnnRows(rows, in, Type::bf16, in), weight, oneDnnRows(rows, out, Type::f32, stride));
    return {described, attributes, oneDnnProcessor()};
}

}  // namespace

Bf16Rows::Bf16Rows(const ConstMatrixRef &x, MatrixPool &pool, const TaskContext &context)
    : m_rows(x.rows()), m_cols(x.cols()), m_room(pool.take(x.rows(), (x.cols() + 1) / 2)),
      m_values(reinterpret_cast<std::uint16_t *>(m_room->data()))
{
    parallelFor(context, m_rows, tileRows, [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row)
            forProcessor([in = x.data() + row * x.outerStride(), out = m_values + row * m_cols, count = m_cols] {
                for (Index i = 0; i < count; ++i)
                    out[i] = floatToBf16(in[i]);
            });
    });
}

struct Bf16Weight::State {
    Index in;
    Index out;
    dnnl::memory::desc layout;
    std::vector<std::byte> bytes;

    void *data() const { return const_cast<std::byte *>(bytes.data()); }  // oneDNN's arguments are not const
};

bool Bf16Weight::isSupported()
{
    // A set of bits: later processors have these and more.
    constexpr auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    static const bool supported = (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
    return supported;
}

bool Bf16Weight::holds(const ConstMatrixRef &values)
{
    std::uint32_t lost = 0;
    for (Index row = 0; row < values.rows(); ++row)
        forProcessor([&lost, in = values.data() + row * values.outerStride(), count = values.cols()] {
            std::uint32_t bits = 0;
            for (Index i = 0; i < count; ++i)
                bits |= std::bit_cast<std::uint32_t>(in[i]);
            lost |= bits & 0xFFFFU;
        });
    return lost == 0;
}

Bf16Weight::Bf16Weight(const ConstMatrixRef &weight)
{
    LQER_ASSERT(isSupported() && weight.size() > 0 && weight.outerStride() == weight.cols());
    m_state = oneDnnGuarded("a bfloat16 weight", weight.rows(), weight.cols(), [&] {
        auto state = std::make_shared<State>();
        state->in = weight.cols();
        state->out = weight.rows();
        const dnnl::memory::desc any({state->in, state->out}, Type::bf16, dnnl::memory::format_tag::any);
        state->layout = product(tileRows, state->in, state->out, any, state->out).weights_desc();
        state->bytes.resize(state->layout.get_size());
        dnnl::stream stream(oneDnnProcessor());
        dnnl::memory from(transposed(state->in, state->out), oneDnnProcessor(), const_cast<float *>(weight.data()));
        dnnl::memory to(state->layout, oneDnnProcessor(), state->data());
        dnnl::reorder(from, to).execute(stream, from, to);
        stream.wait();
        return std::shared_ptr<const State>(std::move(state));
    });
}

Index Bf16Weight::in() const { return m_state->in; }
Index Bf16Weight::out() const { return m_state->out; }

void Bf16Weight::multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    MatrixPool pool;
    multiply(Bf16Rows(x, pool, context), std::move(y), context);
}

void Bf16Weight::multiply(const Bf16Rows &x, MatrixRef y, const TaskContext &context) const
{
    LQER_ASSERT(x.cols() == in() && y.rows() == x.rows() && y.cols() == out());
    parallelFor(context, x.rows(), tileRows, [&](Index begin, Index end) {
        const Index rows = end - begin;
        oneDnnGuarded("a bfloat16 weight", out(), in(), [&] {
            const auto described = product(rows, in(), out(), m_state->layout, std::max<Index>(out(), y.outerStride()));
            thread_local std::vector<std::byte> scratch;  // some megabytes, for every product of this thread
            if (scratch.size() < described.scratchpad_desc().get_size())
                scratch.resize(described.scratchpad_desc().get_size());
            dnnl::stream stream(oneDnnProcessor());
            dnnl::matmul(described)
                .execute(stream, {{DNNL_ARG_SRC, dnnl::memory(described.src_desc(), oneDnnProcessor(), const_cast<std::uint16_t *>(x.row(begin)))},
                                  {DNNL_ARG_WEIGHTS, dnnl::memory(m_state->layout, oneDnnProcessor(), m_state->data())},
                                  {DNNL_ARG_DST, dnnl::memory(described.dst_desc(), oneDnnProcessor(), y.data() + begin * y.outerStride())},
                                  {DNNL_ARG_SCRATCHPAD, dnnl::memory(described.scratchpad_desc(), oneDnnProcessor(), scratch.data())}});
            stream.wait();
        });
    });
}

void oneDnnBf16Gram(Index m, Index n, Index k, const std::uint16_t *a, const std::uint16_t *b, Index stride, float *g, Index ldg)
{
    oneDnnGuarded("a bfloat16 matrix", k, n, [&] {
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        const dnnl::memory::desc left({m, k}, Type::bf16, dnnl::memory::dims{1, stride});
        const dnnl::memory::desc right = oneDnnRows(k, n, Type::bf16, stride), result = oneDnnRows(m, n, Type::f32, ldg);
        const dnnl::matmul::primitive_desc described(dnnl::matmul::desc(left, right, result), attributes, oneDnnProcessor());
        dnnl::stream stream(oneDnnProcessor());
        const dnnl::memory scratch(described.scratchpad_desc(), oneDnnProcessor());
        dnnl::matmul(described)
            .execute(stream, {{DNNL_ARG_SRC, dnnl::memory(left, oneDnnProcessor(), const_cast<std::uint16_t *>(a))},
                              {DNNL_ARG_WEIGHTS, dnnl::memory(right, oneDnnProcessor(), const_cast<std::uint16_t *>(b))},
                              {DNNL_ARG_DST, dnnl::memory(result, oneDnnProcessor(), g)},
                              {DNNL_ARG_SCRATCHPAD, scratch}});
        stream.wait();
    });
}

Matrix Bf16Weight::values() const
{
    return oneDnnGuarded("a bfloat16 weight", out(), in(), [&] {
        Matrix weight(out(), in());
        dnnl::stream stream(oneDnnProcessor());
        dnnl::memory from(m_state->layout, oneDnnProcessor(), m_state->data());
        dnnl::memory to(transposed(in(), out()), oneDnnProcessor(), weight.data());
        dnnl::reorder(from, to).execute(stream, from, to);
        stream.wait();
        return weight;
    });
}

}  // namespace lqer
