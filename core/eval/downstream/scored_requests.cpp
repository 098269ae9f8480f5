// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/scored_requests.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/linalg/gemm.h"
#include "core/model/layers.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

// Positions of one window whose scores over the vocabulary are computed in one product. A constant: it is part of their rounding.
constexpr Index headRows = 64;
// Hidden states that wait for the head, in floats.
constexpr Index waitingLimit = Index{1} << 24;

// Hidden states of a window's positions from `first` on.
struct Waiting {
    std::size_t window = 0;
    Index first = 0;
    Matrix hidden;
};

// What was found at one scored position.
struct Position {
    float logProbability = 0;
    bool greedy = false;
};

// Bytes of white space at the end, as str.rstrip() of Python takes it away.
std::size_t trailingSpace(std::string_view text)
{
    std::size_t end = 0;
    for (std::size_t at = 0; at < text.size();)
        if (!isWhiteSpace(nextCharacter(text, at)))
            end = at;
    return text.size() - end;
}

}  // namespace

std::string_view toString(Boundary boundary)
{
    return boundary == Boundary::ContextLength ? "context-length" : "common-prefix";
}

Boundary boundaryFromString(std::string_view name)
{
    for (const Boundary boundary : {Boundary::ContextLength, Boundary::CommonPrefix})
        if (toString(boundary) == name)
            return boundary;
    throw Error(ErrorCode::Argument, fmt::format("unknown boundary '{}', known are: context-length, common-prefix", escaped(name)));
}

EncodedRequest encodeRequest(const Tokenizer &tokenizer, const TaskPair &pair, const TaskRules &rules, std::int64_t maxLength, const std::string &place)
{
    EncodedRequest request;
    std::size_t before = 0;  // ids in front of the continuation
    if (pair.context.empty()) {
        request.ids = tokenizer.encode(pair.continuation, false);
    } else {
        const std::string whole = pair.context + pair.continuation;
        const std::string_view context = std::string_view(pair.context).substr(0, pair.context.size() - trailingSpace(pair.context));
        request.ids = tokenizer.encode(whole, rules.bos);
        const std::vector<TokenId> contextIds = tokenizer.encode(context, rules.bos);
        before = contextIds.size();
        if (rules.boundary == Boundary::CommonPrefix)
            before = static_cast<std::size_t>(std::ranges::mismatch(contextIds, request.ids).in1 - contextIds.begin());
    }
    if (before >= request.ids.size())
        throw Error(ErrorCode::Format, place, {}, fmt::format("'{}' adds no token to what stands before it", escaped(pair.continuation, 60)));
    request.scored = static_cast<std::int64_t>(request.ids.size() - before);
    if (before == 0) {
        const std::optional<TokenId> prefix = tokenizer.bosId() ? tokenizer.bosId() : tokenizer.eosId();
        if (!prefix)
            throw Error(ErrorCode::Unsupported, place, {}, "a text without context needs a tokenizer with a BOS or an EOS token");
        request.ids.insert(request.ids.begin(), *prefix);
    }
    if (request.scored > maxLength)
        throw Error(ErrorCode::Format, place, {}, fmt::format("the answer has {} tokens, the model takes {}", request.scored, maxLength));
    const auto most = static_cast<std::size_t>(maxLength) + 1;  // the last id is not run
    if (request.ids.size() > most)
        request.ids.erase(request.ids.begin(), request.ids.end() - static_cast<std::ptrdiff_t>(most));
    return request;
}

ScoredRequests::ScoredRequests(std::vector<EncodedRequest> requests) : m_requests(std::move(requests))
{
    const auto input = [&](std::size_t r) { return std::span(m_requests[r].ids).first(m_requests[r].ids.size() - 1); };
    std::vector<std::size_t> order(m_requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
        const auto left = input(a), right = input(b);
        return left.size() != right.size() ? left.size() > right.size() : std::ranges::lexicographical_compare(left, right);
    });
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i == 0 || !std::ranges::equal(input(order[i]), input(order[i - 1]))) {
            const auto ids = input(order[i]);
            m_windows.windows.push_back({{ids.begin(), ids.end()}, 1});
            m_windows.totalIds += static_cast<std::int64_t>(ids.size());
            m_askedOf.emplace_back();
        }
        m_askedOf.back().push_back(order[i]);
    }
}

