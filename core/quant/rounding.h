// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

// The scalar steps that the number formats share, in float32 and in the order numerics.md A writes them.
namespace lqer {

// Round half to even for |v| < 2^22: adding 1.5 * 2^23 leaves no fraction bits. nearbyintf is a library call without SSE4.1 and
// keeps loops from being vectorised. The result is never -0.
inline float roundToEven(float v)
{
    constexpr float magic = 0x1.8p23F;
    return (v + magic) - magic;
}

inline std::uint32_t bitsOf(float v) { return std::bit_cast<std::uint32_t>(v); }

// A magnitude with the sign of a code's sign bit (0 or 1). No branch: signs are unpredictable.
inline float withSign(float magnitude, std::uint32_t signBit) { return std::bit_cast<float>(bitsOf(magnitude) | signBit << 31); }

// 2^e as float: subnormal below -126, zero below -149, infinity above 127.
inline float powerOfTwo(int e)
{
    if (e >= -126)
        return std::bit_cast<float>(static_cast<std::uint32_t>(e > 127 ? 255 : e + 127) << 23);
    return e < -149 ? 0.0F : std::bit_cast<float>(1U << (e + 149));
}

// floor(log2(v)) of a positive finite float, exact, subnormals included.
inline int exactFloorLog2(float v)
{
    const std::uint32_t bits = bitsOf(v);
    return bits >= 0x00800000U ? static_cast<int>(bits >> 23) - 127 : 31 - std::countl_zero(bits) - 149;
}

// floor and ceil of log2(v) rounded to float32, as the official code takes exponents: a value a few ulp away from 2^k (|k| >= 4)
// counts as 2^k (numerics.md A.2, A.6). v positive and finite.
int floorLog2F32NearPower(float v);
int ceilLog2F32NearPower(float v);

// Away from the powers of two the exponent field says it: log2 has an ulp of 2^-17 at most here, which is 23 units of the mantissa.
inline bool isNearPowerOfTwo(float v)
{
    constexpr std::uint32_t margin = 64;
    return bitsOf(v) < 0x00800000U || (bitsOf(v) & 0x7FFFFFU) - margin >= 0x800000U - 2 * margin;
}
inline int floorLog2F32(float v)
{
    return isNearPowerOfTwo(v) ? floorLog2F32NearPower(v) : static_cast<int>(bitsOf(v) >> 23) - 127;
}
inline int ceilLog2F32(float v)
{
    return isNearPowerOfTwo(v) ? ceilLog2F32NearPower(v) : static_cast<int>(bitsOf(v) >> 23) - 126;
}

}  // namespace lqer
