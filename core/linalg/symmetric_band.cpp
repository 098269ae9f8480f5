// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/symmetric_band.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/blas.h"
#include "core/linalg/gemm.h"
#include "core/linalg/reflections.h"
#include "core/linalg/tridiagonal.h"

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
        cblas_dgemv(CblasColMajor, CblasTrans, rows, length - 1, 1.0, block + stride, stride, sweep.v.data(), 1, 0.0, work.data(),
                    1);
        cblas_dger(CblasColMajor, rows, length - 1, -sweep.tau, sweep.v.data(), 1, work.data(), 1, block + stride, stride);
    }

    Index m_order, m_width, m_stride;
    const TaskContext &m_context;
    VectorF64 m_values;
};

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
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, vectors, blasInt(last - next), 1.0, &a(first, next),
                        stride, x.data(), vectors, 0.0, to, vectors);
            if (last < n)
                cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, vectors, blasInt(n - last), 1.0, &a(last, first),
                            stride, &x(last - next, 0), vectors, 1.0, to, vectors);
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
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blasInt(last - first), blasInt(last - next), blasInt(2 * count),
                        -1.0, &left(first - next, 0), blasInt(2 * count), right.data(), blasInt(2 * count), 1.0, &a(first, next),
                        stride);
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
    return tridiagonalEigenvalues(std::move(values), below, context);
}

}  // namespace lqer
