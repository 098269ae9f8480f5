// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <vector>

#include "core/project/decomposition_record.h"

namespace lqer {

// What is left of a layer's error with a correction of each rank, from a stored decomposition: every move of a slider reads it.
struct ErrorCurve {
    // True: relative error of the layer's output, sqrt(E||x (E - C_k)||^2 / E||x W^T||^2). False, without statistics: of its weight.
    bool output = false;
    std::vector<double> left;  // rank 0 ... min(in, out); empty if the layer's values are all zero

    double at(int rank) const;  // NaN if nothing is known
};

// Exact up to the rank the factors are kept to; beyond it the rest falls as the spectrum does.
ErrorCurve errorCurve(const DecompositionRecord &record);

}  // namespace lqer
