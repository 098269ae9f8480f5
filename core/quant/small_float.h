// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "core/quant/rounding.h"

namespace lqer {

// The element types of OCP MX v1.0 (section 5.3) and FP8: sign, exponent, mantissa; subnormals; values above `largest`
// saturate. Codes are sign-magnitude, sign in the highest bit.
struct SmallFloat {
    int exponentBits;
    int mantissaBits;
    int bias;
    float largest;   // largest finite value
    int maxExponent; // floor(log2(largest)): "emax" of the OCP text

    int bits() const { return 1 + exponentBits + mantissaBits; }

    // Nearest value, ties to the even mantissa, saturating; magnitude >= 0 and finite. Adding 2^(e + 23 - mantissaBits) leaves
    // no bits below the element's last place.
    float round(float magnitude) const
    {
        const float near = std::min(magnitude, 2 * largest);
        const auto raw = std::bit_cast<std::int32_t>(near) & 0x7F800000;
        const std::int32_t exponent = std::max(raw, (128 - bias) << 23);
        const float shift = std::bit_cast<float>(exponent + ((23 - mantissaBits) << 23));
        return std::min((near + shift) - shift, largest);
    }
    // Code without sign of a value that round() returned.
    std::uint32_t encode(float value) const
    {
        const auto raw = std::bit_cast<std::uint32_t>(value);
        const int exponent = static_cast<int>(raw >> 23) - 127 + bias;
        if (exponent >= 1)
            return (static_cast<std::uint32_t>(exponent) << mantissaBits) | ((raw & 0x7FFFFFU) >> (23 - mantissaBits));
        return static_cast<std::uint32_t>(value * powerOfTwo(mantissaBits + bias - 1));
    }
    // Magnitude of a code without sign; NaN for the codes of infinity and NaN.
    float decode(std::uint32_t code) const
    {
        const std::uint32_t exponent = code >> mantissaBits;
        const std::uint32_t mantissa = code & ((1U << mantissaBits) - 1);
        if (exponent == 0)
            return static_cast<float>(mantissa) * powerOfTwo(1 - bias - mantissaBits);
        const float value
            = static_cast<float>(mantissa + (1U << mantissaBits)) * powerOfTwo(static_cast<int>(exponent) - bias - mantissaBits);
        return value > largest ? std::numeric_limits<float>::quiet_NaN() : value;
    }
};

inline constexpr SmallFloat e2m1{2, 1, 1, 6.0F, 2};
inline constexpr SmallFloat e2m3{2, 3, 1, 7.5F, 2};
inline constexpr SmallFloat e3m2{3, 2, 3, 28.0F, 4};
inline constexpr SmallFloat e4m3{4, 3, 7, 448.0F, 8};     // no infinity; S.1111.111 is NaN
inline constexpr SmallFloat e5m2{5, 2, 15, 57344.0F, 15}; // S.11111.xx are infinity and NaN

}  // namespace lqer
