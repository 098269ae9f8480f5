// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/bf16_panels.h"

#include <algorithm>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "core/base/check.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

constexpr Index rowsAtOnce = 6;  // 12 vectors of sums, which do not wait for each other

#ifdef __x86_64__

template <int Rows>
[[gnu::target("avx512f,avx512bf16")]] void multiplyStrip(const std::uint16_t *x, Index in, const std::uint16_t *weights, float *y)
{
    __m512 sums[Rows][2];
    for (int r = 0; r < Rows; ++r)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (Index k = 0; k < in; k += 2, weights += 2 * Bf16Panels::panel) {
        const auto left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(weights));
        const auto right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(weights + Bf16Panels::panel));
        for (int r = 0; r < Rows; ++r) {
            std::int32_t pair = 0;
            __builtin_memcpy(&pair, x + r * in + k, sizeof pair);
            const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], left, both);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], right, both);
        }
    }
    for (int r = 0; r < Rows; ++r) {
        _mm512_storeu_ps(y + r * Bf16Panels::panel, sums[r][0]);
        _mm512_storeu_ps(y + r * Bf16Panels::panel + 16, sums[r][1]);
    }
}

#endif

}  // namespace

Bf16Panels::Bf16Panels(const ConstMatrixRef &weight)
    : m_in(weight.cols()), m_out(weight.rows()), m_values(static_cast<std::size_t>((m_out + panel - 1) / panel * panel * m_in))
{
    LQER_ASSERT(Bf16Weight::isSupported() && m_in % 2 == 0);
    for (Index row = 0; row < m_out; ++row)
        for (Index k = 0; k < m_in; ++k) {
            const Index place = row / panel * panel * m_in + k / 2 * 2 * panel + row % panel * 2 + k % 2;
            m_values[static_cast<std::size_t>(place)] = floatToBf16(weight(row, k));
        }
}

void Bf16Panels::multiply(const Bf16Rows &x, Index begin, Index end, Index column, float *y) const
{
    LQER_ASSERT(x.cols() == m_in && column % panel == 0 && column < m_out);
#ifdef __x86_64__
    const std::uint16_t *weights = m_values.data() + column * m_in;
    for (Index row = begin; row < end; y += rowsAtOnce * panel) {
        if (end - row >= rowsAtOnce) {
            multiplyStrip<rowsAtOnce>(x.row(row), m_in, weights, y);
            row += rowsAtOnce;
        } else {
            for (; row < end; ++row, y += panel)
                multiplyStrip<1>(x.row(row), m_in, weights, y);
        }
    }
#else
    static_cast<void>(begin);
    static_cast<void>(end);
    static_cast<void>(y);
    LQER_ASSERT(false);
#endif
}

}  // namespace lqer
