// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/export/exporter.h"

// What packed checkpoints for GPU engines (compressed-tensors, GPTQ) have in common: integers with half-precision scales along the input.
namespace lqer {

// The "integer" format as such checkpoints state it.
struct IntegerScheme {
    int bits = 4;
    bool affine = false;        // with zero points that are codes
    std::int64_t group = -1;    // elements along the input that share a scale; -1: all of them
    DType scaleType = DType::F16;
    std::int64_t groups(std::int64_t in) const { return group < 0 ? 1 : in / group; }
    friend bool operator==(const IntegerScheme &, const IntegerScheme &) = default;
};
// None if the format is no such integer; `reason` then says why: "has scales in float32, ...".
std::optional<IntegerScheme> integerScheme(const FormatSpec &format, std::string *reason = nullptr);

// Why a layer of these extents cannot be packed into words of 32 bits along the input; "" if it can.
std::string packingProblem(const IntegerScheme &scheme, const LinearSite &site);

// Code of row `out`, column `in`, counted from 0: symmetric ones are excess 2^(bits-1). Expanded from QuantizedWeight::codes, row-major.
std::vector<std::uint32_t> expandedCodes(const QuantizedWeight &weight, int bits);
// Zero point of every group as a code, row-major (out, groups).
std::vector<std::uint32_t> zeroPoints(const QuantizedWeight &weight, const IntegerScheme &scheme, std::int64_t count);

}  // namespace lqer
