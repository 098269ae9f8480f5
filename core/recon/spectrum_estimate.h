// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/recon/error_gram.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// Estimates of all min(in, out) singular values of a quantization error, descending, from products with what an ErrorGram holds packed for
// the factors' iteration (spectral_density.h, which says how far off they may be). Under scalings that are diagonal on the smaller side; the
// Gram matrix of the smaller side under exact scaling would take a factor of R, so where out > in the larger side's zeros are cut off: values
// below some hundredths of the largest are uncertain there.

// Of F E; energy: ||F E||^2.
VectorF64 estimatedShapedSpectrum(const ErrorGram &gram, double energy, const TaskContext &context);
// Of E itself, where gram's scaling is Identity or Exact: that is packed without a scaling. energy: ||E||^2.
VectorF64 estimatedPlainSpectrum(const ErrorGram &gram, double energy, const TaskContext &context);
// Bytes that either takes beside the ErrorGram.
std::uint64_t spectrumEstimateBytes(Index out, Index in);

// `leading` as they are, then the estimates of the others, which share what energy is left; none is larger than those before.
VectorF64 withEstimates(const VectorF64 &leading, VectorF64 estimates, double energy);

}  // namespace lqer
