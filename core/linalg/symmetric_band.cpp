// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/symmetric_band.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/blas.h"
#include "core/linalg/gemm.h"
#include "core/linalg/reflections.h"

namespace lqer {

namespace {

constexpr Index tile = 512;  // rows of one piece of work

// Columns are reduced one after the other: each makes a sweep of reflections down the band.
class BandNarrowing {
public:
    BandNarrowing(const MatrixF64 &band, const TaskContext &context)
        : m_order(band.rows()), m_width(band.cols() - 1), m_stride(std::max<Index>(2 * m_width - 1, 1)), m_context(context),
          m_values(VectorF64::Zero(m_order * (m_stride + 1)))
    {
        for (Index j = 0; j < m_order; ++j)
            std::copy(band.row(j).begin(), band.row(j).end(), at(j, j));
        if (m_width > 1)
            narrow();
    }
    double diagonal(Index j) { return *at(j, j); }
    double below(Index j) { return *at(j + 1, j); }

private:
    // Neighbouring sweeps that go down the band together, so that it is read once for all of them.
    static constexpr Index together = 8;
    // A sweep is this many steps behind the one before: it touches nothing that that one still changes.
    static constexpr Index behind = 2;

    struct Sweep {
        Index begin = 0, length = 0;  // rows of the reflection I - tau v v^T; length 0: none left
        double tau = 0;
        VectorF64 v;
    };

    // Room for twice the width, so that a block in the band and its fill-in is a column-major matrix with this stride.
    double *at(Index row, Index column) { return m_values.data() + column * m_stride + row; }

    void narrow()
    {
        VectorF64 work(m_width);
        std::vector<Sweep> sweeps(together);
        for (Index first = 0; first + 2 < m_order; first += together) {
            m_context.checkStop();
            const Index count = std::min(together, m_order - 2 - first);
            for (Index time = 0, running = count; running > 0; ++time)
                for (Index i = 0; i < count && behind * i <= time; ++i) {
                    Sweep &sweep = sweeps[static_cast<std::size_t>(i)];
                    if (time == behind * i)
                        reflect(sweep, first + i + 1, first + i);
                    if (sweep.length == 0)
                        continue;
                    step(sweep, work);
                    if (sweep.length == 0)
                        --running;
                }
        }
    }

    // The reflection that leaves one element of the column from `row` down.
    void reflect(Sweep &sweep, Index row, Index column)
    {
        sweep.begin = row;
        sweep.length = std::min(m_width, m_order - row);
        double *x = at(row, column);
        LAPACKE_dlarfg(blasInt(sweep.length), x, x + 1, 1, &sweep.tau);
        sweep.v = VectorF64::Map(x, sweep.length);
        sweep.v[0] = 1;
        std::fill_n(x + 1, sweep.length - 1, 0.0);
    }

    // Applies the reflection from both sides, and goes on to the one that takes away the first column of the fill-in.
    void step(Sweep &sweep, VectorF64 &work)
    {
        const int stride = blasInt(m_stride), length = blasInt(sweep.length);
        const double tau = sweep.tau;
        double *v = sweep.v.data(), *corner = at(sweep.begin, sweep.begin);
        cblas_dsymv(CblasColMajor, CblasLower, length, tau, corner, stride, v, 1, 0.0, work.data(), 1);
        cblas_daxpy(length, -0.5 * tau * cblas_ddot(length, work.data(), 1, v, 1), v, 1, work.data(), 1);
        cblas_dsyr2(CblasColMajor, CblasLower, length, -1.0, v, 1, work.data(), 1, corner, stride);

        const Index column = sweep.begin, next = column + sweep.length;
        const int rows = blasInt(std::min(m_width, m_order - next));
        if (rows == 0) {
            sweep.length = 0;
            return;
        }
        double *block = at(next, column);
        cblas_dgemv(CblasColMajor, CblasNoTrans, rows, length, 1.0, block, stride, v, 1, 0.0, work.data(), 1);
        cblas_dger(CblasColMajor, rows, length, -tau, work.data(), 1, v, 1, block, stride);
        reflect(sweep, next, column);
        if (length == 1)
            return;
        cblas_dgemv(CblasColMajor, CblasTrans, rows, length - 1, 1.0, block + stride, stride, sweep.v.data(), 1, 0.0, work.data(), 1);
        cblas_dger(CblasColMajor, rows, length - 1, -sweep.tau, sweep.v.data(), 1, work.data(), 1, block + stride, stride);
    }

