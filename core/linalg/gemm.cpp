// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/gemm.h"

#include <algorithm>

#include "core/linalg/blas.h"
#include "core/linalg/onednn.h"

namespace lqer {

namespace {

// Extents of a tile of the result. Each tile is one BLAS call, and the tiles depend on the result's shape only.
constexpr Index tileRows = 512;
constexpr Index tileColumns = 2048;

enum class Into { Set, Subtract };  // C = A B, C -= A B

void callGemm(CBLAS_TRANSPOSE transA, CBLAS_TRANSPOSE transB, Index m, Index n, Index k, const float *a, Index lda,
              const float *b, Index ldb, float *c, Index ldc, Into into = Into::Set)
{
    const float alpha = into == Into::Set ? 1.0F : -1.0F, beta = into == Into::Set ? 0.0F : 1.0F;
    if (oneDnnMultipliesFloat())
        oneDnnGemm(transA == CblasTrans, transB == CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else
        cblas_sgemm(CblasRowMajor, transA, transB, blasInt(m), blasInt(n), blasInt(k), alpha, a, blasInt(lda), b, blasInt(ldb),
                    beta, c, blasInt(ldc));
}

void callGemm(CBLAS_TRANSPOSE transA, CBLAS_TRANSPOSE transB, Index m, Index n, Index k, const double *a, Index lda,
              const double *b, Index ldb, double *c, Index ldc, Into into = Into::Set)
{
    cblas_dgemm(CblasRowMajor, transA, transB, blasInt(m), blasInt(n), blasInt(k), into == Into::Set ? 1.0 : -1.0, a, blasInt(lda), b,
                blasInt(ldb), into == Into::Set ? 0.0 : 1.0, c, blasInt(ldc));
}

template <typename View>
Index rowStride(const View &view)
{
    return std::max<Index>({1, view.cols(), view.outerStride()});
}

// C = op(A) op(B), or C -= it, op transposing where asked.
template <typename ConstView, typename View>
void product(bool transposeA, bool transposeB, const ConstView &a, const ConstView &b, View &c, const TaskContext &context,
             Into into = Into::Set)
{
    const Index m = transposeA ? a.cols() : a.rows();
    const Index k = transposeA ? a.rows() : a.cols();
    const Index n = transposeB ? b.rows() : b.cols();
    LQER_ASSERT(k == (transposeB ? b.cols() : b.rows()));
    LQER_ASSERT(c.rows() == m && c.cols() == n);
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        if (into == Into::Set)
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
                 c.data() + row * rowStride(c) + column, rowStride(c), into);
    });
}

// The lower triangle of X^T X, of a block on the diagonal.
void callSyrk(Index n, Index k, const float *x, Index ldx, float *g, Index ldg)
{
    callGemm(CblasTrans, CblasNoTrans, n, n, k, x, ldx, x, ldx, g, ldg);  // all of it, faster than OpenBLAS the half
}

void callSyrk(Index n, Index k, const double *x, Index ldx, double *g, Index ldg)
{
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, blasInt(n), blasInt(k), 1.0, x, blasInt(ldx), 0.0, g, blasInt(ldg));
}

// Rows [begin, end) of the lower triangle of X^T X, up to the diagonal, into `rows` of row stride ld.
template <typename ConstView, typename Scalar>
void gramRows(const ConstView &x, Index begin, Index end, Scalar *rows, Index ld)
{
    if (begin > 0)
        callGemm(CblasTrans, CblasNoTrans, end - begin, begin, x.rows(), x.data() + begin, rowStride(x), x.data(), rowStride(x),
                 rows, ld);
    callSyrk(end - begin, x.rows(), x.data() + begin, rowStride(x), rows + begin, ld);
}

// Calls body(begin, end) for the row blocks of a lower triangle of order n, the longest first.
template <typename Body>
void forTriangle(Index n, const TaskContext &context, Body &&body)
{
    const Index blocks = (n + tileRows - 1) / tileRows;
    parallelFor(context, blocks, 1, [&](Index index, Index) {
        const Index begin = (blocks - 1 - index) * tileRows;
        body(begin, std::min(n, begin + tileRows));
    });
}

template <typename View>
void mirrorLower(View &g, const TaskContext &context)
{
    const Index n = g.rows();
    parallelFor(context, n, 64, [&](Index begin, Index end) {
        for (Index column = begin + 1; column < n; ++column)
            for (Index row = begin; row < std::min(end, column); ++row)
                g(row, column) = g(column, row);
    });
}

template <typename ConstView, typename View>
void gramProduct(const ConstView &x, View &g, const TaskContext &context)
{
    LQER_ASSERT(g.rows() == x.cols() && g.cols() == x.cols());
    if (x.rows() == 0) {
        g.setZero();
        return;
    }
    useSingleThreadedBlas();
    forTriangle(x.cols(), context,
                [&](Index begin, Index end) { gramRows(x, begin, end, g.data() + begin * rowStride(g), rowStride(g)); });
    mirrorLower(g, context);
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

void subtractProduct(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context)
{
    product(false, false, a, b, c, context, Into::Subtract);
}

void gram(const ConstMatrixRef &x, MatrixRef g, const TaskContext &context)
{
    gramProduct(x, g, context);
}

void gram(const ConstMatrixF64Ref &x, MatrixF64Ref g, const TaskContext &context)
{
    gramProduct(x, g, context);
}

void addGramLower(const ConstMatrixRef &x, MatrixF64Ref sum, const TaskContext &context)
{
    LQER_ASSERT(sum.rows() == x.cols() && sum.cols() == x.cols());
    if (x.rows() == 0)
        return;
    useSingleThreadedBlas();
    forTriangle(x.cols(), context, [&](Index begin, Index end) {
        Matrix rows(end - begin, end);
        gramRows(x, begin, end, rows.data(), end);
        for (Index row = begin; row < end; ++row)
            sum.row(row).head(row + 1) += rows.row(row - begin).head(row + 1).cast<double>();
    });
}

void fillUpper(MatrixF64Ref symmetric, const TaskContext &context)
{
    LQER_ASSERT(symmetric.rows() == symmetric.cols());
    mirrorLower(symmetric, context);
}

}  // namespace lqer
