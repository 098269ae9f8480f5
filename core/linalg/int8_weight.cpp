// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/int8_weight.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "core/base/check.h"
#include "core/base/processor.h"

namespace lqer {

namespace {

constexpr Index block = Int8Rows::block;
constexpr Index panel = 32;       // columns of the result that are computed together: two vectors of sums
constexpr Index rowsAtOnce = 6;   // and rows: 12 vectors of integer sums, 12 of float sums, of the 32 there are
constexpr Index grain = 126;      // tokens of one piece of work: whose inputs stay in the second cache
constexpr Index chunk = 32;       // blocks of inputs after which the next rows are taken: 32 KB of a panel's weights stay in the first

// What 32 values have to be multiplied with to become integers of -127 to 127: 2^6 over the power of two in the largest.
// Finite and normal for every float that is; 0 for zeros and subnormal values.
float factorOf(float largest)
{
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(largest) >> 23;
    const std::uint32_t wanted = 127 + 127 + 6 - exponent;
    return exponent == 0 ? 0.0F : wanted > 254 ? 0x1p127F : std::bit_cast<float>(wanted << 23);
}

float reciprocalOfPower(float power)
{
    return power == 0 ? 0.0F : 1 / power;
}

// Integers of 32 neighbours; returns the factor. `exact` becomes false where rounding changed a value.
inline float toIntegers(const float *values, std::int8_t *integers, std::int32_t &sum, bool &exact)
{
    std::int32_t largest = 0;  // magnitudes compare as integers
    for (Index i = 0; i < block; ++i)
        largest = std::max(largest, std::bit_cast<std::int32_t>(values[i]) & 0x7FFFFFFF);
    const float factor = factorOf(std::bit_cast<float>(largest));
    std::int32_t total = 0, changed = factor == 0 ? largest : 0;
    for (Index i = 0; i < block; ++i) {
        constexpr float magic = 0x1.8p23F;  // leaves no fraction bits
        const float scaled = values[i] * factor;
        const float rounded = (scaled + magic) - magic;
        changed |= std::bit_cast<std::int32_t>(rounded - scaled) & 0x7FFFFFFF;
        const auto integer = static_cast<std::int32_t>(rounded);
        changed |= integer > 127 || integer < -127 ? 1 : 0;
        integers[i] = static_cast<std::int8_t>(integer);
        total += integer;
    }
    sum = total;
    exact = exact && changed == 0;
    return factor;
}

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
template <int Rows>
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
        for (int r = 0; r < Rows; ++r) {
            const __m512 scale = _mm512_set1_ps(s.xScales[r * s.blocks + b]);
            // Powers of two: neither product rounds. (The masks leave out nothing; without them GCC 12 warns of its own header.)
            sums[r][0] = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, whole[r][0]), _mm512_mul_ps(scale, leftScale), sums[r][0]);
            sums[r][1] = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, whole[r][1]), _mm512_mul_ps(scale, rightScale), sums[r][1]);
        }
    }
    for (int r = 0; r < Rows; ++r) {
        _mm512_mask_storeu_ps(s.y + r * s.yStride, s.left, sums[r][0]);
        _mm512_mask_storeu_ps(s.y + r * s.yStride + 16, s.right, sums[r][1]);
    }
}

using StripProduct = void (*)(const Strip &);
constexpr StripProduct stripProducts[rowsAtOnce + 1] = {nullptr,          multiplyStrip<1>, multiplyStrip<2>, multiplyStrip<3>,
                                                        multiplyStrip<4>, multiplyStrip<5>, multiplyStrip<6>};

#endif

}  // namespace

