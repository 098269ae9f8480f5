// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/int8_weight.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "core/base/check.h"
#include "core/base/large_pages.h"
#include "core/base/processor.h"

namespace lqer {

namespace {

constexpr Index block = Int8Rows::block;
constexpr Index panel = Int8Weight::panel;  // two vectors of sums
constexpr Index rowsAtOnce = 6;   // and rows: 12 vectors of integer sums, 12 of float sums, of the 32 there are
constexpr Index grain = Int8Weight::grain;  // whose inputs stay in the second cache
constexpr Index chunk = 32;       // blocks of inputs after which the next rows are taken: 32 KB of a panel's weights stay in the first

// What 32 values have to be multiplied with to become integers of -127 to 127: 2^6 over the power of two in the largest.
// Finite and normal for every float that is; 0 for zeros and subnormal values.
float factorOf(std::uint32_t largest)
{
    const std::uint32_t exponent = largest >> 23;
    const std::uint32_t wanted = 127 + 127 + 6 - exponent;
    return exponent == 0 ? 0.0F : wanted > 254 ? 0x1p127F : std::bit_cast<float>(wanted << 23);
}

// Of a block of zeros any will do: one that multiplies with every other to a normal number.
float scaleOf(float factor)
{
    return factor == 0 ? 1.0F : 1 / factor;
}

// The exponent fields of scales.
struct ExponentRange {
    std::uint32_t least = 255, most = 0;

    void add(float scale)
    {
        const std::uint32_t field = std::bit_cast<std::uint32_t>(scale) >> 23;
        least = std::min(least, field);
        most = std::max(most, field);
    }
};

#ifdef __x86_64__

// Integers of 32 neighbours; returns their scale. `exact` becomes false where rounding changed a value.
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] inline float toIntegers(const float *values, std::int8_t *integers, std::int32_t &sum,
                                                                             bool &exact)
{
    constexpr int parts = 4;
    __m256 given[parts];
    __m256i most = _mm256_setzero_si256();
    for (int i = 0; i < parts; ++i) {
        given[i] = _mm256_loadu_ps(values + 8 * i);  // magnitudes compare as integers
        most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(given[i]), _mm256_set1_epi32(0x7FFFFFFF)));
    }
    const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4E));
    const auto largest = static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xB1))));
    const float factor = factorOf(largest);
    __m256i sums = _mm256_setzero_si256();
    unsigned changed = factor == 0 ? largest : 0;
    for (int i = 0; i < parts; ++i) {
        const __m256 scaled = _mm256_mul_ps(given[i], _mm256_set1_ps(factor));
        const __m256i rounded = _mm256_cvtps_epi32(scaled);
        sums = _mm256_add_epi32(sums, rounded);
        changed |= static_cast<unsigned>(_mm256_cmp_ps_mask(_mm256_cvtepi32_ps(rounded), scaled, _CMP_NEQ_UQ))
                   | static_cast<unsigned>(_mm256_cmpgt_epi32_mask(_mm256_abs_epi32(rounded), _mm256_set1_epi32(127)));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(integers + 8 * i), _mm256_maskz_cvtepi32_epi8(0xFF, rounded));
    }
    exact = exact && changed == 0;
    const __m128i fourSums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const __m128i twoSums = _mm_add_epi32(fourSums, _mm_shuffle_epi32(fourSums, 0x4E));
    sum = _mm_cvtsi128_si32(_mm_add_epi32(twoSums, _mm_shuffle_epi32(twoSums, 0xB1)));
    return scaleOf(factor);
}

#else

float toIntegers(const float *, std::int8_t *, std::int32_t &, bool &)
{
    LQER_ASSERT(false);  // nowhere supported
    return 0;
}

#endif

// Where a block of inputs is among `rows` rows of `blocks` (Int8Rows).
inline Index placeOf(Index row, Index b, Index rows, Index blocks)
{
    const Index first = b / chunk * chunk;
    return first * rows + row * std::min(chunk, blocks - first) + b - first;
}

// Calls use(block, values) for the blocks of a row, the last one filled up with zeros.
template <typename Use>
inline void forBlocks(const float *row, Index count, const Use &use)
{
    const Index whole = count / block;
    for (Index b = 0; b < whole; ++b)
        use(b, row + b * block);
    if (whole * block < count) {
        float last[block] = {};
        std::copy(row + whole * block, row + count, last);
        use(whole, last);
    }
}

#ifdef __x86_64__

