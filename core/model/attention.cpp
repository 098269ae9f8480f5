// SPDX-License-Identifier: Apache-2.0
#include "core/model/attention.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/linalg/gemm.h"
#include "core/model/layers.h"

namespace lqer {

namespace {

// Query rows that are multiplied with all keys they see in one product. Part of the result's rounding, so a constant.
constexpr Index rowBlock = 128;

Index firstSeen(const AttentionGeometry &geometry, Index token)
{
    return geometry.slidingWindow > 0 ? std::max<Index>(0, token - geometry.slidingWindow + 1) : 0;
}

// One row of scores becomes probabilities: scores[0] belongs to key `firstKey`; keys that `token` does not see get 0.
void normalizeScores(const AttentionGeometry &geometry, Index token, Index firstKey, Eigen::Ref<Eigen::RowVectorXf> scores)
{
    const Index begin = firstSeen(geometry, token) - firstKey;
    const Index end = token + 1 - firstKey;
    scores.head(begin).setZero();
    scores.tail(scores.size() - end).setZero();
    auto seen = scores.segment(begin, end - begin);
    softmax(std::span(seen.data(), static_cast<std::size_t>(seen.size())), geometry.scoreDivisor);
}

}  // namespace

void attend(const AttentionGeometry &geometry, const ConstMatrixRef &query, const ConstMatrixRef &key,
            const ConstMatrixRef &value, MatrixRef result, const TaskContext &context)
{
    const Index tokens = query.rows();
    const Index dim = geometry.headDim;
    const Index shared = geometry.heads / geometry.kvHeads;
    parallelFor(context, geometry.heads, 1, [&](Index head, Index) {
        const auto keys = key.middleCols(head / shared * dim, dim);
        const auto values = value.middleCols(head / shared * dim, dim);
        for (Index begin = 0; begin < tokens; begin += rowBlock) {
            const Index end = std::min(tokens, begin + rowBlock);
            const Index firstKey = firstSeen(geometry, begin);
            Matrix scores(end - begin, end - firstKey);
            const auto queries = query.block(begin, head * dim, end - begin, dim);
            multiplyTransposed(queries, keys.middleRows(firstKey, end - firstKey), scores);
            for (Index token = begin; token < end; ++token)
                normalizeScores(geometry, token, firstKey, scores.row(token - begin));
            multiply(scores, values.middleRows(firstKey, end - firstKey), result.block(begin, head * dim, end - begin, dim));
        }
    });
}

void attendThroughHooks(const AttentionGeometry &geometry, const ForwardHooks &hooks, std::int64_t layer,
                        const ConstMatrixRef &query, const ConstMatrixRef &key, const ConstMatrixRef &value, MatrixRef result,
                        const TaskContext &context)
{
    const Index tokens = query.rows();
    const Index dim = geometry.headDim;
    const Index shared = geometry.heads / geometry.kvHeads;
    const auto change = [&](AttentionOperand operand, Index rows, Index columns, Matrix &values) {
        hooks.attentionOperand(layer, operand, {geometry.heads, rows, columns},
                               std::span(values.data(), static_cast<std::size_t>(values.size())));
    };
    // Head after head below each other.
    Matrix queries(geometry.heads * tokens, dim), keys(geometry.heads * dim, tokens);
    for (Index head = 0; head < geometry.heads; ++head) {
        queries.middleRows(head * tokens, tokens) = query.middleCols(head * dim, dim);
        keys.middleRows(head * dim, dim) = key.middleCols(head / shared * dim, dim).transpose();
    }
    change(AttentionOperand::Query, tokens, dim, queries);
    change(AttentionOperand::KeyTransposed, dim, tokens, keys);
    Matrix probabilities(geometry.heads * tokens, tokens);
    parallelFor(context, geometry.heads, 1, [&](Index head, Index) {
        auto scores = probabilities.middleRows(head * tokens, tokens);
        multiply(queries.middleRows(head * tokens, tokens), keys.middleRows(head * dim, dim), scores);
        for (Index token = 0; token < tokens; ++token)
            normalizeScores(geometry, token, 0, scores.row(token));
    });
    Matrix values(geometry.heads * tokens, dim);
    for (Index head = 0; head < geometry.heads; ++head)
        values.middleRows(head * tokens, tokens) = value.middleCols(head / shared * dim, dim);
    change(AttentionOperand::Probabilities, tokens, tokens, probabilities);
    change(AttentionOperand::Value, tokens, dim, values);
    parallelFor(context, geometry.heads, 1, [&](Index head, Index) {
        multiply(probabilities.middleRows(head * tokens, tokens), values.middleRows(head * tokens, tokens),
                 result.middleCols(head * dim, dim));
    });
}

}  // namespace lqer
