// SPDX-License-Identifier: Apache-2.0
#include "core/export/exact_type.h"

#include "core/quant/formats/list.h"

namespace lqer {

DType exactType(const FormatSpec &format, DType original)
{
    // BF16 has float32's exponents and significands of 8 bits: integers up to 2^8 times a power of two fit.
    constexpr std::int64_t significand = 8;
    const FormatSpec spec = withDefaults(format);
    const auto magnitudeFits = [](std::int64_t bits) { return bits <= significand ? DType::BF16 : DType::F32; };
    if (spec.name == "mxint" || spec.name == "fixed")
        return magnitudeFits(integerValue(spec, "width") - 1);
    // These two leave magnitudes up to 1e-8 as they are.
    if (spec.name == "block_fp" && choiceValue(spec, "arithmetic") == "float32")
        return commonType(original, magnitudeFits(integerValue(spec, "width") - 1));
    if (spec.isPassthrough())
        return original;
    if (spec.name == "minifloat")
        return commonType(original, magnitudeFits(integerValue(spec, "width") - integerValue(spec, "exponent_width")));
    // Elements of at most 7 significant bits and a scale that is a power of two.
    if (spec.name == "mxfp4" || spec.name == "mxfp6" || spec.name == "mxfp8" || spec.name == "mxint8" || spec.name == "bfloat16")
        return DType::BF16;
    if (spec.name == "float16")
        return DType::F16;
    return DType::F32;
}

DType commonType(DType one, DType other)
{
    return one == other ? one : DType::F32;
}

}  // namespace lqer
