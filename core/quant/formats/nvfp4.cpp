// SPDX-License-Identifier: Apache-2.0
// NVIDIA's NVFP4: E2M1 elements, blocks of 16 with an E4M3 scale, and one float32 scale per tensor, max / (448 * 6), that lifts
// the block scales into E4M3's range. Scales: E4M3 code per block. Offsets: the tensor scale as float32.
#include <cmath>

#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"
#include "core/quant/small_float.h"

namespace lqer {

namespace {

struct Nvfp4Codec {
    struct Scale {
        float factor = 0;                                        // block scale * tensor scale
        float divisor = std::numeric_limits<float>::infinity();  // factor, or infinity where that is 0
        std::uint8_t code = 0;                                   // block scale as E4M3
        float tensor = 0;
    };
    using Statistic = BlockMaximum;
    static constexpr bool keepsTinyValues = false;
    static constexpr std::int64_t blockSize = 16;

    bool tensorScale;
    std::int64_t axis;

    BlockLayout layout(const Shape &shape) const { return BlockLayout::alongAxis(shape, axis, blockSize); }
    CodecStorage storage(std::uint64_t) const { return {.codeBits = e2m1.bits(), .scaleBits = 8, .tensorBits = 32}; }
    bool dependsOnAllRows() const { return tensorScale; }
    bool elementwise() const { return false; }
    // A tensor scale rounded up can carry the largest value past the largest float.
    bool mayOverflow(const Scale &scale) const { return scale.factor > std::numeric_limits<float>::max() / (2 * e2m1.largest); }

    static Scale made(std::uint8_t code, float tensor)
    {
        Scale scale;
        scale.factor = e4m3.decode(code) * tensor;
        if (scale.factor > 0)
            scale.divisor = scale.factor;
        scale.code = code;
        scale.tensor = tensor;
        return scale;
    }

    std::vector<Scale> scales(std::span<const Statistic> statistics) const
    {
        BlockMaximum all;
        for (const Statistic &statistic : statistics)
            all.bits = std::max(all.bits, statistic.bits);
        const float tensor = tensorScale ? all.value() / (e4m3.largest * e2m1.largest) : 1.0F;
        std::vector<Scale> scales(statistics.size());
        for (std::size_t i = 0; i < scales.size(); ++i) {
            const float wanted = tensor > 0 ? statistics[i].value() / e2m1.largest / tensor : 0.0F;
            scales[i] = made(static_cast<std::uint8_t>(e4m3.encode(e4m3.round(wanted))), tensor);
        }
        return scales;
    }
    float quantize(float x, const Scale &scale) const
    {
        return std::copysign(e2m1.round(std::fabs(x) / scale.divisor) * scale.factor, x);
    }
    std::uint32_t encode(float x, const Scale &scale) const
    {
        return e2m1.encode(e2m1.round(std::fabs(x) / scale.divisor)) | (bitsOf(x) >> 31) << 3;
    }
    float decode(std::uint32_t code, const Scale &scale) const
    {
        return withSign(e2m1.decode(code & 7U) * scale.factor, code >> 3);
    }

    Scale unit() const { return {.factor = 1}; }
    float factor(const Scale &scale) const { return scale.factor; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
    {
        for (const Scale &scale : scales)
            weight.scales.push_back(scale.code);
        appendFloat(weight.offsets, scales.empty() ? 0.0F : scales.front().tensor);
    }
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const
    {
        std::vector<Scale> scales(blocks);
        const float tensor = floatAt(weight.offsets, 0);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            if (weight.scales[i] > e4m3.encode(e4m3.largest))
                throw Error(ErrorCode::Numeric, fmt::format("stored scale of block {} is negative or NaN", i));
            scales[i] = made(weight.scales[i], tensor);
        }
        return scales;
    }
};

}  // namespace

FormatEntry nvfp4Format()
{
    FormatInfo info;
    info.name = "nvfp4";
    info.title = "NVFP4 (E2M1, E4M3 block scales)";
    info.meaning
        = "NVIDIA's 4-bit float: 16 elements share an 8-bit float scale, and the tensor has one float32 scale. Stores 4.5 bits.";
    info.parameters = {
        choiceParameter("tensor_scale", {"amax", "unit"},
                        "One float32 scale from the tensor's largest magnitude, or 1, as GGUF's NVFP4 without a scale tensor."),
        blockAxisParameter(),
    };
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                const Nvfp4Codec codec{choiceValue(spec, "tensor_scale") == "amax", integerValue(spec, "block_axis")};
                return std::make_unique<BlockQuantizer<Nvfp4Codec>>(spec, codec);
            }};
}

}  // namespace lqer
