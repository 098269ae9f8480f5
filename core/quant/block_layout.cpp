// SPDX-License-Identifier: Apache-2.0
#include "core/quant/block_layout.h"

#include <numeric>

#include <fmt/format.h>

#include "core/base/error.h"

namespace lqer {

namespace {

BlockLayout whole(const Shape &shape)
{
    if (shape.empty() || shape.size() > 3)
        throw Error(
            ErrorCode::Unsupported, fmt::format("number formats take one to three dimensions, found {}", toString(shape)));
    BlockLayout layout;
    std::copy(shape.begin(), shape.end(), layout.extent.end() - static_cast<std::ptrdiff_t>(shape.size()));
    return layout;
}

// A block is never longer than its dimension, and never empty.
std::int64_t fitted(std::int64_t length, std::int64_t extent)
{
    return std::max<std::int64_t>(1, length < 0 ? extent : std::min(length, extent));
}

}  // namespace

BlockLayout BlockLayout::alongAxis(const Shape &shape, std::int64_t axis, std::int64_t length)
{
    BlockLayout layout = whole(shape);
    const auto rank = static_cast<std::int64_t>(shape.size());
    const std::int64_t fromStart = axis < 0 ? axis + rank : axis;
    if (fromStart < 0 || fromStart >= rank)
        throw Error(ErrorCode::Argument, fmt::format("block_axis {} does not exist in {}", axis, toString(shape)));
    if (rank == 3 && fromStart == 0)
        throw Error(ErrorCode::Argument,
            fmt::format("block_axis {} of {} is the batch, which blocks do not cross", axis, toString(shape)));
    const auto at = static_cast<std::size_t>(fromStart + 3 - rank);
    layout.block[at] = fitted(length, layout.extent[at]);
    return layout;
}

BlockLayout BlockLayout::tiles(const Shape &shape, std::span<const std::int64_t> tile, bool skipFirst)
{
    BlockLayout layout = whole(shape);
    for (std::size_t i = 0; i < shape.size(); ++i)  // from the last dimension
        layout.block[2 - i] = fitted(i < tile.size() ? tile[tile.size() - 1 - i] : -1, layout.extent[2 - i]);
    // The batch of three dimensions is always skipped: the official code implements nothing else (numerics.md A.2). One
    // dimension has no batch.
    if (shape.size() == 3 || (skipFirst && shape.size() == 2))
        layout.block[3 - shape.size()] = 1;
    return layout;
}

BlockLayout BlockLayout::flattened(const Shape &shape, std::int64_t length)
{
    whole(shape);  // checks the rank
    BlockLayout layout;
    layout.extent[2] = elementCount(shape);
    layout.block[2] = fitted(length, layout.extent[2]);
    return layout;
}

std::int64_t BlockLayout::rowGranularity(const Shape &shape) const
{
    const std::int64_t rows = std::max<std::int64_t>(1, shape.front());
    if (shape.size() == 1)
        return std::min(block[2], rows);
    const bool flat = extent[0] == 1 && extent[1] == 1 && (shape.size() != 2 || shape[0] != 1 || shape[1] != extent[2]);
    if (!flat)
        return std::min(block[3 - shape.size()], rows);
    const std::int64_t perRow = std::max<std::int64_t>(1, elements() / rows);
    return std::min(block[2] / std::gcd(block[2], perRow), rows);
}

}  // namespace lqer
