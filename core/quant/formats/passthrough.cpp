// SPDX-License-Identifier: Apache-2.0
// LQER's "passthrough", QERA's "bypass": the values as they are, NaN and infinity too. Codes: the float32 bits.
#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

struct AnyValue {
    void add(const float *, std::size_t) {}
    bool finite() const { return true; }
};

struct PassthroughCodec : ElementwiseCodec {
    using Statistic = AnyValue;

    CodecStorage storage(std::uint64_t) const { return {.codeBits = 32}; }
    std::vector<Scale> scales(std::span<const Statistic> statistics) const { return std::vector<Scale>(statistics.size()); }
    bool mayOverflow(const Scale &) const { return false; }
    std::uint32_t encode(float x, const Scale &) const { return bitsOf(x); }
    float decode(std::uint32_t code, const Scale &) const { return std::bit_cast<float>(code); }
    float quantize(float x, const Scale &) const { return x; }
};

}  // namespace

FormatEntry passthroughFormat()
{
    return {{"passthrough", "Unchanged", "Not quantized: the float32 values as they are, 32 bits each.", {}, {}},
            [](const FormatSpec &spec) -> std::unique_ptr<Quantizer> {
                return std::make_unique<BlockQuantizer<PassthroughCodec>>(spec, PassthroughCodec{});
            }};
}

}  // namespace lqer
