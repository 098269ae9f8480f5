// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <lapacke.h>

#include "core/linalg/blas.h"
#include "core/linalg/decomposition.h"

namespace lqer {

std::optional<MatrixF64> choleskyFactor(MatrixF64 matrix, const TaskContext &context)
{
    constexpr Index block = 256, tile = 512;
    LQER_ASSERT(matrix.rows() == matrix.cols());
    useSingleThreadedBlas();
    const Index n = matrix.rows();
    const int stride = blasInt(n);
    for (Index begin = 0; begin < n; begin += block) {
        context.checkStop();
        const Index width = std::min(block, n - begin), next = begin + width;
        double *diagonal = &matrix(begin, begin);
        // Column-major upper is row-major lower.
        if (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', blasInt(width), diagonal, stride) != 0)
            return std::nullopt;
        const auto rowsOf = [&](Index first, Index last) { return blasInt(last - first); };
        parallelFor(context, n - next, tile, [&](Index first, Index last) {
            cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, rowsOf(first, last), blasInt(width), 1.0, diagonal, stride,
                        &matrix(next + first, begin), stride);
        });
        parallelFor(context, n - next, tile, [&](Index first, Index last) {
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rowsOf(first, last), blasInt(last), blasInt(width), -1.0, &matrix(next + first, begin),
                        stride, &matrix(next, begin), stride, 1.0, &matrix(next + first, next), stride);
        });
    }
    matrix.triangularView<Eigen::StrictlyUpper>().setZero();
    return matrix;
}

}  // namespace lqer
