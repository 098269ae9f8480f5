// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/decomposition.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/base/error.h"
#include "core/linalg/blas.h"
#include "core/linalg/finite.h"
#include "core/linalg/gemm.h"
#include "core/linalg/symmetric_band.h"
#include "core/linalg/tridiagonal.h"

namespace lqer {

namespace {

// From this order on, where LAPACK would soon take seconds, everything can be stopped but the eigenvectors of a tridiagonal matrix. Values come
// by way of a band, which pays for itself there (2048: 0.50 s against 0.60 s).
constexpr Index largeFrom = 1024;
constexpr Index bandWidth = 32;

void checkInfo(lapack_int info, std::string_view routine, Index rows, Index cols)
{
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        throw Error(ErrorCode::Memory, fmt::format("not enough memory for {} of a {}x{} matrix", routine, rows, cols));
    if (info != 0)
        throw Error(ErrorCode::Numeric,
                    fmt::format("{} of a {}x{} matrix did not converge (info {})", routine, rows, cols, info));
}

void checkSymmetric(const ConstMatrixF64Ref &matrix)
{
    LQER_ASSERT(matrix.rows() == matrix.cols());
    checkFinite(matrix, "eigenvalues");
    useSingleThreadedBlas();
}

}  // namespace

// A row-major matrix is its transpose to column-major LAPACK: A^T = V S U^T, so LAPACK's "U" lies in memory as our vt and its
// "V^T" as our u, and nothing is transposed.
Svd thinSvd(const ConstMatrixF64Ref &matrix)
{
    checkFinite(matrix, "singular values");
    useSingleThreadedBlas();
    const Index rows = matrix.rows();
    const Index cols = matrix.cols();
    const Index r = std::min(rows, cols);
    Svd svd{MatrixF64(rows, r), VectorF64(r), MatrixF64(r, cols)};
    if (r == 0)
        return svd;
    MatrixF64 work = matrix;
    const lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', blasInt(cols), blasInt(rows), work.data(), blasInt(cols),
                                           svd.sigma.data(), svd.vt.data(), blasInt(cols), svd.u.data(), blasInt(r));
    checkInfo(info, "singular value decomposition", rows, cols);
    return svd;
}

VectorF64 singularValues(const ConstMatrixF64Ref &matrix)
{
    checkFinite(matrix, "singular values");
    useSingleThreadedBlas();
    VectorF64 sigma(std::min(matrix.rows(), matrix.cols()));
    if (sigma.size() == 0)
        return sigma;
    MatrixF64 work = matrix;
    double unused = 0;
    const lapack_int info
        = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', blasInt(matrix.cols()), blasInt(matrix.rows()), work.data(),
                         blasInt(matrix.cols()), sigma.data(), &unused, blasInt(matrix.cols()), &unused, blasInt(sigma.size()));
    checkInfo(info, "singular values", matrix.rows(), matrix.cols());
    return sigma;
}

SymmetricEigen symmetricEigen(MatrixF64 matrix)
{
    checkSymmetric(matrix);
    const Index n = matrix.rows();
    SymmetricEigen eigen{VectorF64(n), std::move(matrix)};
    if (n == 0)
        return eigen;
    const lapack_int info
        = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', blasInt(n), eigen.vectors.data(), blasInt(n), eigen.values.data());
    checkInfo(info, "eigenvectors", n, n);
    eigen.vectors.transposeInPlace();
    return eigen;
}

VectorF64 symmetricEigenvalues(MatrixF64 matrix, const TaskContext &context)
{
    checkSymmetric(matrix);
    const Index n = matrix.rows();
    VectorF64 values(n);
    if (n == 0)
        return values;
    if (n >= largeFrom)
        return bandEigenvalues(reducedToBand(std::move(matrix), bandWidth, context), context);
    checkInfo(LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'N', 'L', blasInt(n), matrix.data(), blasInt(n), values.data()), "eigenvalues", n, n);
    return values;
}

SymmetricLeading symmetricLeading(MatrixF64 matrix, Index k, const TaskContext &context)
{
    checkSymmetric(matrix);
    const Index n = matrix.rows();
    LQER_ASSERT(k >= 0 && k <= n);
    SymmetricLeading leading;
    if (2 * k > n && n < largeFrom) {
        const SymmetricEigen eigen = symmetricEigen(std::move(matrix));
        leading.values = eigen.values.reverse();
        leading.vectors = eigen.vectors.rightCols(k).rowwise().reverse();
        return leading;
    }
    if (k == 0) {
        leading.values = symmetricEigenvalues(std::move(matrix), context).reverse();
        leading.vectors.resize(n, 0);
        return leading;
    }
    // Tridiagonal T = Q^T G Q, all values of T, the wanted vectors of T (MRRR), and back.
    const Tridiagonal t = reduceToTridiagonal(matrix, context);
    leading.values = tridiagonalEigenvalues(t.diagonal, t.below, context).reverse();

    const int order = blasInt(n), wanted = blasInt(k);
    VectorF64 diagonal = t.diagonal, below(n);  // which LAPACK overwrites
    below.head(n - 1) = t.below;
    MatrixF64 rows(k, n);  // LAPACK's columns
    VectorF64 found(n);
    std::vector<lapack_int> support(2 * static_cast<std::size_t>(k));
    lapack_int count = 0;
    lapack_logical tryAccurate = 1;
    checkInfo(LAPACKE_dstemr(LAPACK_COL_MAJOR, 'V', 'I', order, diagonal.data(), below.data(), 0, 0, order - wanted + 1, order,
                             &count, found.data(), rows.data(), order, wanted, support.data(), &tryAccurate),
              "eigenvectors", n, n);
    LQER_ASSERT(count == wanted);
    applyReflections(matrix, t.tau, rows, context);
    leading.vectors = rows.colwise().reverse().transpose();
    return leading;
}

MatrixF64 symmetricSqrt(const ConstMatrixF64Ref &matrix)
{
    const SymmetricEigen eigen = symmetricEigen(matrix);
    const VectorF64 roots = eigen.values.cwiseMax(0.0).cwiseSqrt();
    MatrixF64 root(matrix.rows(), matrix.cols());
    multiplyTransposed(MatrixF64(eigen.vectors * roots.asDiagonal()), eigen.vectors, root);
    return root;
}

void orthonormalizeColumns(MatrixF64 &q)
{
    const Index n = q.rows();
    const Index k = q.cols();
    LQER_ASSERT(k <= n);
    if (k == 0)
        return;
    useSingleThreadedBlas();
    MatrixF64 columns = q.transpose();  // LAPACK's layout
    VectorF64 tau(k);
    checkInfo(LAPACKE_dgeqrf(LAPACK_COL_MAJOR, blasInt(n), blasInt(k), columns.data(), blasInt(n), tau.data()), "QR factors", n,
              k);
    const VectorF64 diagonal = columns.leftCols(k).diagonal();
    checkInfo(LAPACKE_dorgqr(LAPACK_COL_MAJOR, blasInt(n), blasInt(k), blasInt(k), columns.data(), blasInt(n), tau.data()),
              "QR factors", n, k);
    for (Index j = 0; j < k; ++j)
        q.col(j) = (diagonal[j] < 0 ? -1.0 : 1.0) * columns.row(j).transpose();
}

}  // namespace lqer
