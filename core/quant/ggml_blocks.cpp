// SPDX-License-Identifier: Apache-2.0
#include "core/quant/ggml_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/quant/small_float.h"
#include "core/tensor/half.h"
#include "core/tensor/tensor.h"

namespace lqer {

namespace {

using Block = const std::uint8_t *;
using WritableBlock = std::uint8_t *;

struct Affine {
    float scale = 0;
    float minimum = 0;
};

std::uint16_t bits16(Block at)
{
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return bits;
}

float half(Block at) { return halfToFloat(bits16(at)); }
void putHalf(WritableBlock at, std::uint16_t bits) { std::memcpy(at, &bits, sizeof bits); }

// `bits` bits of the byte from bit `shift` on. Blocks are zero before anything is put into them.
int bitsAt(std::uint8_t byte, int shift, int bits) { return (byte >> shift) & ((1 << bits) - 1); }
void putBits(std::uint8_t &byte, int shift, int value) { byte = static_cast<std::uint8_t>(byte | value << shift); }

// Four-bit codes of a block of 32: elements 0-15 in the low halves of 16 bytes, 16-31 in the high halves.
int nibble(Block bytes, int e) { return bitsAt(bytes[e % 16], 4 * (e / 16), 4); }
void putNibble(WritableBlock bytes, int e, int value) { putBits(bytes[e % 16], 4 * (e / 16), value); }

// Each type below says: how many elements share a scale (`group`), the scale and minimum of a group, and an element's code. Those
// that can be written say the range of codes, and how a code is put.

struct Q4_0 {
    static constexpr int group = 32, least = -8, most = 7;
    static Affine affine(Block b, int) { return {half(b), 0}; }
    static int code(Block b, int e) { return nibble(b + 2, e) - 8; }
    static void put(WritableBlock b, int e, int code) { putNibble(b + 2, e, code + 8); }
};

struct Q4_1 {
    static constexpr int group = 32, most = 15;
    static Affine affine(Block b, int) { return {half(b), -half(b + 2)}; }
    static int code(Block b, int e) { return nibble(b + 4, e); }
    static void put(WritableBlock b, int e, int code) { putNibble(b + 4, e, code); }
};

// Five bits: the fifth of element e is bit e of a 32-bit word in front of the low four.
int fiveBits(Block high, Block low, int e) { return nibble(low, e) | bitsAt(high[e / 8], e % 8, 1) << 4; }
void putFiveBits(WritableBlock high, WritableBlock low, int e, int code)
{
    putNibble(low, e, code & 15);
    putBits(high[e / 8], e % 8, code >> 4);
}

struct Q5_0 {
    static constexpr int group = 32, least = -16, most = 15;
    static Affine affine(Block b, int) { return {half(b), 0}; }
    static int code(Block b, int e) { return fiveBits(b + 2, b + 6, e) - 16; }
    static void put(WritableBlock b, int e, int code) { putFiveBits(b + 2, b + 6, e, code + 16); }
};

struct Q5_1 {
    static constexpr int group = 32, most = 31;
    static Affine affine(Block b, int) { return {half(b), -half(b + 2)}; }
    static int code(Block b, int e) { return fiveBits(b + 4, b + 8, e); }
    static void put(WritableBlock b, int e, int code) { putFiveBits(b + 4, b + 8, e, code); }
};

struct Q8_0 {
    static constexpr int group = 32, least = -128, most = 127;
    static Affine affine(Block b, int) { return {half(b), 0}; }
    static int code(Block b, int e) { return static_cast<std::int8_t>(b[2 + e]); }
    static void put(WritableBlock b, int e, int code) { b[2 + e] = static_cast<std::uint8_t>(static_cast<std::int8_t>(code)); }
};

// Two-bit fields of a super-block of 256: byte l of 32 holds elements l, l + 32, l + 64, l + 96 of its half, lowest bits first.
int twoBits(Block bytes, int e) { return bitsAt(bytes[e / 128 * 32 + e % 32], e % 128 / 32 * 2, 2); }
void putTwoBits(WritableBlock bytes, int e, int code) { putBits(bytes[e / 128 * 32 + e % 32], e % 128 / 32 * 2, code); }

// 0: scale and minimum of four bits each, 16: codes, 80: d, 82: dmin.
struct Q2_K {
    static constexpr int group = 16, most = 3, mostScale = 15;
    static Affine affine(Block b, int g)
    {
        return {half(b + 80) * static_cast<float>(b[g] & 15), half(b + 82) * static_cast<float>(b[g] >> 4)};
    }
    static int code(Block b, int e) { return twoBits(b + 16, e); }
    static void put(WritableBlock b, int e, int code) { putTwoBits(b + 16, e, code); }
};

// 0: highest bit of a code (bit e / 32 of byte e % 32), 32: two lower bits, 96: 16 scales of six bits, 108: d.
struct Q3_K {
    static constexpr int group = 16, least = -4, most = 3, mostScale = 31;
    static Affine affine(Block b, int g)
    {
        const int scale = bitsAt(b[96 + g % 8], 4 * (g / 8), 4) | bitsAt(b[104 + g % 4], 2 * (g / 4), 2) << 4;
        return {half(b + 108) * static_cast<float>(scale - 32), 0};
    }
    static int code(Block b, int e) { return (twoBits(b + 32, e) | bitsAt(b[e % 32], e / 32, 1) << 2) - 4; }
    static void put(WritableBlock b, int e, int code)
    {
        putTwoBits(b + 32, e, (code + 4) & 3);
        putBits(b[e % 32], e / 32, (code + 4) >> 2);
    }
    static void putScales(WritableBlock b, std::uint16_t d, std::span<const int> scales)
    {
        putHalf(b + 108, d);
        for (int g = 0; g < 16; ++g) {
            const int scale = scales[static_cast<std::size_t>(g)] + 32;
            putBits(b[96 + g % 8], 4 * (g / 8), scale & 15);
            putBits(b[104 + g % 4], 2 * (g / 4), scale >> 4);
        }
    }
};

// Scale and minimum of six bits each of eight groups, in twelve bytes: groups 0-3 in the low six bits of bytes 0-3 and 4-7,
// groups 4-7 with their lower four bits in bytes 8-11 and their upper two on top of bytes 0-7.
Affine sixBitAffine(Block b, int g)
{
    const Block packed = b + 4;
    const int scale = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
    const int minimum = g < 4 ? packed[g + 4] & 63 : packed[g + 4] >> 4 | packed[g] >> 6 << 4;
    return {half(b) * static_cast<float>(scale), half(b + 2) * static_cast<float>(minimum)};
}

// 0: d, 2: dmin, 4: scales and minima, 16: codes; 32 bytes hold 64 elements.
struct Q4_K {
    static constexpr int group = 32;
    static Affine affine(Block b, int g) { return sixBitAffine(b, g); }
    static int code(Block b, int e) { return bitsAt(b[16 + e / 64 * 32 + e % 32], e % 64 / 32 * 4, 4); }
};

// As Q4_K, with the fifth bits in front of the codes: bit e / 32 of byte e % 32.
struct Q5_K {
    static constexpr int group = 32;
    static Affine affine(Block b, int g) { return sixBitAffine(b, g); }
    static int code(Block b, int e)
    {
        return bitsAt(b[48 + e / 64 * 32 + e % 32], e % 64 / 32 * 4, 4) | bitsAt(b[16 + e % 32], e / 32, 1) << 4;
    }
};

// 0: four lower bits, 128: two upper bits, 192: scales, 208: d. The lower bits of elements r and r + 64 of a half share a byte.
struct Q6_K {
    static constexpr int group = 16, least = -32, most = 31, mostScale = 127;
    static Affine affine(Block b, int g) { return {half(b + 208) * static_cast<float>(static_cast<std::int8_t>(b[192 + g])), 0}; }
    static int low(int e) { return e / 128 * 64 + e % 64; }
    static int code(Block b, int e) { return (bitsAt(b[low(e)], e % 128 / 64 * 4, 4) | twoBits(b + 128, e) << 4) - 32; }
    static void put(WritableBlock b, int e, int code)
    {
        putBits(b[low(e)], e % 128 / 64 * 4, (code + 32) & 15);
        putTwoBits(b + 128, e, (code + 32) >> 4);
    }
    static void putScales(WritableBlock b, std::uint16_t d, std::span<const int> scales)
    {
        putHalf(b + 208, d);
        for (int g = 0; g < 16; ++g)
            b[192 + g] = static_cast<std::uint8_t>(static_cast<std::int8_t>(scales[static_cast<std::size_t>(g)]));
    }
};

constexpr std::array<std::int8_t, 16> iq4Levels{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct IQ4_NL {
    static constexpr int group = 32;
    static Affine affine(Block b, int) { return {half(b), 0}; }
    static int code(Block b, int e) { return iq4Levels[static_cast<std::size_t>(nibble(b + 2, e))]; }
};

// 0: d, 2: upper two bits of eight scales, 4: their lower four bits, 8: codes, 16 bytes a group.
struct IQ4_XS {
    static constexpr int group = 32;
    static Affine affine(Block b, int g)
    {
        const int scale = bitsAt(b[4 + g / 2], g % 2 * 4, 4) | bitsAt(b[2 + g / 4], g % 4 * 2, 2) << 4;
        return {half(b) * static_cast<float>(scale - 32), 0};
    }
    static int code(Block b, int e) { return iq4Levels[static_cast<std::size_t>(nibble(b + 8 + e / 32 * 16, e % 32))]; }
};

// E2M1 values, doubled so that they are whole; ggml halves the scale for it.
constexpr std::array<std::int8_t, 16> doubledE2m1{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct MXFP4 {
    static constexpr int group = 32, groups = 1;
    static Affine affine(Block b, int) { return {std::ldexp(1.0F, b[0] - 128), 0}; }
    // The byte of a scale; -1 if there is none.
    static int scaleCode(double scale)
    {
        int exponent = 0;
        const bool power = std::frexp(scale, &exponent) == 0.5;
        return power && exponent >= -127 && exponent <= 127 ? exponent + 127 : -1;
    }
    static int code(Block b, int e) { return doubledE2m1[static_cast<std::size_t>(nibble(b + 1, e))]; }
    static void putIndex(WritableBlock b, int e, int index) { putNibble(b + 1, e, index); }
};

struct NVFP4 {
    static constexpr int group = 16, groups = 4;
    static float scale(std::uint32_t code) { return code < 127 ? e4m3.decode(code) * 0.5F : 0.0F; }
    static Affine affine(Block b, int g) { return {scale(b[g] & 127U), 0}; }
    static int scaleCode(double wanted)
    {
        const std::uint32_t code = e4m3.encode(e4m3.round(2 * static_cast<float>(wanted)));
        return scale(code) == wanted ? static_cast<int>(code) : -1;
    }
    static int byteOf(int e) { return 4 + e / 16 * 8 + e % 8; }
    static int code(Block b, int e) { return doubledE2m1[static_cast<std::size_t>(bitsAt(b[byteOf(e)], e % 16 / 8 * 4, 4))]; }
    static void putIndex(WritableBlock b, int e, int index) { putBits(b[byteOf(e)], e % 16 / 8 * 4, index); }
};

template <typename Type>
void decodeBlock(Block block, std::span<float> values)
{
    const int elements = static_cast<int>(values.size());
    for (int first = 0; first < elements; first += Type::group) {
        const Affine affine = Type::affine(block, first / Type::group);
        for (int e = first; e < first + Type::group; ++e)
            values[static_cast<std::size_t>(e)] = affine.scale * static_cast<float>(Type::code(block, e)) - affine.minimum;
    }
}

template <typename Bits, typename Convert>
void decodePlain(std::span<const std::byte> bytes, std::span<float> values, Convert convert)
{
    for (std::size_t i = 0; i < values.size(); ++i) {
        Bits bits;
        std::memcpy(&bits, bytes.data() + i * sizeof bits, sizeof bits);
        values[i] = convert(bits);
    }
}

// The half-precision number that is exactly `value`, in double.
std::optional<std::uint16_t> exactHalf(double value)
{
    const auto single = static_cast<float>(value);
    const std::uint16_t bits = floatToHalf(single);
    const float back = halfToFloat(bits);
    return std::isfinite(back) && static_cast<double>(back) == value ? std::optional(bits) : std::nullopt;
}

// Largest u > 0 of which every value is a whole multiple; 0 if all are 0, nothing if that would take multiples of more than 13
// bits.
std::optional<double> commonUnit(std::span<const double> values)
{
    struct Part {
        std::uint64_t odd;
        int exponent;
    };
    std::array<Part, 256> parts;
    std::size_t count = 0;
    int least = std::numeric_limits<int>::max();
    for (const double value : values) {
        if (value == 0)
            continue;
        int exponent = 0;
        const double fraction = std::frexp(std::fabs(value), &exponent);
        auto whole = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
        const int zeros = std::countr_zero(whole);
        whole >>= zeros;
        parts[count++] = {whole, exponent - 53 + zeros};
        least = std::min(least, exponent - 53 + zeros);
    }
    std::uint64_t divisor = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const int shift = parts[i].exponent - least;
        if (shift + std::bit_width(parts[i].odd) > 62)
            return std::nullopt;
        divisor = std::gcd(divisor, parts[i].odd << shift);
    }
    // A unit of more than 24 bits is no float, and so no product of a half-precision scale and small whole numbers.
    if (std::bit_width(divisor) > 24)
        return std::nullopt;
    for (std::size_t i = 0; i < count; ++i)
        if ((parts[i].odd << (parts[i].exponent - least)) / divisor >= (1U << 13))
            return std::nullopt;
    return count == 0 ? 0.0 : std::ldexp(static_cast<double>(divisor), least);
}

struct Range {
    double least = 0;
    double most = 0;
};

Range rangeOf(std::span<const double> values)
{
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return {*least, *most};
}

// Whether every multiple of `scale` between the range's ends has a code.
bool fits(const Range &range, double scale, int least, int most)
{
    return range.least >= least * scale && range.most <= most * scale;
}

template <typename Type>
void putMultiples(WritableBlock block, std::span<const double> values, int first, double scale, double minimum)
{
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double code = scale == 0 ? 0 : std::nearbyint((values[i] + minimum) / scale);
        Type::put(block, first + static_cast<int>(i), static_cast<int>(code));
    }
}

// One scale: a divisor of the common unit that half precision has, so small that no code is missing. The range of codes is not
// symmetric, so a negative scale may be what fits.
template <typename Type>
bool encodeScaled(std::span<const double> values, WritableBlock block)
{
    const std::optional<double> unit = commonUnit(values);
    if (!unit)
        return false;
    const Range range = rangeOf(values);
    const Range mirrored{-range.most, -range.least};
    for (int divisor = 1; *unit > 0; ++divisor) {
        const double scale = *unit / divisor;
        const bool straight = fits(range, scale, Type::least, Type::most);
        if (!straight && !fits(mirrored, scale, Type::least, Type::most))
            return false;
        if (const auto bits = exactHalf(straight ? scale : -scale)) {
            putHalf(block, *bits);
            putMultiples<Type>(block, values, 0, straight ? scale : -scale, 0);
            return true;
        }
    }
    putMultiples<Type>(block, values, 0, 0, 0);
    return true;
}

// A scale and the value of code 0, both in half precision.
template <typename Type>
bool encodeShifted(std::span<const double> values, WritableBlock block)
{
    const Range range = rangeOf(values);
    std::array<double, 32> above;
    std::transform(values.begin(), values.end(), above.begin(), [&](double value) { return value - range.least; });
    const std::optional<double> unit = commonUnit(above);
    if (!unit)
        return false;
    if (*unit == 0) {
        const auto bits = exactHalf(range.least);
        if (bits)
            putHalf(block + 2, *bits);
        return bits.has_value();
    }
    for (int divisor = 1;; ++divisor) {
        const double scale = *unit / divisor;
        const double spare = Type::most - (range.most - range.least) / scale;
        if (spare < 0)
            return false;
        const auto scaleBits = exactHalf(scale);
        for (int lower = 0; scaleBits && lower <= spare; ++lower) {
            if (const auto bits = exactHalf(range.least - lower * scale)) {
                putHalf(block, *scaleBits);
                putHalf(block + 2, *bits);
                putMultiples<Type>(block, above, 0, scale, lower * scale);
                return true;
            }
        }
    }
}

int indexOfE2m1(double value)
{
    for (int i = 0; i < 8; ++i)
        if (std::fabs(value) == doubledE2m1[static_cast<std::size_t>(i)])
            return value < 0 ? i + 8 : i;
    return -1;
}

// Codes from a table: the scale is one that makes the largest magnitude a code.
template <typename Type>
bool encodeFromTable(std::span<const double> values, WritableBlock block)
{
    for (int g = 0; g < Type::groups; ++g) {
        const auto group = values.subspan(static_cast<std::size_t>(g * Type::group), Type::group);
        const Range range = rangeOf(group);
        const double largest = std::max(range.most, -range.least);
        bool found = largest == 0;
        for (int level = 1; level < 8 && !found; ++level) {
            const double scale = largest / doubledE2m1[static_cast<std::size_t>(level)];
            const int code = Type::scaleCode(scale);
            const auto isCode = [&](double value) { return indexOfE2m1(value / scale) >= 0; };
            if (code < 0 || !std::all_of(group.begin(), group.end(), isCode))
                continue;
            block[g] = static_cast<std::uint8_t>(code);
            for (int i = 0; i < Type::group; ++i)
                Type::putIndex(block, g * Type::group + i, indexOfE2m1(group[static_cast<std::size_t>(i)] / scale));
            found = true;
        }
        if (!found)
            return false;
    }
    return true;
}

constexpr int groupsOfSuperBlock = 16;
constexpr int mostDivisors = 64;  // of the common unit that are tried as a super-block's d

// The largest divisor of `multiple` from 1 to `most` that accepts; 0 if there is none.
template <typename Accepts>
int divisorOf(double multiple, int most, Accepts accepts)
{
    const int whole = static_cast<int>(multiple);
    for (int divisor = std::min(whole, most); divisor >= 1; --divisor)
        if (whole % divisor == 0 && accepts(divisor))
            return divisor;
    return 0;
}

// A super-block's d: `common` or the largest whole part of it that half precision holds and under which place(d, bits of d) finds room.
template <typename Place>
bool placeWithCommonScale(double common, Place place)
{
    for (int divisor = 1; divisor <= mostDivisors; ++divisor) {
        const double d = common / divisor;
        if (const auto bits = exactHalf(d); bits && place(d, *bits))
            return true;
    }
    return false;
}

// Scales that are whole multiples of one half-precision number d.
template <typename Type>
bool encodeSuperBlock(std::span<const double> values, WritableBlock block)
{
    const auto group = [&](int g) { return values.subspan(static_cast<std::size_t>(g * Type::group), Type::group); };
    std::array<double, groupsOfSuperBlock> units;
    for (int g = 0; g < groupsOfSuperBlock; ++g) {
        const std::optional<double> unit = commonUnit(group(g));
        if (!unit)
            return false;
        units[static_cast<std::size_t>(g)] = *unit;
    }
    const std::optional<double> common = commonUnit(units);
    if (!common)
        return false;
    return placeWithCommonScale(*common, [&](double d, std::uint16_t bits) {
        std::array<int, groupsOfSuperBlock> scales{};
        bool good = true;
        for (int g = 0; g < groupsOfSuperBlock && good; ++g) {
            const double unit = units[static_cast<std::size_t>(g)];
            if (unit == 0)
                continue;
            const Range range = rangeOf(group(g));
            const Range mirrored{-range.most, -range.least};
            int sign = 1;
            const int scale = divisorOf(unit / d, Type::mostScale, [&](int candidate) {
                const bool straight = fits(range, candidate * d, Type::least, Type::most);
                sign = straight ? 1 : -1;
                return straight || fits(mirrored, candidate * d, Type::least, Type::most);
            });
            scales[static_cast<std::size_t>(g)] = sign * scale;
            good = scale > 0;
        }
        if (!good)
            return false;
        Type::putScales(block, bits, scales);
        for (int g = 0; g < groupsOfSuperBlock; ++g)
            putMultiples<Type>(block, group(g), g * Type::group, scales[static_cast<std::size_t>(g)] * d, 0);
        return true;
    });
}

// Q2_K: scale and minimum of a group are whole multiples of one d (= dmin), at most 15 of it.
bool encodeQ2_K(std::span<const double> values, WritableBlock block)
{
    const auto group = [&](int g) { return values.subspan(static_cast<std::size_t>(g * Q2_K::group), Q2_K::group); };
    std::array<double, groupsOfSuperBlock> units, minima;
    std::array<double, 2 * groupsOfSuperBlock> all;
    for (int g = 0; g < groupsOfSuperBlock; ++g) {
        const auto at = static_cast<std::size_t>(g);
        minima[at] = std::max(0.0, -rangeOf(group(g)).least);
        std::array<double, Q2_K::group> above;
        std::transform(group(g).begin(), group(g).end(), above.begin(), [&](double value) { return value + minima[at]; });
        const std::optional<double> unit = commonUnit(above);
        if (!unit)
            return false;
        units[at] = *unit;
        all[2 * at] = *unit;
        all[2 * at + 1] = minima[at];
    }
    const std::optional<double> common = commonUnit(all);
    if (!common)
        return false;
    return placeWithCommonScale(*common, [&](double d, std::uint16_t bits) {
        std::array<int, groupsOfSuperBlock> scales{};
        bool good = true;
        for (int g = 0; g < groupsOfSuperBlock && good; ++g) {
            const auto at = static_cast<std::size_t>(g);
            good = minima[at] <= Q2_K::mostScale * d;
            if (units[at] == 0 || !good)
                continue;
            const double span = rangeOf(group(g)).most + minima[at];
            scales[at] = divisorOf(units[at] / d, Q2_K::mostScale, [&](int scale) { return span <= Q2_K::most * (scale * d); });
            good = scales[at] > 0;
        }
        if (!good)
            return false;
        putHalf(block + 80, bits);
        putHalf(block + 82, bits);
        for (int g = 0; g < groupsOfSuperBlock; ++g) {
            const auto at = static_cast<std::size_t>(g);
            block[g] = static_cast<std::uint8_t>(scales[at] | (d == 0 ? 0 : static_cast<int>(minima[at] / d)) << 4);
            putMultiples<Q2_K>(block, group(g), g * Q2_K::group, scales[at] * d, minima[at]);
        }
        return true;
    });
}

// What a type does with one block.
struct BlockCodec {
    GgmlType type;
    void (*decode)(Block block, std::span<float> values);
    bool (*encode)(std::span<const double> values, WritableBlock block);  // null: only read
};

constexpr BlockCodec codecs[] = {
    {GgmlType::Q4_0, decodeBlock<Q4_0>, encodeScaled<Q4_0>},   {GgmlType::Q4_1, decodeBlock<Q4_1>, encodeShifted<Q4_1>},
    {GgmlType::Q5_0, decodeBlock<Q5_0>, encodeScaled<Q5_0>},   {GgmlType::Q5_1, decodeBlock<Q5_1>, encodeShifted<Q5_1>},
    {GgmlType::Q8_0, decodeBlock<Q8_0>, encodeScaled<Q8_0>},   {GgmlType::Q2_K, decodeBlock<Q2_K>, encodeQ2_K},
    {GgmlType::Q3_K, decodeBlock<Q3_K>, encodeSuperBlock<Q3_K>}, {GgmlType::Q4_K, decodeBlock<Q4_K>, nullptr},
    {GgmlType::Q5_K, decodeBlock<Q5_K>, nullptr},              {GgmlType::Q6_K, decodeBlock<Q6_K>, encodeSuperBlock<Q6_K>},
    {GgmlType::IQ4_NL, decodeBlock<IQ4_NL>, nullptr},          {GgmlType::IQ4_XS, decodeBlock<IQ4_XS>, nullptr},
    {GgmlType::MXFP4, decodeBlock<MXFP4>, encodeFromTable<MXFP4>}, {GgmlType::NVFP4, decodeBlock<NVFP4>, encodeFromTable<NVFP4>},
};

const BlockCodec *findCodec(GgmlType type)
{
    const auto isType = [&](const BlockCodec &codec) { return codec.type == type; };
    const auto found = std::find_if(std::begin(codecs), std::end(codecs), isType);
    return found == std::end(codecs) ? nullptr : found;
}

bool isPlain(GgmlType type) { return type == GgmlType::F32 || type == GgmlType::F16 || type == GgmlType::BF16; }

void checkSizes(GgmlType type, std::size_t bytes, std::size_t values)
{
    const GgmlBlock block = ggmlBlock(type);
    LQER_ASSERT(values % static_cast<std::size_t>(block.elements) == 0
                && bytes == values / static_cast<std::size_t>(block.elements) * block.bytes);
}

// One block after another; `work` returns false to end.
template <typename Work>
bool forEachBlock(GgmlType type, std::size_t values, Work work)
{
    const GgmlBlock block = ggmlBlock(type);
    const auto elements = static_cast<std::size_t>(block.elements);
    for (std::size_t i = 0; i < values / elements; ++i)
        if (!work(i * elements, elements, i * block.bytes))
            return false;
    return true;
}

template <typename Bits, typename Convert, typename Back>
bool encodePlain(std::span<const float> values, std::span<std::byte> bytes, Convert convert, Back back)
{
    for (std::size_t i = 0; i < values.size(); ++i) {
        const Bits bits = convert(values[i]);
        if (!(back(bits) == values[i]))
            return false;
        std::memcpy(bytes.data() + i * sizeof bits, &bits, sizeof bits);
    }
    return true;
}

float singleToFloat(float value) { return value; }
float (*const bf16AsFloat)(std::uint16_t) = bf16ToFloat;
float (*const halfAsFloat)(std::uint16_t) = halfToFloat;

}  // namespace

bool canDecodeGgml(GgmlType type) { return isPlain(type) || findCodec(type); }

void decodeGgml(GgmlType type, std::span<const std::byte> blocks, std::span<float> values)
{
    checkSizes(type, blocks.size(), values.size());
    if (type == GgmlType::F32) {
        decodePlain<float>(blocks, values, singleToFloat);
    } else if (type == GgmlType::F16) {
        decodePlain<std::uint16_t>(blocks, values, halfAsFloat);
    } else if (type == GgmlType::BF16) {
        decodePlain<std::uint16_t>(blocks, values, bf16AsFloat);
    } else {
        const BlockCodec *codec = findCodec(type);
        if (!codec)
            throw Error(ErrorCode::Unsupported,
                        fmt::format("is stored as {}, which this program does not decode", toString(type)));
        forEachBlock(type, values.size(), [&](std::size_t first, std::size_t count, std::size_t byte) {
            codec->decode(reinterpret_cast<Block>(blocks.data() + byte), values.subspan(first, count));
            return true;
        });
    }
    std::size_t index = 0;
    if (countNonFinite(values, &index) > 0)
        throw Error(ErrorCode::Numeric,
                    fmt::format("value at flat index {} is {}", index, std::isnan(values[index]) ? "NaN" : "infinite"));
}

bool encodeGgmlExactly(GgmlType type, std::span<const float> values, std::span<std::byte> blocks)
{
    checkSizes(type, blocks.size(), values.size());
    if (type == GgmlType::F32)
        return encodePlain<float>(values, blocks, singleToFloat, singleToFloat);
    if (type == GgmlType::F16)
        return encodePlain<std::uint16_t>(values, blocks, floatToHalf, halfAsFloat);
    if (type == GgmlType::BF16)
        return encodePlain<std::uint16_t>(values, blocks, floatToBf16, bf16AsFloat);
    const BlockCodec *codec = findCodec(type);
    LQER_ASSERT(codec && codec->encode);
    std::ranges::fill(blocks, std::byte{0});
    std::array<double, 256> exact;
    std::array<float, 256> back;
    return forEachBlock(type, values.size(), [&](std::size_t first, std::size_t count, std::size_t byte) {
        const auto block = values.subspan(first, count);
        std::copy(block.begin(), block.end(), exact.begin());
        auto *bytes = reinterpret_cast<WritableBlock>(blocks.data() + byte);
        if (countNonFinite(block) > 0 || !codec->encode(std::span<const double>(exact).first(count), bytes))
            return false;
        // What was found in exact arithmetic must also come out of ggml's float32 arithmetic.
        codec->decode(bytes, std::span(back).first(count));
        return std::equal(block.begin(), block.end(), back.begin());
    });
}

void encodeQ8_0(std::span<const float> values, std::span<std::byte> blocks)
{
    checkSizes(GgmlType::Q8_0, blocks.size(), values.size());
    forEachBlock(GgmlType::Q8_0, values.size(), [&](std::size_t first, std::size_t count, std::size_t byte) {
        const auto block = values.subspan(first, count);
        float largest = 0;
        for (const float value : block)
            largest = std::max(largest, std::fabs(value));
        const float scale = largest / 127;
        const std::uint16_t bits = floatToHalf(scale);
        const float stored = halfToFloat(bits);
        if (!std::isfinite(stored))
            throw Error(ErrorCode::Numeric,
                        fmt::format("values at flat index {} and behind it reach {}, beyond what Q8_0 can hold", first, largest));
        auto *bytes = reinterpret_cast<WritableBlock>(blocks.data() + byte);
        putHalf(bytes, bits);
        for (std::size_t i = 0; i < count; ++i)
            Q8_0::put(bytes, static_cast<int>(i), stored == 0 ? 0 : static_cast<int>(std::round(block[i] * (1 / scale))));
        return true;
    });
}

}  // namespace lqer