    Index m_order, m_width, m_stride;
    const TaskContext &m_context;
    VectorF64 m_values;
};

// Eigenvalues of rows [begin, end) of a tridiagonal matrix into d. e2: squares of what is below the diagonal, not small against their
// neighbours. One of them after the other at the beginning, from the end where the larger elements are.
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
            throw Error(ErrorCode::Numeric, fmt::format("eigenvalues of a tridiagonal matrix of order {} did not converge", end - begin));
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

// d: diagonal, becomes the eigenvalues in any order; e: below it.
void tridiagonalEigenvalues(VectorF64 &d, const VectorF64 &e, const TaskContext &context)
{
    // A scale at which squares neither overflow nor vanish beside the largest.
    const double largest = std::max(d.cwiseAbs().maxCoeff(), e.size() > 0 ? e.cwiseAbs().maxCoeff() : 0.0);
    if (largest == 0)
        return;
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
}

}  // namespace

MatrixF64 reducedToBand(MatrixF64 a, Index width, const TaskContext &context)
{
    LQER_ASSERT(a.rows() == a.cols() && width >= 1 && tile % width == 0);
    useSingleThreadedBlas();
    const Index n = a.rows();
    const int stride = blasInt(n);
    MatrixF64 band = MatrixF64::Zero(n, width + 1);
    for (Index begin = 0; begin < n; begin += width) {
        context.checkStop();
        const Index columns = std::min(width, n - begin), next = begin + columns, rest = n - next;
        for (Index j = 0; j < columns; ++j)
            band.row(begin + j).head(columns - j) = a.col(begin + j).segment(begin + j, columns - j);
        if (rest == 0)
            break;
        MatrixF64 panel = a.block(next, begin, rest, columns).transpose();
        const Reflections<MatrixF64> q = reduceRows(panel);
        for (Index j = 0; j < columns; ++j) {
            const Index rows = std::min(j + 1, rest);
            band.row(begin + j).segment(columns - j, rows) = panel.row(j).head(rows);
        }

        // Q^T A Q = A - V^T W^T - W V for W = P - V^T (T^T V P) / 2, P = A V^T T.
        const Index count = q.v.rows();
        const MatrixF64 v = q.v.transpose();
        MatrixF64 x(rest, count), p(rest, count), vp(count, count), s(count, count);
        multiplyTransposed(v, q.tTransposed, x, context);
        // Only tiles on and below the diagonal are kept up to date, at fixed places.
        const Index firstTile = next / tile, tiles = (n + tile - 1) / tile - firstTile;
        const auto forTiles = [&](const auto &work) {
            parallelFor(context, tiles, 1, [&](Index t, Index) {
                const Index from = (firstTile + t) * tile;
                work(std::max(from, next), std::min(from + tile, n));
            });
        };
        forTiles([&](Index first, Index last) {
            const int rows = blasInt(last - first), vectors = blasInt(count);
            double *to = &p(first - next, 0);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, vectors, blasInt(last - next), 1.0, &a(first, next), stride, x.data(), vectors, 0.0,
                        to, vectors);
            if (last < n)
                cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, vectors, blasInt(n - last), 1.0, &a(last, first), stride, &x(last - next, 0),
                            vectors, 1.0, to, vectors);
        });
        multiply(q.v, p, vp, context);
        multiply(q.tTransposed, vp, s, context);
        s *= -0.5;
        MatrixF64 left(rest, 2 * count), right(rest, 2 * count);
        left.leftCols(count) = v;
        right.rightCols(count) = v;
        multiply(v, s, x, context);
        left.rightCols(count) = right.leftCols(count) = p + x;
        forTiles([&](Index first, Index last) {
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blasInt(last - first), blasInt(last - next), blasInt(2 * count), -1.0,
                        &left(first - next, 0), blasInt(2 * count), right.data(), blasInt(2 * count), 1.0, &a(first, next), stride);
        });
    }
    return band;
}

VectorF64 bandEigenvalues(const MatrixF64 &band, const TaskContext &context)
{
    LQER_ASSERT(band.cols() >= 1);
    useSingleThreadedBlas();
    const Index n = band.rows();
    if (n == 0)
        return VectorF64(0);
    if (!band.allFinite())
        throw Error(ErrorCode::Numeric, fmt::format("eigenvalues of a band matrix of order {}: not all elements are finite", n));
    VectorF64 values(n), below = VectorF64::Zero(n - 1);
    {
        BandNarrowing tridiagonal(band, context);
        for (Index j = 0; j < n; ++j)
            values[j] = tridiagonal.diagonal(j);
        for (Index j = 0; j + 1 < n; ++j)
            below[j] = band.cols() > 1 ? tridiagonal.below(j) : 0;
    }
    tridiagonalEigenvalues(values, below, context);
    std::sort(values.begin(), values.end());
    return values;
}

}  // namespace lqer
