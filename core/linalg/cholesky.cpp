// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/decomposition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/base/check.h"
#include "core/linalg/blas.h"
#include "core/linalg/finite.h"

namespace lqer {

namespace {

constexpr Index block = 96;             // columns after which the rest of the matrix is brought up to date
constexpr Index tile = 512;             // rows of it that are one piece of work
constexpr Index elementsAtOnce = 8192;  // of a column

// Exchanges rows and columns i < j of a symmetric matrix known by its lower triangle, and what the columns before i hold of its
// factor.
void exchange(MatrixF64 &matrix, Index i, Index j)
{
    const Index n = matrix.rows();
    matrix.row(i).head(i).swap(matrix.row(j).head(i));
    std::swap(matrix(i, i), matrix(j, j));
    for (Index between = i + 1; between < j; ++between)
        std::swap(matrix(between, i), matrix(j, between));
    matrix.col(i).tail(n - j - 1).swap(matrix.col(j).tail(n - j - 1));
}

}  // namespace

// In blocks (Lucas 2004, LAPACK's dpstrf): `panel` holds the block's columns, next to each other, until they are all known.
MatrixF64 semidefiniteFactor(MatrixF64 matrix, const TaskContext &context)
{
    LQER_ASSERT(matrix.rows() == matrix.cols());
    checkFinite(matrix, "Cholesky factor");
    useSingleThreadedBlas();
    const Index n = matrix.rows();
    const int stride = blasInt(n);
    std::vector<Index> place(static_cast<std::size_t>(n));  // of a row in the matrix as given
    std::iota(place.begin(), place.end(), Index(0));
    const double floor =
        n > 0 ? static_cast<double>(n) * std::numeric_limits<double>::epsilon() * std::max(0.0, matrix.diagonal().maxCoeff()) : 0;
    VectorF64 left = matrix.diagonal();  // of the diagonal, once the columns so far are taken away
    MatrixF64 panel(std::min(block, n), n);
    Index rank = 0;
    for (bool more = true; more && rank < n;) {
        const Index begin = rank, end = std::min(n, begin + block);
        for (; rank < end; ++rank) {
            Index pivot = 0;
            more = left.tail(n - rank).maxCoeff(&pivot) > floor;
            if (!more)
                break;
            pivot += rank;
            if (pivot != rank) {
                exchange(matrix, rank, pivot);
                panel.col(rank).swap(panel.col(pivot));
                std::swap(left[rank], left[pivot]);
                std::swap(place[static_cast<std::size_t>(rank)], place[static_cast<std::size_t>(pivot)]);
            }
            const Index known = rank - begin;
            const double root = std::sqrt(left[rank]);
            double *column = &panel(known, 0);
            column[rank] = root;
            parallelFor(context, n - rank - 1, elementsAtOnce, [&](Index first, Index last) {
                const Index from = rank + 1 + first, count = last - first;
                for (Index i = from; i < from + count; ++i)
                    column[i] = matrix(i, rank);
                if (known > 0)
                    cblas_dgemv(CblasRowMajor, CblasTrans, blasInt(known), blasInt(count), -1.0, &panel(0, from), stride,
                                &panel(0, rank), stride, 1.0, column + from, 1);
                for (Index i = from; i < from + count; ++i) {
                    column[i] /= root;
                    left[i] -= column[i] * column[i];
                }
            });
        }
        const Index width = rank - begin;
        parallelFor(context, n - begin, tile, [&](Index first, Index last) {
            for (Index i = begin + first; i < begin + last; ++i)
                matrix.row(i).segment(begin, std::min(width, i - begin + 1)) =
                    panel.col(i).head(std::min(width, i - begin + 1)).transpose();
        });
        if (!more)
            break;
        parallelFor(context, n - rank, tile, [&](Index first, Index last) {
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, blasInt(last - first), blasInt(last), blasInt(width), -1.0,
                        &panel(0, rank + first), stride, &panel(0, rank), stride, 1.0, &matrix(rank + first, rank), stride);
        });
    }
    MatrixF64 factor = MatrixF64::Zero(n, rank);
    for (Index i = 0; i < n; ++i) {
        const Index length = std::min(i + 1, rank);
        factor.row(place[static_cast<std::size_t>(i)]).head(length) = matrix.row(i).head(length);
    }
    return factor;
}

}  // namespace lqer
