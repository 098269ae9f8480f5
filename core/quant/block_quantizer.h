// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/processor.h"
#include "core/quant/bit_packing.h"
#include "core/quant/block_layout.h"
#include "core/quant/quantizer.h"
#include "core/quant/rounding.h"
#include "core/tensor/tensor.h"

namespace lqer {

// What a block knows about its elements before its scale is chosen. Magnitudes are compared as integers: the order is the
// same, the loop vectorises, and NaN and infinity come out on top.
struct BlockMaximum {
    std::int32_t bits = 0;

    void add(const float *x, std::size_t n)
    {
        std::int32_t largest = bits;
        for (std::size_t i = 0; i < n; ++i)
            largest = std::max(largest, std::bit_cast<std::int32_t>(x[i]) & 0x7FFFFFFF);
        bits = largest;
    }
    bool finite() const { return bits < 0x7F800000; }
    float value() const { return std::bit_cast<float>(bits); }
};

// Smallest and largest value, by keys whose order as integers is the order of the floats.
struct BlockRange {
    std::int32_t leastKey = std::numeric_limits<std::int32_t>::max();
    std::int32_t mostKey = std::numeric_limits<std::int32_t>::min();

    static std::int32_t flipped(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); }

    void add(const float *x, std::size_t n)
    {
        std::int32_t low = leastKey, high = mostKey;
        for (std::size_t i = 0; i < n; ++i) {
            const std::int32_t key = flipped(std::bit_cast<std::int32_t>(x[i]));
            low = std::min(low, key);
            high = std::max(high, key);
        }
        leastKey = low;
        mostKey = high;
    }
    bool finite() const { return mostKey < 0x7F800000 && leastKey > flipped(std::bit_cast<std::int32_t>(0xFF800000U)); }
    float least() const { return std::bit_cast<float>(flipped(leastKey)); }
    float most() const { return std::bit_cast<float>(flipped(mostKey)); }
};

// What a codec states about its storage.
struct CodecStorage {
    int codeBits = 0;                  // per element
    std::uint64_t scaleBits = 0;       // per block, zero points included
    std::uint64_t tensorBits = 0;      // once per array
    int sharedExponentBits = 0;        // part of scaleBits that the papers count by another habit; 0: no shared exponent
};

// A Quantizer made of a Codec: the arithmetic of one format, on one element, given its block's scale. A Codec is copyable and has
//   Statistic, Scale                                  types
//   static constexpr bool keepsTinyValues             elements may pass through unquantized: those for which
//                                                     passesThrough(x) is true are stored as exceptions
//   BlockLayout layout(shape)
//   CodecStorage storage(blocks)
//   bool dependsOnAllRows(), bool elementwise()
//   Scale scale(const Statistic &)                    where it follows from the block alone; else
//   std::vector<Scale> scales(span<const Statistic>)
//   bool mayOverflow(scale)                           some finite x has an infinite or undefined result
//   float quantize(x, scale), std::uint32_t encode(x, scale), float decode(code, scale)
//   Scale unit()                                      with which decode() gives the levels alone
//   float factor(scale), float zero(scale)            DecodingTable's scales and zeros; optional, zero() with bool hasZeros()
//   void quantizeRun(from, to, length, scale)         optional: quantize() of a whole run, where that is faster
//   int significantBits()                             optional: where scales are powers of two
//   void storeScales(span<const Scale>, QuantizedWeight &), std::vector<Scale> loadScales(const QuantizedWeight &, blocks)
template <typename Codec>
class BlockQuantizer final : public Quantizer {
    using Scale = typename Codec::Scale;
    using Statistic = typename Codec::Statistic;
    static constexpr bool ownScales = requires(const Codec &codec, const Statistic &statistic) { codec.scale(statistic); };

public:
    BlockQuantizer(FormatSpec spec, Codec codec) : m_spec(std::move(spec)), m_codec(std::move(codec)) {}

