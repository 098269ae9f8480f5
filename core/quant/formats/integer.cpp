// SPDX-License-Identifier: Apache-2.0
// QERA's "integer" (numerics.md A.5) with one scale per tensor, channel or group. Codes: q - least, so that a symmetric code is
// excess 2^(n_bits-1). Scales: float32 or half-precision scale per block, little-endian. Offsets, affine only: zero point per
// block, n_bits packed like codes if include_zero, else float32 (it may lie outside the codes' range); with a given range the
// one zero point as float32.
#include "core/quant/formats/integer.h"

#include <cfloat>

#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"
#include "core/tensor/half.h"

namespace lqer {

IntegerRange integerRange(double low, double high, int bits, bool affine)
{
    IntegerRange range;
    range.least = affine ? 0 : -(1 << (bits - 1));
    range.most = (1 << (affine ? bits : bits - 1)) - 1;
    const double beta = affine ? high : std::max(std::fabs(low), std::fabs(high));
    const double alpha = affine ? low : -beta;
    if (beta == alpha)
        return range;
    range.scale = (beta - alpha) / (range.most - range.least);
    range.zeroPoint = std::nearbyint((beta * range.least - alpha * range.most) / (beta - alpha));
    return range;
}

namespace {

enum class ScaleType { Float32, Float16, BFloat16 };
enum class ZeroPoint { None, Packed, Float };

struct IntegerCodec {
    struct Scale {
        float scale = 0;
        float zero = 0;
        float divisor = std::numeric_limits<float>::infinity();  // scale, or infinity where the scale is 0
    };
    using Statistic = BlockRange;
    static constexpr bool keepsTinyValues = false;

    int bits;
    bool affine;
    bool includeZero;
    bool wholeTensor;    // one scale
    bool givenRange;
    IntegerRange given;
    std::int64_t blockSize;  // -1: whole axis
    std::int64_t axis;
    ScaleType scaleType;
    ZeroPoint zeroPoint;
    float least;
    float most;

    explicit IntegerCodec(const FormatSpec &spec)
        : bits(static_cast<int>(integerValue(spec, "n_bits"))), affine(booleanValue(spec, "is_affine")),
          includeZero(booleanValue(spec, "include_zero")), axis(integerValue(spec, "block_axis"))
    {
        const std::string &scope = choiceValue(spec, "scope");
        blockSize = scope == "group" ? integerValue(spec, "group_size") : -1;
        const std::string &type = choiceValue(spec, "scale_dtype");
        scaleType = type == "float16" ? ScaleType::Float16 : type == "bfloat16" ? ScaleType::BFloat16 : ScaleType::Float32;

        givenRange = !isNone(spec, "fp_min") || !isNone(spec, "fp_max");
        if (givenRange) {
            if (isNone(spec, "fp_min") || isNone(spec, "fp_max"))
                throw Error(ErrorCode::Argument, "integer: fp_min and fp_max are given together or not at all");
            given = integerRange(realValue(spec, "fp_min"), realValue(spec, "fp_max"), bits, affine);
            if (!(given.scale > 0))
                throw Error(ErrorCode::Argument,
                    fmt::format(
                        "integer: fp_max {} is not above fp_min {}", realValue(spec, "fp_max"), realValue(spec, "fp_min")));
        }
        wholeTensor = givenRange || scope == "tensor";
        zeroPoint = givenRange || (affine && !includeZero) ? ZeroPoint::Float : affine ? ZeroPoint::Packed : ZeroPoint::None;
        const IntegerRange codes = integerRange(-1, 1, bits, affine);
        least = static_cast<float>(codes.least);
        most = static_cast<float>(codes.most);
    }

    BlockLayout layout(const Shape &shape) const
    {
        return wholeTensor ? BlockLayout::flattened(shape, -1) : BlockLayout::alongAxis(shape, axis, blockSize);
    }
    CodecStorage storage(std::uint64_t) const
    {
        const std::uint64_t scale = scaleType == ScaleType::Float32 ? 32 : 16;
        const std::uint64_t zero = zeroPoint == ZeroPoint::None ? 0
            : zeroPoint == ZeroPoint::Packed                    ? static_cast<std::uint64_t>(bits)
                                                                : 32;
        return {.codeBits = bits, .scaleBits = scale + zero};
    }
    bool dependsOnAllRows() const { return wholeTensor && !givenRange; }
    bool elementwise() const { return givenRange; }

    float stored(double scale) const
    {
        const auto single = static_cast<float>(scale);
        if (scaleType == ScaleType::Float16)
            return halfToFloat(floatToHalf(single));
        return scaleType == ScaleType::BFloat16 ? bf16ToFloat(floatToBf16(single)) : single;
    }
    Scale made(double scale, double zero) const
    {
        Scale result{stored(scale), static_cast<float>(zero)};
        if (result.scale != 0)  // a scale that underflows leaves zeros
            result.divisor = result.scale;
        return result;
    }

