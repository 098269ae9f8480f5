// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/engine/engine.h"

namespace lqer {

// Bytes of one layer's decomposition at its worst moment, from reading the weight to writing the factors, without the statistics of
// its input.
std::uint64_t layerWorkBytes(const LinearSite &site, ScalingKind scaling, const DecompositionOptions &options, std::size_t threads);

// What the statistics of an input and the products' buffers leave of `free` bytes for the layers that read it.
std::uint64_t layersRoom(std::uint64_t free, std::int64_t features, std::size_t threads);

// Layers of one input are decomposed side by side if `room` is enough for all of them, else one after the other.
struct GroupWork {
    bool sideBySide = false;
    std::uint64_t bytes = 0;  // of all of them, or of the largest
};
GroupWork groupWork(std::span<const std::uint64_t> layers, std::uint64_t room);
// Bytes of one input's statistics.
std::uint64_t statisticsBytes(std::int64_t features, bool autocorrelation);
// Float32 weights of the largest block, one of its layers a second time while it is laid out for products.
std::uint64_t largestBlockBytes(const Transformer &model);
std::uint64_t windowWorkBytes(const ModelConfig &config, std::int64_t tokens);
std::int64_t longestWindow(const TokenWindows &windows);
std::int64_t tokenCount(const TokenWindows &windows);

// Windows that may go through the model together so that their hidden states take at most a quarter of `free`; 0: all of them.
std::size_t fittingGroup(const TokenWindows &windows, const ModelConfig &config, std::size_t threads, std::uint64_t free);

}  // namespace lqer
