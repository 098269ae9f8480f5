// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_operand.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "core/base/check.h"
#include "core/base/large_pages.h"
#include "core/base/processor.h"
#include "core/linalg/onednn.h"
#include "core/linalg/onednn_engine.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

// The layout of oneDNN's BA16a64b2a: panels of 64 columns; in a panel, pairs of rows; in a pair, 64 times two values, one under the
// other. A pair of rows is what one multiply-add of the processor takes. Extents are padded with zeros.
constexpr Index panel = 64;
constexpr Index rowStep = 32;
// Columns of one product: 8 panels over 4096 rows are 4 MB, which stay in the cache while the rows of x pass over them.
constexpr Index slab = 512;
static_assert(slab % panel == 0 && Bf16Operand::pieceColumns % slab == 0 && Bf16Operand::pieceRows % rowStep == 0
              && Bf16Operand::pieceRows % panel == 0);

using Type = dnnl::memory::data_type;

Index padded(Index extent, Index to)
{
    return (extent + to - 1) / to * to;
}

struct Free {
    void operator()(std::uint16_t *values) const { std::free(values); }
};

using Values = std::unique_ptr<std::uint16_t[], Free>;

// Whole cache lines, not set.
Values uninitialized(std::size_t count)
{
    constexpr std::size_t line = 64;
    auto *values = static_cast<std::uint16_t *>(std::aligned_alloc(line, (count * sizeof(std::uint16_t) + line - 1) / line * line));
    if (!values)
        throw std::bad_alloc();
    preferLargePages(values, count * sizeof(std::uint16_t));
    return Values(values);
}

// y = x M for slabs of `columns` columns, x of `rows` rows.
dnnl::matmul::primitive_desc slabProduct(Index rows, Index inner, Index columns)
{
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::memory::desc weights({inner, columns}, Type::bf16, dnnl::memory::format_tag::BA16a64b2a);
    return {{oneDnnRows(rows, inner, Type::bf16, inner), weights, oneDnnRows(rows, columns, Type::f32, columns)},
            attributes,
            oneDnnProcessor()};
}

struct SlabProduct {
    dnnl::matmul::primitive_desc described;
    dnnl::matmul product{described};
};

struct SlabProducts {
    SlabProduct whole, last;  // of all slabs, and of the last one, which may be narrower
};

}  // namespace

struct Bf16Operand::State {
    Index rows, columns;
    Index inner, width;  // padded
    Values values;
    std::mutex mutex;
    std::map<Index, SlabProducts> products;  // by rows of x: making one takes as long as a small product

    SlabProducts productsOf(Index count)
    {
        const std::lock_guard lock(mutex);
        auto found = products.find(count);
        if (found == products.end()) {
            const Index rest = (width - 1) % slab + 1;
            found = products.emplace(count, SlabProducts{{slabProduct(count, inner, std::min(slab, width))}, {slabProduct(count, inner, rest)}}).first;
        }
        return found->second;
    }
    std::uint16_t *at(Index row, Index column) const
    {
        return values.get() + column / panel * panel * inner + row / 2 * 2 * panel + column % panel * 2 + row % 2;
    }
};

Bf16Operand::Bf16Operand(Index rows, Index columns) : m_state(std::make_unique<State>())
{
    LQER_ASSERT(rows > 0 && columns > 0);
    m_state->rows = rows;
    m_state->columns = columns;
    m_state->inner = padded(rows, rowStep);
    m_state->width = padded(columns, panel);
    m_state->values = uninitialized(static_cast<std::size_t>(m_state->inner * m_state->width));
    // What the padding holds is multiplied too: in the last panel and in the last step of rows.
    for (Index column = 0; column < m_state->width; column += panel)
        for (Index row = rows / 2 * 2; row < m_state->inner; row += 2)
            std::fill_n(m_state->at(row, column), 2 * panel, std::uint16_t(0));
    if (columns < m_state->width)
        std::fill_n(m_state->at(0, m_state->width - panel), panel * m_state->inner, std::uint16_t(0));
}

Bf16Operand::~Bf16Operand() = default;

std::size_t Bf16Operand::bytes(Index rows, Index columns)
{
    return static_cast<std::size_t>(padded(rows, rowStep) * padded(columns, panel)) * sizeof(std::uint16_t);
}

Index Bf16Operand::rows() const { return m_state->rows; }
Index Bf16Operand::columns() const { return m_state->columns; }

