// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/transformer.h"
#include "core/tensor/matrix.h"

namespace lqer {

// What calibration knows about one activation site (one input x of `features` channels). A value.
struct SiteStats {
    std::int64_t tokens = 0;
    VectorF64 maxMeanAbs;       // LQER: largest per-batch mean of |x_i|; empty in imported statistics, which have squares only
    VectorF64 sumSquares;       // QERA-approx: sum of x_i^2 over all tokens
    VectorF64 maxAbs;           // largest |x_i|, for plots; empty likewise
    MatrixF64 autocorrelation;  // QERA-exact: sum of x^T x over all tokens, (features, features); empty if not collected

    Index features() const { return sumSquares.size(); }
    bool hasMagnitudes() const { return maxMeanAbs.size() > 0; }
    bool hasAutocorrelation() const { return autocorrelation.size() > 0; }
    // Scale vectors as the official code forms them.
    VectorF64 lqerScale() const;      // s = max(maxMeanAbs, 1e-4), divided by sqrt(min s * max s)
    VectorF64 diagonalScale() const;  // sqrt(sumSquares / tokens)
    // E[x^T x] = autocorrelation / tokens: a second matrix of that size.
    MatrixF64 meanAutocorrelation() const;
};

struct CalibrationOptions {
    std::int64_t batch = 2;       // windows per batch: LQER's statistic is a maximum over batches
    bool autocorrelation = true;  // collect R (needed by `exact` and by every output error)
    // Of the forward pass's products and of x^T x: bfloat16 is twice as fast where the processor has it, and R then is what inputs
    // rounded to 8 significant bits give (a part in a few thousand of its norm).
    Precision precision = Precision::Float32;
    // Bytes for autocorrelation matrices and hidden states; 0: no limit. Where all windows do not fit, they go through in small
    // groups, and the pass is repeated for as many blocks at a time as fit. Changes no number.
    std::uint64_t memoryLimit = 0;
};

// Statistics with where they came from.
struct CalibrationStats {
    std::string model;     // checkpoint fingerprint
    std::string data;      // TokenWindows::source
    std::string dataHash;  // TokenWindows::hash
    std::int64_t windows = 0;
    std::int64_t windowLength = 0;
    CalibrationOptions options;
    std::map<std::string, SiteStats> sites;  // by ActivationSite::name

    // Key of the statistics: changes whenever any number in them may change.
    std::string key() const;
};

// Accumulates one site, window after window; feed() in window order. Sums in double; X^T X of each window in float (or of bfloat16
// values with sums in float, as the options say), added in double (the official code: X^T X of each batch in float, added in double).
class SiteAccumulator {
public:
    SiteAccumulator(Index features, const CalibrationOptions &options);
    // x (tokens, features): one window's input. Batches of options.batch windows are closed automatically; a last partial batch
    // counts as a batch. Throws Error(Numeric) on NaN, infinity or an overflow of X^T X, naming token and channel.
    void feed(const ConstMatrixRef &x, const TaskContext &context = {});
    SiteStats finish();

private:
    void closeBatch();
    CalibrationOptions m_options;
    SiteStats m_stats;
    VectorF64 m_batchAbs;
    std::int64_t m_batchTokens = 0;
    std::int64_t m_batchWindows = 0;
};

// Statistics of every activation site from a forward pass over the windows; calls `finished` with each site's as soon as its
// block is done, on the calling thread, so that a caller can store them and let them go. Peak memory: one block's statistics and
// weights plus the hidden states of all windows, or what memoryLimit allows. Begins a progress stage of its own. Throws
// Error(Numeric) naming site and window, Error(Memory) when one block does not fit into memoryLimit, Error(Argument) on no
// windows.
using SiteFinished = std::function<void(const ActivationSite &site, SiteStats stats)>;
void calibrate(const Transformer &model, const TokenWindows &windows, const CalibrationOptions &options,
               const SiteFinished &finished, const TaskContext &context);

}  // namespace lqer
