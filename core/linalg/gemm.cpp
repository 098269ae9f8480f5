// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/gemm.h"

#include <algorithm>

#include "core/linalg/blas.h"

namespace lqer {

namespace {

// Extents of a tile of the result. Each tile is one BLAS call, and the tiles depend on the result's shape only.
constexpr Index tileRows = 512;
constexpr Index tileColumns = 2048;

void callGemm(CBLAS_TRANSPOSE transA, CBLAS_TRANSPOSE transB, Index m, Index n, Index k, const float *a, Index lda, const float *b,
              Index ldb, float *c, Index ldc)
{
    cblas_sgemm(CblasRowMajor, transA, transB, blasInt(m), blasInt(n), blasInt(k), 1.0F, a, blasInt(lda), b, blasInt(ldb), 0.0F, c,
                blasInt(ldc));
}

void callGemm(CBLAS_TRANSPOSE transA, CBLAS_TRANSPOSE transB, Index m, Index n, Index k, const double *a, Index lda, const double *b,
              Index ldb, double *c, Index ldc)
{
    cblas_dgemm(CblasRowMajor, transA, transB, blasInt(m), blasInt(n), blasInt(k), 1.0, a, blasInt(lda), b, blasInt(ldb), 0.0, c,
                blasInt(ldc));
}

template <typename View>
Index rowStride(const View &view)
{
    return std::max<Index>({1, view.cols(), view.outerStride()});
}

// C = op(A) op(B), op transposing where asked.
template <typename ConstView, typename View>
void product(bool transposeA, bool transposeB, const ConstView &a, const ConstView &b, View &c, const TaskContext &context)
{
    const Index m = transposeA ? a.cols() : a.rows();
    const Index k = transposeA ? a.rows() : a.cols();
    const Index n = transposeB ? b.rows() : b.cols();
    LQER_ASSERT(k == (transposeB ? b.cols() : b.rows()));
    LQER_ASSERT(c.rows() == m && c.cols() == n);
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        c.setZero();
        return;
    }
    useSingleThreadedBlas();
    const Index columnTiles = (n + tileColumns - 1) / tileColumns;
    const Index tiles = (m + tileRows - 1) / tileRows * columnTiles;
    parallelFor(context, tiles, 1, [&](Index tile, Index) {
        const Index row = tile / columnTiles * tileRows;
        const Index column = tile % columnTiles * tileColumns;
        const auto *aBlock = a.data() + (transposeA ? row : row * rowStride(a));
        const auto *bBlock = b.data() + (transposeB ? column * rowStride(b) : column);
        callGemm(transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, std::min(tileRows, m - row),
                 std::min(tileColumns, n - column), k, aBlock, rowStride(a), bBlock, rowStride(b),
                 c.data() + row * rowStride(c) + column, rowStride(c));
    });
}

// Row blocks of the lower triangle, each up to its diagonal block, then the mirror image above.
template <typename ConstView, typename View>
void gramProduct(const ConstView &x, View &g, const TaskContext &context)
{
    const Index n = x.cols();
    LQER_ASSERT(g.rows() == n && g.cols() == n);
    if (x.rows() == 0) {
        g.setZero();
        return;
    }
    useSingleThreadedBlas();
    parallelFor(context, n, tileRows, [&](Index begin, Index end) {
        callGemm(CblasTrans, CblasNoTrans, end - begin, end, x.rows(), x.data() + begin, rowStride(x), x.data(), rowStride(x),
                 g.data() + begin * rowStride(g), rowStride(g));
    });
    parallelFor(context, n, 64, [&](Index begin, Index end) {
        for (Index column = begin + 1; column < n; ++column)
            for (Index row = begin; row < std::min(end, column); ++row)
                g(row, column) = g(column, row);
    });
}

}  // namespace

void multiply(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context)
{
    product(false, false, a, b, c, context);
}

void multiply(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context)
{
    product(false, false, a, b, c, context);
}

void multiplyTransposed(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context)
{
    product(false, true, a, b, c, context);
}

void multiplyTransposed(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context)
{
    product(false, true, a, b, c, context);
}

void transposedMultiply(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context)
{
    product(true, false, a, b, c, context);
}

void transposedMultiply(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context)
{
    product(true, false, a, b, c, context);
}

void gram(const ConstMatrixRef &x, MatrixRef g, const TaskContext &context)
{
    gramProduct(x, g, context);
}

void gram(const ConstMatrixF64Ref &x, MatrixF64Ref g, const TaskContext &context)
{
    gramProduct(x, g, context);
}

}  // namespace lqer
