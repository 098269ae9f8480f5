// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/export/checkpoint_files.h"

namespace lqer {

enum class DenseWeights {
    Quantized,  // W_q
    Merged,     // W_q + A B
};

// Every tensor of the model, linear layers as the recipe makes them, dequantized into `dtype`. exact: a value of W_q, or of a bias, that
// would be rounded throws Error(Numeric) naming the tensor.
std::vector<TensorGroup> denseCheckpoint(const ExportSource &source, DenseWeights weights, DType dtype, bool exact);
// The narrowest type in which all of it is as it is: W_q, quantized biases, and what the checkpoint stores.
DType exactType(const ExportSource &source);

// A linear layer's tensors, W_q (or W_q + A B) and bias: for targets that keep some layers dense.
TensorGroup denseLayer(const ExportSource &source, const LinearSite &site, DenseWeights weights, DType dtype, bool exact);
// Its bias alone, as quantized.
Tensor biasTensor(const ExportSource &source, const LinearSite &site, DType dtype, bool exact, const TaskContext &context);

}  // namespace lqer
