// SPDX-License-Identifier: Apache-2.0
#include "core/quant/rounding.h"

#include <array>
#include <cmath>

namespace lqer {

namespace {

float log2F32(float v) { return static_cast<float>(std::log2(static_cast<double>(v))); }

// Per binade 2^k .. 2^(k+1) of normal floats: the largest mantissa field whose log2 rounds down to k, and the smallest whose
// log2 rounds up to k + 1. Between them floor is k and ceil is k + 1.
struct Binade {
    std::uint32_t lastDown;
    std::uint32_t firstUp;
};

const std::array<Binade, 254> &binades()
{
    static const std::array<Binade, 254> table = [] {
        std::array<Binade, 254> made{};
        for (int k = -126; k <= 127; ++k) {
            const std::uint32_t base = static_cast<std::uint32_t>(k + 127) << 23;
            Binade &binade = made[static_cast<std::size_t>(k + 126)];
            binade.lastDown = 0;
            while (log2F32(std::bit_cast<float>(base + binade.lastDown + 1)) <= static_cast<float>(k))
                ++binade.lastDown;
            binade.firstUp = 1U << 23;
            while (log2F32(std::bit_cast<float>(base + binade.firstUp - 1)) >= static_cast<float>(k + 1))
                --binade.firstUp;
        }
        return made;
    }();
    return table;
}

}  // namespace

int floorLog2F32NearPower(float v)
{
    const std::uint32_t bits = bitsOf(v);
    if (bits < 0x00800000U)
        return static_cast<int>(std::floor(log2F32(v)));
    const auto biased = static_cast<int>(bits >> 23);
    return biased - 127 + ((bits & 0x7FFFFFU) >= binades()[static_cast<std::size_t>(biased - 1)].firstUp ? 1 : 0);
}

int ceilLog2F32NearPower(float v)
{
    const std::uint32_t bits = bitsOf(v);
    if (bits < 0x00800000U)
        return static_cast<int>(std::ceil(log2F32(v)));
    const auto biased = static_cast<int>(bits >> 23);
    return biased - 127 + ((bits & 0x7FFFFFU) > binades()[static_cast<std::size_t>(biased - 1)].lastDown ? 1 : 0);
}

}  // namespace lqer
