// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>

namespace lqer {

using Index = Eigen::Index;

// Dense, row-major, as weights and activations lie in memory: a weight is (out, in), activations are (tokens, features).
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixF64 = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;
using VectorF64 = Eigen::VectorXd;

// Views with a row stride: a block of rows or columns of a bigger matrix, without a copy.
using MatrixRef = Eigen::Ref<Matrix, 0, Eigen::OuterStride<>>;
using ConstMatrixRef = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;
using MatrixF64Ref = Eigen::Ref<MatrixF64, 0, Eigen::OuterStride<>>;
using ConstMatrixF64Ref = Eigen::Ref<const MatrixF64, 0, Eigen::OuterStride<>>;

}  // namespace lqer
