// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/blas.h"

namespace lqer {

namespace {

constexpr Index block = 32;  // columns after which the rest of the matrix is brought up to date
constexpr Index tile = 512;  // columns of it that are one piece of work
constexpr Index vectorsAtOnce = 256;

// Eigenvalues of rows [begin, end) of a tridiagonal matrix into d. e2: squares of what is below the diagonal, not small against
// their neighbours. One of them after the other at the beginning, from the end where the larger elements are.
void iterate(VectorF64 &d, VectorF64 &e2, Index begin, Index end, const TaskContext &context)
{
    constexpr double epsilon = std::numeric_limits<double>::epsilon() / 2;
    constexpr int mostPerValue = 30;
    if (std::abs(d[end - 1]) < std::abs(d[begin])) {
        std::reverse(d.begin() + begin, d.begin() + end);
        std::reverse(e2.begin() + begin, e2.begin() + end - 1);
    }
    Index left = mostPerValue * (end - begin);
    for (Index first = begin; first < end;) {
        Index last = first;
        while (last + 1 < end && e2[last] > epsilon * epsilon * std::abs(d[last] * d[last + 1]))
            ++last;
        if (last == first) {
            ++first;
            continue;
        }
        context.checkStop();
        if (left-- == 0)
            throw Error(ErrorCode::Numeric,
                        fmt::format("eigenvalues of a tridiagonal matrix of order {} did not converge", end - begin));
        // Wilkinson's shift, then rotations from the last row up.
        const double root = std::sqrt(e2[first]);
        const double half = (d[first + 1] - d[first]) / (2 * root);
        const double shift = d[first] - root / (half + std::copysign(std::hypot(half, 1.0), half));
        double c = 1, s = 0, gamma = d[last] - shift, p = gamma * gamma;
        for (Index i = last - 1; i >= first; --i) {
            const double r = p + e2[i];
            if (i + 1 < last)
                e2[i + 1] = s * r;
            const double cBefore = c, gammaBefore = gamma;
            c = p / r;
            s = e2[i] / r;
            gamma = c * (d[i] - shift) - s * gammaBefore;
            d[i + 1] = gammaBefore + (d[i] - gamma);
            p = c != 0 ? gamma * gamma / c : cBefore * e2[i];
        }
        e2[first] = s * p;
        d[first] = shift + gamma;
    }
}

}  // namespace

VectorF64 tridiagonalEigenvalues(VectorF64 d, const VectorF64 &e, const TaskContext &context)
{
    LQER_ASSERT(d.size() > 0 && e.size() == d.size() - 1);
    // A scale at which squares neither overflow nor vanish beside the largest.
    const double largest = std::max(d.cwiseAbs().maxCoeff(), e.size() > 0 ? e.cwiseAbs().maxCoeff() : 0.0);
    if (largest == 0)
        return d;
    const double scale = std::exp2(-std::ilogb(largest));
    d *= scale;
    VectorF64 e2 = (scale * e).cwiseAbs2();
    constexpr double small = std::numeric_limits<double>::epsilon() / 2;
    for (Index begin = 0, end = 1; begin < d.size(); begin = end++) {
        while (end < d.size() && e2[end - 1] > small * small * std::abs(d[end - 1] * d[end]))
            ++end;
        iterate(d, e2, begin, end, context);
    }
    d /= scale;
    std::sort(d.begin(), d.end());
    return d;
}

Tridiagonal reduceToTridiagonal(MatrixF64 &symmetric, const TaskContext &context)
{
    LQER_ASSERT(symmetric.rows() == symmetric.cols());
    useSingleThreadedBlas();
    const Index n = symmetric.rows();
    const int stride = blasInt(n);
    const auto a = [&](Index row, Index column) { return symmetric.data() + column * n + row; };
    Tridiagonal t{VectorF64(n), VectorF64(std::max<Index>(n - 1, 0)), VectorF64(std::max<Index>(n - 1, 0))};
    // A - V W^T - W V^T is what the columns of a block make of the rest; a column of V lies where it was found.
    MatrixF64 products(block, n);
    VectorF64 inside(block);
    for (Index begin = 0; begin + 1 < n; begin += block) {
        const Index width = std::min(block, n - 1 - begin), end = begin + width;
        const auto w = [&](Index row, Index column) { return products.data() + column * n + row; };
        for (Index j = 0; j < width; ++j) {
            context.checkStop();
            const Index column = begin + j, next = column + 1;
            const int known = blasInt(j), length = blasInt(n - next);
            double *v = a(next, column), *y = w(next, j);
            if (j > 0) {
                cblas_dgemv(CblasColMajor, CblasNoTrans, length + 1, known, -1.0, a(column, begin), stride, w(column, 0), stride,
                            1.0, a(column, column), 1);
                cblas_dgemv(CblasColMajor, CblasNoTrans, length + 1, known, -1.0, w(column, 0), stride, a(column, begin), stride,
                            1.0, a(column, column), 1);
            }
            t.diagonal[column] = *a(column, column);
            LAPACKE_dlarfg(length, v, v + 1, 1, &t.tau[column]);
            t.below[column] = *v;
            *v = 1;
            cblas_dsymv(CblasColMajor, CblasLower, length, 1.0, a(next, next), stride, v, 1, 0.0, y, 1);
            if (j > 0) {
                cblas_dgemv(CblasColMajor, CblasTrans, length, known, 1.0, w(next, 0), stride, v, 1, 0.0, inside.data(), 1);
                cblas_dgemv(CblasColMajor, CblasNoTrans, length, known, -1.0, a(next, begin), stride, inside.data(), 1, 1.0, y,
                            1);
                cblas_dgemv(CblasColMajor, CblasTrans, length, known, 1.0, a(next, begin), stride, v, 1, 0.0, inside.data(), 1);
                cblas_dgemv(CblasColMajor, CblasNoTrans, length, known, -1.0, w(next, 0), stride, inside.data(), 1, 1.0, y, 1);
            }
            cblas_dscal(length, t.tau[column], y, 1);
            cblas_daxpy(length, -0.5 * t.tau[column] * cblas_ddot(length, y, 1, v, 1), v, 1, y, 1);
        }
        parallelFor(context, n - end, tile, [&](Index first, Index last) {
            const Index from = end + first;
            const int rows = blasInt(n - from), columns = blasInt(last - first), known = blasInt(width);
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, rows, columns, known, -1.0, a(from, begin), stride, w(from, 0),
                        stride, 1.0, a(from, from), stride);
            cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, rows, columns, known, -1.0, w(from, 0), stride, a(from, begin),
                        stride, 1.0, a(from, from), stride);
        });
    }
    if (n > 0)
        t.diagonal[n - 1] = *a(n - 1, n - 1);
    return t;
}

void applyReflections(const MatrixF64 &reduced, const VectorF64 &tau, MatrixF64 &rows, const TaskContext &context)
{
    const int order = blasInt(reduced.rows());
    parallelFor(context, rows.rows(), vectorsAtOnce, [&](Index begin, Index end) {
        const lapack_int info = LAPACKE_dormtr(LAPACK_COL_MAJOR, 'L', 'L', 'N', order, blasInt(end - begin), reduced.data(),
                                               order, tau.data(), rows.data() + begin * reduced.rows(), order);
        if (info != 0)
            throw Error(ErrorCode::Memory,
                        fmt::format("{} vectors of a matrix of order {}: LAPACK gave up (info {})", end - begin, order, info));
    });
}

}  // namespace lqer
