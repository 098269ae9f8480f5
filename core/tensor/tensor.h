// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/dtype.h"
#include "core/tensor/matrix.h"
#include "core/tensor/shape.h"

namespace lqer {

// A tensor in memory in its stored element type, contiguous, C order. A value.
class Tensor {
public:
    Tensor() = default;
    // Uninitialised bytes of the right size.
    Tensor(DType dtype, Shape shape);

    static Tensor fromMatrix(const ConstMatrixRef &matrix);       // F32, rows x cols
    static Tensor fromMatrix(const ConstMatrixF64Ref &matrix);    // F64, rows x cols
    static Tensor fromVector(std::span<const float> values);      // F32, one dimension
    static Tensor fromVector(std::span<const double> values);     // F64, one dimension
    // Values rounded to nearest even in F32, F16 or BF16; beyond F16's or BF16's range they become infinite.
    static Tensor fromValues(DType dtype, Shape shape, std::span<const float> values);

    DType dtype() const { return m_dtype; }
    const Shape &shape() const { return m_shape; }
    std::int64_t elements() const { return elementCount(m_shape); }
    std::span<const std::byte> bytes() const { return m_bytes; }
    std::span<std::byte> bytes() { return m_bytes; }

    // Every element converted to float, into `out` of elements() floats. Throws Error(Unsupported) for integer types.
    void copyTo(std::span<float> out) const;
    // Every element converted to double; integer types too.
    void copyTo(std::span<double> out) const;
    // As a matrix: 2-D as it is, 1-D as one row. Throws Error(Shape) otherwise.
    Matrix toMatrix() const;
    MatrixF64 toMatrixF64() const;

private:
    DType m_dtype = DType::F32;
    Shape m_shape;
    std::vector<std::byte> m_bytes;
};

// Count of elements that are NaN or infinite; firstIndex gets the flat index of the first one.
std::size_t countNonFinite(std::span<const float> values, std::size_t *firstIndex = nullptr);

}  // namespace lqer
