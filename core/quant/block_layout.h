// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "core/tensor/shape.h"

namespace lqer {

// How an array of one to three dimensions is cut into blocks that share a scale. Extents are right-aligned to three dimensions.
// Blocks are numbered row-major over their grid; the last block of a dimension may be shorter (the papers pad with zeros, which
// changes no block's largest magnitude).
struct BlockLayout {
    std::array<std::int64_t, 3> extent{1, 1, 1};
    std::array<std::int64_t, 3> block{1, 1, 1};

    // Blocks of `length` along one axis of the shape (negative: from the end), length < 0: the whole axis. Throws
    // Error(Argument) if the axis does not exist or is the batch axis of three dimensions, Error(Unsupported) on a bad rank.
    static BlockLayout alongAxis(const Shape &shape, std::int64_t axis, std::int64_t length);
    // Tiles as block_fp states them: right-aligned with the shape, missing leading entries and -1 mean the whole dimension.
    static BlockLayout tiles(const Shape &shape, std::span<const std::int64_t> tile, bool skipFirst);
    // Blocks of `length` elements of the flattened array; they straddle rows. length < 0: one block.
    static BlockLayout flattened(const Shape &shape, std::int64_t length);

    std::int64_t blocks(std::size_t axis) const { return (extent[axis] + block[axis] - 1) / block[axis]; }
    std::int64_t count() const { return blocks(0) * blocks(1) * blocks(2); }
    std::int64_t elements() const { return extent[0] * extent[1] * extent[2]; }

    // visit(block number, flat index of the first element, length) for every contiguous piece of a block, in flat order.
    template <typename Visit>
    void forEachRun(Visit visit) const
    {
        const std::int64_t acrossLast = blocks(2);
        for (std::int64_t i = 0; i < extent[0]; ++i) {
            for (std::int64_t j = 0; j < extent[1]; ++j) {
                const std::int64_t row = (i * extent[1] + j) * extent[2];
                const std::int64_t firstBlock = (i / block[0] * blocks(1) + j / block[1]) * acrossLast;
                for (std::int64_t k = 0; k < acrossLast; ++k) {
                    const std::int64_t start = k * block[2];
                    visit(static_cast<std::size_t>(firstBlock + k), static_cast<std::size_t>(row + start),
                          static_cast<std::size_t>(std::min(block[2], extent[2] - start)));
                }
            }
        }
    }

    // Quantizer::rowGranularity of an array of this shape laid out like this.
    std::int64_t rowGranularity(const Shape &shape) const;
};

}  // namespace lqer
