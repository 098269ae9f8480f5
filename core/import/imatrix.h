// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/calib/calibration_stats.h"
#include "core/model/transformer.h"

namespace lqer {

// What llama.cpp's `llama-imatrix` collected of a model, as statistics: the mean square of every channel of every linear layer's input, and
// nothing else, so scalings diag and identity can be used with them. Both forms of the file are read: GGUF, and the older .dat, which
// keeps means (then `tokens` counts chunks, as nothing says how many tokens there were).
// Throws Error(NotFound) listing inputs of the model that the file does not have, Error(Shape | Format | Numeric) naming the entry.
CalibrationStats readImatrix(const std::string &path, const Transformer &model, const std::string &modelFingerprint);

}  // namespace lqer