// Operands of `Rows` rows and a panel of columns over some blocks of inputs.
struct Strip {
    const std::int8_t *x;  // rows of `blocks` blocks, as the offsets and scales
    const std::int32_t *offsets;
    const float *xScales;
    const std::uint8_t *weights;  // per block 8 times 2 vectors: of 16 columns 4 neighbouring inputs each
    const float *weightScales;    // per block 32
    Index blocks;
    const float *before;  // sums so far, row stride 32; null: none
    float *y;
    Index yStride;
    __mmask16 left, right;  // which of the columns there are
};

// The processor multiplies unsigned by signed bytes: weights are stored with 128 added, which the offsets take away again.
// Normal: all products of scales are normal numbers, so that adding exponents makes them, beside the multiplications.
template <int Rows, bool Normal>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]] void multiplyStrip(const Strip &s)
{
    __m512 sums[Rows][2];
    for (int r = 0; r < Rows; ++r) {
        sums[r][0] = s.before ? _mm512_loadu_ps(s.before + r * panel) : _mm512_setzero_ps();
        sums[r][1] = s.before ? _mm512_loadu_ps(s.before + r * panel + 16) : _mm512_setzero_ps();
    }
    const std::uint8_t *weights = s.weights;
    for (Index b = 0; b < s.blocks; ++b) {
        __m512i whole[Rows][2];
        for (int r = 0; r < Rows; ++r)
            whole[r][0] = whole[r][1] = _mm512_set1_epi32(s.offsets[r * s.blocks + b]);
        for (int four = 0; four < block / 4; ++four, weights += 128) {
            const __m512i left = _mm512_loadu_si512(weights), right = _mm512_loadu_si512(weights + 64);
            for (int r = 0; r < Rows; ++r) {
                std::int32_t inputs = 0;
                __builtin_memcpy(&inputs, s.x + (r * s.blocks + b) * block + four * 4, 4);
                const __m512i x = _mm512_set1_epi32(inputs);
                whole[r][0] = _mm512_dpbusd_epi32(whole[r][0], left, x);
                whole[r][1] = _mm512_dpbusd_epi32(whole[r][1], right, x);
            }
        }
        const __m512 leftScale = _mm512_loadu_ps(s.weightScales + b * panel), rightScale = _mm512_loadu_ps(s.weightScales + b * panel + 16);
        const __m512i one = _mm512_set1_epi32(0x3F800000);
        const __m512i leftExponent = _mm512_sub_epi32(_mm512_castps_si512(leftScale), one);
        const __m512i rightExponent = _mm512_sub_epi32(_mm512_castps_si512(rightScale), one);
        for (int r = 0; r < Rows; ++r) {
            const __m512 scale = _mm512_set1_ps(s.xScales[r * s.blocks + b]);
            const __m512i exponent = _mm512_castps_si512(scale);
            // Powers of two: neither product rounds.
            const __m512 leftBoth = Normal ? _mm512_castsi512_ps(_mm512_add_epi32(exponent, leftExponent)) : _mm512_mul_ps(scale, leftScale);
            const __m512 rightBoth = Normal ? _mm512_castsi512_ps(_mm512_add_epi32(exponent, rightExponent)) : _mm512_mul_ps(scale, rightScale);
            sums[r][0] = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, whole[r][0]), leftBoth, sums[r][0]);
            sums[r][1] = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, whole[r][1]), rightBoth, sums[r][1]);
        }
    }
    for (int r = 0; r < Rows; ++r) {
        _mm512_mask_storeu_ps(s.y + r * s.yStride, s.left, sums[r][0]);
        _mm512_mask_storeu_ps(s.y + r * s.yStride + 16, s.right, sums[r][1]);
    }
}

using StripProduct = void (*)(const Strip &);
template <bool Normal>
constexpr StripProduct stripProducts[rowsAtOnce + 1] = {nullptr,
                                                        multiplyStrip<1, Normal>,
                                                        multiplyStrip<2, Normal>,
                                                        multiplyStrip<3, Normal>,
                                                        multiplyStrip<4, Normal>,
                                                        multiplyStrip<5, Normal>,
                                                        multiplyStrip<6, Normal>};

#endif

}  // namespace

Int8Rows::Int8Rows(Index rows, Index cols, MatrixPool &pool)
    : m_rows(rows), m_cols(cols), m_blocks((cols + block - 1) / block), m_room(pool.take(m_rows, m_blocks * (block / 4 + 1))),
      m_scales(pool.take(m_rows, m_blocks)), m_values(reinterpret_cast<std::int8_t *>(m_room->data())),
      m_offsets(reinterpret_cast<std::int32_t *>(m_room->data() + m_rows * m_blocks * (block / 4)))
{
    LQER_ASSERT(Int8Weight::isSupported());
}

