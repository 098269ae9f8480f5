// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/eval/downstream/task.h"
#include "core/model/transformer.h"
#include "core/text/token_windows.h"

namespace lqer {

// Where the continuation begins among the ids of context and continuation together.
enum class Boundary {
    ContextLength,  // lm-eval: behind as many ids as the context alone has
    CommonPrefix,   // behind the ids that both have in common: the same unless a token reaches across
};
std::string_view toString(Boundary boundary);  // "context-length", "common-prefix"
Boundary boundaryFromString(std::string_view name);

// What tasks leave open about tokens.
struct TaskRules {
    bool bos = false;  // special tokens as the model's own tokenizer adds them; lm-eval 0.4 adds none
    Boundary boundary = Boundary::ContextLength;
    friend bool operator==(const TaskRules &, const TaskRules &) = default;
};

// The last `scored` of the ids are to be predicted, each from all before it.
struct EncodedRequest {
    std::vector<TokenId> ids;
    std::int64_t scored = 0;
};

// lm-eval's encoding: white space at the end of the context belongs to the continuation, both are encoded as one text, and of what is too long for the
// model the front is dropped. maxLength: ids that the model can take. `place`: for messages. Throws Error(Format) where the continuation adds no
// token, or has more than fit.
EncodedRequest encodeRequest(const Tokenizer &tokenizer, const TaskPair &pair, const TaskRules &rules, std::int64_t maxLength, const std::string &place);

struct RequestScore {
    double sum = 0;       // of the scored ids' log-probabilities (natural)
    bool greedy = false;  // each of them is the most likely one
};

// Requests that go through a model together. Those whose inputs are the same, as where choices are one token each, are run once; a window is run alone
// from position 0, so nothing depends on its neighbours, on groups or on threads.
class ScoredRequests {
public:
    explicit ScoredRequests(std::vector<EncodedRequest> requests);

    // What is run, the longest first. The last window id of each request is only predicted and not among them.
    const TokenWindows &windows() const { return m_windows; }
    std::size_t size() const { return m_requests.size(); }
    const EncodedRequest &request(std::size_t index) const { return m_requests[index]; }
    std::uint64_t steps(const Transformer &model, const Transformer::ForwardOptions &options) const;

    // In the order of the requests. Progress: the caller begins the stage, of steps(). Throws Error(Numeric).
    std::vector<RequestScore> score(const Transformer &model, ForwardHooks &hooks, const Transformer::ForwardOptions &options, const TaskContext &context) const;

private:
    std::vector<EncodedRequest> m_requests;
    TokenWindows m_windows;
    std::vector<std::vector<std::size_t>> m_askedOf;  // by window: its requests
};

}  // namespace lqer
