// SPDX-License-Identifier: Apache-2.0
#include "core/export/ggml_matrix.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/quant/formats/list.h"
#include "core/quant/ggml_blocks.h"
#include "core/quant/quantizer.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

constexpr Index elementsPerBand = 1 << 16;
constexpr float passedThrough = 1.005e-8F;  // 1e-8 in any of block_fp's arithmetics: bfloat16 rounds it up

// Runs work(values of the band, bytes of the band) on bands of rows. `values` is contiguous.
template <typename Work>
void forBands(const ConstMatrixRef &values, GgmlType type, std::span<std::byte> bytes, const TaskContext &context, Work work)
{
    LQER_ASSERT(values.outerStride() == values.cols());
    const auto rowBytes = static_cast<std::size_t>(*ggmlBytes(type, {values.cols()}));
    parallelFor(context, values.rows(), std::max<Index>(1, elementsPerBand / values.cols()), [&](Index begin, Index end) {
        const auto count = static_cast<std::size_t>(end - begin);
        work(std::span<const float>(values.data() + begin * values.cols(), count * static_cast<std::size_t>(values.cols())),
             bytes.subspan(static_cast<std::size_t>(begin) * rowBytes, count * rowBytes), begin);
    });
}

std::vector<std::byte> room(const ConstMatrixRef &values, GgmlType type)
{
    const auto bytes = ggmlBytes(type, {values.rows(), values.cols()});
    LQER_ASSERT(bytes);
    return std::vector<std::byte>(static_cast<std::size_t>(*bytes));
}

bool encodeExactly(const ConstMatrixRef &values, GgmlType type, std::span<std::byte> bytes, const TaskContext &context)
{
    std::atomic<bool> good = true;
    forBands(values, type, bytes, context, [&](std::span<const float> band, std::span<std::byte> out, Index) {
        if (good.load(std::memory_order_relaxed) && !encodeGgmlExactly(type, band, out))
            good.store(false, std::memory_order_relaxed);
    });
    return good;
}

void encodeNearest(const ConstMatrixRef &values, GgmlType type, std::span<std::byte> bytes, const TaskContext &context)
{
    LQER_ASSERT(type == GgmlType::Q8_0 || type == GgmlType::F16 || type == GgmlType::BF16);
    forBands(values, type, bytes, context, [&](std::span<const float> band, std::span<std::byte> out, Index) {
        if (type == GgmlType::Q8_0) {
            encodeQ8_0(band, out);
            return;
        }
        for (std::size_t i = 0; i < band.size(); ++i) {
            const bool half = type == GgmlType::F16;
            const std::uint16_t bits = half ? floatToHalf(band[i]) : floatToBf16(band[i]);
            if (!std::isfinite(half ? halfToFloat(bits) : bf16ToFloat(bits)))
                throw Error(ErrorCode::Numeric, fmt::format("value {} does not fit {}", band[i], toString(type)));
            std::copy_n(reinterpret_cast<const std::byte *>(&bits), sizeof bits, out.data() + i * sizeof bits);
        }
    });
}

Matrix withoutTiny(const ConstMatrixRef &values, float smallest)
{
    return values.unaryExpr([smallest](float value) { return std::fabs(value) <= smallest ? 0.0F : value; });
}

double relativeError(const Matrix &stored, const ConstMatrixRef &values)
{
    const double norm = values.cast<double>().norm();
    return norm > 0 ? (stored - values).cast<double>().norm() / norm : 0;
}

bool wholeBlocks(GgmlType type, std::int64_t columns) { return columns % ggmlBlock(type).elements == 0; }

}  // namespace

std::vector<GgmlType> exactCandidates(const FormatSpec &format)
{
    std::vector<GgmlType> types{GgmlType::Q2_K, GgmlType::Q3_K, GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0,
                                GgmlType::Q5_1, GgmlType::Q6_K, GgmlType::Q8_0, GgmlType::F16,  GgmlType::BF16};
    if (format.isPassthrough())
        return {GgmlType::F16, GgmlType::BF16};
    if (format.name == "mxfp4")
        types.push_back(GgmlType::MXFP4);
    if (format.name == "nvfp4")
        types.push_back(GgmlType::NVFP4);
    std::ranges::stable_sort(types, {}, [](GgmlType type) { return ggmlBlock(type).bitsPerElement(); });
    return types;
}

GgmlChoice chooseExact(const ConstMatrixRef &values, std::span<const GgmlType> candidates, const TaskContext &context)
{
    for (const GgmlType type : candidates) {
        if (!wholeBlocks(type, values.cols()))
            continue;
        std::vector<std::byte> bytes = room(values, type);
        if (encodeExactly(values, type, bytes, context))
            return {type};
    }
    return {GgmlType::F32};
}

