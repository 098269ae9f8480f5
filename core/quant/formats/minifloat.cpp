// SPDX-License-Identifier: Apache-2.0
// The papers' "minifloat" (numerics.md A.6): small floats without infinity and NaN, saturating. Rounding never carries into the
// next binade. Codes: sign, biased exponent, mantissa. Offsets: exceptions (block_quantizer.h), elements with 0 < |x| <= 1e-8
// that the official code passes through.
#include <cfloat>

#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

enum class RoundMode { Nearest, Truncate, Ceil, Floor };

float rounded(float v, RoundMode mode)
{
    switch (mode) {
    case RoundMode::Nearest: return roundToEven(v);
    case RoundMode::Truncate: return std::trunc(v);
    case RoundMode::Ceil: return std::ceil(v);
    case RoundMode::Floor: return std::floor(v);
    }
    return v;
}

// Magnitudes up to here pass through unquantized.
constexpr float tiny = 1e-8F;

struct MinifloatParameters {
    // Exponent and mantissa field n of a magnitude.
    struct Parts {
        int exponent;
        float n;
    };

    int width;
    int exponentWidth;
    int bias;
    int mantissaBits;
    RoundMode mode;
    float up;    // 2^mantissaBits
    float down;  // 2^-mantissaBits

    explicit MinifloatParameters(const FormatSpec &spec)
        : width(static_cast<int>(integerValue(spec, "width"))),
          exponentWidth(static_cast<int>(integerValue(spec, "exponent_width"))),
          bias(isNone(spec, "exponent_bias") ? (1 << (exponentWidth - 1)) - 1
                                             : static_cast<int>(integerValue(spec, "exponent_bias"))),
          mantissaBits(width - exponentWidth - 1), up(powerOfTwo(mantissaBits)), down(powerOfTwo(-mantissaBits))
    {
        if (mantissaBits < 0)
            throw Error(ErrorCode::Argument,
                fmt::format("minifloat: width {} has no room for a sign and an exponent of {} bits", width, exponentWidth));
        const std::string &name = choiceValue(spec, "round_mode");
        mode = name == "truncate" ? RoundMode::Truncate
            : name == "ceil"      ? RoundMode::Ceil
            : name == "floor"     ? RoundMode::Floor
                                  : RoundMode::Nearest;
    }

    bool passesThrough(float x) const { return std::fabs(x) <= tiny; }
    int clampExponent(int e) const { return std::clamp(e, -bias, (1 << exponentWidth) - 1 - bias); }
    std::uint32_t code(bool negative, Parts p) const
    {
        return static_cast<std::uint32_t>(negative) << (width - 1) | static_cast<std::uint32_t>(p.exponent + bias) << mantissaBits
            | static_cast<std::uint32_t>(p.n);
    }
    Parts partsOf(std::uint32_t stored) const
    {
        return {static_cast<int>(stored >> mantissaBits & ((1U << exponentWidth) - 1)) - bias,
                static_cast<float>(stored & ((1U << mantissaBits) - 1))};
    }
};

// What both variants share; Variant gives parts(magnitude) and value(parts).
template <typename Variant>
struct MinifloatCodec : ElementwiseCodec, MinifloatParameters {
    static constexpr bool keepsTinyValues = true;
    using MinifloatParameters::MinifloatParameters;

    CodecStorage storage(std::uint64_t) const { return {.codeBits = width}; }
    bool mayOverflow(const Scale &) const { return (1 << exponentWidth) - 1 - bias > 127; }

    float quantize(float x, const Scale &) const
    {
        const float magnitude = std::fabs(x);
        return magnitude <= tiny ? x : std::copysign(variant().value(variant().parts(magnitude)), x);
    }
    std::uint32_t encode(float x, const Scale &) const
    {
        const float magnitude = std::fabs(x);
        return code(std::signbit(x), magnitude <= tiny ? Parts{-bias, 0} : variant().parts(magnitude));
    }
    float decode(std::uint32_t stored, const Scale &) const
    {
        return withSign(variant().value(partsOf(stored)), stored >> (width - 1));
    }

private:
    const Variant &variant() const { return static_cast<const Variant &>(*this); }
};

// Normal numbers with a hidden bit; the lowest exponent is subnormal with the effective exponent 1 - bias.
struct IeeeCodec : MinifloatCodec<IeeeCodec> {
    using MinifloatCodec::MinifloatCodec;

    Parts parts(float magnitude) const
    {
        const int e = clampExponent(floorLog2F32(magnitude + 1e-9F));
        const float scaled = std::min((magnitude / powerOfTwo(e)) * up, 2 * up);
        const float n = e == -bias ? rounded(scaled / 2, mode) : rounded(scaled - up, mode);
        return {e, std::clamp(n, 0.0F, up - 1)};
    }
    float value(Parts p) const
    {
        const float fraction = p.n * down;
        return powerOfTwo(p.exponent) * (p.exponent == -bias ? 2 * fraction : 1 + fraction);
    }
};

// LQER's variant without a hidden bit: exponent ceil(log2), all mantissas are fractions.
struct DenormCodec : MinifloatCodec<DenormCodec> {
    using MinifloatCodec::MinifloatCodec;

    Parts parts(float magnitude) const
    {
        const int e = clampExponent(ceilLog2F32(magnitude + 1e-9F));
        return {e, std::clamp(rounded(std::min((magnitude / powerOfTwo(e)) * up, up), mode), 0.0F, up - 1)};
    }
    float value(Parts p) const { return powerOfTwo(p.exponent) * (p.n * down); }
};

FormatSpec preset(std::int64_t width, std::int64_t exponentWidth)
{
    return {"minifloat", {{"width", width}, {"exponent_width", exponentWidth}}};
}

}  // namespace

FormatEntry minifloatFormat()
{
    FormatInfo info;
    info.name = "minifloat";
    info.title = "Minifloat";
    info.meaning = "The papers' small float: no infinity or NaN, saturating, no scale. Rounding never reaches the next power of "
                   "two: with three mantissa bits 1.97 becomes 1.875.";
    info.parameters = {
        integerParameter("width", 8, 2, 16, "Bits of an element: sign, exponent and mantissa."),
        integerParameter("exponent_width", 4, 1, 8, "Bits of the exponent."),
        optionalIntegerParameter("exponent_bias", -126, 126, "Bias of the exponent; none: 2^(exponent_width-1)-1."),
        choiceParameter("round_mode", {"nearest", "truncate", "ceil", "floor"}, "How mantissas are rounded."),
        choiceParameter(
            "variant", {"ieee", "denorm"}, "With a hidden bit and subnormals, or LQER's form that has fractions only."),
    };
    info.presets = {{"minifloat-e4m3", preset(8, 4)}, {"minifloat-e5m2", preset(8, 5)}, {"minifloat-e2m1", preset(4, 2)}};
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                if (choiceValue(spec, "variant") == "denorm")
                    return std::make_unique<BlockQuantizer<DenormCodec>>(spec, DenormCodec(spec));
                return std::make_unique<BlockQuantizer<IeeeCodec>>(spec, IeeeCodec(spec));
            }};
}

}  // namespace lqer
