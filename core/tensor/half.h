// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace lqer {

inline float bf16ToFloat(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// Round to nearest even; NaN stays NaN.
inline std::uint16_t floatToBf16(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
        return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// IEEE binary16, denormals included.
float halfToFloat(std::uint16_t bits);
// Round to nearest even, overflow to infinity.
std::uint16_t floatToHalf(float value);

void bf16ToFloat(std::span<const std::uint16_t> in, std::span<float> out);
void halfToFloat(std::span<const std::uint16_t> in, std::span<float> out);

}  // namespace lqer
