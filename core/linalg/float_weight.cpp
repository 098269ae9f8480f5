// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/float_weight.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/linalg/gemm.h"
#include "core/linalg/onednn.h"
#include "core/linalg/onednn_engine.h"

namespace lqer {

namespace {

// Tokens of one product: half a second at 28672x8192. A constant, because the layout of the weight is chosen for it.
constexpr Index tileRows = 256;

// Outputs that are laid out at a time. A multiple of the 16, 32, 48 or 64 that lie together in any layout.
constexpr Index outputsAtOnce = 16 * 192;

constexpr std::string_view name = "a float weight";

using Type = dnnl::memory::data_type;

// W^T, (in, out), where W is row-major.
dnnl::memory::desc transposed(Index in, Index out)
{
    return {{in, out}, Type::f32, dnnl::memory::dims{1, in}};
}

dnnl::matmul::primitive_desc product(Index rows, Index in, Index out, const dnnl::memory::desc &weight, Index xStride, Index yStride)
{
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return {{oneDnnRows(rows, in, Type::f32, xStride), weight, oneDnnRows(rows, out, Type::f32, yStride)}, attributes, oneDnnProcessor()};
}

}  // namespace

struct FloatWeight::State {
    Index in, out;
    Matrix plain;  // empty if laid out
    dnnl::memory layout;
};

FloatWeight::FloatWeight(Matrix weight, const TaskContext &context)
{
    auto state = std::make_shared<State>();
    state->in = weight.cols();
    state->out = weight.rows();
    if (weight.size() == 0 || !oneDnnMultipliesFloat()) {
        state->plain = std::move(weight);
    } else {
        oneDnnGuarded(name, state->out, state->in, [&] {
            const dnnl::memory::desc any({state->in, state->out}, Type::f32, dnnl::memory::format_tag::any);
            state->layout = dnnl::memory(product(tileRows, state->in, state->out, any, state->in, state->out).weights_desc(), oneDnnProcessor());
        });
        parallelFor(context, state->out, outputsAtOnce, [&](Index begin, Index end) {
            oneDnnGuarded(name, state->out, state->in, [&] {
                dnnl::stream stream(oneDnnProcessor());
                const dnnl::memory::dims part{state->in, end - begin};
                dnnl::memory from(transposed(state->in, end - begin), oneDnnProcessor(), &weight(begin, 0));
                dnnl::memory to(state->layout.get_desc().submemory_desc(part, {0, begin}), oneDnnProcessor(), state->layout.get_data_handle());
                dnnl::reorder(from, to).execute(stream, from, to);
                stream.wait();
            });
        });
    }
    m_state = std::move(state);
}

Index FloatWeight::in() const { return m_state->in; }
Index FloatWeight::out() const { return m_state->out; }

void FloatWeight::multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    LQER_ASSERT(x.cols() == in() && y.rows() == x.rows() && y.cols() == out());
    if (!m_state->layout) {
        multiplyTransposed(x, m_state->plain, std::move(y), context);
        return;
    }
    parallelFor(context, x.rows(), tileRows, [&](Index begin, Index end) {
        oneDnnGuarded(name, out(), in(), [&] {
            const Index xStride = std::max<Index>(in(), x.outerStride()), yStride = std::max<Index>(out(), y.outerStride());
            const auto described = product(end - begin, in(), out(), m_state->layout.get_desc(), xStride, yStride);
            thread_local std::vector<std::byte> scratch;  // for every product of this thread
            if (scratch.size() < described.scratchpad_desc().get_size())
                scratch.resize(described.scratchpad_desc().get_size());
            dnnl::stream stream(oneDnnProcessor());
            dnnl::matmul(described)
                .execute(stream, {{DNNL_ARG_SRC, dnnl::memory(described.src_desc(), oneDnnProcessor(), const_cast<float *>(x.data() + begin * xStride))},
                                  {DNNL_ARG_WEIGHTS, m_state->layout},
                                  {DNNL_ARG_DST, dnnl::memory(described.dst_desc(), oneDnnProcessor(), y.data() + begin * yStride)},
                                  {DNNL_ARG_SCRATCHPAD, dnnl::memory(described.scratchpad_desc(), oneDnnProcessor(), scratch.data())}});
            stream.wait();
        });
    });
}

Matrix FloatWeight::values() const
{
    if (!m_state->layout)
        return m_state->plain;
    return oneDnnGuarded(name, out(), in(), [&] {
        Matrix weight(out(), in());
        dnnl::stream stream(oneDnnProcessor());
        dnnl::memory from = m_state->layout, to(transposed(in(), out()), oneDnnProcessor(), weight.data());
        dnnl::reorder(from, to).execute(stream, from, to);
        stream.wait();
        return weight;
    });
}

}  // namespace lqer
