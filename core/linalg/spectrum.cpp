// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/spectrum.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/large_pages.h"
#include "core/linalg/blas.h"
#include "core/linalg/gemm.h"
#include "core/linalg/reflections.h"
#include "core/linalg/symmetric_band.h"

namespace lqer {

namespace {

// Width of the band: products grow with it in speed, what follows in time.
constexpr Index block = 32;
// A matrix with this many times as many rows as columns is made square first.
constexpr double tall = 5.0 / 3.0;

// The first columns of `matrix` reduced from the left: Q^T columns = [R; 0]. Returns R, upper triangular.
Matrix reduceColumns(const MatrixRef &matrix, Index width, Reflections<Matrix> &q)
{
    Matrix panel = matrix.leftCols(width).transpose();
    q = reduceRows(panel);
    return panel.leftCols(width).transpose();
}

// T^T V C for a C of as many rows as the reflections are long: Q^T C = C - V^T (T^T V C).
Matrix coefficients(const Reflections<Matrix> &q, const MatrixRef &c, const TaskContext &context)
{
    Matrix vc(q.v.rows(), c.cols()), z(q.v.rows(), c.cols());
    multiply(q.v, c, vc, context);
    multiply(q.tTransposed, vc, z, context);
    return z;
}

// Makes a tall matrix (p, q) upper triangular (q, q) from the left.
Matrix triangular(Matrix matrix, const TaskContext &context)
{
    const Index cols = matrix.cols();
    for (Index begin = 0; begin < cols; begin += block) {
        context.checkStop();
        const Index width = std::min(block, cols - begin);
        const Index rest = cols - begin - width;
        Reflections<Matrix> q;
        matrix.block(begin, begin, width, width) = reduceColumns(matrix.bottomRightCorner(matrix.rows() - begin, cols - begin), width, q);
        matrix.block(begin + width, begin, matrix.rows() - begin - width, width).setZero();
        if (rest == 0)
            break;
        MatrixRef right = matrix.bottomRightCorner(matrix.rows() - begin, rest);
        const Matrix z = coefficients(q, right, context);
        subtractProduct(Matrix(q.v.transpose()), z, right, context);
    }
    return matrix.topRows(cols);
}

// Lower triangle of B^T B for B = band, upper triangular blocks on the diagonal and lower triangular ones right of them.
class BandGram {
public:
    explicit BandGram(Index order) : m_width(std::min(block, order - 1)), m_band(MatrixF64::Zero(order, m_width + 1)) {}

    // D (b, b) at (begin, begin), right (b, c) at (begin, begin + b).
    void add(Index begin, const Matrix &diagonal, const Matrix &right)
    {
        const MatrixF64 d = diagonal.cast<double>(), l = right.cast<double>();
        addBlock(begin, begin, d.transpose() * d);
        if (l.cols() == 0)
            return;
        addBlock(begin + d.cols(), begin, l.transpose() * d);
        addBlock(begin + d.cols(), begin + d.cols(), l.transpose() * l);
    }

    // Roots of the eigenvalues, descending.
    VectorF64 roots(const TaskContext &context) const { return bandEigenvalues(m_band, context).reverse().cwiseMax(0.0).cwiseSqrt(); }

private:
    void addBlock(Index row, Index column, const MatrixF64 &values)
    {
        for (Index i = 0; i < values.rows(); ++i)
            for (Index j = 0; j < values.cols(); ++j) {
                const Index below = row + i - column - j;
                if (below >= 0 && below <= m_width)
                    m_band(column + j, below) += values(i, j);
            }
    }

    Index m_width;
    MatrixF64 m_band;  // as bandEigenvalues() takes it
};

}  // namespace

VectorF64 allSingularValues(Matrix matrix, const TaskContext &context)
{
    useSingleThreadedBlas();
    if (matrix.rows() < matrix.cols()) {
        Matrix turned = onLargePages(Matrix(matrix.cols(), matrix.rows()));
        constexpr Index tile = 64;
        parallelFor(context, turned.rows(), tile, [&](Index begin, Index end) {
            for (Index column = 0; column < turned.cols(); column += tile) {
                const Index count = std::min(tile, turned.cols() - column);
                turned.block(begin, column, end - begin, count) = matrix.block(column, begin, count, end - begin).transpose();
            }
        });
        matrix = std::move(turned);
    }
    const Index order = matrix.cols();
    if (order == 0)
        return VectorF64(0);
    if (static_cast<double>(matrix.rows()) > tall * static_cast<double>(order))
        matrix = triangular(std::move(matrix), context);

    BandGram band(order);
    for (Index begin = 0; begin < order; begin += block) {
        context.checkStop();
        const Index width = std::min(block, order - begin);
        const Index rest = order - begin - width;
        const Index below = matrix.rows() - begin - width;
        Reflections<Matrix> left;
        const Matrix diagonal = reduceColumns(matrix.bottomRightCorner(matrix.rows() - begin, width + rest), width, left);
        if (rest == 0) {
            band.add(begin, diagonal, Matrix(width, 0));
            break;
        }
        // The reflections from the left are applied together with those from the right, which come from the rows they leave.
        const MatrixRef columns = matrix.bottomRightCorner(matrix.rows() - begin, rest);
        const Matrix z = coefficients(left, columns, context);
        Matrix panel = columns.topRows(width) - left.v.leftCols(width).transpose() * z;
        const Reflections<Matrix> right = reduceRows(panel);
        band.add(begin, diagonal, panel.leftCols(std::min(width, rest)));

        // Q_l^T C Q_r = C - V_l^T Z - Y V_r with Y = (C - V_l^T Z) V_r^T T_r, below the rows that are done.
        MatrixRef c = matrix.bottomRightCorner(below, rest);
        const Index count = right.v.rows();
        const Matrix rightVectors = right.v.transpose();
        Matrix outer(below, width + count), inner(width + count, rest);
        outer.leftCols(width) = left.v.rightCols(below).transpose();
        inner.topRows(width) = z;
        inner.bottomRows(count) = right.v;
        Matrix product(below, count), small(width, count), y(below, count);
        multiply(c, rightVectors, product, context);
        multiply(z, rightVectors, small, context);
        subtractProduct(outer.leftCols(width), small, product, context);
        multiply(product, Matrix(right.tTransposed.transpose()), y, context);
        outer.rightCols(count) = y;
        subtractProduct(outer, inner, c, context);
    }
    return band.roots(context);
}

std::uint64_t allSingularValuesBytes(Index rows, Index cols)
{
    // A turned copy, or what a tall one is reduced to; vectors and products of one block; the band and a wider copy of it.
    const Index larger = std::max(rows, cols), order = std::min(rows, cols);
    const Index copies = rows < cols ? rows * cols : static_cast<double>(rows) > tall * static_cast<double>(cols) ? order * order : 0;
    return static_cast<std::uint64_t>(copies + 12 * block * larger) * sizeof(float) + static_cast<std::uint64_t>(6 * block * order) * sizeof(double);
}

}  // namespace lqer
