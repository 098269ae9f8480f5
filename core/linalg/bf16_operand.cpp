// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_operand.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

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

Values uninitialized(std::size_t count)
{
    return Values(static_cast<std::uint16_t *>(allocateOnLargePages(count * sizeof(std::uint16_t))));
}

constexpr Index square = 16;  // extent of what is transposed at a time, in pairs of bfloat16: 16 vectors of 16

#ifdef __x86_64__

// Swaps the upper lanes of each group of 2 * Step with the lower ones of the vector Step further on.
template <int Step>
[[gnu::target("avx512f"), gnu::always_inline]] inline void exchange(__m512i *rows)
{
    constexpr auto upper = static_cast<__mmask16>(Step == 8 ? 0xFF00 : Step == 4 ? 0xF0F0 : Step == 2 ? 0xCCCC : 0xAAAA);
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);  // 16 and on: of the second vector
    const __m512i first = _mm512_mask_add_epi32(lane, upper, lane, _mm512_set1_epi32(16 - Step));
    const __m512i second = _mm512_mask_add_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(Step)), upper, lane, _mm512_set1_epi32(16));
    for (int i = 0; i < 16; ++i)
        if ((i & Step) == 0) {
            const __m512i a = rows[i], b = rows[i + Step];
            rows[i] = _mm512_permutex2var_epi32(a, first, b);
            rows[i + Step] = _mm512_permutex2var_epi32(a, second, b);
        }
}

// to(j, i) = from(i, j); `to` of row stride `panel`.
[[gnu::target("avx512f")]] void transposeSquare(const std::uint32_t (&from)[square][square], std::uint32_t *to)
{
    __m512i rows[16];
    for (int i = 0; i < 16; ++i)
        rows[i] = _mm512_loadu_si512(from[i]);
    exchange<8>(rows);
    exchange<4>(rows);
    exchange<2>(rows);
    exchange<1>(rows);
    for (int i = 0; i < 16; ++i)
        _mm512_storeu_si512(to + i * panel, rows[i]);
}

#else

void transposeSquare(const std::uint32_t (&from)[square][square], std::uint32_t *to)
{
    for (Index i = 0; i < square; ++i)
        for (Index j = 0; j < square; ++j)
            to[j * panel + i] = from[i][j];
}

#endif

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
    for (Index first = 0; first < piece.cols(); first += panel)
        forProcessor([from = piece.data() + first, to = reinterpret_cast<std::uint32_t *>(m_state->at(row, column + first)),
                      stride = piece.outerStride(), rows = piece.rows(), count = std::min(panel, piece.cols() - first)]() mutable {
            for (Index pair = 0; pair < rows / 2; ++pair, from += 2 * stride, to += panel)
                for (Index i = 0; i < count; ++i)
                    to[i] = floatToBf16(from[i]) | static_cast<std::uint32_t>(floatToBf16(from[stride + i])) << 16U;
            if (rows % 2)
                for (Index i = 0; i < count; ++i)
                    to[i] = floatToBf16(from[i]);
        });
}

void Bf16Operand::packTransposed(Index row, Index column, const ConstMatrixRef &piece)
{
    LQER_ASSERT(row % panel == 0 && column % rowStep == 0 && column + piece.cols() <= rows() && row + piece.rows() <= columns());
    // Here `column` and the piece's columns run along M's rows: neighbours in a row of the piece are a pair.
    const Index stride = piece.outerStride();
    for (Index top = 0; top < piece.rows(); top += square)
        for (Index left = 0; left < piece.cols(); left += 2 * square) {
            std::uint32_t pairs[square][square];
            const Index rows = std::min(square, piece.rows() - top), columns = std::min(2 * square, piece.cols() - left);
            if (rows < square || columns < 2 * square)
                std::fill_n(&pairs[0][0], square * square, 0U);
            forProcessor([from = piece.data() + top * stride + left, &pairs, stride, rows, columns] {
                for (Index i = 0; i < rows; ++i)
                    for (Index j = 0; j < columns; ++j)
                        reinterpret_cast<std::uint16_t *>(pairs[i])[j] = floatToBf16(from[i * stride + j]);
            });
            transposeSquare(pairs, reinterpret_cast<std::uint32_t *>(m_state->at(column + left, row + top)));
        }
}

void Bf16Operand::multiply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    LQER_ASSERT(x.cols() == rows() && y.rows() == x.rows() && y.cols() == columns());
    if (x.rows() == 0)
        return;
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
            const OneDnnCall call;
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