// piece(begin, end, set) calls set(rows [begin, end)).
template <typename Piece>
void Int8Rows::make(Index step, const TaskContext &context, const Piece &piece)
{
    std::mutex mutex;
    parallelFor(context, m_rows, step, [&](Index begin, Index end) {
        bool exact = true;
        ExponentRange range;
        piece(begin, end, [&](const ConstMatrixRef &x) {
            forProcessor([&] {
                for (Index row = begin; row < end; ++row)
                    forBlocks(x.data() + (row - begin) * x.outerStride(), m_cols, [&](Index b, const float *values) {
                        const Index place = placeOf(row, b, m_rows, m_blocks);
                        std::int32_t sum = 0;
                        const float scale = toIntegers(values, m_values + place * block, sum, exact);
                        m_scales->data()[place] = scale;
                        m_offsets[place] = -128 * sum;
                        range.add(scale);
                    });
            });
        });
        const std::lock_guard lock(mutex);
        m_exact = m_exact && exact;
        m_leastExponent = std::min(m_leastExponent, range.least);
        m_mostExponent = std::max(m_mostExponent, range.most);
    });
}

Int8Rows::Int8Rows(const ConstMatrixRef &x, MatrixPool &pool, const TaskContext &context) : Int8Rows(x.rows(), x.cols(), pool)
{
    make(64, context, [&](Index begin, Index end, const auto &set) { set(x.middleRows(begin, end - begin)); });
}

Int8Rows::Int8Rows(Index rows, Index cols, const RowSource &source, MatrixPool &pool, const TaskContext &context) : Int8Rows(rows, cols, pool)
{
    constexpr Index fewRows = 16;  // stay in the cache between the two
    make(fewRows, context, [&](Index begin, Index end, const auto &set) {
        PooledMatrix piece = pool.take(end - begin, cols);
        source(begin, *piece);
        set(*piece);
    });
}

struct Int8Weight::State {
    Index in, out, blocks, panels;
    // By panel and block of inputs; columns that are not there are zeros with scale 1.
    std::vector<std::uint8_t> values;
    std::vector<float> scales;
    ExponentRange range;
};

bool Int8Weight::isSupported()
{
#ifdef __x86_64__
    static const bool supported = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")
                                  && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return supported;
#else
    return false;
#endif
}

bool Int8Weight::holds(const ConstMatrixRef &values)
{
    bool exact = true;
    forProcessor([&] {
        std::int8_t integers[block];
        std::int32_t sum = 0;
        for (Index row = 0; row < values.rows(); ++row)
            forBlocks(values.data() + row * values.outerStride(), values.cols(),
                      [&](Index, const float *given) { toIntegers(given, integers, sum, exact); });
    });
    return exact;
}

Int8Weight::Int8Weight(const ConstMatrixRef &weight)
{
    LQER_ASSERT(isSupported() && weight.size() > 0);
    auto state = std::make_shared<State>();
    state->in = weight.cols();
    state->out = weight.rows();
    state->blocks = (state->in + block - 1) / block;
    state->panels = (state->out + panel - 1) / panel;
    state->values.assign(static_cast<std::size_t>(state->panels * state->blocks * panel * block), 128);
    state->scales.assign(static_cast<std::size_t>(state->panels * state->blocks * panel), 1.0F);
    bool exact = true;
    forProcessor([&] {
        for (Index row = 0; row < state->out; ++row)
            forBlocks(weight.data() + row * weight.outerStride(), state->in, [&](Index b, const float *given) {
                std::int8_t integers[block];
                std::int32_t sum = 0;
                const Index place = row / panel * state->blocks + b, column = row % panel;
                const float scale = toIntegers(given, integers, sum, exact);
                state->scales[static_cast<std::size_t>(place * panel + column)] = scale;
                state->range.add(scale);
                std::uint8_t *to = state->values.data() + place * panel * block + column * 4;
                for (Index i = 0; i < block; ++i)
                    to[i / 4 * panel * 4 + i % 4] = static_cast<std::uint8_t>(integers[i] + 128);
            });
    });
    LQER_ASSERT(exact);
    m_state = std::move(state);
}

Index Int8Weight::in() const { return m_state->in; }
Index Int8Weight::out() const { return m_state->out; }

