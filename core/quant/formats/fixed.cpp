// SPDX-License-Identifier: Apache-2.0
// LQER's "integer" (numerics.md A.3): fixed point, the scale is a parameter. Codes: the integer in two's complement (or
// unsigned), width bits. No scales.
#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

struct FixedCodec : ElementwiseCodec {
    int width;
    bool isSigned;
    float up;    // 2^frac_width
    float down;  // 2^-frac_width
    float least;
    float most;

    explicit FixedCodec(const FormatSpec &spec)
        : width(static_cast<int>(integerValue(spec, "width"))), isSigned(booleanValue(spec, "is_signed")),
          up(powerOfTwo(static_cast<int>(integerValue(spec, "frac_width")))),
          down(powerOfTwo(-static_cast<int>(integerValue(spec, "frac_width")))), least(isSigned ? -powerOfTwo(width - 1) : 0.0F),
          most(powerOfTwo(isSigned ? width - 1 : width) - 1)
    {
    }

    CodecStorage storage(std::uint64_t) const { return {.codeBits = width}; }
    bool mayOverflow(const Scale &) const { return false; }

    // Clamped before the rounding that is good below 2^22 only; least and most are integers, so the result is the same.
    float integer(float x) const { return roundToEven(std::clamp(x * up, least, most)); }

    float quantize(float x, const Scale &) const { return integer(x) * down; }
    std::uint32_t encode(float x, const Scale &) const
    {
        return static_cast<std::uint32_t>(static_cast<std::int32_t>(integer(x))) & ((1U << width) - 1);
    }
    float decode(std::uint32_t code, const Scale &) const
    {
        const bool negative = isSigned && (code >> (width - 1)) != 0;
        return static_cast<float>(static_cast<std::int32_t>(code) - (negative ? 1 << width : 0)) * down;
    }
};

}  // namespace

FormatEntry fixedFormat()
{
    FormatInfo info;
    info.name = "fixed";
    info.title = "Fixed point";
    info.meaning
        = "LQER's \"integer\": width bits of which frac_width lie behind the binary point. Nothing is fitted to the data; values "
          "outside the range saturate.";
    info.parameters = {
        integerParameter("width", 8, 1, 21, "Bits of an element, sign included."),
        integerParameter("frac_width", 6, -64, 64, "Bits behind the binary point; may be negative or above the width."),
        booleanParameter("is_signed", true, "Two's complement, else from zero up."),
    };
    info.presets = {{"fixed8", {"fixed", {{"width", std::int64_t(8)}, {"frac_width", std::int64_t(6)}}}},
                    {"fixed16", {"fixed", {{"width", std::int64_t(16)}, {"frac_width", std::int64_t(12)}}}}};
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                return std::make_unique<BlockQuantizer<FixedCodec>>(spec, FixedCodec(spec));
            }};
}

}  // namespace lqer
