// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/model/hooks.h"
#include "core/tensor/matrix.h"

namespace lqer {

struct AttentionGeometry {
    std::int64_t heads = 0;
    std::int64_t kvHeads = 0;        // each serves heads / kvHeads consecutive query heads
    std::int64_t headDim = 0;
    std::int64_t slidingWindow = 0;  // a token sees itself and the slidingWindow - 1 before it; 0: all before it
    float scoreDivisor = 1;          // scores are q k^T / scoreDivisor
};

// Causal attention of one window. query (tokens, heads * headDim), key and value (tokens, kvHeads * headDim), result like query.
// Scores above the diagonal are not computed beyond blocks of rows; softmax in float32 with its sum in double.
void attend(const AttentionGeometry &geometry, const ConstMatrixRef &query, const ConstMatrixRef &key,
            const ConstMatrixRef &value, MatrixRef result, const TaskContext &context);

// The same with all four operands handed to hooks.attentionOperand() before they are multiplied; needs tokens^2 * heads floats.
void attendThroughHooks(const AttentionGeometry &geometry, const ForwardHooks &hooks, std::int64_t layer,
                        const ConstMatrixRef &query, const ConstMatrixRef &key, const ConstMatrixRef &value, MatrixRef result,
                        const TaskContext &context);

}  // namespace lqer
