// SPDX-License-Identifier: Apache-2.0
#include "core/recon/error_gram.h"

#include <algorithm>

#include "core/base/large_pages.h"
#include "core/base/processor.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

constexpr Index band = 512;  // rows of R that are held in float at a time

}  // namespace

FloatScaling::FloatScaling(const Scaling &scaling, bool keep, const TaskContext &context) : m_scaling(scaling)
{
    const double largest = scaling.diagonal().maxCoeff();
    m_unit = largest > 0 ? largest : 1.0;
    m_diagonal = (scaling.diagonal() / m_unit).cast<float>();
    if (isDiagonal() || !keep)
        return;
    const Index in = scaling.features();
    m_r = onLargePages(Matrix(in, in));
    parallelFor(context, in, band, [&](Index begin, Index end) { m_r.middleRows(begin, end - begin) = part(begin, end, 0, in); });
}

Matrix FloatScaling::part(Index begin, Index end, Index left, Index right) const
{
    const MatrixF64 &sum = m_scaling.sum();
    Matrix rows = onLargePages(Matrix(end - begin, right - left));
    for (Index row = begin; row < end; ++row)
        forProcessor([factor = 1 / (m_scaling.tokens() * m_unit), from = sum.data() + row * sum.cols() + left,
                      to = rows.data() + (row - begin) * rows.cols(), count = rows.cols()] {
            for (Index i = 0; i < count; ++i)
                to[i] = static_cast<float>(from[i] * factor);
        });
    return rows;
}

Matrix FloatScaling::times(const ConstMatrixRef &x, const TaskContext &context) const
{
    if (isDiagonal())
        return m_diagonal.asDiagonal() * x;
    Matrix y(x.rows(), x.cols());
    if (m_r.size())
        multiply(m_r, x, y, context);
    else
        parallelFor(context, x.rows(), band, [&](Index begin, Index end) {
            multiply(part(begin, end, 0, x.rows()), x, y.middleRows(begin, end - begin));
        });
    return y;
}

Matrix FloatScaling::halfTimes(const ConstMatrixRef &x, const TaskContext &context) const
{
    if (isDiagonal())
        return times(x, context);
    Matrix y(x.rows(), x.cols());
    parallelFor(context, x.rows(), band, [&](Index begin, Index end) {  // from R's lower triangle; what is below the diagonal counts twice
        const Index rows = end - begin;
        Matrix converted;
        if (!m_r.size())
            converted = part(begin, end, 0, end);
        const auto r = m_r.size() ? ConstMatrixRef(m_r.block(begin, 0, rows, end)) : ConstMatrixRef(converted);
        Matrix below(rows, x.cols()), diagonal(rows, x.cols());
        multiply(r.leftCols(begin), x.topRows(begin), below);
        multiply(r.rightCols(rows), x.middleRows(begin, rows), diagonal);
        y.middleRows(begin, rows) = 2.0F * below + diagonal;
    });
    return y;
}

ErrorGram::ErrorGram(const ConstMatrixRef &error, const FloatScaling &scaling, Precision precision, const TaskContext &context)
    : m_error(error), m_scaling(scaling)
{
    if (precision != Precision::BFloat16)
        return;
    const Index out = error.rows();
    const Index in = error.cols();
    constexpr Index rows = Bf16Operand::pieceRows, columns = Bf16Operand::pieceColumns;
    m_toInput = std::make_unique<Bf16Operand>(out, in);
    m_toOutput = std::make_unique<Bf16Operand>(in, out);
    const Vector root = scaling.isDiagonal() ? Vector(scaling.diagonal().cwiseSqrt()) : Vector::Ones(in);
    parallelFor(context, out, rows, [&](Index begin, Index end) {
        Matrix piece;  // rows next to each other: those of the error often lie a power of two apart, on the same few places of the cache
        for (Index left = 0; left < in; left += columns) {
            piece.resize(end - begin, std::min(columns, in - left));
            forProcessor([from = error.data() + begin * error.outerStride() + left, stride = error.outerStride(), scale = root.data() + left,
                          to = piece.data(), height = piece.rows(), width = piece.cols()] {
                for (Index row = 0; row < height; ++row)
                    for (Index i = 0; i < width; ++i)
                        to[row * width + i] = from[row * stride + i] * scale[i];
            });
            m_toInput->pack(begin, left, piece);
            m_toOutput->packTransposed(begin, left, piece);
        }
    });
    if (scaling.isDiagonal())
        return;
    m_autocorrelation = std::make_unique<Bf16Operand>(in, in);
    parallelFor(context, in, rows, [&](Index begin, Index end) {
        for (Index left = 0; left < in; left += columns)
            m_autocorrelation->pack(begin, left, scaling.part(begin, end, left, std::min(in, left + columns)));
    });
}

void ErrorGram::times(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    if (m_scaling.isDiagonal())
        return packedTimes(Side::Outputs, x, y, context);
    if (m_toInput) {
        Matrix product(x.rows(), m_error.cols()), shaped(x.rows(), m_error.cols());
        m_toInput->multiply(x, product, context);
        m_autocorrelation->multiply(product, shaped, context);
        m_toOutput->multiply(shaped, y, context);
        return;
    }
    y = backward(m_scaling.times(forward(x, context), context), context);
}

void ErrorGram::packedTimes(Side side, const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    const bool outputs = side == Side::Outputs;
    if (m_toInput) {
        const Bf16Operand &first = outputs ? *m_toInput : *m_toOutput, &second = outputs ? *m_toOutput : *m_toInput;
        Matrix product(x.rows(), first.columns());
        first.multiply(x, product, context);
        second.multiply(product, y, context);
        return;
    }
    const bool scaled = m_scaling.isDiagonal();
    if (outputs) {
        const Matrix product = forward(x, context);
        y = backward(scaled ? m_scaling.times(product, context) : product, context);
        return;
    }
    const Vector root = scaled ? Vector(m_scaling.diagonal().cwiseSqrt()) : Vector::Ones(m_error.cols());
    const Matrix product = backward(Matrix(root.asDiagonal() * x.transpose()), context);
    y = (root.asDiagonal() * forward(product, context)).transpose();
}

// Columns on the right: the error is taken up once as it lies, in both directions. E x^T, (in, b), of x (b, out).
Matrix ErrorGram::forward(const ConstMatrixRef &x, const TaskContext &context) const
{
    Matrix product(m_error.cols(), x.rows());
    transposedMultiply(m_error, Matrix(x.transpose()), product, context);
    return product;
}

// (E^T z)^T, (b, out), of z (in, b).
Matrix ErrorGram::backward(const ConstMatrixRef &z, const TaskContext &context) const
{
    Matrix result(m_error.rows(), z.cols());
    multiply(m_error, z, result, context);
    return result.transpose();
}

std::uint64_t ErrorGram::bytes(Index out, Index in, ScalingKind scaling, Precision precision)
{
    const bool exact = scaling == ScalingKind::Exact;
    if (precision != Precision::BFloat16)
        return 0;
    return Bf16Operand::bytes(out, in) + Bf16Operand::bytes(in, out) + (exact ? Bf16Operand::bytes(in, in) : 0);
}

}  // namespace lqer
