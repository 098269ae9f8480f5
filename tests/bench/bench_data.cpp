// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_data.h"

#include <cmath>
#include <numbers>

#include "core/linalg/gemm.h"

namespace lqer::bench {

namespace {

class Random {
public:
    explicit Random(std::uint64_t seed) : m_state(seed * 0x9E3779B97F4A7C15ULL + 1) {}
    // In (0, 1].
    float unit()
    {
        m_state ^= m_state << 13U;
        m_state ^= m_state >> 7U;
        m_state ^= m_state << 17U;
        return static_cast<float>((m_state >> 40U) + 1) * 0x1p-24F;
    }
    float normal()
    {
        const float radius = std::sqrt(-2.0F * std::log(unit()));
        return radius * std::cos(2.0F * std::numbers::pi_v<float> * unit());
    }

private:
    std::uint64_t m_state;
};

}  // namespace

Matrix normalMatrix(Index rows, Index cols, std::uint64_t seed)
{
    Random random(seed);
    Matrix matrix(rows, cols);
    for (Index i = 0; i < matrix.size(); ++i)
        matrix.data()[i] = random.normal();
    return matrix;
}

Matrix heavyWeight(Index out, Index in, std::uint64_t seed)
{
    Random random(seed);
    Matrix weight = normalMatrix(out, in, seed + 1);
    for (Index row = 0; row < out; ++row)
        weight.row(row) *= 0.02F * std::exp(0.3F * random.normal());
    for (Index i = 0; i < weight.size(); i += 97)  // tails
        weight.data()[i] *= 4.0F;
    for (Index column = 11; column < in; column += 200)
        weight.col(column) *= 5.0F;
    return weight;
}

Vector channelScale(Index in, double spread, std::uint64_t seed)
{
    Random random(seed);
    Vector scale(in);
    for (Index i = 0; i < in; ++i)
        scale[i] = spread > 0 ? std::exp(static_cast<float>(spread) * random.normal()) * (i % 300 == 17 ? 10.0F : 1.0F) : 1.0F;
    return scale;
}

SiteStats activationStats(const Vector &scale, Index tokens, std::uint64_t seed)
{
    const Index in = scale.size();
    const Index latent = std::max<Index>(1, in / 8);
    Matrix x(tokens, in);
    multiply(normalMatrix(tokens, latent, seed), normalMatrix(latent, in, seed + 1), x);
    x /= std::sqrt(static_cast<float>(latent));
    x += 0.5F * normalMatrix(tokens, in, seed + 2);
    x *= scale.asDiagonal();
    SiteAccumulator accumulator(in, {});
    accumulator.feed(x);
    return accumulator.finish();
}

}  // namespace lqer::bench
