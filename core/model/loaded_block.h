// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/linalg/bf16_weight.h"
#include "core/linalg/float_weight.h"
#include "core/linalg/precision.h"
#include "core/model/attention.h"
#include "core/model/hooks.h"
#include "core/model/model_weights.h"
#include "core/model/rotary.h"

namespace lqer {

// What observers get of one window: each observed site's input.
using SiteInputs = std::vector<std::pair<const ActivationSite *, PooledMatrix>>;

// A linear layer in memory, or what a hook put in its place.
class LoadedLinear {
public:
    // `input` is the activation site it reads if a hook wants to see it, else nullptr.
    LoadedLinear(const LinearSite &site, Matrix weight, Vector bias, const ActivationSite *input, ForwardHooks &hooks, Precision precision,
                 const TaskContext &context);

    LinearRole role() const { return m_role; }
    const ActivationSite *observedInput() const { return m_input; }
    bool isNarrow() const { return m_narrow.has_value(); }
    // y (tokens, out) of x (tokens, in), from the pool of the input.
    PooledMatrix apply(const LinearInput &x, const TaskContext &context) const;

private:
    LinearRole m_role;
    Index m_out;
    const ActivationSite *m_input;
    std::optional<FloatWeight> m_weight;  // neither when replaced
    std::optional<Bf16Weight> m_narrow;
    Vector m_bias;
    std::unique_ptr<LinearOperator> m_replacement;
};

class LoadedNorm {
public:
    LoadedNorm(const ModelConfig &config, const ModelWeights &weights, const NormLayout &names);
    // x and y may be the same.
    void apply(const ConstMatrixRef &x, MatrixRef y) const;

private:
    NormKind m_kind;
    double m_eps;
    Vector m_weight;
    Vector m_bias;
};

// Finds the activation site of a linear layer if somebody observes it.
using ObservedSite = std::function<const ActivationSite *(const LinearSite &site)>;

// One decoder block in float32.
class LoadedBlock {
public:
    // Weights are read in parallel; hooks.makeLinear() is called in the order of the block.
    LoadedBlock(const ModelConfig &config, const ModelWeights &weights, std::int64_t layer, ForwardHooks &hooks,
                const ObservedSite &observed, Precision precision, const TaskContext &context);

    bool isObserved() const;
    // Bytes of its linear layers, as they are multiplied; what hooks put in their place counts as float32.
    std::uint64_t bytes() const { return m_bytes; }
    // hidden (tokens, hidden) of one window goes through the block in place; inputs of observed sites are appended to `inputs`.
    // rotary is null with learned positions. `pool` outlives what is appended.
    void run(const ForwardHooks &hooks, const RotaryTable *rotary, MatrixPool &pool, Matrix &hidden, SiteInputs &inputs,
             const TaskContext &context) const;

private:
    const LoadedLinear *find(LinearRole role) const;
    const LoadedLinear &linear(LinearRole role) const;
    PooledMatrix attention(const ForwardHooks &hooks, const RotaryTable *rotary, const LinearInput &x,
                           const TaskContext &context) const;
    PooledMatrix mlp(MatrixPool &pool, PooledMatrix x, SiteInputs &inputs, const TaskContext &context) const;

    const ModelConfig &m_config;
    std::int64_t m_layer;
    AttentionGeometry m_geometry;
    LoadedNorm m_attentionNorm;
    LoadedNorm m_mlpNorm;
    std::vector<LoadedLinear> m_linears;
    bool m_changesAttention;
    std::uint64_t m_bytes = 0;
};

// Keeps x for the observers of the site that `linear` reads, if there are any.
void keepInput(const LoadedLinear &linear, PooledMatrix x, SiteInputs &inputs);

}  // namespace lqer
