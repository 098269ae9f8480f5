// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/model/loaded_block.h"
#include "core/model/transformer.h"

namespace lqer {

// Windows first ... first + hidden.size() - 1 between two stages.
struct WindowGroup {
    std::size_t first = 0;
    std::vector<Matrix> hidden;  // per window (tokens, hidden)
};

// The output head: scores over the vocabulary for some positions of some window of the group.
using LogitRows = std::function<Matrix(std::size_t inGroup, Index row, Index rows)>;
// What is done with a group that has passed the last block and what lies between it and the head; on the calling thread.
using GroupHidden = std::function<void(WindowGroup &group)>;
using GroupFinished = std::function<void(const WindowGroup &group, const LogitRows &logits)>;

// One run of windows through a model. Windows of a group go side by side through one stage after another (embedding, each block,
// final norm, head), so that each weight is read once per group.
class ForwardPass {
public:
    // Checks the windows' ids and lengths: Error(Argument).
    ForwardPass(const ModelConfig &config, const ModelWeights &weights, const std::vector<ActivationSite> &sites,
                std::span<const TokenWindow> windows, ForwardHooks &hooks, const Transformer::ForwardOptions &options,
                const TaskContext &context);

    // `finished` is called for each group if all blocks are run and it is not empty.
    void run(const GroupFinished &finished);
    // The same without the head.
    void runHidden(const GroupHidden &finished);

private:
    using WindowStage = std::function<void(std::size_t inGroup, Matrix &hidden, SiteInputs &inputs)>;

    void checkWindows() const;
    const ActivationSite *observedSite(const LinearSite &site) const;
    // Runs `stage` for each window of the group, in parallel, and hands what it kept to the observers, in order.
    void forEachWindow(WindowGroup &group, bool observed, const WindowStage &stage);
    void embed(WindowGroup &group);
    void finish(WindowGroup &group);
    std::shared_ptr<const LoadedBlock> block(std::int64_t layer);
    std::shared_ptr<const Matrix> head();
    LoadedLinear projection(const LinearSite &site);
    bool mayKeep(std::uint64_t bytes);

    const ModelConfig &m_config;
    const ModelWeights &m_weights;
    const std::vector<ActivationSite> &m_sites;
    std::span<const TokenWindow> m_windows;
    ForwardHooks &m_hooks;
    Transformer::ForwardOptions m_options;
    TaskContext m_context;  // with progress
    TaskContext m_silent;
    std::int64_t m_blocks;
    std::size_t m_group;
    std::optional<Rotary> m_rotary;
    MatrixPool m_pool;
    // What stays loaded between groups.
    std::map<std::int64_t, std::shared_ptr<const LoadedBlock>> m_keptBlocks;
    std::shared_ptr<const Matrix> m_keptHead;
    std::uint64_t m_keptBytes = 0;
};

}  // namespace lqer