std::uint64_t ScoredRequests::steps(const Transformer &model, const Transformer::ForwardOptions &options) const
{
    return model.forwardSteps(m_windows.windows.size(), options, true);
}

std::vector<RequestScore> ScoredRequests::score(const Transformer &model, ForwardHooks &hooks, const Transformer::ForwardOptions &options,
                                                const TaskContext &context) const
{
    const Matrix head = model.readHead(context);
    std::vector<std::vector<Position>> positions(m_requests.size());
    for (std::size_t r = 0; r < m_requests.size(); ++r)
        positions[r].resize(static_cast<std::size_t>(m_requests[r].scored));

    std::vector<Waiting> waiting;
    Index waitingFloats = 0;
    const auto flush = [&] {
        struct Part {
            std::size_t waiting;
            Index row, rows;
        };
        std::vector<Part> parts;
        for (std::size_t i = 0; i < waiting.size(); ++i)
            for (Index row = 0; row < waiting[i].hidden.rows(); row += headRows)
                parts.push_back({i, row, std::min(headRows, waiting[i].hidden.rows() - row)});
        parallelFor(context.silent(), static_cast<Index>(parts.size()), 1, [&](Index p, Index) {
            const Part &part = parts[static_cast<std::size_t>(p)];
            const Waiting &window = waiting[part.waiting];
            Matrix logits(part.rows, head.rows());
            multiplyTransposed(window.hidden.middleRows(part.row, part.rows), head, logits);
            for (Index row = 0; row < part.rows; ++row) {
                const std::span<const float> values(&logits(row, 0), static_cast<std::size_t>(logits.cols()));
                const Index position = window.first + part.row + row;  // predicts the id behind it
                if (countNonFinite(values) > 0)
                    throw Error(ErrorCode::Numeric, "", fmt::format("request {}, position {}", m_askedOf[window.window].front(), position),
                                "the model's scores are not finite");
                const auto top = static_cast<TokenId>(std::ranges::max_element(values) - values.begin());
                for (const std::size_t r : m_askedOf[window.window]) {
                    const EncodedRequest &request = m_requests[r];
                    const Index firstPosition = static_cast<Index>(request.ids.size()) - 1 - request.scored;
                    if (position < firstPosition)
                        continue;
                    const TokenId target = request.ids[static_cast<std::size_t>(position + 1)];
                    positions[r][static_cast<std::size_t>(position - firstPosition)] = {logSoftmaxAt(values, static_cast<std::size_t>(target)), target == top};
                }
            }
        });
        context.advance(waiting.size());
        waiting.clear();
        waitingFloats = 0;
    };
    const auto keep = [&](std::size_t w, Matrix hidden) {
        std::int64_t most = 0;
        for (const std::size_t r : m_askedOf[w])
            most = std::max(most, m_requests[r].scored);
        waiting.push_back({w, hidden.rows() - most, hidden.bottomRows(most)});
        waitingFloats += most * hidden.cols();
        if (waitingFloats >= waitingLimit)
            flush();
    };
    model.finalHidden(m_windows.windows, hooks, options, keep, context);
    flush();

    std::vector<RequestScore> scores(m_requests.size());
    for (std::size_t r = 0; r < scores.size(); ++r) {
        scores[r].greedy = true;
        for (const Position &position : positions[r]) {
            scores[r].sum += static_cast<double>(position.logProbability);
            scores[r].greedy = scores[r].greedy && position.greedy;
        }
    }
    return scores;
}

}  // namespace lqer
