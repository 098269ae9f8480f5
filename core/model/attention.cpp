// SPDX-License-Identifier: Apache-2.0
#include "core/model/attention.h"

#include <algorithm>
#include <memory>
#include <span>

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

// Of one row of scores, the part that belongs to keys that `token` sees, where scores[0] belongs to key `firstKey`; the others
// become 0.
std::span<float> seenScores(const AttentionGeometry &geometry, Index token, Index firstKey, Eigen::Ref<Eigen::RowVectorXf> scores)
{
    const Index begin = firstSeen(geometry, token) - firstKey;
    const Index end = token + 1 - firstKey;
    scores.head(begin).setZero();
    scores.tail(scores.size() - end).setZero();
    return {scores.data() + begin, static_cast<std::size_t>(end - begin)};
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
        // For the scores of any of its blocks: one allocation a head.
        const auto room = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(std::min(tokens, rowBlock) * tokens));
        for (Index begin = 0; begin < tokens; begin += rowBlock) {
            context.checkStop();
            const Index end = std::min(tokens, begin + rowBlock);
            const Index firstKey = firstSeen(geometry, begin);
            Eigen::Map<Matrix> scores(room.get(), end - begin, end - firstKey);
            multiplyTransposed(query.block(begin, head * dim, end - begin, dim), keys.middleRows(firstKey, end - firstKey), scores);
            auto seen = result.block(begin, head * dim, end - begin, dim);
            Vector sums(end - begin);
            for (Index token = begin; token < end; ++token)
                sums[token - begin] = exponentials(seenScores(geometry, token, firstKey, scores.row(token - begin)), geometry.scoreDivisor);
            multiply(scores, values.middleRows(firstKey, end - firstKey), seen);
            // Dividing what is seen costs less than dividing all probabilities.
            seen.array().colwise() /= sums.array();
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
            softmax(seenScores(geometry, token, 0, scores.row(token)), geometry.scoreDivisor);
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
