// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/model/model_config.h"
#include "core/tensor/matrix.h"

namespace lqer {

// x / sqrt(mean(x^2) + eps) * weight for each row; sums in double. x and y may be the same, here and below.
void rmsNorm(const ConstMatrixRef &x, const Vector &weight, double eps, MatrixRef y);
// (x - mean) / sqrt(variance + eps) * weight + bias for each row; sums in double. Empty weight or bias: without it.
void layerNorm(const ConstMatrixRef &x, const Vector &weight, const Vector &bias, double eps, MatrixRef y);

// In place.
void activate(Activation activation, MatrixRef x);
// gate = activation(gate) * up.
void activateGate(Activation activation, MatrixRef gate, const ConstMatrixRef &up);

// y += x; y += bias for each row.
void add(MatrixRef y, const ConstMatrixRef &x);
void addToRows(MatrixRef y, const Vector &bias);

// exp((v - max) / divisor), in place; returns their sum, made in double. Not empty. Results below 2^-126 may be that.
float exponentials(std::span<float> values, float divisor);
// The same divided by their sum.
void softmax(std::span<float> values, float divisor = 1);
// log of the softmax at `index`. NaN if the values are not finite.
float logSoftmaxAt(std::span<const float> values, std::size_t index);

}  // namespace lqer
