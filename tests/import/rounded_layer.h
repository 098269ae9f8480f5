// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/tensor/half.h"
#include "core/tensor/matrix.h"
#include "core/tensor/tensor.h"

// Layers quantized and packed from the formats' descriptions (exports.md C3), bit by bit and without the code under test.
namespace lqer::test {

using Codes = Eigen::Matrix<std::uint32_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Round to nearest with a scale in half precision and a zero point per output and group of inputs.
struct RoundedLayer {
    Codes codes;    // (out, in)
    Codes zeros;    // (out, groups)
    Matrix scales;  // (out, groups)
    Matrix weight;  // scale * (code - zero)
};

inline RoundedLayer roundLayer(const Matrix &weight, int bits, Index groupSize, bool symmetric)
{
    const Index groups = weight.cols() / groupSize;
    const float most = static_cast<float>((1 << bits) - 1);
    RoundedLayer layer{Codes(weight.rows(), weight.cols()), Codes(weight.rows(), groups), Matrix(weight.rows(), groups),
                       Matrix(weight.rows(), weight.cols())};
    for (Index out = 0; out < weight.rows(); ++out)
        for (Index group = 0; group < groups; ++group) {
            const auto values = weight.row(out).segment(group * groupSize, groupSize);
            const float low = std::min(values.minCoeff(), 0.0F), high = std::max(values.maxCoeff(), 0.0F);
            const float range = symmetric ? 2 * std::max(-low, high) : high - low;
            const float scale = halfToFloat(floatToHalf(std::max(range / most, 1e-4F)));
            const float zero = symmetric ? static_cast<float>(1 << (bits - 1)) : std::clamp(std::round(-low / scale), 0.0F, most);
            layer.scales(out, group) = scale;
            layer.zeros(out, group) = static_cast<std::uint32_t>(zero);
            for (Index i = group * groupSize; i < (group + 1) * groupSize; ++i) {
                const float code = std::clamp(std::round(weight(out, i) / scale) + zero, 0.0F, most);
                layer.codes(out, i) = static_cast<std::uint32_t>(code);
                layer.weight(out, i) = scale * (code - zero);
            }
        }
    return layer;
}

// Rows of `bits`-bit numbers, each row a stream of bits from the lowest bit of its first word.
inline Codes packRows(const Codes &numbers, int bits)
{
    Codes words = Codes::Zero(numbers.rows(), (numbers.cols() * bits + 31) / 32);
    for (Index row = 0; row < numbers.rows(); ++row)
        for (Index i = 0; i < numbers.cols(); ++i)
            for (int bit = 0; bit < bits; ++bit)
                if (numbers(row, i) >> bit & 1U)
                    words(row, (i * bits + bit) / 32) |= 1U << ((i * bits + bit) % 32);
    return words;
}

inline Tensor int32Tensor(const Codes &words)
{
    Tensor tensor(DType::I32, {words.rows(), words.cols()});
    std::memcpy(tensor.bytes().data(), words.data(), tensor.bytes().size());
    return tensor;
}

inline Tensor halfTensor(const Matrix &values)
{
    Tensor tensor(DType::F16, {values.rows(), values.cols()});
    for (Index i = 0; i < values.size(); ++i) {
        const std::uint16_t half = floatToHalf(values.data()[i]);
        std::memcpy(tensor.bytes().data() + 2 * i, &half, 2);
    }
    return tensor;
}

inline Tensor int32Vector(const std::vector<std::int32_t> &values)
{
    Tensor tensor(DType::I32, {static_cast<std::int64_t>(values.size())});
    std::memcpy(tensor.bytes().data(), values.data(), tensor.bytes().size());
    return tensor;
}

}  // namespace lqer::test
