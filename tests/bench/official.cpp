// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/official.h"

#include <bit>
#include <cmath>
#include <stdexcept>
#include <vector>

#include <lapacke.h>

#include "core/linalg/blas.h"

namespace lqer::bench {

namespace {

void check(lapack_int info, const char *routine)
{
    if (info != 0)
        throw std::runtime_error(std::string(routine) + " failed");
}

Matrix product(const Matrix &a, const Matrix &b)
{
    Matrix c(a.rows(), b.cols());
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blasInt(a.rows()), blasInt(b.cols()), blasInt(a.cols()), 1.0F, a.data(),
                blasInt(a.cols()), b.data(), blasInt(b.cols()), 0.0F, c.data(), blasInt(c.cols()));
    return c;
}

// torch.linalg.solve(scale, x): LU of a dense matrix.
Matrix solve(Matrix scale, Matrix x)
{
    std::vector<lapack_int> pivots(static_cast<std::size_t>(scale.rows()));
    check(LAPACKE_sgesv(LAPACK_ROW_MAJOR, blasInt(scale.rows()), blasInt(x.cols()), scale.data(), blasInt(scale.cols()), pivots.data(),
                        x.data(), blasInt(x.cols())),
          "sgesv");
    return x;
}

Factors factorsOf(const Matrix &scale, const Matrix &error, Index rank)
{
    const FullSvd svd = fullSvd(product(scale, error));
    return {solve(scale, svd.u.leftCols(rank)), svd.sigma.head(rank).asDiagonal() * svd.vt.topRows(rank)};
}

}  // namespace

// Row-major is LAPACK's transpose, whose U is our V.
FullSvd fullSvd(const Matrix &matrix)
{
    useSingleThreadedBlas();
    const int rows = blasInt(matrix.rows()), cols = blasInt(matrix.cols());
    FullSvd svd{Matrix(rows, rows), Vector(std::min(rows, cols)), Matrix(cols, cols)};
    Matrix work = matrix;
    check(LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'A', cols, rows, work.data(), cols, svd.sigma.data(), svd.vt.data(), cols, svd.u.data(), rows),
          "sgesdd");
    return svd;
}

Vector gesddValues(const Matrix &matrix)
{
    useSingleThreadedBlas();
    const int rows = blasInt(matrix.rows()), cols = blasInt(matrix.cols());
    Vector sigma(std::min(rows, cols));
    Matrix work = matrix;
    float unused = 0;
    check(LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'N', cols, rows, work.data(), cols, sigma.data(), &unused, cols, &unused, rows), "sgesdd");
    return sigma;
}

Factors lqerFactors(const Matrix &error, const Vector &scale, Index rank)
{
    return factorsOf(scale.asDiagonal().toDenseMatrix(), error, rank);
}