void Bf16Operand::pack(Index row, Index column, const ConstMatrixRef &piece)
{
    LQER_ASSERT(row % pieceRows == 0 && column % panel == 0 && row + piece.rows() <= rows() && column + piece.cols() <= columns());
    const Index stride = piece.outerStride();
    for (Index first = 0; first < piece.cols(); first += panel) {
        const Index count = std::min(panel, piece.cols() - first);
        for (Index pair = 0; pair < piece.rows(); pair += 2) {
            const float *upper = piece.data() + pair * stride + first;
            const bool single = pair + 1 == piece.rows();
            const float *lower = single ? upper : upper + stride;
            forProcessor([=, to = m_state->at(row + pair, column + first)] {
                for (Index i = 0; i < count; ++i) {
                    to[2 * i] = floatToBf16(upper[i]);
                    to[2 * i + 1] = single ? std::uint16_t(0) : floatToBf16(lower[i]);
                }
            });
        }
    }
}

void Bf16Operand::packTransposed(Index row, Index column, const ConstMatrixRef &piece)
{
    LQER_ASSERT(row % panel == 0 && column % rowStep == 0 && column + piece.cols() <= rows() && row + piece.rows() <= columns());
    // Here `column` and the piece's columns run along M's rows: neighbours in a row of the piece are a pair.
    const Index stride = piece.outerStride();
    const Index inner = padded(piece.cols(), 2);
    std::vector<std::uint32_t> pairs(static_cast<std::size_t>(panel * (inner / 2)));
    for (Index first = 0; first < piece.rows(); first += panel) {
        const Index count = std::min(panel, piece.rows() - first);
        for (Index i = 0; i < count; ++i)
            forProcessor([from = piece.data() + (first + i) * stride, to = pairs.data() + i * (inner / 2), columns = piece.cols()] {
                for (Index pair = 0; pair < columns / 2; ++pair)
                    to[pair] = floatToBf16(from[2 * pair]) | static_cast<std::uint32_t>(floatToBf16(from[2 * pair + 1])) << 16U;
                if (columns % 2)
                    to[columns / 2] = floatToBf16(from[columns - 1]);
            });
        auto *to = reinterpret_cast<std::uint32_t *>(m_state->at(column, row + first));
        for (Index pair = 0; pair < inner / 2; ++pair)
            for (Index i = 0; i < count; ++i)
                to[pair * panel + i] = pairs[static_cast<std::size_t>(i * (inner / 2) + pair)];
    }
}

void Bf16Operand::multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    LQER_ASSERT(x.cols() == rows() && y.rows() == x.rows() && y.cols() == columns());
    if (x.rows() == 0)
        return;
    useSingleThreadedOneDnn();
    oneDnnGuarded("a bfloat16 matrix", rows(), columns(), [&] {
        const Index inner = m_state->inner;
        const Values narrow = uninitialized(static_cast<std::size_t>(x.rows() * inner));
        for (Index row = 0; row < x.rows(); ++row) {
            std::uint16_t *to = narrow.get() + row * inner;
            forProcessor([from = x.data() + row * x.outerStride(), to, count = x.cols()] {
                for (Index i = 0; i < count; ++i)
                    to[i] = floatToBf16(from[i]);
            });
            std::fill(to + x.cols(), to + inner, std::uint16_t(0));
        }
        const SlabProducts products = m_state->productsOf(x.rows());
        parallelFor(context, m_state->width, slab, [&](Index begin, Index end) {
            useSingleThreadedOneDnn();
            const auto &[described, product] = end == m_state->width ? products.last : products.whole;
            Matrix part(x.rows(), end - begin);
            std::vector<std::byte> scratch(described.scratchpad_desc().get_size());
            dnnl::stream stream(oneDnnProcessor());
            product.execute(stream, {{DNNL_ARG_SRC, dnnl::memory(described.src_desc(), oneDnnProcessor(), narrow.get())},
                                     {DNNL_ARG_WEIGHTS, dnnl::memory(described.weights_desc(), oneDnnProcessor(), m_state->at(0, begin))},
                                     {DNNL_ARG_DST, dnnl::memory(described.dst_desc(), oneDnnProcessor(), part.data())},
                                     {DNNL_ARG_SCRATCHPAD, dnnl::memory(described.scratchpad_desc(), oneDnnProcessor(), scratch.data())}});
            stream.wait();
            const Index kept = std::min(end, columns()) - begin;
            y.middleCols(begin, kept) = part.leftCols(kept);
        });
    });
}

}  // namespace lqer