Int8Rows::Int8Rows(const ConstMatrixRef &x, MatrixPool &pool, const TaskContext &context)
    : m_rows(x.rows()), m_cols(x.cols()), m_blocks((x.cols() + block - 1) / block), m_room(pool.take(m_rows, m_blocks * (block / 4 + 1))),
      m_scales(pool.take(m_rows, m_blocks)), m_values(reinterpret_cast<std::int8_t *>(m_room->data())),
      m_offsets(reinterpret_cast<std::int32_t *>(m_room->data() + m_rows * m_blocks * (block / 4)))
{
    std::atomic<bool> all = true;
    parallelFor(context, m_rows, 64, [&](Index begin, Index end) {
        bool exact = true;
        forProcessor([&] {
            for (Index row = begin; row < end; ++row)
                forBlocks(x.data() + row * x.outerStride(), m_cols, [&](Index b, const float *values) {
                    const Index place = placeOf(row, b, m_rows, m_blocks);
                    std::int32_t sum = 0;
                    const float factor = toIntegers(values, m_values + place * block, sum, exact);
                    m_scales->data()[place] = reciprocalOfPower(factor);
                    m_offsets[place] = -128 * sum;
                });
        });
        if (!exact)
            all = false;
    });
    m_exact = all;
}

struct Int8Weight::State {
    Index in, out, blocks, panels;
    // By panel and block of inputs; columns that are not there are zeros with scale 0.
    std::vector<std::uint8_t> values;
    std::vector<float> scales;
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
    state->scales.assign(static_cast<std::size_t>(state->panels * state->blocks * panel), 0.0F);
    bool exact = true;
    for (Index row = 0; row < state->out; ++row)
        forBlocks(weight.data() + row * weight.outerStride(), state->in, [&](Index b, const float *given) {
            std::int8_t integers[block];
            std::int32_t sum = 0;
            const Index place = row / panel * state->blocks + b, column = row % panel;
            const float factor = toIntegers(given, integers, sum, exact);
            state->scales[static_cast<std::size_t>(place * panel + column)] = reciprocalOfPower(factor);
            std::uint8_t *to = state->values.data() + place * panel * block + column * 4;
            for (Index i = 0; i < block; ++i)
                to[i / 4 * panel * 4 + i % 4] = static_cast<std::uint8_t>(integers[i] + 128);
        });
    LQER_ASSERT(exact);
    m_state = std::move(state);
}

Index Int8Weight::in() const { return m_state->in; }
Index Int8Weight::out() const { return m_state->out; }

void Int8Weight::multiply(const Int8Rows &x, MatrixRef y, const TaskContext &context) const
{
    LQER_ASSERT(x.cols() == in() && y.rows() == x.rows() && y.cols() == out());
#ifdef __x86_64__
    const State &s = *m_state;
    const Index yStride = std::max<Index>(out(), y.outerStride());
    parallelFor(context, x.rows(), grain, [&](Index begin, Index end) {
        alignas(64) float sums[grain * panel];
        for (Index p = 0; p < s.panels; ++p) {
            context.checkStop();
            const Index columns = std::min(panel, s.out - p * panel);
            for (Index first = 0; first < s.blocks; first += chunk) {
                const Index blocks = std::min(chunk, s.blocks - first), place = p * s.blocks + first;
                const bool last = first + blocks == s.blocks;
                const Index stored = last ? columns : panel;
                for (Index row = begin; row < end; row += rowsAtOnce) {
                    const Index at = placeOf(row, first, x.rows(), s.blocks);
                    float *between = sums + (row - begin) * panel;
                    stripProducts[std::min(rowsAtOnce, end - row)](
                        {x.m_values + at * block, x.m_offsets + at, x.m_scales->data() + at, s.values.data() + place * panel * block,
                         s.scales.data() + place * panel, blocks, first > 0 ? between : nullptr,
                         last ? y.data() + row * yStride + p * panel : between, last ? yStride : panel,
                         static_cast<__mmask16>((1U << std::min<Index>(16, stored)) - 1),
                         static_cast<__mmask16>((1U << std::max<Index>(0, stored - 16)) - 1)});
                }
            }
        }
    });
#else
    static_cast<void>(y);
    static_cast<void>(context);
    LQER_ASSERT(false);
#endif
}

Matrix Int8Weight::values() const
{
    const State &s = *m_state;
    return Matrix::NullaryExpr(s.out, s.in, [&](Index row, Index column) {
        const Index place = row / panel * s.blocks + column / block, i = column % block;
        const auto stored = static_cast<float>(s.values[static_cast<std::size_t>(place * panel * block + i / 4 * panel * 4 + row % panel * 4 + i % 4)]);
        return (stored - 128.0F) * s.scales[static_cast<std::size_t>(place * panel + row % panel)];
    });
}

}  // namespace lqer