MatrixF64 schurSqrt(const MatrixF64 &matrix)
{
    useSingleThreadedBlas();
    const int n = blasInt(matrix.rows());
    constexpr int block = 64;
    MatrixF64 t = matrix, z(n, n);  // column-major to LAPACK; symmetric, so the same
    std::vector<double> real(static_cast<std::size_t>(n)), imaginary(static_cast<std::size_t>(n));
    lapack_int sorted = 0;
    check(LAPACKE_dgees(LAPACK_COL_MAJOR, 'V', 'N', nullptr, n, t.data(), n, &sorted, real.data(), imaginary.data(), z.data(), n), "dgees");
    // Element (i, j) of LAPACK's upper triangle.
    const auto at = [n](MatrixF64 &m, int i, int j) -> double & { return m.data()[static_cast<std::ptrdiff_t>(j) * n + i]; };
    MatrixF64 r = MatrixF64::Zero(n, n);
    for (int end = n; end > 0; end -= std::min(block, end)) {
        const int begin = std::max(0, end - block);
        for (int j = begin; j < end; ++j) {
            at(r, j, j) = std::sqrt(std::max(at(t, j, j), 0.0));
            for (int i = j - 1; i >= begin; --i) {
                double sum = at(t, i, j);
                for (int l = i + 1; l < j; ++l)
                    sum -= at(r, i, l) * at(r, l, j);
                at(r, i, j) = sum / (at(r, i, i) + at(r, j, j));
            }
        }
    }
    // Blocks above the diagonal: R_ii X + X R_jj = T_ij - sum R_il R_lj. The first block from the end may be short.
    std::vector<int> starts;
    for (int end = n; end > 0; end -= std::min(block, end))
        starts.insert(starts.begin(), std::max(0, end - block));
    starts.push_back(n);
    const auto blocks = static_cast<int>(starts.size()) - 1;
    const auto start = [&](int i) { return starts[static_cast<std::size_t>(i)]; };
    for (int j = 1; j < blocks; ++j)
        for (int i = j - 1; i >= 0; --i) {
            const int rows = start(i + 1) - start(i), cols = start(j + 1) - start(j), inner = start(j) - start(i + 1);
            double *x = &at(r, start(i), start(j));
            for (int c = 0; c < cols; ++c)
                std::copy_n(&at(t, start(i), start(j) + c), rows, x + static_cast<std::ptrdiff_t>(c) * n);
            if (inner > 0)
                cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, rows, cols, inner, -1.0, &at(r, start(i), start(i + 1)), n,
                            &at(r, start(i + 1), start(j)), n, 1.0, x, n);
            double scale = 1;
            check(LAPACKE_dtrsyl(LAPACK_COL_MAJOR, 'N', 'N', 1, rows, cols, &at(r, start(i), start(i)), n, &at(r, start(j), start(j)), n, x,
                                 n, &scale),
                  "dtrsyl");
        }
    MatrixF64 zr(n, n), root(n, n);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0, z.data(), n, r.data(), n, 0.0, zr.data(), n);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, n, n, n, 1.0, zr.data(), n, z.data(), n, 0.0, root.data(), n);
    return root;
}

Factors exactFactors(const Matrix &error, const MatrixF64 &autocorrelation, Index rank)
{
    return factorsOf(schurSqrt(autocorrelation).cast<float>(), error, rank);
}

Matrix mxint4ByPasses(const Matrix &weight)
{
    constexpr Index block = 32;
    constexpr float smallest = 0x1p-126F;
    const auto size = static_cast<std::size_t>(weight.size());
    std::vector<float> zeroed(size), magnitude(size), scale(size), mantissa(size), sign(size);
    for (std::size_t i = 0; i < size; ++i)  // x[abs(x) < tiny] = 0
        zeroed[i] = std::fabs(weight.data()[i]) < smallest ? 0.0F : weight.data()[i];
    for (std::size_t i = 0; i < size; ++i)  // abs
        magnitude[i] = std::fabs(zeroed[i]);
    std::vector<float> largest(size / block, 0.0F);
    for (std::size_t i = 0; i < size; ++i)  // amax
        largest[i / block] = std::max(largest[i / block], magnitude[i]);
    for (float &value : largest)  // exponent of the largest
        value = std::bit_cast<float>(std::max(std::bit_cast<std::uint32_t>(value) >> 23, 1U) << 23);
    for (std::size_t i = 0; i < size; ++i)  // repeat
        scale[i] = largest[i / block];
    for (std::size_t i = 0; i < size; ++i)  // sign
        sign[i] = zeroed[i] < 0 ? -1.0F : 1.0F;
    for (std::size_t i = 0; i < size; ++i)  // divide
        mantissa[i] = magnitude[i] / scale[i];
    for (float &value : mantissa)  // scale up
        value *= 4.0F;
    for (float &value : mantissa)  // round
        value = std::nearbyint(value);
    for (float &value : mantissa)  // clamp
        value = std::min(value, 7.0F);
    for (std::size_t i = 0; i < size; ++i)  // sign * mantissa * scale
        mantissa[i] *= scale[i];
    for (float &value : mantissa)
        value /= 4.0F;
    Matrix result(weight.rows(), weight.cols());
    for (std::size_t i = 0; i < size; ++i)
        result.data()[i] = sign[i] * mantissa[i];
    return result;
}

}  // namespace lqer::bench
