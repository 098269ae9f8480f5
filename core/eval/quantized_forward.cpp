// SPDX-License-Identifier: Apache-2.0
#include "core/eval/quantized_forward.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/large_pages.h"
#include "core/base/processor.h"

namespace lqer {

namespace {

// Of a weight, what one thread quantizes at a time, or one band of the format's: it and the result stay in the cache.
constexpr Index elementsPerStep = 1 << 16;

// Runs work(); a quantizer's Error gets the name of what was quantized.
template <typename Work>
void named(const std::string &what, const Work &work)
{
    try {
        work();
    } catch (const Error &error) {
        throw Error(error.code(), "", what, error.what());
    }
}

const FormatSpec &formatOf(const AttentionPlan &plan, AttentionOperand operand)
{
    switch (operand) {
    case AttentionOperand::Query:
        return plan.query;
    case AttentionOperand::KeyTransposed:
        return plan.key;
    case AttentionOperand::Probabilities:
        return plan.probabilities;
    case AttentionOperand::Value:
        return plan.value;
    }
    LQER_ASSERT(false);
    return plan.query;
}

void requireKnown(const LinearFormats &formats)
{
    for (const FormatSpec *format :
         {&formats.weight, &formats.activation, &formats.bias, &formats.a, &formats.b, &formats.xa, &formats.xab})
        makeQuantizer(*format);
}

// Q(W) row by row, `finish` applied to rows [begin, end) of it while they are in the cache.
template <typename Finish>
Matrix quantizedRows(const Quantizer &quantizer, const Matrix &weight, const std::string &tensor, const TaskContext &context, const Finish &finish)
{
    Matrix rows = onLargePages(Matrix(weight.rows(), weight.cols()));
    const auto quantize = [&](Index begin, Index end) {
        const auto count = static_cast<std::size_t>((end - begin) * weight.cols());
        const Index offset = begin * weight.cols();
        quantizer.quantize({weight.data() + offset, count}, {end - begin, weight.cols()}, {rows.data() + offset, count});
        finish(begin, end, rows);
    };
    const Index band = quantizer.rowGranularity({weight.rows(), weight.cols()});
    const Index bands = std::max<Index>(elementsPerStep / std::max<Index>(weight.cols(), 1) / band, 1);
    named(fmt::format("tensor '{}'", tensor), [&] {
        try {
            parallelFor(context, weight.rows(), bands * band, quantize);
        } catch (const Error &) {
            quantize(0, weight.rows());  // a band's error counts from its own first element: have it said again for the whole
            throw;
        }
    });
    return rows;
}

constexpr const char *operandNames[] = {"query", "key", "probabilities", "value"};

}  // namespace

Matrix quantizeWeight(const Quantizer &quantizer, const Matrix &weight, const std::string &tensor, const TaskContext &context)
{
    return quantizedRows(quantizer, weight, tensor, context, [](Index, Index, Matrix &) {});
}

Matrix quantizationError(const Quantizer &quantizer, const Matrix &weight, const std::string &tensor, const TaskContext &context)
{
    return quantizedRows(quantizer, weight, tensor, context, [&weight](Index begin, Index end, Matrix &rows) {
        const Index offset = begin * weight.cols();
        forProcessor([from = weight.data() + offset, to = rows.data() + offset, count = (end - begin) * weight.cols()] {
            for (Index i = 0; i < count; ++i)
                to[i] = from[i] - to[i];
        });
    });
}

QuantizedForward::QuantizedForward(ModelPlan plan, CorrectionSource corrections, const TaskContext &context, QuantizedWeightSource weights)
    : m_plan(std::move(plan)), m_corrections(std::move(corrections)), m_context(context.silent()), m_weights(std::move(weights))
{
    for (const auto &[name, layer] : m_plan.layers) {
        if (layer.quantize)
            named(fmt::format("layer '{}'", name), [&] { requireKnown(layer.formats); });
    }
    for (const auto &[layer, attention] : m_plan.attention) {
        if (!attention.changesAnything())
            continue;
        auto &quantizers = m_attention[layer];
        for (std::size_t i = 0; i < quantizers.size(); ++i) {
            const FormatSpec &format = formatOf(attention, static_cast<AttentionOperand>(i));
            if (!format.isPassthrough())
                quantizers[i] = makeQuantizer(format);
        }
    }
}

QuantizedForward::~QuantizedForward() = default;

std::unique_ptr<LinearOperator> QuantizedForward::makeLinear(const LinearSite &site, const Matrix &weight, const Vector &bias)
{
    const auto planned = m_plan.layers.find(site.name);
    if (planned == m_plan.layers.end() || !planned->second.quantize)
        return nullptr;
    const LayerPlan &plan = planned->second;
    LowRankCorrection correction;
    if (m_corrections && plan.rank > 0)
        correction = m_corrections(site, plan);
    Matrix quantized = m_weights ? m_weights(site, plan, weight)
                                 : quantizeWeight(*makeQuantizer(plan.formats.weight), weight, site.weightTensor, m_context);
    std::unique_ptr<LinearOperator> linear;
    named(fmt::format("layer '{}'", site.name),
          [&] { linear = std::make_unique<CorrectedLinear>(std::move(quantized), bias, std::move(correction), plan.formats); });
    return linear;
}

bool QuantizedForward::changesAttention(std::int64_t layer) const
{
    return m_attention.contains(layer);
}

void QuantizedForward::attentionOperand(std::int64_t layer, AttentionOperand operand, const Shape &shape,
                                        std::span<float> values) const
{
    const auto quantizers = m_attention.find(layer);
    if (quantizers == m_attention.end())
        return;
    const auto &quantizer = quantizers->second[static_cast<std::size_t>(operand)];
    if (!quantizer)
        return;
    named(fmt::format("block {}, attention {}", layer, operandNames[static_cast<std::size_t>(operand)]),
          [&] { quantizer->quantize(values, shape, values); });
}

}  // namespace lqer
