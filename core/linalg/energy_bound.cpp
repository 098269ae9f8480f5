// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"

namespace lqer {

// In the basis of V and what is orthogonal to it, G = [T R^T; R S]. For every d > 0 it is at most [T + R^T R / d, 0; 0, S + d], since
// 2 x^T R^T y <= |R x|^2 / d + d |y|^2; so the k largest eigenvalues of G add up to at most those of that. Of S only the largest counts.
double leadingEnergyBound(const MatrixF64 &vectors, const GramOperator &gramOperator, const TaskContext &context)
{
    const Index k = vectors.rows(), n = vectors.cols();
    LQER_ASSERT(k <= n);
    if (k == 0)
        return 0;
    const Matrix v = vectors.cast<float>();
    const auto deflate = [&](Matrix &rows) {
        Matrix inside(rows.rows(), k), part(rows.rows(), n);
        multiplyTransposed(rows, v, inside, context);
        multiply(inside, v, part, context);
        rows -= part;
    };
    Matrix product(k, n);
    gramOperator(v, product);
    MatrixF64 t(k, k), r(k, n), residual(k, k);
    const MatrixF64 wide = product.cast<double>();
    multiplyTransposed(wide, vectors, t, context);
    t = (0.5 * (t + t.transpose())).eval();
    multiply(t, vectors, r, context);
    r = wide - r;
    multiplyTransposed(r, r, residual, context);

    double behind = 0;  // bounds S
    if (k < n) {
        const GramOperator deflated = [&](const ConstMatrixRef &x, MatrixRef y) {
            Matrix rows = x;
            deflate(rows);
            Matrix result(x.rows(), n);
            gramOperator(rows, result);
            deflate(result);
            y = result;
        };
        LeadingSubspaceOptions options;
        options.tolerance = 1e-6;
        const LeadingSubspace next = leadingSubspace(n, 1, deflated, options, context);
        const Matrix direction = next.vectors.cast<float>();
        Matrix image(1, n);
        deflated(direction, image);
        behind = next.values[0] + (image - static_cast<float>(next.values[0]) * direction).cast<double>().norm();
    }
    double least = std::numeric_limits<double>::max();
    const double largest = std::max(t.trace(), behind);
    for (double d = largest; d > 1e-9 * largest; d *= 0.7)
        least = std::min(least, symmetricEigenvalues(t + residual / d).cwiseMax(behind + d).sum());
    return largest > 0 ? least : 0.0;
}

}  // namespace lqer
