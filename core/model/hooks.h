// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/model/sites.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"
#include "core/tensor/matrix_pool.h"
#include "core/tensor/shape.h"

namespace lqer {

// What linear layers read together (q, k, v; gate, up): x (tokens, in), rows of one window, and what one of them has made of it for
// its product (rounded, packed), so that the others need not make it again. Used on one thread.
class LinearInput {
public:
    // x and the pool, where operators take their own arrays from, outlive it.
    LinearInput(const ConstMatrixRef &x, MatrixPool &pool) : m_x(x), m_pool(pool) {}

    const ConstMatrixRef &x() const { return m_x; }
    MatrixPool &pool() const { return m_pool; }
    // What make(), a T by value, returned when it was first asked for under `key`, which says everything that make() depends on.
    template <typename T, typename Make>
    const T &made(std::string_view key, const Make &make) const
    {
        auto found = m_made.find(key);
        if (found == m_made.end())
            found = m_made.emplace(key, std::make_shared<const T>(make())).first;
        return *static_cast<const T *>(found->second.get());
    }

private:
    ConstMatrixRef m_x;
    MatrixPool &m_pool;
    mutable std::map<std::string, std::shared_ptr<const void>, std::less<>> m_made;
};

// A linear layer as the forward pass uses it: y = x W^T + b, or what a quantized, corrected layer computes instead.
// Immutable after construction; called from several threads at once.
class LinearOperator {
public:
    virtual ~LinearOperator() = default;
    // y (tokens, out). Polls the stop token wherever the layer may take longer than a second.
    virtual void apply(const LinearInput &x, MatrixRef y, const TaskContext &context) const = 0;
    // Of an input that nobody else reads.
    void apply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context = {}) const;
};

// The operands of the two attention products, in the layout the papers' code quantizes them (numerics.md D):
// Query (heads, tokens, headDim), KeyTransposed (heads, headDim, tokens), Probabilities (heads, tokens, tokens),
// Value (heads, tokens, headDim). Query and key come after rotation; OPT's query is scaled already, with other models it is the
// scores that are scaled.
enum class AttentionOperand { Query, KeyTransposed, Probabilities, Value };

// What a caller may put into the forward pass. The defaults change nothing.
class ForwardHooks {
public:
    virtual ~ForwardHooks() = default;

    // Called once per linear layer when its block is loaded, in the order of the block. weight is (out, in), bias empty
    // without one. Returning null keeps the plain layer.
    virtual std::unique_ptr<LinearOperator> makeLinear(const LinearSite &site, const Matrix &weight, const Vector &bias);
    // True if any operand of this block's attention products is to be changed; asked when the block is loaded.
    virtual bool changesAttention(std::int64_t layer) const;
    // In place, contiguous, one window, key/value heads already repeated.
    // Called from several threads at once, each with its own window.
    virtual void attentionOperand(std::int64_t layer, AttentionOperand operand, const Shape &shape,
                                  std::span<float> values) const;
    // True if observe() wants this site's inputs.
    virtual bool observes(const ActivationSite &site) const;
    // The site's input for one window, x (tokens, features). Always called from the thread that runs the forward pass, windows in
    // ascending order, so that sums are the same for any number of threads.
    virtual void observe(const ActivationSite &site, std::size_t window, const ConstMatrixRef &x);
};

}  // namespace lqer
