// SPDX-License-Identifier: Apache-2.0
#include "core/model/loaded_block.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/model/layers.h"

namespace lqer {

LoadedLinear::LoadedLinear(const LinearSite &site, Matrix weight, Vector bias, const ActivationSite *input, ForwardHooks &hooks,
                           Precision precision, const TaskContext &context)
    : m_role(site.role), m_out(site.out), m_input(input), m_bias(std::move(bias)), m_replacement(hooks.makeLinear(site, weight, m_bias))
{
    if (m_replacement)
        m_bias.resize(0);
    else if (precision == Precision::BFloat16)
        m_narrow.emplace(weight);
    else
        m_weight.emplace(std::move(weight), context);
}

PooledMatrix LoadedLinear::apply(const LinearInput &x, const TaskContext &context) const
{
    PooledMatrix y = x.pool().take(x.x().rows(), m_out);
    if (m_replacement) {
        m_replacement->apply(x, *y, context);
        return y;
    }
    if (m_narrow)
        m_narrow->multiply(x.made<Bf16Rows>("bf16", [&] { return Bf16Rows(x.x(), x.pool(), context); }), *y, context);
    else
        m_weight->multiply(x.x(), *y, context);
    if (m_bias.size() > 0)
        addToRows(*y, m_bias);
    return y;
}

void keepInput(const LoadedLinear &linear, PooledMatrix x, SiteInputs &inputs)
{
    if (linear.observedInput())
        inputs.emplace_back(linear.observedInput(), std::move(x));
}

LoadedNorm::LoadedNorm(const ModelConfig &config, const ModelWeights &weights, const NormLayout &names)
    : m_kind(config.norm), m_eps(config.normEps), m_weight(weights.vector(names.weight)), m_bias(weights.vector(names.bias))
{
}

void LoadedNorm::apply(const ConstMatrixRef &x, MatrixRef y) const
{
    if (m_kind == NormKind::Rms)
        rmsNorm(x, m_weight, m_eps, std::move(y));
    else
        layerNorm(x, m_weight, m_bias, m_eps, std::move(y));
}

namespace {

AttentionGeometry geometryOf(const ModelConfig &config, std::int64_t layer)
{
    AttentionGeometry geometry{config.heads, config.kvHeads, config.headDim, config.slidingWindow, 1};
    if (config.attentionScaled && !config.queryScaledFirst)
        geometry.scoreDivisor = static_cast<float>(std::sqrt(static_cast<double>(config.headDim)));
    if (config.attentionScaledByLayer)
        geometry.scoreDivisor *= static_cast<float>(layer + 1);
    return geometry;
}

}  // namespace

LoadedBlock::LoadedBlock(const ModelConfig &config, const ModelWeights &weights, std::int64_t layer, ForwardHooks &hooks,
                         const ObservedSite &observed, Precision precision, const TaskContext &context)
    : m_config(config), m_layer(layer), m_geometry(geometryOf(config, layer)),
      m_attentionNorm(config, weights, weights.layout().blocks[static_cast<std::size_t>(layer)].attentionNorm),
      m_mlpNorm(config, weights, weights.layout().blocks[static_cast<std::size_t>(layer)].mlpNorm),
      m_changesAttention(hooks.changesAttention(layer))
{
    const std::vector<LinearSite> &sites = weights.layout().blocks[static_cast<std::size_t>(layer)].linears;
    // Weights that are read, but not yet laid out: as many as there are threads to read them.
    const std::size_t atOnce = context.pool ? context.pool->threads() : 1;
    m_linears.reserve(sites.size());
    for (std::size_t begin = 0; begin < sites.size(); begin += atOnce) {
        const std::size_t count = std::min(atOnce, sites.size() - begin);
        std::vector<Matrix> values(count);
        std::vector<Vector> biases(count);
        parallelFor(context, static_cast<Index>(count), 1, [&](Index i, Index) {
            const auto place = static_cast<std::size_t>(i);
            values[place] = weights.weight(sites[begin + place], context);
            biases[place] = weights.bias(sites[begin + place]);
        });
        for (std::size_t i = 0; i < count; ++i) {
            context.checkStop();
            const LinearSite &site = sites[begin + i];
            m_linears.emplace_back(site, std::exchange(values[i], Matrix()), std::move(biases[i]), observed(site), hooks, precision,
                                   context);
            m_bytes += static_cast<std::uint64_t>(site.in) * static_cast<std::uint64_t>(site.out)
                       * (m_linears.back().isNarrow() ? sizeof(std::uint16_t) : sizeof(float));
        }
    }
}

bool LoadedBlock::isObserved() const
{
    return std::any_of(m_linears.begin(), m_linears.end(), [](const LoadedLinear &linear) { return linear.observedInput(); });
}

const LoadedLinear *LoadedBlock::find(LinearRole role) const
{
    const auto found = std::find_if(m_linears.begin(), m_linears.end(), [&](const LoadedLinear &l) { return l.role() == role; });
    return found == m_linears.end() ? nullptr : &*found;
}

const LoadedLinear &LoadedBlock::linear(LinearRole role) const
{
    const LoadedLinear *found = find(role);
    LQER_ASSERT(found);
    return *found;
}

// What the heads see together, (tokens, heads * headDim): the input of the output projection.
PooledMatrix LoadedBlock::attention(const ForwardHooks &hooks, const RotaryTable *rotary, const LinearInput &x,
                                    const TaskContext &context) const
{
    const Index queries = m_geometry.heads * m_geometry.headDim;
    const Index keys = m_geometry.kvHeads * m_geometry.headDim;
    PooledMatrix fused, q, k, v;
    if (const LoadedLinear *qkv = find(LinearRole::FusedQkv)) {
        fused = qkv->apply(x, context);
    } else {
        q = linear(LinearRole::Query).apply(x, context);
        k = linear(LinearRole::Key).apply(x, context);
        v = linear(LinearRole::Value).apply(x, context);
    }
    MatrixRef query = fused ? MatrixRef(fused->leftCols(queries)) : MatrixRef(*q);
    MatrixRef key = fused ? MatrixRef(fused->middleCols(queries, keys)) : MatrixRef(*k);
    const ConstMatrixRef value = fused ? ConstMatrixRef(fused->rightCols(keys)) : ConstMatrixRef(*v);
    if (rotary) {
        rotate(*rotary, m_geometry.headDim, query);
        rotate(*rotary, m_geometry.headDim, key);
    }
    if (m_config.queryScaledFirst)
        query *= static_cast<float>(1 / std::sqrt(static_cast<double>(m_geometry.headDim)));
    PooledMatrix seen = x.pool().take(query.rows(), queries);
    if (m_changesAttention)
        attendThroughHooks(m_geometry, hooks, m_layer, query, key, value, *seen, context);
    else
        attend(m_geometry, query, key, value, *seen, context);
    return seen;
}

PooledMatrix LoadedBlock::mlp(MatrixPool &pool, PooledMatrix x, SiteInputs &inputs, const TaskContext &context) const
{
    const LoadedLinear *gate = find(LinearRole::Gate);
    const LoadedLinear &first = gate ? *gate : linear(LinearRole::Fc1);
    PooledMatrix inner;
    {
        const LinearInput input(*x, pool);
        inner = first.apply(input, context);
        if (gate)
            activateGate(m_config.activation, *inner, *linear(LinearRole::Up).apply(input, context));
        else
            activate(m_config.activation, *inner);
    }
    keepInput(first, std::move(x), inputs);
    const LoadedLinear &last = linear(gate ? LinearRole::Down : LinearRole::Fc2);
    PooledMatrix y = last.apply(LinearInput(*inner, pool), context);
    keepInput(last, std::move(inner), inputs);
    return y;
}

void LoadedBlock::run(const ForwardHooks &hooks, const RotaryTable *rotary, MatrixPool &pool, Matrix &hidden, SiteInputs &inputs,
                      const TaskContext &context) const
{
    const auto normed = [&](const LoadedNorm &norm) {
        PooledMatrix x = pool.take(hidden.rows(), hidden.cols());
        if (m_config.normBefore)
            norm.apply(hidden, *x);
        else
            *x = hidden;
        return x;
    };
    {
        PooledMatrix x = normed(m_attentionNorm);
        PooledMatrix seen = attention(hooks, rotary, LinearInput(*x, pool), context);
        keepInput(m_linears.front(), std::move(x), inputs);
        const LoadedLinear &output = linear(LinearRole::Output);
        add(hidden, *output.apply(LinearInput(*seen, pool), context));
        keepInput(output, std::move(seen), inputs);
    }
    if (!m_config.normBefore)
        m_attentionNorm.apply(hidden, hidden);
    add(hidden, *mlp(pool, normed(m_mlpNorm), inputs, context));
    if (!m_config.normBefore)
        m_mlpNorm.apply(hidden, hidden);
}

}  // namespace lqer
