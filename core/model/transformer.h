// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"
#include "core/linalg/precision.h"
#include "core/model/hooks.h"
#include "core/model/model_config.h"
#include "core/model/sites.h"
#include "core/task/task_context.h"
#include "core/text/token_windows.h"

namespace lqer {

struct ModelLayout;

// A decoder-only language model over a checkpoint. Float32 arithmetic, sums that matter (norms, softmax) in an order that does
// not depend on threads. Weights are read when a block is run, so at most one block (and embeddings) is in memory, unless the
// caller allows more (ForwardOptions::weightBudget).
class Transformer {
public:
    // Reads config.json, checks that every tensor is there with the right shape. Throws Error(Unsupported) naming the
    // architecture and listing the supported ones, Error(Shape | NotFound | Format).
    explicit Transformer(std::shared_ptr<const Checkpoint> checkpoint);
    ~Transformer();

    const ModelConfig &config() const;
    const Checkpoint &checkpoint() const;
    // Where every tensor is, by the names as they are stored (model/architectures/architecture.h). The family's own names:
    // findArchitecture(config().family)->layout(config()).
    const ModelLayout &layout() const;
    // Every linear layer that may be quantized, block by block in forward order (lm_head and embeddings are not among them).
    const std::vector<LinearSite> &linearSites() const;
    const std::vector<ActivationSite> &activationSites() const;
    const LinearSite *findLinear(std::string_view name) const;
    const ActivationSite *findActivation(std::string_view name) const;
    // All parameters of the model, tied ones once.
    std::int64_t parameters() const;

    // What is odd about config.json or the weights but no reason to refuse them; for the report.
    const std::vector<std::string> &warnings() const;

    // The weight of one linear layer as (out, in) float32, checked for NaN and infinity. Throws Error(Numeric) naming tensor and
    // index.
    Matrix readWeight(const LinearSite &site, const TaskContext &context = {}) const;
    Vector readBias(const LinearSite &site) const;

    // Reads all weights once, in pieces, and throws Error(Numeric) as above for the first NaN or infinity: before hours are spent on
    // what could never be measured. Begins a progress stage of its own.
    void checkValues(const TaskContext &context) const;

    struct ForwardOptions {
        // Bytes of float32 weights that may stay loaded between groups of windows; 0 keeps one block at a time.
        std::uint64_t weightBudget = 0;
        // Windows that go through the model together: their hidden states are kept, blocks are loaded once per group. 0: all.
        std::size_t group = 0;
        // Of the linear layers' products. Throws Error(Unsupported) where the processor does not multiply bfloat16.
        Precision precision = Precision::Float32;
        // Stop after this many blocks; -1: all of them, what lies behind (OPT-350m's project_out) and the head.
        std::int64_t blocks = -1;
    };
    // The final hidden states of one window turned into scores: logits(tokens x vocabulary) for positions [0, tokens).
    // Called in ascending window order on the calling thread, once per block of rows: rows [row, row + logits.rows()).
    using LogitsSink = std::function<void(std::size_t window, Index row, const ConstMatrixRef &logits)>;

    // Runs every window alone from position 0. An empty `logits` leaves the head out. Progress: the caller begins the stage, of
    // forwardSteps(...) steps; forward() and logProbabilities() advance it, one step per window and block. Windows are computed
    // in parallel, with results and observations delivered in order. Token ids beyond the vocabulary, or a window longer than
    // maxPositions where positions are learned, throw Error(Argument).
    void forward(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                 const LogitsSink &logits, const TaskContext &context) const;

    // Steps that forward() advances the progress by; with the head, one more per window than blocks.
    std::uint64_t forwardSteps(std::size_t windows, const ForwardOptions &options, bool withHead) const;

    // Log-probability of each scored target of each window (natural logarithm), window by window in order, float32 softmax with
    // the sum in double.
    std::vector<std::vector<float>> logProbabilities(std::span<const TokenWindow> windows, ForwardHooks &hooks,
                                                     const ForwardOptions &options, const TaskContext &context) const;
    // The same handed out window by window in order, on the calling thread, each time a group is done.
    using ScoresSink = std::function<void(std::size_t window, std::vector<float> logProbabilities)>;
    void logProbabilities(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                          const ScoresSink &scores, const TaskContext &context) const;

    // Where positions are learned, logProbabilities() and finalHidden() take windows one id longer than there are positions: the
    // last id is only a target and is not run.

    // What the head sees of each window: (tokens, features), behind the last norm. Window by window in order, on the calling
    // thread, each time a group is done. Progress: forwardSteps(...) without the head.
    using HiddenSink = std::function<void(std::size_t window, Matrix hidden)>;
    void finalHidden(std::span<const TokenWindow> windows, ForwardHooks &hooks, const ForwardOptions &options,
                     const HiddenSink &hidden, const TaskContext &context) const;
    // The output head (vocabulary, features) as float32; it is never quantized. Scores are hidden * head^T.
    Matrix readHead(const TaskContext &context = {}) const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

// "llama", "mistral", ... for messages and --help.
std::vector<std::string> supportedArchitectures();

}  // namespace lqer
