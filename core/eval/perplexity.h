// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/model/transformer.h"
#include "core/text/token_windows.h"

namespace lqer {

// How the losses of the tokens become one loss.
enum class LossWeighting {
    Token,  // every scored token counts the same
    Batch,  // mean over batches of the mean over the batch's tokens, as LQER and QERA do: a last, smaller batch weighs as much as
            // a full one (numerics.md E.1, 5 and 6)
};
std::string_view toString(LossWeighting weighting);  // "token", "batch"
LossWeighting lossWeightingFromString(std::string_view name);

struct PerplexityReport;

struct PerplexityOptions {
    LossWeighting weighting = LossWeighting::Token;
    std::int64_t batch = 4;           // windows per batch, for LossWeighting::Batch
    std::int64_t samples = 0;         // for LossWeighting::Batch: only the first samples / batch batches; 0: all
    std::optional<TokenId> unscored;  // a target with this id is not scored: the official code masks the padding token, which it
                                      // sets to EOS where the tokenizer has none
    bool keepLogProbabilities = false;
    Transformer::ForwardOptions forward;  // forward.group windows go through the model together
    // Called on the calling thread after each group of windows but the last with what is known so far.
    std::function<void(const PerplexityReport &running)> afterGroup;
};

// How well a model predicts a text. Natural logarithms unless the name says bits.
struct PerplexityReport {
    WindowOptions windowOptions;  // names the convention
    std::string source;           // file
    std::string dataSet;          // "wikitext2" where it was found by name; else ""
    std::string split;            // "test"
    std::int64_t rows = 0;        // of the source that were used; 0 where there are none (token ids) or they were not counted
    std::string dataHash;
    LossWeighting weighting = LossWeighting::Token;
    std::int64_t batch = 0;           // windows per batch; 0 with LossWeighting::Token
    std::optional<TokenId> unscored;  // targets with this id were left out
    Precision precision = Precision::Float32;  // of the linear layers that are not quantized
    std::int64_t windows = 0;         // that were run
    std::int64_t tokens = 0;          // targets that were scored
    std::int64_t words = 0;           // of the source, where they are counted; else 0
    std::int64_t bytes = 0;           // of the source, where all of it was scored; else 0

    double meanNll = 0;         // by the weighting
    double perplexity = 0;      // exp(meanNll)
    double standardError = 0;   // of the perplexity: exp(meanNll) times the standard error of meanNll, windows (or batches) being
                                // the independent draws; 0 with fewer than two
    double totalNll = 0;        // sum over all scored tokens
    double bitsPerToken = 0;    // totalNll / tokens / ln 2
    double bitsPerWord = 0;     // 0 where words are not known
    double bitsPerByte = 0;     // 0 where bytes are not known
    double wordPerplexity = 0;  // lm-eval: exp(totalNll / words); 0 where words are not known
    double seconds = 0;

    std::vector<double> windowNll;  // mean over the window's scored tokens; 0 where it has none
    std::vector<std::int64_t> windowTokens;
    // If asked for: of each window's targets from firstScored on, those with the unscored id too.
    std::vector<std::vector<float>> logProbabilities;

    // What a paper would print: the word perplexity where the convention is about words, else the perplexity.
    double headline() const;
    Json toJson() const;  // without logProbabilities
    static PerplexityReport fromJson(const JsonReader &json);
    friend bool operator==(const PerplexityReport &, const PerplexityReport &) = default;
};

// Runs the windows through the model as `hooks` change it. Progress: what Transformer::forward reports, with the running
// perplexity as detail. Throws Error(Argument) if there is nothing to score.
PerplexityReport evaluatePerplexity(const Transformer &model, const TokenWindows &windows, ForwardHooks &hooks,
                                    const PerplexityOptions &options, const TaskContext &context);

// The report for log-probabilities that are there already: one list per window, of its targets from firstScored on.
PerplexityReport summarizeLogProbabilities(const TokenWindows &windows, std::span<const std::vector<float>> logProbabilities,
                                           const PerplexityOptions &options);

// The official end of evaluate_perplexity: mean losses of the batches in, one loss out.
struct BatchLoss {
    double loss = 0;
    double perplexity = 0;
    std::int64_t samples = 0;  // as the official code reports them: batches x batch size, also where the last was smaller
};
// samples: nullopt takes all batches. Throws Error(Argument) if it is below one batch or above all of them, or without batches.
BatchLoss batchLoss(std::span<const double> batchMeans, std::int64_t batch, std::optional<std::int64_t> samples = {});

}  // namespace lqer
