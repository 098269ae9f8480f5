// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/model/model_config.h"
#include "core/tensor/matrix.h"

namespace lqer {

// x / sqrt(mean(x^2) + eps) * weight for each row; sums in double.
void rmsNorm(const ConstMatrixRef &x, const Vector &weight, double eps, MatrixRef y);
// (x - mean) / sqrt(variance + eps) * weight + bias for each row; sums in double. Empty weight or bias: without it.
void layerNorm(const ConstMatrixRef &x, const Vector &weight, const Vector &bias, double eps, MatrixRef y);

// In place.
void activate(Activation activation, MatrixRef x);

// exp(v - max) / sum of v = values / divisor, in place; the sum in double. Not empty. Results below 2^-126 may be that.
void softmax(std::span<float> values, float divisor = 1);
// log of the softmax at `index`. NaN if the values are not finite.
float logSoftmaxAt(std::span<const float> values, std::size_t index);

}  // namespace lqer
