// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/reflections.h"

#include <algorithm>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/base/error.h"
#include "core/linalg/blas.h"

namespace lqer {

namespace {

lapack_int qr(int rows, int cols, float *a, float *tau) { return LAPACKE_sgeqrf(LAPACK_COL_MAJOR, rows, cols, a, rows, tau); }
lapack_int qr(int rows, int cols, double *a, double *tau) { return LAPACKE_dgeqrf(LAPACK_COL_MAJOR, rows, cols, a, rows, tau); }

lapack_int triangle(int length, int count, const float *v, const float *tau, float *t)
{
    return LAPACKE_slarft(LAPACK_COL_MAJOR, 'F', 'C', length, count, v, length, tau, t, count);
}
lapack_int triangle(int length, int count, const double *v, const double *tau, double *t)
{
    return LAPACKE_dlarft(LAPACK_COL_MAJOR, 'F', 'C', length, count, v, length, tau, t, count);
}

void check(lapack_int info, Index rows, Index cols)
{
    if (info != 0)
        throw Error(ErrorCode::Numeric, fmt::format("reflections of {} rows of {}: LAPACK gave up (info {})", rows, cols, info));
}

}  // namespace

// LAPACK sees rows as columns, so to it this is the QR factorization.
template <typename M>
Reflections<M> reduceRows(M &panel)
{
    const Index length = panel.cols();
    const Index count = std::min(panel.rows(), length);
    M tau(1, count);
    check(qr(blasInt(length), blasInt(panel.rows()), panel.data(), tau.data()), panel.rows(), length);
    Reflections<M> q{panel.topRows(count), M(count, count)};
    for (Index i = 0; i < count; ++i) {
        q.v.row(i).head(i).setZero();
        q.v(i, i) = 1;
        panel.row(i).tail(length - i - 1).setZero();
    }
    q.tTransposed.setZero();
    check(triangle(blasInt(length), blasInt(count), q.v.data(), tau.data(), q.tTransposed.data()), panel.rows(), length);
    return q;
}

template Reflections<Matrix> reduceRows(Matrix &panel);
template Reflections<MatrixF64> reduceRows(MatrixF64 &panel);

}  // namespace lqer
