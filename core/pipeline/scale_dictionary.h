// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "core/calib/calibration_stats.h"
#include "core/engine/loaded_model.h"
#include "core/project/project.h"

namespace lqer {

// LQER's scale_dict: "<layer>.scale" (in), float32, of every linear layer in the blocks: max(largest batch mean of |x|, 1e-4)
// over sqrt(min max) (numerics.md B.1). As safetensors instead of a pickle; lm_head, which nothing uses, is not there.
void writeScaleDictionary(const std::string &path, const CalibrationStats &stats, const Transformer &model);

// The scales that these layers need from such a file, as statistics of the project: what is there already is not read again.
// Returns their key. Throws Error naming file and tensor: missing, of another size, not positive, or different for layers that
// share an input.
std::string importScaleDictionary(
    Project &project, const LoadedModel &model, const std::string &path, std::span<const LinearSite *const> layers);

// The safetensors file for a path in a configuration, which may name the pickle of the same name. Throws Error(NotFound |
// Unsupported).
std::string tensorFile(const std::string &path);

}  // namespace lqer