    const FormatSpec &spec() const override { return m_spec; }
    int codeBits() const override { return m_codec.storage(1).codeBits; }
    int significantBits() const override
    {
        if constexpr (requires { m_codec.significantBits(); })
            return m_codec.significantBits();
        else
            return Quantizer::significantBits();
    }

    std::int64_t rowGranularity(const Shape &shape) const override
    {
        if (m_codec.elementwise())
            return 1;
        return m_codec.dependsOnAllRows() ? std::max<std::int64_t>(1, shape.front())
                                          : m_codec.layout(shape).rowGranularity(shape);
    }

    double bitsPerElement(const Shape &shape) const override { return bits(shape, -1); }
    double bitsPerElement(const Shape &shape, int exponentBits) const override { return bits(shape, exponentBits); }

    void quantize(std::span<const float> x, const Shape &shape, std::span<float> y) const override
    {
        LQER_ASSERT(static_cast<std::int64_t>(x.size()) == elementCount(shape) && x.size() == y.size());
        const BlockLayout layout = m_codec.layout(shape);
        if constexpr (ownScales)
            if (layout.block[0] == 1 && layout.block[1] == 1)
                return quantizeBlocks(x, layout, y);
        quantize(x, layout, scalesOf(x, layout), y);
    }

    QuantizedWeight encode(std::span<const float> x, const Shape &shape) const override
    {
        LQER_ASSERT(static_cast<std::int64_t>(x.size()) == elementCount(shape));
        const BlockLayout layout = m_codec.layout(shape);
        const std::vector<Scale> scales = scalesOf(x, layout);
        if (std::any_of(scales.begin(), scales.end(), [this](const Scale &s) { return m_codec.mayOverflow(s); })) {
            std::vector<float> y(x.size());
            quantize(x, layout, scales, y);  // throws if something does
        }

        QuantizedWeight weight;
        weight.format = m_spec;
        weight.shape = shape;
        m_codec.storeScales(scales, weight);
        const Codec codec = m_codec;
        CodeWriter writer(weight.codes, x.size(), codeBits());
        layout.forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
            const Scale &scale = scales[block];
            for (std::size_t i = first; i < first + length; ++i) {
                const std::uint32_t code = codec.encode(x[i], scale);
                writer.put(code);
                if constexpr (Codec::keepsTinyValues)
                    if (x[i] != 0 && codec.passesThrough(x[i]))
                        appendException(weight.offsets, i, codec.quantize(x[i], scale));
            }
        });
        writer.finish();
        return weight;
    }

    void decode(const QuantizedWeight &weight, std::span<float> y) const override
    {
        LQER_ASSERT(static_cast<std::int64_t>(y.size()) == elementCount(weight.shape));
        const BlockLayout layout = m_codec.layout(weight.shape);
        const auto blocks = static_cast<std::uint64_t>(layout.count());
        checkSizes(weight, blocks, y.size());
        const std::vector<Scale> scales = m_codec.loadScales(weight, blocks);
        const Codec codec = m_codec;
        const int bits = codeBits();
        std::array<std::uint32_t, 256> codes;
        layout.forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
            const Scale scale = scales[block];
            for (std::size_t done = 0; done < length; done += codes.size()) {
                const std::size_t count = std::min(codes.size(), length - done);
                unpackCodes(weight.codes, bits, first + done, std::span(codes).first(count));
                for (std::size_t i = 0; i < count; ++i)
                    y[first + done + i] = codec.decode(codes[i], scale);
            }
        });
        if constexpr (Codec::keepsTinyValues)
            applyExceptions(weight.offsets, y);
    }

    BlockLayout layout(const Shape &shape) const override { return m_codec.layout(shape); }

    DecodingTable decodingTable(const QuantizedWeight &weight) const override
    {
        DecodingTable table;
        const auto blocks = static_cast<std::uint64_t>(m_codec.layout(weight.shape).count());
        checkSizes(weight, blocks, static_cast<std::size_t>(elementCount(weight.shape)));
        const std::vector<Scale> scales = m_codec.loadScales(weight, blocks);
        if (codeBits() < 32) {
            const Codec codec = m_codec;
            const Scale unit = codec.unit();
            table.levels.resize(std::size_t(1) << codeBits());
            for (std::size_t code = 0; code < table.levels.size(); ++code)
                table.levels[code] = codec.decode(static_cast<std::uint32_t>(code), unit);
        }
        if constexpr (requires(Scale scale) { m_codec.factor(scale); }) {
            table.scales.reserve(scales.size());
            for (const Scale &scale : scales)
                table.scales.push_back(m_codec.factor(scale));
        }
        if constexpr (requires(Scale scale) { m_codec.zero(scale); }) {
            if (m_codec.hasZeros())
                for (const Scale &scale : scales)
                    table.zeros.push_back(m_codec.zero(scale));
        }
        return table;
    }

