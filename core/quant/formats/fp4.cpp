// SPDX-License-Identifier: Apache-2.0
// bitsandbytes' FP4 (numerics.md A.7): sign and one of eight magnitudes, times the block's largest magnitude. Codes: sign in bit
// 3, the kernel's magnitude code below. Scales and offsets: lookup_codec.h.
#include <cmath>

#include "core/quant/formats/list.h"
#include "core/quant/formats/lookup_codec.h"

namespace lqer {

namespace {

constexpr std::size_t magnitudes = 8;
constexpr float values[magnitudes] = {0.0F,         5.208333333e-03F, 0.16666667F, 0.25F,
                                      0.33333333F,  0.5F,             0.66666667F, 1.0F};
constexpr std::uint8_t magnitudeCodes[magnitudes] = {0, 1, 6, 7, 4, 5, 2, 3};
// The next magnitude is taken where |v| is above.
constexpr float above[magnitudes - 1] = {0.00260417F, 0.0859375F, 0.20833333F, 0.29166667F, 0.4166667F, 0.583333F, 0.8333333F};

// The 16 levels in ascending order, -1 .. -0, 0 .. 1. On the negative side "|v| > t" is "v < -t", so the higher level starts
// above the float below -t.
LookupCodec<BlockMaximum> codecOf(const FormatSpec &spec)
{
    LookupCodec<BlockMaximum> codec;
    codec.bits = 4;
    codec.blockSize = integerValue(spec, "block_size");
    codec.doubleQuantized = booleanValue(spec, "double_quant");
    codec.byReciprocal = true;
    codec.thresholds.fill(std::numeric_limits<float>::infinity());
    const auto below = [](float v) { return std::nextafter(v, -std::numeric_limits<float>::infinity()); };
    for (std::size_t i = 0; i < magnitudes; ++i) {
        const std::size_t positive = magnitudes + i, negative = magnitudes - 1 - i;
        codec.levels[positive] = values[i];
        codec.levels[negative] = -values[i];
        codec.codeOf[positive] = magnitudeCodes[i];
        codec.codeOf[negative] = magnitudeCodes[i] | 8U;
        if (i + 1 < magnitudes) {
            codec.thresholds[positive] = above[i];
            codec.thresholds[negative - 1] = below(-above[i]);
        }
    }
    codec.thresholds[magnitudes - 1] = below(0.0F);
    for (std::size_t i = 0; i < 2 * magnitudes; ++i)
        codec.levelOf[codec.codeOf[i]] = static_cast<std::uint8_t>(i);
    codec.zeroBlockValue = 0.0F;
    return codec;
}

}  // namespace

FormatEntry fp4Format()
{
    FormatInfo info;
    info.name = "fp4";
    info.title = "FP4 (bitsandbytes)";
    info.meaning
        = "bitsandbytes' 4-bit float, the default of QERA's fine-tuning pipeline: eight magnitudes and a sign, times the largest "
          "magnitude of block_size consecutive elements.";
    info.parameters = {
        integerParameter("block_size", 64, 1, 1 << 20, "Consecutive elements of the flattened array that share a scale."),
        booleanParameter("double_quant", false, "Quantize the scales to 8 bits as bitsandbytes does."),
    };
    info.presets = {{"fp4-dq", {"fp4", {{"double_quant", true}}}}};
    return {std::move(info), [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                return std::make_unique<BlockQuantizer<LookupCodec<BlockMaximum>>>(spec, codecOf(spec));
            }};
}

}  // namespace lqer
