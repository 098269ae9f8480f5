// SPDX-License-Identifier: Apache-2.0
#include "core/export/dense_checkpoint.h"

#include "core/export/exact_type.h"

namespace lqer {

namespace {

std::span<const float> flat(const Vector &values)
{
    return {values.data(), static_cast<std::size_t>(values.size())};
}

// W += (A B)^T, each sum in double and rounded once: as near as one weight comes to what the two products give.
void addCorrection(const LowRankCorrection &correction, Matrix &weight, const TaskContext &context)
{
    constexpr Index rowsAtATime = 64;
    const MatrixF64 a = correction.a.transpose().cast<double>(), b = correction.b.transpose().cast<double>();
    parallelFor(context, weight.rows(), rowsAtATime, [&](Index begin, Index end) {
        auto rows = weight.middleRows(begin, end - begin);
        const MatrixF64 product = b.middleRows(begin, end - begin) * a;
        rows = (rows.cast<double>() + product).cast<float>();
    });
}

Matrix denseWeight(const ExportSource &source, const LinearSite &site, DenseWeights weights, const TaskContext &context)
{
    ExportLayer layer = source.layer(site, {.quantized = true, .correction = weights == DenseWeights::Merged}, context);
    if (layer.correction.rank() > 0)
        addCorrection(layer.correction, layer.quantized, context);
    return std::move(layer.quantized);
}

}  // namespace

Tensor biasTensor(const ExportSource &source, const LinearSite &site, DType dtype, bool exact, const TaskContext &context)
{
    const Vector bias = source.layer(site, {.bias = true}, context).bias;
    return floatTensor(biasName(site), dtype, {site.out}, flat(bias), exact);
}

TensorGroup denseLayer(const ExportSource &source, const LinearSite &site, DenseWeights weights, DType dtype, bool exact)
{
    TensorGroup group;
    const Shape shape = site.storedTransposed ? Shape{site.in, site.out} : Shape{site.out, site.in};
    group.tensors.push_back({.name = weightName(site), .dtype = dtype, .shape = shape});
    if (site.hasBias)
        group.tensors.push_back({.name = biasName(site), .dtype = dtype, .shape = {site.out}});
    group.make = [&source, &site, weights, dtype, exact](const TaskContext &context) {
        Matrix weight = denseWeight(source, site, weights, context);
        if (site.storedTransposed)
            weight = Matrix(weight.transpose());
        std::vector<Tensor> made;
        made.push_back(floatTensor(weightName(site), dtype, weight, exact));
        if (site.hasBias)
            made.push_back(biasTensor(source, site, dtype, exact, context));
        return made;
    };
    return group;
}

std::vector<TensorGroup> denseCheckpoint(const ExportSource &source, DenseWeights weights, DType dtype, bool exact)
{
    std::vector<TensorGroup> groups;
    for (const CheckpointEntry &entry : checkpointEntries(source.model()))
        groups.push_back(entry.site ? denseLayer(source, *entry.site, weights, dtype, exact)
                                    : originalTensor(source.checkpoint(), entry, dtype));
    return groups;
}

DType exactType(const ExportSource &source)
{
    std::optional<DType> type;
    const auto hold = [&type](DType needed) { type = type ? commonType(*type, needed) : needed; };
    for (const CheckpointEntry &entry : checkpointEntries(source.model())) {
        const auto stored = [&](const std::string &name) {
            const DType dtype = source.checkpoint().find(name)->dtype;
            return dtype == DType::F64 ? DType::F32 : dtype;
        };
        if (!entry.site) {
            if (entry.isParameter)
                hold(stored(entry.stored));
            continue;
        }
        const LayerPlan &plan = source.planFor(*entry.site);
        const auto held = [&](const FormatSpec &format, const std::string &name) {
            hold(plan.quantize ? exactType(format, stored(name)) : stored(name));
        };
        // A quantized layer without a format has the W_q of an existing quantization: the checkpoint's type says nothing of it.
        if (plan.quantize && plan.formats.weight.isPassthrough())
            hold(DType::F32);
        else
            held(plan.formats.weight, entry.site->weightTensor);
        if (entry.site->hasBias)
            held(plan.formats.bias, entry.site->biasTensor);
    }
    return type.value_or(DType::F32);
}

}  // namespace lqer
