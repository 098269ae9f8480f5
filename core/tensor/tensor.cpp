// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/processor.h"
#include "core/tensor/half.h"

namespace lqer {

namespace {

struct DTypeInfo {
    DType dtype;
    std::size_t size;
    std::string_view name;
};

constexpr DTypeInfo dtypes[] = {
    {DType::F64, 8, "F64"}, {DType::F32, 4, "F32"}, {DType::F16, 2, "F16"},    {DType::BF16, 2, "BF16"},       {DType::I64, 8, "I64"},
    {DType::I32, 4, "I32"}, {DType::I16, 2, "I16"}, {DType::I8, 1, "I8"},      {DType::U64, 8, "U64"},         {DType::U32, 4, "U32"},
    {DType::U16, 2, "U16"}, {DType::U8, 1, "U8"},   {DType::Bool, 1, "BOOL"},  {DType::F8E4M3, 1, "F8_E4M3"},  {DType::F8E5M2, 1, "F8_E5M2"},
};

const DTypeInfo &info(DType dtype)
{
    for (const DTypeInfo &entry : dtypes)
        if (entry.dtype == dtype)
            return entry;
    failedCheck("known dtype", __FILE__, __LINE__);
}

// Calls visit(static_cast<T>(...)) with the right element type for each value; memcpy because bytes may be unaligned.
template <typename Stored, typename Out, typename Convert>
void convertAll(std::span<const std::byte> bytes, std::span<Out> out, Convert convert)
{
    for (std::size_t i = 0; i < out.size(); ++i) {
        Stored value;
        std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
        out[i] = static_cast<Out>(convert(value));
    }
}

template <typename Out>
bool copyFloating(DType dtype, std::span<const std::byte> bytes, std::span<Out> out)
{
    switch (dtype) {
    case DType::F64: convertAll<double>(bytes, out, [](double v) { return v; }); return true;
    case DType::F32: convertAll<float>(bytes, out, [](float v) { return v; }); return true;
    case DType::F16: convertAll<std::uint16_t>(bytes, out, [](std::uint16_t v) { return halfToFloat(v); }); return true;
    case DType::BF16: convertAll<std::uint16_t>(bytes, out, [](std::uint16_t v) { return bf16ToFloat(v); }); return true;
    default: return false;
    }
}

}  // namespace

std::size_t itemSize(DType dtype) { return info(dtype).size; }
std::string_view toString(DType dtype) { return info(dtype).name; }

std::optional<DType> dtypeFromString(std::string_view name)
{
    for (const DTypeInfo &entry : dtypes)
        if (entry.name == name)
            return entry.dtype;
    return std::nullopt;
}

std::int64_t elementCount(const Shape &shape)
{
    std::int64_t count = 1;
    for (const std::int64_t extent : shape)
        if (extent < 0 || __builtin_mul_overflow(count, extent, &count))
            throw Error(ErrorCode::Shape, fmt::format("shape {} has too many elements", toString(shape)));
    return count;
}

std::string toString(const Shape &shape)
{
    return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

float halfToFloat(std::uint16_t bits)
{
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1FU;
    const std::uint32_t mantissa = bits & 0x3FFU;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
    }
    const std::uint32_t wide = exponent == 31 ? 0x7F800000U : (exponent + 112U) << 23;
    return std::bit_cast<float>(sign | wide | (mantissa << 13));
}

std::uint16_t floatToHalf(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U)
        return static_cast<std::uint16_t>(sign | 0x7E00U);
    if (magnitude >= 0x477FF000U)  // rounds to 65536 or more
        return static_cast<std::uint16_t>(sign | 0x7C00U);
    if (magnitude < 0x38800000U) {  // subnormal half: the sum rounds to a multiple of 2^-24
        const float shifted = std::bit_cast<float>(magnitude) + 0x1p-1F;
        return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0x1p-1F)));
    }
    const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
    return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

void bf16ToFloat(std::span<const std::uint16_t> in, std::span<float> out)
{
    LQER_ASSERT(in.size() == out.size());
    for (std::size_t i = 0; i < in.size(); ++i)
        out[i] = bf16ToFloat(in[i]);
}

void halfToFloat(std::span<const std::uint16_t> in, std::span<float> out)
{
    LQER_ASSERT(in.size() == out.size());
    for (std::size_t i = 0; i < in.size(); ++i)
        out[i] = halfToFloat(in[i]);
}

Tensor::Tensor(DType dtype, Shape shape) : m_dtype(dtype), m_shape(std::move(shape))
{
    m_bytes.resize(static_cast<std::size_t>(elementCount(m_shape)) * itemSize(dtype));
}

