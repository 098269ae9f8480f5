// SPDX-License-Identifier: Apache-2.0
// LQER's "block_fp" (numerics.md A.2; what the LQER paper calls MXINT): sign and magnitude integers under a shared exponent
// ceil(log2(max)). Codes: sign in the highest bit. Scales: exponent + bias, exponent_width bits per block, packed like codes.
// Offsets: exceptions (block_quantizer.h), elements with 0 < |x| <= 1e-8 that the official code passes through.
#include <cfloat>

#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

// The official code computes in the element type of its input: every operation's result is rounded to it (numerics.md A.8).
struct Float32 {
    static float round(float v) { return v; }
    static int ceilLog2(float m) { return ceilLog2F32(m); }
};
struct Float16 {
    static float round(float v) { return halfToFloat(floatToHalf(v)); }
    static int ceilLog2(float m) { return static_cast<int>(std::ceil(round(std::log2(m)))); }
};
struct BFloat16 {
    static float round(float v) { return bf16ToFloat(floatToBf16(v)); }
    static int ceilLog2(float m) { return static_cast<int>(std::ceil(round(std::log2(m)))); }
};

template <typename Arithmetic>
struct BlockFpCodec {
    struct Scale {
        float s = 1;            // 2^exponent
        std::uint32_t code = 0; // exponent + bias
    };
    using Statistic = BlockMaximum;
    static constexpr bool keepsTinyValues = true;

    int width;
    int exponentWidth;
    int bias;
    std::vector<std::int64_t> tile;
    bool skipFirst;
    float up;    // 2^M, M = width - 1 mantissa bits
    float down;  // 2^-M
    float offset = Arithmetic::round(1e-9F);
    float tiny = Arithmetic::round(1e-8F);

    explicit BlockFpCodec(const FormatSpec &spec)
        : width(static_cast<int>(integerValue(spec, "width"))),
          exponentWidth(static_cast<int>(integerValue(spec, "exponent_width"))),
          bias(isNone(spec, "exponent_bias") ? (1 << (exponentWidth - 1)) - 1
                                             : static_cast<int>(integerValue(spec, "exponent_bias"))),
          tile(extentsValue(spec, "block_size")), skipFirst(booleanValue(spec, "skip_first_dim")), up(powerOfTwo(width - 1)),
          down(powerOfTwo(1 - width))
    {
    }

    BlockLayout layout(const Shape &shape) const { return BlockLayout::tiles(shape, tile, skipFirst); }
    CodecStorage storage(std::uint64_t) const
    {
        return {.codeBits = width, .scaleBits = static_cast<std::uint64_t>(exponentWidth), .sharedExponentBits = exponentWidth};
    }
    bool dependsOnAllRows() const { return false; }
    bool elementwise() const { return false; }
    int significantBits() const { return width - 1; }

    Scale scale(const Statistic &statistic) const
    {
        // The elements of a block of zeros pass through whatever its exponent.
        const float m = Arithmetic::round(statistic.value());
        int exponent = -bias;
        if (m > 0)  // infinite where the half type cannot hold it
            exponent = std::clamp(m <= FLT_MAX ? Arithmetic::ceilLog2(m) : 128, -bias, (1 << exponentWidth) - 1 - bias);
        return {Arithmetic::round(powerOfTwo(exponent)), static_cast<std::uint32_t>(exponent + bias)};
    }
    // Maxima above 2^127 (float32) get the exponent 128: the scale is infinite and every result NaN.
    bool mayOverflow(const Scale &scale) const { return scale.s > FLT_MAX; }

    bool passesThrough(float x) const { return std::fabs(Arithmetic::round(x)) <= tiny; }