    std::vector<Scale> scales(std::span<const Statistic> statistics) const
    {
        std::vector<Scale> scales(statistics.size());
        for (std::size_t i = 0; i < scales.size(); ++i) {
            if (givenRange) {
                scales[i] = made(given.scale, given.zeroPoint);
                continue;
            }
            double low = statistics[i].least(), high = statistics[i].most();
            if (includeZero) {
                low = std::min(low, 0.0);
                high = std::max(high, 0.0);
            }
            const IntegerRange range = integerRange(low, high, bits, affine);
            // One value only: it stays as it is, as scale * (1 - 0).
            scales[i] = range.scale > 0 ? made(range.scale, range.zeroPoint) : made(low, 0);
        }
        return scales;
    }
    // -2^(n-1) * scale is 1.07 times the largest magnitude at 4 bits, twice at 1 bit.
    bool mayOverflow(const Scale &scale) const { return !(std::fabs(scale.scale) < FLT_MAX / (most - least + 1)); }

    float integer(float x, const Scale &scale) const
    {
        return roundToEven(std::clamp(x / scale.divisor + scale.zero, least, most));
    }
    float quantize(float x, const Scale &scale) const { return scale.scale * (integer(x, scale) - scale.zero) + 0.0F; }
    std::uint32_t encode(float x, const Scale &scale) const { return static_cast<std::uint32_t>(integer(x, scale) - least); }
    float decode(std::uint32_t code, const Scale &scale) const
    {
        return scale.scale * (static_cast<float>(code) + least - scale.zero) + 0.0F;
    }

    Scale unit() const { return {.scale = 1}; }
    float factor(const Scale &scale) const { return scale.scale; }
    bool hasZeros() const { return zeroPoint != ZeroPoint::None; }
    float zero(const Scale &scale) const { return scale.zero; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
    {
        for (const Scale &scale : scales) {
            switch (scaleType) {
            case ScaleType::Float32: appendFloat(weight.scales, scale.scale); break;
            case ScaleType::Float16: appendHalf(weight.scales, floatToHalf(scale.scale)); break;
            case ScaleType::BFloat16: appendHalf(weight.scales, floatToBf16(scale.scale)); break;
            }
        }
        if (zeroPoint == ZeroPoint::Float) {
            for (const Scale &scale : scales)
                appendFloat(weight.offsets, scale.zero);
        } else if (zeroPoint == ZeroPoint::Packed) {
            CodeWriter writer(weight.offsets, scales.size(), bits);
            for (const Scale &scale : scales)
                writer.put(static_cast<std::uint32_t>(scale.zero));
            writer.finish();
        }
    }
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const
    {
        std::vector<Scale> scales(blocks);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            switch (scaleType) {
            case ScaleType::Float32: scales[i].scale = floatAt(weight.scales, i); break;
            case ScaleType::Float16: scales[i].scale = halfToFloat(halfAt(weight.scales, i)); break;
            case ScaleType::BFloat16: scales[i].scale = bf16ToFloat(halfAt(weight.scales, i)); break;
            }
            if (zeroPoint == ZeroPoint::Float)
                scales[i].zero = floatAt(weight.offsets, i);
            else if (zeroPoint == ZeroPoint::Packed)
                scales[i].zero = static_cast<float>(unpackCode(weight.offsets, bits, i));
        }
        return scales;
    }
};

FormatSpec preset(std::int64_t bits, std::string scope, std::int64_t group, bool affine)
{
    FormatSpec spec{"integer", {{"n_bits", bits}, {"scope", std::move(scope)}, {"scale_dtype", std::string("float16")}}};
    if (group > 0)
        spec.parameters["group_size"] = group;
    if (affine) {
        spec.parameters["is_affine"] = true;
        spec.parameters["include_zero"] = true;
    }
    return spec;
}

}  // namespace

FormatEntry integerFormat()
{
    FormatInfo info;
    info.name = "integer";
    info.title = "Integer (INT, scale per tensor, channel or group)";
    info.meaning = "Evenly spaced levels with a free scale: symmetric around zero, or affine with a zero point. The presets "
                   "round the scale to float16, as GPTQ, AWQ and GGUF store it.";
    info.parameters = {
        integerParameter("n_bits", 4, 1, 16, "Bits of an element."),
        booleanParameter("is_affine", false, "Levels from the smallest to the largest value, with a zero point; else symmetric."),
        choiceParameter("scope", {"group", "channel", "tensor"},
            "What shares a scale: a group of the block axis, all of the block axis, or everything."),
        integerParameter("group_size", 128, 1, 1 << 20, "Elements per group."),
        blockAxisParameter(),
        booleanParameter("include_zero", false,
            "Widen affine ranges to contain zero, so that the zero point is a code (GPTQ, AWQ); the papers' code does not."),
        choiceParameter("scale_dtype", {"float32", "float16", "bfloat16"}, "Element type the scale is rounded to and stored in."),
        optionalRealParameter("fp_min", "Smallest value of a fixed range for the whole tensor (with fp_max)."),
        optionalRealParameter("fp_max", "Largest value of a fixed range for the whole tensor (with fp_min)."),
    };
    for (const std::int64_t bits : {2, 3, 4, 8})
        info.presets.emplace_back(fmt::format("int{}-g128", bits), preset(bits, "group", 128, false));
    info.presets.emplace_back("int4-g32", preset(4, "group", 32, false));
    info.presets.emplace_back("int4-g64", preset(4, "group", 64, false));
    info.presets.emplace_back("int4-g128-affine", preset(4, "group", 128, true));
    info.presets.emplace_back("int8-channel", preset(8, "channel", 0, false));
    info.presets.emplace_back("int8-tensor", preset(8, "tensor", 0, false));
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                return std::make_unique<BlockQuantizer<IntegerCodec>>(spec, IntegerCodec(spec));
            }};
}

}  // namespace lqer
