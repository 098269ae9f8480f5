// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/engine/engine.h"

namespace lqer {

// Bytes of one layer's decomposition at its worst moment, without the statistics of its input.
std::uint64_t layerWorkBytes(const LinearSite &site, ScalingKind scaling, Index storedRank, bool fullSpectrum);
// Bytes of one input's statistics.
std::uint64_t statisticsBytes(std::int64_t features, bool autocorrelation);
// Float32 weights of the largest block, and what running one window through it takes.
std::uint64_t largestBlockBytes(const Transformer &model);
std::uint64_t windowWorkBytes(const ModelConfig &config, std::int64_t tokens);
std::int64_t longestWindow(const TokenWindows &windows);
std::int64_t tokenCount(const TokenWindows &windows);

// Windows that may go through the model together so that their hidden states take at most a quarter of `free`; 0: all of them.
std::size_t fittingGroup(const TokenWindows &windows, const ModelConfig &config, std::size_t threads, std::uint64_t free);

}  // namespace lqer