    float mantissa(float magnitude, const Scale &scale) const
    {
        const float v = Arithmetic::round(magnitude + offset);
        const float scaled = Arithmetic::round(Arithmetic::round(v / scale.s) * up);
        // Clamped to 2^M before the rounding that is good below 2^22 only; the result is the same.
        return std::min(roundToEven(std::min(scaled, up)), up - 1);
    }
    float quantize(float given, const Scale &scale) const
    {
        const float x = Arithmetic::round(given);
        const float magnitude = std::fabs(x);
        const float y = Arithmetic::round(scale.s * Arithmetic::round(mantissa(magnitude, scale) * down));
        const float result = std::copysign(y, x);
        return magnitude <= tiny ? x : result;
    }
    std::uint32_t encode(float given, const Scale &scale) const
    {
        const float x = Arithmetic::round(given);
        const float magnitude = std::fabs(x);
        const std::uint32_t n = magnitude <= tiny ? 0 : static_cast<std::uint32_t>(mantissa(magnitude, scale));
        return n | (bitsOf(x) >> 31) << (width - 1);
    }
    float decode(std::uint32_t code, const Scale &scale) const
    {
        const std::uint32_t sign = 1U << (width - 1);
        const float y = Arithmetic::round(scale.s * Arithmetic::round(static_cast<float>(code & (sign - 1)) * down));
        return withSign(y, code >> (width - 1));
    }

    Scale unit() const { return {}; }
    float factor(const Scale &scale) const { return scale.s; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
    {
        CodeWriter writer(weight.scales, scales.size(), exponentWidth);
        for (const Scale &scale : scales)
            writer.put(scale.code);
        writer.finish();
    }
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const
    {
        std::vector<Scale> scales(blocks);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            const std::uint32_t code = unpackCode(weight.scales, exponentWidth, i);
            scales[i] = {Arithmetic::round(powerOfTwo(static_cast<int>(code) - bias)), code};
        }
        return scales;
    }
};

template <typename Arithmetic>
std::unique_ptr<Quantizer> make(const FormatSpec &spec)
{
    using Codec = BlockFpCodec<Arithmetic>;
    return std::make_unique<BlockQuantizer<Codec>>(spec, Codec(spec));
}

FormatSpec preset(std::int64_t width, std::int64_t block)
{
    return {"block_fp", {{"width", width}, {"block_size", std::vector<std::int64_t>{1, block}}}};
}

}  // namespace

FormatEntry blockFpFormat()
{
    FormatInfo info;
    info.name = "block_fp";
    info.title = "Block floating point (LQER's MXINT)";
    info.meaning
        = "LQER's format: integers with sign that share an exponent per tile. A largest magnitude that is a power of two "
          "saturates. Stores width + exponent_width/elements-per-tile bits.";
    info.parameters = {
        integerParameter("width", 4, 2, 22, "Bits of an element, sign included."),
        extentsParameter("block_size", {1, 16},
            "Tile that shares one exponent, right-aligned with the shape; -1 is the whole dimension. 1x16 on a weight: 16 "
            "consecutive inputs of one output."),
        integerParameter("exponent_width", 8, 1, 12, "Bits of the shared exponent."),
        optionalIntegerParameter("exponent_bias", -126, 149, "Bias of the shared exponent; none: 2^(exponent_width-1)-1."),
        booleanParameter("skip_first_dim", false, "The first dimension is a batch that no tile crosses (activations)."),
        choiceParameter("arithmetic", {"float32", "float16", "bfloat16"},
            "Element type the papers' code would compute in; half types shift exponents near powers of two."),
    };
    for (const std::int64_t width : {2, 3, 4, 6, 8})
        info.presets.emplace_back(fmt::format("bfp{}", width), preset(width, 16));
    // The LQER paper's "INT g128" (numerics.md A.4).
    info.presets.emplace_back("bfp4-g128", preset(4, 128));
    return {std::move(info), [](const FormatSpec &spec) {
                const std::string &arithmetic = choiceValue(spec, "arithmetic");
                return arithmetic == "float16" ? make<Float16>(spec)
                    : arithmetic == "bfloat16" ? make<BFloat16>(spec)
                                               : make<Float32>(spec);
            }};
}

}  // namespace lqer
