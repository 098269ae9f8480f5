// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/tensor/matrix.h"
#include "tests/model/small_model.h"

namespace lqer::test {

// Logits (tokens, vocabulary) in double, by plain loops written from the definitions in transformers' modeling files and sharing
// nothing with the engine: the second opinion. Tensor names must be the unabbreviated ones.
MatrixF64 naiveLogits(const SmallModel &model, const std::vector<int> &ids);

}  // namespace lqer::test