namespace {

// y = sums, (rows, columns) of rows of a panel.
void store(const float *sums, Index rows, Index columns, float *y, Index stride)
{
    forProcessor([=] {
        for (Index row = 0; row < rows; ++row) {
            const float *from = sums + row * panel;
            float *__restrict to = y + row * stride;
            if (columns == panel)  // a number that the compiler knows
                for (Index i = 0; i < panel; ++i)
                    to[i] = from[i];
            else
                for (Index i = 0; i < columns; ++i)
                    to[i] = from[i];
        }
    });
}

}  // namespace

void Int8Weight::multiply(const Int8Rows &x, MatrixRef y, const TaskContext &context, const PanelFinish &finish) const
{
    LQER_ASSERT(x.cols() == in() && y.rows() == x.rows() && y.cols() == out());
    const Index stride = std::max<Index>(out(), y.outerStride());
    parallelFor(context, x.rows(), grain, [&](Index begin, Index end) {
        alignas(64) float sums[grain * panel];
        for (Index column = 0; column < out(); column += panel) {
            context.checkStop();
            float *to = y.data() + begin * stride + column;
            if (!finish) {
                multiplyPanel(x, column, begin, end, to, stride, to, stride);
                continue;
            }
            multiplyPanel(x, column, begin, end, sums, panel, to, stride);
            finish(column, begin, end, sums);
            store(sums, end - begin, std::min(panel, out() - column), to, stride);
        }
    });
}

void Int8Weight::multiplyPanel(const Int8Rows &x, Index column, Index begin, Index end, float *y, Index stride, const float *later,
                               Index laterStride) const
{
    const State &s = *m_state;
    LQER_ASSERT(x.cols() == s.in && column % panel == 0 && end - begin <= grain);
#ifdef __x86_64__
    const StripProduct *products = x.m_leastExponent + s.range.least > 127 && x.m_mostExponent + s.range.most < 127 + 255
                                           && x.m_leastExponent > 0 && s.range.least > 0
                                       ? stripProducts<true>
                                       : stripProducts<false>;
    alignas(64) float sums[grain * panel];  // of the pieces of inputs so far
    const Index columns = std::min(panel, s.out - column);
    for (Index first = 0; first < s.blocks; first += chunk) {
        const Index blocks = std::min(chunk, s.blocks - first), place = column / panel * s.blocks + first;
        const bool last = first + blocks == s.blocks;
        const Index stored = last ? columns : panel;
        for (Index row = begin; row < end; row += rowsAtOnce) {
            // What is stored to at the end comes from memory meanwhile.
            for (Index r = row; last && r < std::min(end, row + rowsAtOnce); ++r) {
                __builtin_prefetch(later + (r - begin) * laterStride, 1);
                __builtin_prefetch(later + (r - begin) * laterStride + columns - 1, 1);
            }
            const Index at = placeOf(row, first, x.rows(), s.blocks);
            float *between = sums + (row - begin) * panel;
            products[std::min(rowsAtOnce, end - row)](
                {x.m_values + at * block, x.m_offsets + at, x.m_scales->data() + at, s.values.data() + place * panel * block,
                 s.scales.data() + place * panel, blocks, first > 0 ? between : nullptr, last ? y + (row - begin) * stride : between,
                 last ? stride : panel, static_cast<__mmask16>((1U << std::min<Index>(16, stored)) - 1),
                 static_cast<__mmask16>((1U << std::max<Index>(0, stored - 16)) - 1)});
        }
    }
#else
    static_cast<void>(y);
    static_cast<void>(stride);
    LQER_ASSERT(false);
#endif
}

Matrix Int8Weight::values(const TaskContext &context) const
{
    const State &s = *m_state;
    Matrix weight = onLargePages(Matrix(s.out, s.in));
    parallelFor(context, s.out, panel, [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row)
            for (Index b = 0; b < s.blocks; ++b) {
                const Index place = begin / panel * s.blocks + b, count = std::min(block, s.in - b * block);
                const float scale = s.scales[static_cast<std::size_t>(place * panel + row - begin)];
                const std::uint8_t *from = s.values.data() + place * panel * block + (row - begin) * 4;
                float *to = &weight(row, b * block);
                for (Index four = 0; four < count; four += 4, from += panel * 4)
                    for (Index i = 0; i < std::min<Index>(4, count - four); ++i)
                        to[four + i] = (static_cast<float>(from[i]) - 128.0F) * scale;
            }
    });
    return weight;
}

}  // namespace lqer
