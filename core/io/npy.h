// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/tensor/tensor.h"

namespace lqer {

// NumPy .npy files, format versions 1 to 3, little endian, C order, plain number types (no objects).
// Throws Error(Format | Unsupported).
Tensor readNpy(const std::string &path);
// Written atomically as version 1.0.
void writeNpy(const std::string &path, const Tensor &tensor);

}  // namespace lqer
