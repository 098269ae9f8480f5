// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/model/hooks.h"
#include "core/quant/quantizer.h"
#include "core/recipe/layer_plan.h"
#include "core/recon/corrected_linear.h"
#include "core/task/task_context.h"

namespace lqer {

// A and B for one layer, already quantized by the plan's formats, of the plan's rank. Asked only for layers with rank > 0.
using CorrectionSource = std::function<LowRankCorrection(const LinearSite &site, const LayerPlan &plan)>;

// W_q (out, in) of a layer that the plan quantizes.
using QuantizedWeightSource = std::function<Matrix(const LinearSite &site, const LayerPlan &plan, const Matrix &weight)>;

// W_q = Q(W) for a weight (out, in). Rows are shared out to the pool where the format's blocks do not cross them; the numbers do
// not depend on it. Throws Error(Numeric) naming the tensor.
Matrix quantizeWeight(const Quantizer &quantizer, const Matrix &weight, const std::string &tensor, const TaskContext &context);

// W - Q(W), (out, in), in one pass over the memory.
Matrix quantizationError(const Quantizer &quantizer, const Matrix &weight, const std::string &tensor, const TaskContext &context);

// The quantized, corrected model as hooks of the original one's forward pass: W_q is formed when a block is loaded, never stored.
class QuantizedForward final : public ForwardHooks {
public:
    // A layer or block the plan does not name stays as it is. corrections: empty for plain quantization (ranks are ignored then).
    // context serves the quantization of weights (pool and stop). weights: empty to quantize by the plan's formats. Throws
    // Error(Argument) on a format that is not known.
    QuantizedForward(ModelPlan plan, CorrectionSource corrections, const TaskContext &context, QuantizedWeightSource weights = {});
    ~QuantizedForward() override;

    std::unique_ptr<LinearOperator> makeLinear(const LinearSite &site, const Matrix &weight, const Vector &bias) override;
    bool changesAttention(std::int64_t layer) const override;
    void attentionOperand(std::int64_t layer, AttentionOperand operand, const Shape &shape,
                          std::span<float> values) const override;

private:
    ModelPlan m_plan;
    CorrectionSource m_corrections;
    TaskContext m_context;
    QuantizedWeightSource m_weights;
    std::map<std::int64_t, std::array<std::unique_ptr<Quantizer>, 4>>
        m_attention;  // by block and AttentionOperand; null: passthrough
};

}  // namespace lqer
