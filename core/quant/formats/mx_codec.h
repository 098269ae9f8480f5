// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "core/quant/block_quantizer.h"
#include "core/quant/small_float.h"

namespace lqer {

// An element type of OCP MX as MxCodec uses it: round a magnitude that is already divided by the block's scale.
struct MxFloatElement {
    SmallFloat type;

    int bits() const { return type.bits(); }
    int significantBits() const { return type.mantissaBits + 1; }
    int maxExponent() const { return type.maxExponent; }
    float quantize(float v) const { return std::copysign(type.round(std::fabs(v)), v); }
    std::uint32_t encode(float v) const
    {
        return type.encode(type.round(std::fabs(v))) | (bitsOf(v) >> 31) << (type.bits() - 1);
    }
    float decode(std::uint32_t code) const
    {
        const std::uint32_t sign = 1U << (type.bits() - 1);
        return withSign(type.decode(code & (sign - 1)), code >> (type.bits() - 1));
    }
};

// INT8 of OCP MX: two's complement with six fraction bits; -2 is left unused, which keeps the range symmetric.
struct MxInt8Element {
    int bits() const { return 8; }
    int significantBits() const { return 7; }
    int maxExponent() const { return 0; }
    float integer(float v) const { return roundToEven(std::clamp(v * 64.0F, -127.0F, 127.0F)); }
    float quantize(float v) const { return integer(v) * 0x1p-6F; }
    std::uint32_t encode(float v) const { return static_cast<std::uint32_t>(static_cast<std::int32_t>(integer(v))) & 0xFFU; }
    float decode(std::uint32_t code) const
    {
        return static_cast<float>(static_cast<std::int8_t>(static_cast<std::uint8_t>(code))) * 0x1p-6F;
    }
};

// OCP Microscaling v1.0, section 6.3: blocks of 32 along an axis share X = 2^(floor(log2(max)) - emax), stored as E8M0 (byte e
// means 2^(e-127)); elements are x / X rounded to nearest even, saturating. Scales: that byte per block, 0 for a block of zeros.
template <typename Element>
struct MxCodec {
    struct Scale {
        float x = 1;
        float reciprocal = 1;  // multiplying by it is dividing by x, to the bit
        std::uint8_t e8m0 = 127;
    };
    using Statistic = BlockMaximum;
    static constexpr bool keepsTinyValues = false;
    static constexpr std::int64_t blockSize = 32;

    Element element;
    std::int64_t axis;

    BlockLayout layout(const Shape &shape) const { return BlockLayout::alongAxis(shape, axis, blockSize); }
    CodecStorage storage(std::uint64_t) const { return {.codeBits = element.bits(), .scaleBits = 8, .sharedExponentBits = 8}; }
    bool dependsOnAllRows() const { return false; }
    bool elementwise() const { return false; }
    int significantBits() const { return element.significantBits(); }
    bool mayOverflow(const Scale &) const { return false; }

    static Scale scaleOf(int e8m0) { return {powerOfTwo(e8m0 - 127), powerOfTwo(127 - e8m0), static_cast<std::uint8_t>(e8m0)}; }

    Scale scale(const Statistic &statistic) const
    {
        const float largest = statistic.value();
        return scaleOf(largest > 0 ? std::max(0, exactFloorLog2(largest) - element.maxExponent() + 127) : 0);
    }
    float quantize(float x, const Scale &scale) const { return element.quantize(x * scale.reciprocal) * scale.x; }
    std::uint32_t encode(float x, const Scale &scale) const { return element.encode(x * scale.reciprocal); }
    float decode(std::uint32_t code, const Scale &scale) const { return element.decode(code) * scale.x; }

    Scale unit() const { return {}; }
    float factor(const Scale &scale) const { return scale.x; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
    {
        for (const Scale &scale : scales)
            weight.scales.push_back(scale.e8m0);
    }
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const
    {
        std::vector<Scale> scales(blocks);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            if (weight.scales[i] == 255)
                throw Error(ErrorCode::Numeric, fmt::format("stored scale of block {} is NaN", i));
            scales[i] = scaleOf(weight.scales[i]);
        }
        return scales;
    }
};

template <typename Element>
std::unique_ptr<Quantizer> makeMx(const FormatSpec &spec, Element element, std::int64_t axis)
{
    using Codec = MxCodec<Element>;
    return std::make_unique<BlockQuantizer<Codec>>(spec, Codec{element, axis});
}

}  // namespace lqer
