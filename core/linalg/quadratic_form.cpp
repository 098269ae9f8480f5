// SPDX-License-Identifier: Apache-2.0
#include "core/linalg/quadratic_form.h"

#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "core/base/processor.h"
#include "core/linalg/bf16_operand.h"
#include "core/linalg/bf16_weight.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

constexpr Index tile = 512;  // columns of R's lower triangle and rows of X that meet in one product
static_assert(tile % Bf16Operand::pieceColumns == 0);

constexpr Index narrowFrom = 1024;  // smaller ones take no time

constexpr Index lanes = 16;  // sums side by side: the same on every processor

// sum (2 a + x d) x over one row, in double.
double rowSum(const float *a, const float *x, const double *d, Index count)
{
    double sums[lanes] = {};
    forProcessor([&sums, a, x, d, count] {
        const Index whole = count / lanes * lanes;
        for (Index i = 0; i < whole; i += lanes)
            for (Index lane = 0; lane < lanes; ++lane) {
                const double value = x[i + lane];
                sums[lane] += (2.0 * a[i + lane] + value * d[i + lane]) * value;
            }
        for (Index i = whole; i < count; ++i) {
            const double value = x[i];
            sums[i - whole] += (2.0 * a[i] + value * d[i]) * value;
        }
    });
    double sum = 0;
    for (const double part : sums)
        sum += part;
    return sum;
}

}  // namespace

double quadraticForm(const ConstMatrixRef &x, const ConstMatrixF64Ref &r, Precision precision, const TaskContext &context)
{
    const Index n = x.cols();
    LQER_ASSERT(r.rows() == n && r.cols() == n);
    const double largest = n > 0 ? r.diagonal().maxCoeff() : 0.0;
    if (!(largest > 0))
        return 0;
    const bool narrow = precision == Precision::BFloat16 && n >= narrowFrom && Bf16Weight::isSupported();
    VectorF64 parts = VectorF64::Zero((n + tile - 1) / tile);
    parallelFor(context, n, tile, [&](Index column, Index end) {
        const Index columns = end - column;
        // R below the diagonal, from the diagonal block on; all of it counts twice.
        const auto below = [&](Index begin, Index count) {
            Matrix rows = (r.block(column + begin, column, count, columns) / largest).template cast<float>();
            for (Index i = begin; i < std::min(begin + count, columns); ++i)
                rows.row(i - begin).tail(columns - i).setZero();
            return rows;
        };
        std::optional<Bf16Operand> packed;
        Matrix lower;
        if (narrow) {
            packed.emplace(n - column, columns);
            for (Index begin = 0; begin < n - column; begin += Bf16Operand::pieceRows)
                packed->pack(begin, 0, below(begin, std::min(Bf16Operand::pieceRows, n - column - begin)));
        } else {
            lower = below(0, n - column);
        }
        const VectorF64 diagonal = r.diagonal().segment(column, columns) / largest;
        Matrix product;
        for (Index row = 0; row < x.rows(); row += tile) {
            context.checkStop();
            const Index rows = std::min(tile, x.rows() - row);
            const auto right = x.block(row, column, rows, n - column);
            product.resize(rows, columns);
            if (narrow)
                packed->multiply(right, product);
            else
                multiply(right, lower, product);
            for (Index i = 0; i < rows; ++i)
                parts[column / tile] += rowSum(product.data() + i * columns, right.data() + i * right.outerStride(), diagonal.data(), columns);
        }
    });
    return largest * parts.sum();
}

}  // namespace lqer
