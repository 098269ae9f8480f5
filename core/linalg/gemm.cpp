// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/gemm.h"

#include <algorithm>
#include <vector>

#include "core/base/processor.h"
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

// A part of a lower triangle: below the diagonal, or a square on it.
struct TrianglePart {
    Index row, rows, column, columns;
    bool onDiagonal() const { return row == column; }
};

// The parts of a lower triangle of order n, the largest first: halves below the diagonal, split into tiles, and small squares on it,
// of which only the half counts.
std::vector<TrianglePart> trianglePartsOf(Index n)
{
    constexpr Index square = 256, most = 1024;
    std::vector<TrianglePart> parts;
    const auto divide = [&](const auto &self, Index begin, Index end) -> void {
        if (end - begin <= square) {
            parts.push_back({begin, end - begin, begin, end - begin});
            return;
        }
        const Index middle = begin + ((end - begin) / 2 + square - 1) / square * square;
        self(self, begin, middle);
        self(self, middle, end);
        for (Index row = middle; row < end; row += most)
            for (Index column = begin; column < middle; column += most)
                parts.push_back({row, std::min(most, end - row), column, std::min(most, middle - column)});
    };
    if (n > 0)
        divide(divide, 0, n);
    std::stable_sort(parts.begin(), parts.end(),
                     [](const TrianglePart &a, const TrianglePart &b) { return a.rows * a.columns > b.rows * b.columns; });
    return parts;
}

// A part of X^T X, into `g` of row stride ld; of a square on the diagonal at least the lower half.
template <typename ConstView, typename Scalar>
void gramPart(const ConstView &x, const TrianglePart &part, Scalar *g, Index ld)
{
    if (part.onDiagonal())
        callSyrk(part.rows, x.rows(), x.data() + part.row, rowStride(x), g, ld);
    else
        callGemm(CblasTrans, CblasNoTrans, part.rows, part.columns, x.rows(), x.data() + part.row, rowStride(x),
                 x.data() + part.column, rowStride(x), g, ld);
}

// sum += product(part), added in double, for every part of the lower triangle. product(part, g, ld) as gramPart().
template <typename Product>
void addToTriangle(MatrixF64Ref sum, const TaskContext &context, const Product &product)
{
    const std::vector<TrianglePart> parts = trianglePartsOf(sum.rows());
    MatrixPool pool;
    parallelFor(context, static_cast<Index>(parts.size()), 1, [&](Index index, Index) {
        const TrianglePart &part = parts[static_cast<std::size_t>(index)];
        PooledMatrix g = pool.take(part.rows, part.columns);
        product(part, g->data(), part.columns);
        for (Index row = 0; row < part.rows; ++row)
            forProcessor([to = &sum(part.row + row, part.column), from = g->data() + row * part.columns,
                          count = part.onDiagonal() ? row + 1 : part.columns] {
                for (Index i = 0; i < count; ++i)
                    to[i] += static_cast<double>(from[i]);
            });
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
    const std::vector<TrianglePart> parts = trianglePartsOf(x.cols());
    parallelFor(context, static_cast<Index>(parts.size()), 1, [&](Index index, Index) {
        const TrianglePart &part = parts[static_cast<std::size_t>(index)];
        gramPart(x, part, g.data() + part.row * rowStride(g) + part.column, rowStride(g));
    });
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
    addToTriangle(sum, context, [&](const TrianglePart &part, float *g, Index ld) { gramPart(x, part, g, ld); });
}

void addGramLower(const Bf16Rows &x, MatrixF64Ref sum, const TaskContext &context)
{
    LQER_ASSERT(sum.rows() == x.cols() && sum.cols() == x.cols());
    if (x.rows() == 0)
        return;
    addToTriangle(sum, context, [&](const TrianglePart &part, float *g, Index ld) {
        oneDnnBf16Gram(part.rows, part.columns, x.rows(), x.row(0) + part.row, x.row(0) + part.column, x.cols(), g, ld);
    });
}

void fillUpper(MatrixF64Ref symmetric, const TaskContext &context)
{
    LQER_ASSERT(symmetric.rows() == symmetric.cols());
    mirrorLower(symmetric, context);
}

}  // namespace lqer
