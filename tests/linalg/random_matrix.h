// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <random>

#include "core/linalg/decomposition.h"
#include "core/linalg/gemm.h"
#include "core/tensor/matrix.h"

namespace lqer::test {

inline MatrixF64 randomMatrixF64(Index rows, Index cols, unsigned seed)
{
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    return MatrixF64::NullaryExpr(rows, cols, [&](Index, Index) { return normal(engine); });
}

inline MatrixF64 randomSymmetric(Index order, unsigned seed)
{
    const MatrixF64 x = randomMatrixF64(order, order, seed);
    return x + x.transpose();
}

inline Matrix randomMatrix(Index rows, Index cols, unsigned seed)
{
    return randomMatrixF64(rows, cols, seed).cast<float>();
}

// Whole numbers of at most 8 bits: bfloat16 holds them, and sums of a few hundred products are exact in float.
inline Matrix wholeNumbers(Index rows, Index cols, unsigned seed)
{
    std::mt19937 random(seed);
    return Matrix::NullaryExpr(rows, cols, [&](Index, Index) { return static_cast<float>(static_cast<int>(random() % 511U) - 255); });
}

inline bool sameBits(const Matrix &a, const Matrix &b)
{
    return a.rows() == b.rows() && a.cols() == b.cols()
           && (a.size() == 0 || std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0);
}

// Activations as transformers have them: correlated channels of log-normal size, a few of them large. (tokens, features)
inline Matrix randomActivations(Index tokens, Index features, unsigned seed, double spread = 0.7)
{
    const Index latent = std::max<Index>(1, features / 4);
    std::mt19937_64 engine(seed + 1000);
    std::normal_distribution<double> normal;
    MatrixF64 x = randomMatrixF64(tokens, latent, seed) * randomMatrixF64(latent, features, seed + 1)
                  / std::sqrt(static_cast<double>(latent));
    x += 0.5 * randomMatrixF64(tokens, features, seed + 2);
    for (Index j = 0; j < features; ++j)
        x.col(j) *= std::exp(spread * normal(engine)) * (j % 97 == 13 ? 10.0 : 1.0);
    return x.cast<float>();
}

// Round-off-like error of a weight (out, in) with a few directions above the noise.
inline Matrix randomError(Index out, Index in, unsigned seed)
{
    MatrixF64 e = randomMatrixF64(out, in, seed);
    e += 3.0 * randomMatrixF64(out, 5, seed + 1) * randomMatrixF64(5, in, seed + 2);
    return (0.01 * e).cast<float>();
}

}  // namespace lqer::test
