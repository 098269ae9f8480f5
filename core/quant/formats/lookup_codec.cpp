// SPDX-License-Identifier: Apache-2.0
#include "core/quant/formats/lookup_codec.h"

#include <cmath>

namespace lqer {

std::vector<float> torchLinspace(float start, float end, int steps)
{
    constexpr int lanes = 8;
    const float step = (end - start) / static_cast<float>(steps - 1);
    // Fused, as the compiler contracted it there; within a group of lanes it is not.
    const auto from = [&](int i) {
        return i < steps / 2 ? std::fma(step, static_cast<float>(i), start)
                             : std::fma(-step, static_cast<float>(steps - i - 1), end);
    };
    std::vector<float> values;
    while (static_cast<int>(values.size()) + 2 * lanes <= steps) {
        for (int group = 0; group < 2; ++group) {
            const float base = from(static_cast<int>(values.size()));
            for (int lane = 0; lane < lanes; ++lane)
                values.push_back(base + static_cast<float>(lane) * step);
        }
    }
    while (static_cast<int>(values.size()) < steps)
        values.push_back(from(static_cast<int>(values.size())));
    return values;
}

namespace {

// bitsandbytes' signed dynamic map of 8 bits: decades 1e-6 .. 1, the i-th cut into 2^i means of evenly spaced boundaries in
// [0.1, 1] (float32), both signs, and 0 and 1.
const std::array<float, 256> &dynamicMap()
{
    static const std::array<float, 256> map = [] {
        std::vector<float> values{0.0F, 1.0F};
        for (int i = 0; i < 7; ++i) {
            const int items = 1 << i;
            const float decade = static_cast<float>(std::pow(10.0, i - 6));
            const std::vector<float> boundaries = torchLinspace(0.1F, 1.0F, items + 1);
            for (std::size_t j = 0; j + 1 < boundaries.size(); ++j) {
                const float mean = decade * ((boundaries[j] + boundaries[j + 1]) / 2.0F);
                values.push_back(mean);
                values.push_back(-mean);
            }
        }
        std::array<float, 256> made{};
        LQER_ASSERT(values.size() == made.size());
        std::sort(values.begin(), values.end());
        std::copy(values.begin(), values.end(), made.begin());
        return made;
    }();
    return map;
}

// The kernel's binary search: which of two neighbours a value exactly between them goes to depends on the path.
std::uint8_t nearestInMap(float v)
{
    const auto &map = dynamicMap();
    int pivot = 127, upperPivot = 255, lowerPivot = 0;
    for (int step = 64; step > 0; step /= 2) {
        if (v > map[static_cast<std::size_t>(pivot)]) {
            lowerPivot = pivot;
            pivot += step;
        } else {
            upperPivot = pivot;
            pivot -= step;
        }
    }
    const float value = map[static_cast<std::size_t>(pivot)];
    const float lower = map[static_cast<std::size_t>(lowerPivot)];
    const float upper = map[static_cast<std::size_t>(upperPivot)];
    if (v > value)
        return static_cast<std::uint8_t>(v > (upper + value) * 0.5F ? upperPivot : pivot);
    return static_cast<std::uint8_t>(v < (lower + value) * 0.5F ? lowerPivot : pivot);
}

}  // namespace

QuantizedScales QuantizedScales::of(std::span<const float> scales)
{
    QuantizedScales made;
    double sum = 0;
    for (const float scale : scales)
        sum += scale;
    made.mean = scales.empty() ? 0.0F : static_cast<float>(sum / static_cast<double>(scales.size()));
    made.codes.reserve(scales.size());
    for (std::size_t first = 0; first < scales.size(); first += block) {
        const std::span<const float> group = scales.subspan(first, std::min(block, scales.size() - first));
        float largest = 0;
        for (const float scale : group)
            largest = std::max(largest, std::fabs(scale - made.mean));
        made.absmax.push_back(largest);
        const float reciprocal = 1.0F / largest;
        for (const float scale : group)
            made.codes.push_back(nearestInMap(largest > 0 ? (scale - made.mean) * reciprocal : 0.0F));
    }
    return made;
}

float QuantizedScales::value(std::size_t index) const
{
    return dynamicMap()[codes[index]] * absmax[index / block] + mean;
}

float BlockMoments::scale() const
{
    if (count == 0)
        return 0;
    const auto n = static_cast<double>(count);
    const double mean = sum / n;
    const double variance = count > 1 ? std::max(0.0, (squares - sum * mean) / (n - 1)) : 0.0;
    return static_cast<float>(mean + 2.5 * std::sqrt(variance));
}

namespace {

float scaleOf(const BlockMaximum &statistic) { return statistic.value(); }
float scaleOf(const BlockMoments &statistic) { return statistic.scale(); }

// The largest float v for which |v - low| <= |high - v| in float32: argmin takes the first of equal distances. Found by
// bisection over the floats between the two, whose order is that of their keys.
float lastOfLower(float low, float high)
{
    std::int32_t below = BlockRange::flipped(std::bit_cast<std::int32_t>(low));
    std::int32_t above = BlockRange::flipped(std::bit_cast<std::int32_t>(high));
    while (above - below > 1) {
        const std::int32_t middle = below + (above - below) / 2;
        const float v = std::bit_cast<float>(BlockRange::flipped(middle));
        (std::fabs(v - low) <= std::fabs(v - high) ? below : above) = middle;
    }
    return std::bit_cast<float>(BlockRange::flipped(below));
}

}  // namespace

template <typename StatisticType>
void LookupCodec<StatisticType>::setLevels(std::span<const float> ascending)
{
    LQER_ASSERT(ascending.size() == std::size_t(1) << bits);
    thresholds.fill(std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < ascending.size(); ++i) {
        levels[i] = ascending[i];
        codeOf[i] = levelOf[i] = static_cast<std::uint8_t>(i);
        if (i > 0)
            thresholds[i - 1] = lastOfLower(ascending[i - 1], ascending[i]);
    }
    for (std::size_t i = 0; i + 1 < ascending.size(); ++i)
        for (std::size_t bucket = bucketOf(thresholds[i]) + 1; bucket < buckets; ++bucket)
            firstLevel[bucket] = static_cast<std::uint8_t>(i + 1);
}

template <typename StatisticType>
auto LookupCodec<StatisticType>::scales(std::span<const Statistic> statistics) const -> std::vector<Scale>
{
    std::vector<Scale> made(statistics.size());
    std::vector<float> plain(statistics.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        plain[i] = scaleOf(statistics[i]);
        made[i] = {plain[i], 1.0F / plain[i], plain[i]};
    }
    if (doubleQuantized) {
        const QuantizedScales quantized = QuantizedScales::of(plain);
        for (std::size_t i = 0; i < made.size(); ++i)
            made[i].factor = quantized.value(i);
    }
    return made;
}

template <typename StatisticType>
void LookupCodec<StatisticType>::storeScales(std::span<const Scale> scales, QuantizedWeight &weight) const
{
    if (!doubleQuantized) {
        for (const Scale &scale : scales)
            appendFloat(weight.scales, scale.factor);
        return;
    }
    std::vector<float> plain;
    plain.reserve(scales.size());
    for (const Scale &scale : scales)
        plain.push_back(scale.divisor);
    QuantizedScales quantized = QuantizedScales::of(plain);
    weight.scales = std::move(quantized.codes);
    for (const float largest : quantized.absmax)
        appendFloat(weight.offsets, largest);
    appendFloat(weight.offsets, quantized.mean);
}

template <typename StatisticType>
auto LookupCodec<StatisticType>::loadScales(const QuantizedWeight &weight, std::uint64_t blocks) const -> std::vector<Scale>
{
    std::vector<Scale> scales(blocks);
    QuantizedScales quantized;
    if (doubleQuantized) {
        quantized.codes = weight.scales;
        const std::size_t groups = weight.offsets.size() / sizeof(float) - 1;
        for (std::size_t i = 0; i < groups; ++i)
            quantized.absmax.push_back(floatAt(weight.offsets, i));
        quantized.mean = floatAt(weight.offsets, groups);
    }
    for (std::size_t i = 0; i < scales.size(); ++i)
        scales[i].factor = doubleQuantized ? quantized.value(i) : floatAt(weight.scales, i);
    return scales;
}

template struct LookupCodec<BlockMaximum>;
template struct LookupCodec<BlockMoments>;

}  // namespace lqer