private:
    // Exceptions (numerics.md A.2 step 6: |x| <= 1e-8 passes through): flat index as uint64 and the float32 value, 12 bytes
    // each, little-endian. Real weights have next to none, so bitsPerElement leaves them out.
    static constexpr std::size_t exceptionBytes = 12;

    static void appendException(std::vector<std::uint8_t> &bytes, std::uint64_t index, float value)
    {
        std::uint8_t raw[sizeof index];
        std::memcpy(raw, &index, sizeof index);
        bytes.insert(bytes.end(), raw, raw + sizeof index);
        appendFloat(bytes, value);
    }

    static void applyExceptions(std::span<const std::uint8_t> bytes, std::span<float> y)
    {
        for (std::size_t at = 0; at < bytes.size(); at += exceptionBytes) {
            std::uint64_t index;
            std::memcpy(&index, bytes.data() + at, sizeof index);
            if (index >= y.size())
                throw Error(ErrorCode::Shape, fmt::format("stored exception at {} of {} elements", index, y.size()));
            y[index] = floatAt(bytes.subspan(at + sizeof index), 0);
        }
    }

    double bits(const Shape &shape, int exponentBits) const
    {
        const auto elements = static_cast<std::uint64_t>(elementCount(shape));
        const auto blocks = static_cast<std::uint64_t>(m_codec.layout(shape).count());
        const CodecStorage storage = m_codec.storage(blocks);
        if (elements == 0)
            return storage.codeBits;
        double perBlock = static_cast<double>(storage.scaleBits);
        if (exponentBits >= 0 && storage.sharedExponentBits > 0)
            perBlock += exponentBits - storage.sharedExponentBits;
        return storage.codeBits
            + (perBlock * static_cast<double>(blocks) + static_cast<double>(storage.tensorBits)) / static_cast<double>(elements);
    }

    std::vector<Scale> scalesOf(std::span<const float> x, const BlockLayout &layout) const
    {
        std::vector<Statistic> statistics(static_cast<std::size_t>(layout.count()));
        forProcessor([&] {
            layout.forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
                statistics[block].add(x.data() + first, length);
            });
        });
        for (const Statistic &statistic : statistics)
            if (!statistic.finite())
                refuse(x, "value");
        if constexpr (ownScales) {
            std::vector<Scale> scales(statistics.size());
            std::transform(statistics.begin(), statistics.end(), scales.begin(), [this](const Statistic &s) { return m_codec.scale(s); });
            return scales;
        } else {
            return m_codec.scales(statistics);
        }
    }

    static void quantizeRun(const Codec &codec, const float *from, float *to, std::size_t length, const Scale &scale)
    {
        if constexpr (requires { codec.quantizeRun(from, to, length, scale); }) {
            codec.quantizeRun(from, to, length, scale);
        } else {
#pragma GCC ivdep
            for (std::size_t i = 0; i < length; ++i)  // from and to are the same or do not overlap
                to[i] = codec.quantize(from[i], scale);
        }
    }

    // Where a block is one run and has its own scale: block by block, while it is in the first cache.
    void quantizeBlocks(std::span<const float> x, const BlockLayout &layout, std::span<float> y) const
    {
        bool finite = true, mayOverflow = false;
        forProcessor([&] {
            const Codec codec = m_codec;
            layout.forEachRun([&](std::size_t, std::size_t first, std::size_t length) {
                Statistic statistic;
                statistic.add(x.data() + first, length);
                if (!statistic.finite()) {
                    finite = false;
                    return;
                }
                const Scale scale = codec.scale(statistic);
                mayOverflow = mayOverflow || codec.mayOverflow(scale);
                quantizeRun(codec, x.data() + first, y.data() + first, length, scale);
            });
        });
        if (!finite)
            refuse(x, "value");
        if (mayOverflow && countNonFinite(y) > 0)
            refuse(y, "result");
    }

    void quantize(std::span<const float> x, const BlockLayout &layout, const std::vector<Scale> &scales, std::span<float> y) const
    {
        forProcessor([&] {
            const Codec codec = m_codec;
            layout.forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
                quantizeRun(codec, x.data() + first, y.data() + first, length, scales[block]);
            });
        });
        if (std::any_of(scales.begin(), scales.end(), [this](const Scale &s) { return m_codec.mayOverflow(s); }))
            if (countNonFinite(y) > 0)
                refuse(y, "result");
    }

    [[noreturn]] void refuse(std::span<const float> values, std::string_view what) const
    {
        std::size_t index = 0;
        countNonFinite(values, &index);
        throw Error(ErrorCode::Numeric, fmt::format("{} at flat index {} is {}, which {} cannot store", what, index,
                                                    std::isnan(values[index]) ? "NaN" : "infinite", m_spec.name));
    }

    void checkSizes(const QuantizedWeight &weight, std::uint64_t blocks, std::size_t elements) const
    {
        const CodecStorage storage = m_codec.storage(blocks);
        const std::uint64_t codeBytes = packedBytes(elements, storage.codeBits);
        QuantizedWeight scalesOnly;  // a format's scales and offsets take the same room whatever their values
        m_codec.storeScales(std::vector<Scale>(blocks), scalesOnly);
        bool good = weight.codes.size() == codeBytes && weight.scales.size() == scalesOnly.scales.size();
        if constexpr (Codec::keepsTinyValues)
            good = good && weight.offsets.size() % exceptionBytes == 0;
        else
            good = good && weight.offsets.size() == scalesOnly.offsets.size();
        if (!good)
            throw Error(ErrorCode::Shape,
                fmt::format("stored {} of shape {} has {} + {} + {} bytes, expected {} + {} + {}", m_spec.name,
                    toString(weight.shape), weight.codes.size(), weight.scales.size(), weight.offsets.size(), codeBytes,
                    scalesOnly.scales.size(), scalesOnly.offsets.size()));
    }

    FormatSpec m_spec;
    Codec m_codec;
};

// A codec without scales: every element for itself.
struct ElementwiseCodec {
    struct Scale {};
    using Statistic = BlockMaximum;
    static constexpr bool keepsTinyValues = false;

    BlockLayout layout(const Shape &shape) const { return BlockLayout::flattened(shape, -1); }
    bool dependsOnAllRows() const { return false; }
    bool elementwise() const { return true; }
    std::vector<Scale> scales(std::span<const Statistic> statistics) const { return std::vector<Scale>(statistics.size()); }
    Scale unit() const { return {}; }
    void storeScales(std::span<const Scale>, QuantizedWeight &) const {}
    std::vector<Scale> loadScales(const QuantizedWeight &, std::uint64_t blocks) const { return std::vector<Scale>(blocks); }
};

}  // namespace lqer
