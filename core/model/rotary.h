// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/model/model_config.h"
#include "core/tensor/matrix.h"

namespace lqer {

// Cosine and sine of every angle, (tokens, headDim / 2).
struct RotaryTable {
    Matrix cosine;
    Matrix sine;
};

// Angle per position of each of the headDim / 2 frequencies. float32 arithmetic, as transformers' modeling_rope_utils.py;
// `tokens` is the length of the sequence, which matters for dynamic scaling only.
Vector inverseFrequencies(const ModelConfig &config, std::int64_t tokens);

RotaryTable rotaryTable(const ModelConfig &config, std::int64_t tokens);

// Rotates every head of x (tokens, heads * headDim) in place; element i of a head's first half pairs with element i of its
// second.
void rotate(const RotaryTable &table, std::int64_t headDim, MatrixRef x);

// The tables for windows of several lengths.
class Rotary {
public:
    Rotary(const ModelConfig &config, const std::vector<std::int64_t> &lengths);
    // For one of the lengths given; the table may have more rows.
    const RotaryTable &table(std::int64_t length) const;

private:
    std::int64_t tableLength(std::int64_t length) const;
    std::int64_t m_shared = 0;  // rows of the table that all lengths up to it use
    std::map<std::int64_t, RotaryTable> m_tables;
};

}  // namespace lqer
