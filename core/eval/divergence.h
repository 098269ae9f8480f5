// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/io/json.h"
#include "core/model/transformer.h"
#include "core/text/token_windows.h"

namespace lqer {

// A mean over tokens with its standard error, sqrt((mean of squares - square of mean) / (n - 1)), as llama.cpp has it.
struct MeanWithError {
    double mean = 0;
    double standardError = 0;
    friend bool operator==(const MeanWithError &, const MeanWithError &) = default;
};

// How far a changed model's predictions are from the original's, over all scored targets. p: original, q: changed.
// Definitions of llama.cpp's --kl-divergence.
struct DivergenceReport {
    WindowOptions windowOptions;
    std::string source;
    std::string dataHash;
    std::int64_t tokens = 0;

    MeanWithError kl;  // sum_v p_v ln(p_v / q_v), nats
    double medianKl = 0;
    double kl90 = 0, kl95 = 0, kl99 = 0, kl999 = 0;  // percentiles, linear between the two neighbours
    double maxKl = 0;
    double minKl = 0;
    MeanWithError topAgreement;            // fraction of positions with the same most likely token (the lower id on a tie)
    MeanWithError deltaP;                  // q(target) - p(target)
    MeanWithError rmsDeltaP;               // its root mean square
    double logProbabilityCorrelation = 0;  // correlation of ln q(target) with ln p(target)
    double originalPerplexity = 0;
    double perplexity = 0;   // of the changed model
    MeanWithError logRatio;  // mean of ln p(target) - ln q(target); its exponential is the ratio of perplexities
    MeanWithError ratio;     // perplexity / originalPerplexity
    double seconds = 0;

    Json toJson() const;
    static DivergenceReport fromJson(const JsonReader &json);
    friend bool operator==(const DivergenceReport &, const DivergenceReport &) = default;
};

struct DivergenceOptions {
    // forward.group windows' final hidden states of both models are in memory together (tokens x hidden each, twice).
    Transformer::ForwardOptions forward;
};

// Runs the windows through the model as `changed` changes it and through the original. Logits of both are formed in constant
// blocks of rows, never for a whole window. Throws Error(Argument) if there is nothing to score.
DivergenceReport evaluateDivergence(const Transformer &model, const TokenWindows &windows, ForwardHooks &changed,
                                    const DivergenceOptions &options, const TaskContext &context);

}  // namespace lqer
