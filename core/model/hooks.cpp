// SPDX-License-Identifier: Apache-2.0
#include "core/model/hooks.h"

#include <utility>

namespace lqer {

void LinearOperator::apply(const ConstMatrixRef &x, MatrixRef y, const TaskContext &context) const
{
    MatrixPool pool;
    apply(LinearInput(x, pool), std::move(y), context);
}

std::unique_ptr<LinearOperator> ForwardHooks::makeLinear(const LinearSite &, const Matrix &, const Vector &) { return nullptr; }
bool ForwardHooks::changesAttention(std::int64_t) const { return false; }
void ForwardHooks::attentionOperand(std::int64_t, AttentionOperand, const Shape &, std::span<float>) const {}
bool ForwardHooks::observes(const ActivationSite &) const { return false; }
void ForwardHooks::observe(const ActivationSite &, std::size_t, const ConstMatrixRef &) {}

}  // namespace lqer