Tensor Tensor::fromMatrix(const ConstMatrixRef &matrix)
{
    Tensor tensor(DType::F32, {matrix.rows(), matrix.cols()});
    Eigen::Map<Matrix>(reinterpret_cast<float *>(tensor.m_bytes.data()), matrix.rows(), matrix.cols()) = matrix;
    return tensor;
}

Tensor Tensor::fromMatrix(const ConstMatrixF64Ref &matrix)
{
    Tensor tensor(DType::F64, {matrix.rows(), matrix.cols()});
    Eigen::Map<MatrixF64>(reinterpret_cast<double *>(tensor.m_bytes.data()), matrix.rows(), matrix.cols()) = matrix;
    return tensor;
}

Tensor Tensor::fromVector(std::span<const float> values)
{
    Tensor tensor(DType::F32, {static_cast<std::int64_t>(values.size())});
    std::ranges::copy(std::as_bytes(values), tensor.m_bytes.begin());
    return tensor;
}

Tensor Tensor::fromVector(std::span<const double> values)
{
    Tensor tensor(DType::F64, {static_cast<std::int64_t>(values.size())});
    std::ranges::copy(std::as_bytes(values), tensor.m_bytes.begin());
    return tensor;
}

Tensor Tensor::fromValues(DType dtype, Shape shape, std::span<const float> values)
{
    Tensor tensor(dtype, std::move(shape));
    LQER_ASSERT(tensor.m_bytes.size() == values.size() * itemSize(dtype));
    std::byte *out = tensor.m_bytes.data();
    if (dtype == DType::F32) {
        std::memcpy(out, values.data(), values.size_bytes());
        return tensor;
    }
    LQER_ASSERT(dtype == DType::F16 || dtype == DType::BF16);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint16_t bits = dtype == DType::F16 ? floatToHalf(values[i]) : floatToBf16(values[i]);
        std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
    return tensor;
}

void Tensor::copyTo(std::span<float> out) const
{
    LQER_ASSERT(static_cast<std::int64_t>(out.size()) == elements());
    if (!copyFloating(m_dtype, m_bytes, out))
        throw Error(ErrorCode::Unsupported, fmt::format("element type {} is not a floating-point type we read", toString(m_dtype)));
}

void Tensor::copyTo(std::span<double> out) const
{
    LQER_ASSERT(static_cast<std::int64_t>(out.size()) == elements());
    if (copyFloating(m_dtype, m_bytes, out))
        return;
    const auto same = [](auto v) { return v; };
    switch (m_dtype) {
    case DType::I64: convertAll<std::int64_t>(m_bytes, out, same); return;
    case DType::I32: convertAll<std::int32_t>(m_bytes, out, same); return;
    case DType::I16: convertAll<std::int16_t>(m_bytes, out, same); return;
    case DType::I8: convertAll<std::int8_t>(m_bytes, out, same); return;
    case DType::U64: convertAll<std::uint64_t>(m_bytes, out, same); return;
    case DType::U32: convertAll<std::uint32_t>(m_bytes, out, same); return;
    case DType::U16: convertAll<std::uint16_t>(m_bytes, out, same); return;
    case DType::U8:
    case DType::Bool: convertAll<std::uint8_t>(m_bytes, out, same); return;
    default: break;
    }
    throw Error(ErrorCode::Unsupported, fmt::format("element type {} cannot be converted", toString(m_dtype)));
}

namespace {

template <typename Dense>
Dense asMatrix(const Tensor &tensor)
{
    const Shape &shape = tensor.shape();
    if (shape.size() != 1 && shape.size() != 2)
        throw Error(ErrorCode::Shape, fmt::format("expected one or two dimensions, found {}", toString(shape)));
    Dense matrix(shape.size() == 2 ? shape[0] : 1, shape.back());
    tensor.copyTo(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
    return matrix;
}

}  // namespace

Matrix Tensor::toMatrix() const { return asMatrix<Matrix>(*this); }
MatrixF64 Tensor::toMatrixF64() const { return asMatrix<MatrixF64>(*this); }

std::size_t countNonFinite(std::span<const float> values, std::size_t *firstIndex)
{
    const auto nonFinite = [](float v) { return (std::bit_cast<std::uint32_t>(v) & 0x7F800000U) == 0x7F800000U; };
    std::size_t count = 0;
    forProcessor([&count, nonFinite, v = values.data(), size = values.size()] {
        constexpr std::size_t piece = 1 << 16;  // whose count fits the narrow type
        for (std::size_t begin = 0; begin < size; begin += piece) {
            std::uint32_t found = 0;
            for (std::size_t i = begin; i < std::min(size, begin + piece); ++i)
                found += nonFinite(v[i]) ? 1 : 0;
            count += found;
        }
    });
    if (count > 0 && firstIndex)
        *firstIndex = static_cast<std::size_t>(std::find_if(values.begin(), values.end(), nonFinite) - values.begin());
    return count;
}

}  // namespace lqer
