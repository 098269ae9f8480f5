// SPDX-License-Identifier: Apache-2.0
#include "core/export/integer_scheme.h"

#include <fmt/format.h>

#include "core/quant/bit_packing.h"
#include "core/quant/formats/list.h"

namespace lqer {

std::optional<IntegerScheme> integerScheme(const FormatSpec &format, std::string *reason)
{
    const FormatSpec spec = withDefaults(format);
    const auto refuse = [reason](const std::string &why) {
        if (reason)
            *reason = why;
        return std::nullopt;
    };
    if (spec.name != "integer")
        return refuse("is no integer format");
    IntegerScheme scheme;
    scheme.bits = static_cast<int>(integerValue(spec, "n_bits"));
    scheme.affine = booleanValue(spec, "is_affine");
    const std::string &scope = choiceValue(spec, "scope");
    scheme.group = scope == "group" ? integerValue(spec, "group_size") : -1;
    if (scope == "tensor" || !isNone(spec, "fp_min"))
        return refuse("has one scale for the whole tensor");
    if (const std::int64_t axis = integerValue(spec, "block_axis"); axis != -1 && axis != 1)
        return refuse("has groups along the outputs");
    if (scheme.affine && !booleanValue(spec, "include_zero"))
        return refuse("has zero points that are no codes (include_zero=true makes them so)");
    const std::string &type = choiceValue(spec, "scale_dtype");
    if (type == "float32")
        return refuse("has scales in float32, where packed checkpoints store half precision (scale_dtype=float16)");
    scheme.scaleType = type == "float16" ? DType::F16 : DType::BF16;
    return scheme;
}

std::string packingProblem(const IntegerScheme &scheme, const LinearSite &site)
{
    if (scheme.group > 0 && site.in % scheme.group != 0)
        return fmt::format("{} inputs are no multiple of the group of {}", site.in, scheme.group);
    if (site.in * scheme.bits % 32 != 0)
        return fmt::format("{} inputs of {} bits do not fill words of 32 bits", site.in, scheme.bits);
    return {};
}

std::vector<std::uint32_t> expandedCodes(const QuantizedWeight &weight, int bits)
{
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(elementCount(weight.shape)));
    unpackCodes(weight.codes, bits, 0, codes);
    return codes;
}

std::vector<std::uint32_t> zeroPoints(const QuantizedWeight &weight, const IntegerScheme &scheme, std::int64_t count)
{
    std::vector<std::uint32_t> zeros(static_cast<std::size_t>(count), 1U << (scheme.bits - 1));
    if (scheme.affine)
        unpackCodes(weight.offsets, scheme.bits, 0, zeros);
    return zeros;
}

}  // namespace lqer
