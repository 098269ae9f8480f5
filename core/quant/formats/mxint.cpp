// SPDX-License-Identifier: Apache-2.0
// QERA's "mxint" (numerics.md A.1): sign and magnitude integers that share a power-of-two scale taken from the largest
// magnitude's exponent field. Scales: one byte per block, the biased exponent e of S = 2^(e-127); 1 for a block of zeros.
#include <cfloat>

#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

struct MxintCodec {
    struct Scale {
        float s = 1;
        float reciprocal = 1;  // multiplying by it is dividing by s, to the bit
    };
    using Statistic = BlockMaximum;
    static constexpr bool keepsTinyValues = false;

    int width;
    std::int64_t blockSize;
    std::int64_t axis;
    float up;    // 2^(width-2)
    float down;  // 2^-(width-2): multiplying by it is the division by 2^(width-2), to the bit
    float top;   // 2^(width-1) - 1

    explicit MxintCodec(const FormatSpec &spec)
        : width(static_cast<int>(integerValue(spec, "width"))), blockSize(integerValue(spec, "block_size")),
          axis(integerValue(spec, "block_axis")), up(powerOfTwo(width - 2)), down(powerOfTwo(2 - width)),
          top(powerOfTwo(width - 1) - 1)
    {
    }

    BlockLayout layout(const Shape &shape) const { return BlockLayout::alongAxis(shape, axis, blockSize); }
    CodecStorage storage(std::uint64_t) const { return {.codeBits = width, .scaleBits = 8, .sharedExponentBits = 8}; }
    bool dependsOnAllRows() const { return false; }
    bool elementwise() const { return false; }
    int significantBits() const { return width - 1; }

    static Scale scaleOf(std::uint32_t field) { return {std::bit_cast<float>(field << 23), powerOfTwo(127 - static_cast<int>(field))}; }

    // Subnormals count as zero, so the exponent field of the largest magnitude is the largest field.
    Scale scale(const Statistic &statistic) const { return scaleOf(std::max(static_cast<std::uint32_t>(statistic.bits) >> 23, 1U)); }
    // n * S is formed before the division.
    bool mayOverflow(const Scale &scale) const { return scale.s > FLT_MAX / (top + 1); }

    float magnitude(float x, const Scale &scale) const
    {
        const float a = std::fabs(x);
        const float normal = a < FLT_MIN ? 0.0F : a;
        return std::min(roundToEven((normal * scale.reciprocal) * up), top);
    }
    float quantize(float x, const Scale &scale) const
    {
        const float y = (magnitude(x, scale) * scale.s) * down;
        return x < 0 ? -y : y;
    }
    std::uint32_t encode(float x, const Scale &scale) const
    {
        const auto n = static_cast<std::uint32_t>(magnitude(x, scale));
        return x < 0 ? n | (1U << (width - 1)) : n;
    }
    float decode(std::uint32_t code, const Scale &scale) const
    {
        const std::uint32_t sign = 1U << (width - 1);
        const float y = (static_cast<float>(code & (sign - 1)) * scale.s) * down;
        return withSign(y, code >> (width - 1));
    }

    Scale unit() const { return {}; }
    float factor(const Scale &scale) const { return scale.s; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
    {
        for (const Scale &scale : scales)
            weight.scales.push_back(static_cast<std::uint8_t>(bitsOf(scale.s) >> 23));
    }
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const
    {
        std::vector<Scale> scales(blocks);
        for (std::size_t i = 0; i < scales.size(); ++i)
            scales[i] = scaleOf(weight.scales[i]);
        return scales;
    }
};

}  // namespace

FormatEntry mxintFormat()
{
    FormatInfo info;
    info.name = "mxint";
    info.title = "MXINT (shared power-of-two scale)";
    info.meaning = "QERA's format: integers with sign that share one 8-bit exponent per block. Stores width + 8/block_size bits.";
    info.parameters = {
        integerParameter("width", 4, 2, 8, "Bits of an element, sign included."),
        integerParameter("block_size", 32, 1, 1 << 20, "Elements sharing one exponent; larger: fewer scale bits, higher error."),
        blockAxisParameter(),
    };
    for (const std::int64_t width : {2, 3, 4, 6})
        info.presets.emplace_back(fmt::format("mxint{}", width),
                                  FormatSpec{"mxint", {{"width", width}, {"block_size", std::int64_t(width == 2 ? 16 : 32)}}});
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                return std::make_unique<BlockQuantizer<MxintCodec>>(spec, MxintCodec(spec));
            }};
}

}  // namespace lqer
