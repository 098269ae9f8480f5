// SPDX-License-Identifier: Apache-2.0
#include "core/model/forward_pass.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/linalg/gemm.h"

namespace lqer {

ForwardPass::ForwardPass(const ModelConfig &config, const ModelWeights &weights, const std::vector<ActivationSite> &sites,
                         std::span<const TokenWindow> windows, ForwardHooks &hooks, const Transformer::ForwardOptions &options,
                         const TaskContext &context)
    : m_config(config), m_weights(weights), m_sites(sites), m_windows(windows), m_hooks(hooks), m_options(options),
      m_context(context), m_silent(context.silent()), m_blocks(options.blocks < 0 ? config.layers : options.blocks),
      m_group(options.group == 0 ? std::max<std::size_t>(1, windows.size()) : options.group)
{
    LQER_ASSERT(m_blocks <= config.layers);
    checkWindows();
    if (options.precision == Precision::BFloat16 && !Bf16Weight::isSupported())
        throw Error(ErrorCode::Unsupported, "this processor does not multiply bfloat16 (AVX512_BF16): take precision f32");
    if (config.positions == PositionKind::Rotary) {
        std::vector<std::int64_t> lengths;
        for (const TokenWindow &window : windows)
            lengths.push_back(static_cast<std::int64_t>(window.ids.size()));
        m_rotary.emplace(config, lengths);
    }
}

void ForwardPass::checkWindows() const
{
    for (std::size_t w = 0; w < m_windows.size(); ++w) {
        const std::vector<TokenId> &ids = m_windows[w].ids;
        const auto fail = [&](const std::string &message) {
            throw Error(ErrorCode::Argument, "", fmt::format("window {}", w), message);
        };
        if (ids.empty())
            fail("holds no token ids");
        if (m_config.positions == PositionKind::Learned && static_cast<std::int64_t>(ids.size()) > m_config.maxPositions)
            fail(fmt::format("{} tokens are more than the {} positions of the model", ids.size(), m_config.maxPositions));
        for (std::size_t i = 0; i < ids.size(); ++i)
            if (ids[i] < 0 || ids[i] >= m_config.vocabulary)
                fail(fmt::format("token id {} at position {} is outside the vocabulary of {}", ids[i], i, m_config.vocabulary));
    }
}

const ActivationSite *ForwardPass::observedSite(const LinearSite &site) const
{
    const auto found =
        std::find_if(m_sites.begin(), m_sites.end(), [&](const ActivationSite &s) { return s.name == site.activationSite; });
    LQER_ASSERT(found != m_sites.end());
    return m_hooks.observes(*found) ? &*found : nullptr;
}

void ForwardPass::forEachWindow(WindowGroup &group, bool observed, const WindowStage &stage)
{
    // Only as many windows' inputs are held for the observers as are computed side by side.
    const std::size_t threads = m_context.pool ? m_context.pool->threads() : 1;
    const std::size_t chunk = observed ? threads : group.hidden.size();
    for (std::size_t begin = 0; begin < group.hidden.size(); begin += chunk) {
        const std::size_t count = std::min(chunk, group.hidden.size() - begin);
        std::vector<SiteInputs> inputs(count);
        parallelFor(m_silent, static_cast<Index>(count), 1, [&](Index i, Index) {
            const auto place = static_cast<std::size_t>(i);
            stage(begin + place, group.hidden[begin + place], inputs[place]);
        });
        for (std::size_t i = 0; i < count; ++i)
            for (const auto &[site, x] : inputs[i])
                m_hooks.observe(*site, group.first + begin + i, *x);
    }
}

LoadedLinear ForwardPass::projection(const LinearSite &site)
{
    return {site, m_weights.weight(site, m_silent), m_weights.bias(site), observedSite(site), m_hooks, m_options.precision, m_silent};
}

void ForwardPass::embed(WindowGroup &group)
{
    const ModelLayout &layout = m_weights.layout();
    const Tensor table = m_weights.table(layout.tokenEmbedding, m_silent);
    std::optional<Tensor> positions;
    if (m_config.positions == PositionKind::Learned)
        positions = m_weights.table(layout.positionEmbedding, m_silent);
    std::optional<LoadedLinear> project;
    if (layout.projectIn)
        project.emplace(projection(*layout.projectIn));
    forEachWindow(group, project && project->observedInput(), [&](std::size_t inGroup, Matrix &hidden, SiteInputs &inputs) {
        const std::vector<TokenId> &ids = m_windows[group.first + inGroup].ids;
        std::vector<std::int64_t> rows(ids.begin(), ids.end());
        hidden = m_weights.tableRows(layout.tokenEmbedding, table, rows);
        if (project) {
            PooledMatrix x = m_pool.take(hidden.rows(), hidden.cols());
            *x = hidden;
            hidden = *project->apply(LinearInput(*x, m_pool), m_silent);
            keepInput(*project, std::move(x), inputs);
        }
        if (positions) {
            for (std::size_t i = 0; i < rows.size(); ++i)
                rows[i] = static_cast<std::int64_t>(i) + m_config.positionOffset;
            hidden += m_weights.tableRows(layout.positionEmbedding, *positions, rows);
        }
    });
}

// What lies between the last block and the head.
void ForwardPass::finish(WindowGroup &group)
{
    const ModelLayout &layout = m_weights.layout();
    std::optional<LoadedNorm> norm;
    if (m_config.finalNorm)
        norm.emplace(m_config, m_weights, layout.finalNorm);
    std::optional<LoadedLinear> project;
    if (layout.projectOut)
        project.emplace(projection(*layout.projectOut));
    forEachWindow(group, project && project->observedInput(), [&](std::size_t, Matrix &hidden, SiteInputs &inputs) {
        if (norm)
            norm->apply(hidden, hidden);
        if (project) {
            PooledMatrix x = m_pool.take(hidden.rows(), hidden.cols());
            *x = hidden;
            hidden = *project->apply(LinearInput(*x, m_pool), m_silent);
            keepInput(*project, std::move(x), inputs);
        }
    });
}

// True, and counted, if `bytes` more may stay loaded and there is a next group that will want them.
bool ForwardPass::mayKeep(std::uint64_t bytes)
{
    if (m_group >= m_windows.size() || bytes > m_options.weightBudget - m_keptBytes)
        return false;
    m_keptBytes += bytes;
    return true;
}

std::shared_ptr<const LoadedBlock> ForwardPass::block(std::int64_t layer)
{
    if (const auto kept = m_keptBlocks.find(layer); kept != m_keptBlocks.end())
        return kept->second;
    auto loaded = std::make_shared<const LoadedBlock>(m_config, m_weights, layer, m_hooks,
                                                      [this](const LinearSite &site) { return observedSite(site); }, m_options.precision,
                                                      m_silent);
    if (mayKeep(loaded->bytes()))
        m_keptBlocks.emplace(layer, loaded);
    return loaded;
}

std::shared_ptr<const Matrix> ForwardPass::head()
{
    if (m_keptHead)
        return m_keptHead;
    auto loaded = std::make_shared<const Matrix>(m_weights.matrix(m_weights.layout().head, m_silent));
    if (mayKeep(static_cast<std::uint64_t>(loaded->size()) * sizeof(float)))
        m_keptHead = loaded;
    return loaded;
}

void ForwardPass::runHidden(const GroupHidden &finished)
{
    for (std::size_t first = 0; first < m_windows.size(); first += m_group) {
        WindowGroup group;
        group.first = first;
        group.hidden.resize(std::min(m_group, m_windows.size() - first));
        embed(group);
        for (std::int64_t layer = 0; layer < m_blocks; ++layer) {
            m_context.checkStop();
            const std::shared_ptr<const LoadedBlock> loaded = block(layer);
            forEachWindow(group, loaded->isObserved(), [&](std::size_t, Matrix &hidden, SiteInputs &inputs) {
                loaded->run(m_hooks, m_rotary ? &m_rotary->table(hidden.rows()) : nullptr, m_pool, hidden, inputs, m_silent);
                m_context.advance();
            });
        }
        if (m_options.blocks >= 0)
            continue;
        finish(group);
        if (finished)
            finished(group);
    }
}

void ForwardPass::run(const GroupFinished &finished)
{
    if (!finished) {
        runHidden({});
        return;
    }
    runHidden([&](const WindowGroup &group) {
        const std::shared_ptr<const Matrix> weight = head();
        finished(group, [&](std::size_t inGroup, Index row, Index rows) {
            Matrix logits(rows, weight->rows());
            multiplyTransposed(group.hidden[inGroup].middleRows(row, rows), *weight, logits, m_silent);
            return logits;
        });
    });
}

}  // namespace lqer
