// SPDX-License-Identifier: Apache-2.0
// Normal float (numerics.md A.7): a table of normal quantiles times the block's largest magnitude. Codes: index into the
// ascending table. Scales and offsets: lookup_codec.h.
#include "core/quant/formats/normal_float.h"

#include <cmath>
#include <numbers>

#include "core/quant/formats/list.h"
#include "core/quant/formats/lookup_codec.h"

namespace lqer {

namespace {

// Quantile of the standard normal distribution for p in (0, 1), to the last digits of double: bisection on erfc brackets it,
// Newton finishes. Used to build tables only.
double normalQuantile(double p)
{
    const auto distribution = [](double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); };
    double low = -10, high = 10;
    for (int i = 0; i < 40; ++i) {
        const double middle = 0.5 * (low + high);
        (distribution(middle) < p ? low : high) = middle;
    }
    double z = 0.5 * (low + high);
    for (int i = 0; i < 3; ++i)
        z -= (distribution(z) - p) * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * z * z);
    return z;
}

// The CUDA kernel's thresholds for NF4, midpoints of the table as float32 literals.
constexpr float bnbThresholds[] = {
    -0.8480964004993439F,   -0.6106329262256622F, -0.4599952697753906F, -0.33967943489551544F, -0.23460740596055984F,
    -0.13791173323988914F,  -0.045525018125772476F, 0.03979014977812767F, 0.1202552504837513F, 0.2035212516784668F,
    0.2920137718319893F,    0.3893125355243683F,  0.5016634166240692F,  0.6427869200706482F,   0.8614784181118011F,
};

template <typename Codec>
std::unique_ptr<Quantizer> make(const FormatSpec &spec, std::span<const float> table, bool bnb)
{
    Codec codec;
    codec.bits = static_cast<int>(integerValue(spec, "num_bits"));
    codec.blockSize = integerValue(spec, "block_size");
    codec.doubleQuantized = booleanValue(spec, "double_quant");
    codec.byReciprocal = bnb;
    codec.setLevels(table);
    if (bnb)
        std::copy(std::begin(bnbThresholds), std::end(bnbThresholds), codec.thresholds.begin());
    // A block of zeros gets the lowest code from kernel and argmin alike, times a scale of 0. A scale that is quantized itself
    // is not 0 any more; then the code of 0 keeps zero zero.
    codec.zeroBlockValue = codec.doubleQuantized ? 0.0F : -1.0F;
    return std::make_unique<BlockQuantizer<Codec>>(spec, codec);
}

FormatSpec preset(std::int64_t bits, bool doubleQuantized)
{
    FormatSpec spec{"normalfloat", {{"num_bits", bits}, {"block_size", std::int64_t(64)}}};
    if (doubleQuantized)
        spec.parameters["double_quant"] = true;
    return spec;
}

}  // namespace

std::vector<float> normalFloatTable(int bits, double offset)
{
    LQER_ASSERT(bits >= 2 && bits <= 8);
    const int count = 1 << bits;
    std::vector<float> table{0.0F};
    const std::vector<float> upper = torchLinspace(static_cast<float>(offset), 0.5F, count / 2 + 1);
    const std::vector<float> lower = torchLinspace(static_cast<float>(offset), 0.5F, count / 2);
    for (std::size_t i = 0; i + 1 < upper.size(); ++i)
        table.push_back(static_cast<float>(normalQuantile(upper[i])));
    for (std::size_t i = 0; i + 1 < lower.size(); ++i)
        table.push_back(static_cast<float>(-normalQuantile(lower[i])));
    std::sort(table.begin(), table.end());
    const float largest = table.back();
    for (float &value : table)
        value /= largest;
    return table;
}

std::vector<float> uniformTable(int bits)
{
    LQER_ASSERT(bits >= 2 && bits <= 8);
    return torchLinspace(-1.0F, 1.0F, 1 << bits);
}

FormatEntry normalFloatFormat()
{
    FormatInfo info;
    info.name = "normalfloat";
    info.title = "Normal float (NF2, NF3, NF4, NF8)";
    info.meaning
        = "Levels at the quantiles of a normal distribution, times the largest magnitude of block_size consecutive elements. NF4 "
          "with the bnb kernel is bitsandbytes' format bit for bit.";
    info.parameters = {
        integerParameter("num_bits", 4, 2, 8, "Bits of an element."),
        integerParameter("block_size", 64, 1, 1 << 20, "Consecutive elements of the flattened array that share a scale."),
        choiceParameter(
            "table", {"normal", "uniform"}, "Normal quantiles, or LoftQ's even spacing with a scale of mean + 2.5 deviations."),
        choiceParameter("kernel", {"auto", "argmin", "bnb"},
            "How ties and rounding go: nearest level, or bitsandbytes' thresholds (4 bits, normal). auto: bnb where it exists."),
        booleanParameter("double_quant", false, "Quantize the scales to 8 bits as bitsandbytes does."),
    };
    for (const std::int64_t bits : {2, 3, 4, 8})
        info.presets.emplace_back(fmt::format("nf{}", bits), preset(bits, false));
    info.presets.emplace_back("nf4-dq", preset(4, true));
    return {std::move(info), [](const FormatSpec &spec) {
                const int bits = static_cast<int>(integerValue(spec, "num_bits"));
                const bool uniform = choiceValue(spec, "table") == "uniform";
                const std::string &kernel = choiceValue(spec, "kernel");
                const bool hasKernel = bits == 4 && !uniform;
                if (kernel == "bnb" && !hasKernel)
                    throw Error(ErrorCode::Argument, "normalfloat: the bnb kernel exists for num_bits=4 and table=normal only");
                if (uniform)
                    return make<LookupCodec<BlockMoments>>(spec, uniformTable(bits), false);
                return make<LookupCodec<BlockMaximum>>(spec, normalFloatTable(bits), hasKernel && kernel != "argmin");
            }};
}

}  // namespace lqer