GgmlChoice chooseExactButTiny(const ConstMatrixRef &values, std::span<const GgmlType> candidates, const TaskContext &context)
{
    const GgmlChoice exact = chooseExact(values, candidates, context);
    if (ggmlBlock(exact.type).elements > 1)
        return exact;
    const Matrix kept = withoutTiny(values, passedThrough);
    GgmlChoice choice = chooseExact(kept, candidates, context);
    if (ggmlBlock(choice.type).bitsPerElement() >= ggmlBlock(exact.type).bitsPerElement())
        return exact;
    choice.error = relativeError(kept, values);
    choice.smallest = passedThrough;
    return choice;
}

GgmlChoice chooseNearest(const ConstMatrixRef &values, GgmlType wanted, const TaskContext &context)
{
    GgmlChoice choice{wanted, false, 0};
    if (!wholeBlocks(choice.type, values.cols()))
        choice.type = GgmlType::F16;
    if (choice.type == GgmlType::F32)
        return {};
    const std::vector<std::byte> bytes = encoded(values, choice, context);
    Matrix back(values.rows(), values.cols());
    decodeGgml(choice.type, bytes, {back.data(), static_cast<std::size_t>(back.size())});
    choice.error = relativeError(back, values);
    choice.exact = choice.error == 0;
    return choice;
}

std::vector<std::byte> encoded(const ConstMatrixRef &values, const GgmlChoice &choice, const TaskContext &context)
{
    if (choice.smallest > 0)
        return encoded(withoutTiny(values, choice.smallest), {.type = choice.type}, context);
    std::vector<std::byte> bytes = room(values, choice.type);
    if (!choice.exact)
        encodeNearest(values, choice.type, bytes, context);
    else if (!encodeExactly(values, choice.type, bytes, context))
        throw Error(ErrorCode::Numeric, fmt::format("values changed since {} was found to hold them", toString(choice.type)));
    return bytes;
}

GgmlType usualType(const FormatSpec &format, std::int64_t columns)
{
    const FormatSpec spec = withDefaults(format);
    const bool alongRows = !spec.parameters.contains("block_axis") || integerValue(spec, "block_axis") == -1
        || integerValue(spec, "block_axis") == 1;
    const bool whole = columns % 32 == 0 && alongRows;
    const auto ofBits = [](std::int64_t bits) {
        return bits <= 4 ? GgmlType::Q4_0 : bits == 5 ? GgmlType::Q5_0 : GgmlType::Q8_0;
    };
    // Sign and magnitude under a power of two. Two blocks of 16 fit one of Q8_0 if their exponents are at most 8 - width apart.
    const auto ofBlock = [&](std::int64_t block, std::int64_t width) {
        const bool pairs = block == 16 && width <= 4;
        if (!whole || width > 8 || (block % 32 != 0 && !pairs))
            return width <= 9 ? GgmlType::BF16 : GgmlType::F32;
        return pairs ? GgmlType::Q8_0 : ofBits(width);
    };
    if (spec.name == "mxint")
        return ofBlock(integerValue(spec, "block_size"), integerValue(spec, "width"));
    if (spec.name == "block_fp") {
        const std::int64_t across = extentsValue(spec, "block_size").back();
        return ofBlock(across < 0 ? columns : across, integerValue(spec, "width"));
    }
    if (spec.name == "mxint8")
        return whole ? GgmlType::Q8_0 : GgmlType::BF16;
    if (spec.name == "mxfp4")
        return whole ? GgmlType::MXFP4 : GgmlType::BF16;
    if (spec.name == "nvfp4" && choiceValue(spec, "tensor_scale") == "unit")
        return whole && columns % 64 == 0 ? GgmlType::NVFP4 : GgmlType::BF16;
    if (spec.name == "mxfp6" || spec.name == "mxfp8" || spec.name == "bfloat16")
        return GgmlType::BF16;
    if (spec.name == "float16")
        return GgmlType::F16;
    if (spec.name == "integer" && choiceValue(spec, "scale_dtype") != "float32") {
        // An affine code less its zero point has a sign, and so a bit more.
        const std::int64_t bits = integerValue(spec, "n_bits") + (booleanValue(spec, "is_affine") ? 1 : 0);
        const bool ragged = choiceValue(spec, "scope") == "group" && integerValue(spec, "group_size") % 32 != 0;
        const bool wideOffset = booleanValue(spec, "is_affine") && !booleanValue(spec, "include_zero");
        return !whole || ragged || wideOffset || bits > 8 ? GgmlType::F32 : ofBits(bits);
    }
    return GgmlType::F32;
}

}  // namespace lqer
