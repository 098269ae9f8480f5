// SPDX-License-Identifier: Apache-2.0
// float16 and bfloat16, rounded to nearest even: what factors and unquantized values are stored in. Codes: the 16 bits.
#include "core/quant/block_quantizer.h"
#include "core/quant/formats/list.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

struct Float16Codec : ElementwiseCodec {
    CodecStorage storage(std::uint64_t) const { return {.codeBits = 16}; }
    bool mayOverflow(const Scale &) const { return true; }
    std::uint32_t encode(float x, const Scale &) const { return floatToHalf(x); }
    float decode(std::uint32_t code, const Scale &) const { return halfToFloat(static_cast<std::uint16_t>(code)); }
    float quantize(float x, const Scale &) const { return halfToFloat(floatToHalf(x)); }
};

struct BFloat16Codec : ElementwiseCodec {
    CodecStorage storage(std::uint64_t) const { return {.codeBits = 16}; }
    bool mayOverflow(const Scale &) const { return true; }
    std::uint32_t encode(float x, const Scale &) const { return floatToBf16(x); }
    float decode(std::uint32_t code, const Scale &) const { return bf16ToFloat(static_cast<std::uint16_t>(code)); }
    float quantize(float x, const Scale &) const { return bf16ToFloat(floatToBf16(x)); }
};

template <typename Codec>
std::unique_ptr<Quantizer> make(const FormatSpec &spec)
{
    return std::make_unique<BlockQuantizer<Codec>>(spec, Codec{});
}

}  // namespace

FormatEntry float16Format()
{
    return {
        {"float16", "float16 (IEEE half precision)", "Rounded to 16 bits, no scale; magnitudes above 65504 are refused.", {}, {}},
        make<Float16Codec>};
}

FormatEntry bfloat16Format()
{
    return {{"bfloat16", "bfloat16", "Rounded to 16 bits: float32's range with 8 significant bits, no scale.", {}, {}},
        make<BFloat16Codec>};
}

}  // namespace lqer
