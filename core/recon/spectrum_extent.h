// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/tensor/matrix.h"

namespace lqer {

// How much of a layer's singular values there is, from little to all.
enum class SpectrumExtent {
    Leading,    // those that belong to the factors
    Estimated,  // those, and estimates of the others (spectrum_estimate.h)
    Whole,      // all, computed
};
std::string_view toString(SpectrumExtent extent);                // "leading", "estimated", "whole"
SpectrumExtent spectrumExtentFromString(std::string_view name);  // throws Error(Argument)

// Of sigma, whose first `exact` values are computed and the others estimates, for a matrix of `order` singular values.
SpectrumExtent spectrumExtent(const VectorF64 &sigma, Index exact, Index order);

}  // namespace lqer
