// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include "core/quant/block_quantizer.h"

namespace lqer {

// torch.linspace in float32, to the bit as its AVX2 build computes it: each half is counted from its own end, groups of eight
// from their first value.
std::vector<float> torchLinspace(float start, float end, int steps);

// bitsandbytes' quantization of the block scales themselves ("double quantization", numerics.md A.7): 8-bit codes of a fixed
// "dynamic" map for scale - mean, one float32 per 256 blocks, and the mean.
struct QuantizedScales {
    std::vector<std::uint8_t> codes;   // per block
    std::vector<float> absmax;         // per 256 blocks
    float mean = 0;

    static constexpr std::size_t block = 256;
    static QuantizedScales of(std::span<const float> scales);
    float value(std::size_t index) const;
};

// For scales of mean + 2.5 standard deviations (LoftQ's "uniform").
struct BlockMoments {
    BlockMaximum magnitude;
    double sum = 0;
    double squares = 0;
    std::size_t count = 0;

    void add(const float *x, std::size_t n)
    {
        magnitude.add(x, n);
        for (std::size_t i = 0; i < n; ++i) {
            sum += x[i];
            squares += static_cast<double>(x[i]) * x[i];
        }
        count += n;
    }
    bool finite() const { return magnitude.finite(); }
    // mean + 2.5 * unbiased standard deviation, in double, rounded once.
    float scale() const;
};

// Formats whose elements are entries of a short ascending table times a float32 scale per block of the FLATTENED array (blocks
// straddle rows). Scales: float32 per block, little-endian; with double quantization one code byte per block, and in offsets the
// second-level float32 per 256 blocks followed by the mean.
template <typename StatisticType>
struct LookupCodec {
    struct Scale {
        float divisor = 1;
        float reciprocal = 1;
        float factor = 0;    // what a table entry is multiplied with
    };
    using Statistic = StatisticType;
    static constexpr bool keepsTinyValues = false;
    static constexpr std::size_t buckets = 1024;

    int bits = 4;
    std::int64_t blockSize = 64;
    bool byReciprocal = false;  // v = x * (1 / scale), as the CUDA kernels, instead of v = x / scale
    bool doubleQuantized = false;
    std::array<float, 256> levels{};           // 2^bits values, ascending
    std::array<float, 256> thresholds{};       // level i + 1 or higher where v > thresholds[i]; infinity behind the last
    std::array<std::uint8_t, 256> codeOf{};    // level -> code
    std::array<std::uint8_t, 256> levelOf{};   // code -> level
    float zeroBlockValue = 0;                  // stands for v in a block of zeros, where v is 0 / 0
    std::array<std::uint8_t, buckets> firstLevel{};  // per bucket of v: how many thresholds lie in lower buckets

    // Codes in the order of the levels; thresholds where argmin |v - level| in float32 changes, the lower level on ties.
    void setLevels(std::span<const float> ascending);

    BlockLayout layout(const Shape &shape) const { return BlockLayout::flattened(shape, blockSize); }
    CodecStorage storage(std::uint64_t blocks) const
    {
        if (!doubleQuantized)
            return {.codeBits = bits, .scaleBits = 32};
        const std::uint64_t groups = (blocks + QuantizedScales::block - 1) / QuantizedScales::block;
        return {.codeBits = bits, .scaleBits = 8, .tensorBits = 32 * groups + 32};
    }
    bool dependsOnAllRows() const { return doubleQuantized; }
    bool elementwise() const { return false; }
    bool mayOverflow(const Scale &) const { return false; }

    std::vector<Scale> scales(std::span<const Statistic> statistics) const;

    float scaled(float x, const Scale &scale) const
    {
        const float v = byReciprocal ? x * scale.reciprocal : x / scale.divisor;
        return v != v ? zeroBlockValue : v;
    }
    static std::size_t bucketOf(float v)
    {
        return static_cast<std::size_t>(std::clamp((v + 1) * (buckets / 2), 0.0F, static_cast<float>(buckets - 1)));
    }
    // The level is the number of thresholds below v. Up to 4 bits all are compared, which vectorises; else those of v's bucket
    // and above, for bucketOf() never decreases.
    std::uint32_t levelOfFew(float v) const
    {
        std::uint32_t index = 0;
        for (std::size_t i = 0; i < 15; ++i)
            index += v > thresholds[i] ? 1 : 0;
        return index;
    }
    std::uint32_t level(float v) const
    {
        if (bits <= 4)
            return levelOfFew(v);
        std::uint32_t index = firstLevel[bucketOf(v)];
        while (v > thresholds[index])  // infinity ends it
            ++index;
        return index;
    }
    float quantize(float x, const Scale &scale) const { return levels[level(scaled(x, scale))] * scale.factor; }
    void quantizeRun(const float *from, float *to, std::size_t length, const Scale &scale) const
    {
        if (bits > 4) {
            for (std::size_t i = 0; i < length; ++i)
                to[i] = quantize(from[i], scale);
            return;
        }
        constexpr std::size_t chunk = 64;
        std::uint32_t index[chunk];
        for (std::size_t start = 0; start < length; start += chunk) {
            const std::size_t count = std::min(chunk, length - start);
            for (std::size_t i = 0; i < count; ++i)
                index[i] = levelOfFew(scaled(from[start + i], scale));
            for (std::size_t i = 0; i < count; ++i)
                to[start + i] = levels[index[i]] * scale.factor;
        }
    }
    std::uint32_t encode(float x, const Scale &scale) const { return codeOf[level(scaled(x, scale))]; }
    float decode(std::uint32_t code, const Scale &scale) const { return levels[levelOf[code]] * scale.factor; }

    Scale unit() const { return {.factor = 1}; }
    float factor(const Scale &scale) const { return scale.factor; }

    void storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const;
    std::vector<Scale> loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const;
};

}  // namespace lqer
