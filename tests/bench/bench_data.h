// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/calib/calibration_stats.h"
#include "core/tensor/matrix.h"

namespace lqer::bench {

// Standard normal values; much faster than std::normal_distribution, the same everywhere.
Matrix normalMatrix(Index rows, Index cols, std::uint64_t seed);
// A weight (out, in) as trained models have them: rows of log-normal size, heavy tails, one input channel in 200 several times larger.
Matrix heavyWeight(Index out, Index in, std::uint64_t seed);
// Log-normal sizes of input channels with one in 300 ten times larger; spread 0: all 1, the flattest spectrum there is.
Vector channelScale(Index in, double spread, std::uint64_t seed);
// Statistics of inputs whose channels have these sizes, with R from correlated activations. tokens >= 1.
SiteStats activationStats(const Vector &scale, Index tokens, std::uint64_t seed);

}  // namespace lqer::bench
