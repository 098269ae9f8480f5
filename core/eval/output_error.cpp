// SPDX-License-Identifier: Apache-2.0
#include "core/eval/output_error.h"

#include <cmath>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/eval/report_fields.h"
#include "core/linalg/gemm.h"

namespace lqer {

namespace {

double relative(double error, double energy)
{
    return energy > 0 ? std::sqrt(error / energy) : 0.0;
}

// ||(W - W_q) - (A B)^T||^2, error (out, in).
double correctedEnergy(const Matrix &error, const LowRankCorrection &correction, const TaskContext &context)
{
    const Matrix aTransposed = correction.a.transpose();
    Matrix product(error.rows(), error.cols());
    transposedMultiply(correction.b, aTransposed, product, context.silent());
    return (error - product).cast<double>().squaredNorm();
}

}  // namespace

double LayerError::relativeWeightError() const
{
    return relative(weightError, weightEnergy);
}

double LayerError::relativeCorrectedWeightError() const
{
    return relative(correctedWeightError, weightEnergy);
}

double LayerError::relativeOutputError() const
{
    return relative(outputError, outputEnergy);
}

double LayerError::relativeCorrectedOutputError() const
{
    return relative(correctedOutputError, outputEnergy);
}

LayerError totalError(std::span<const LayerError> layers)
{
    LayerError total;
    total.outputKnown = total.fullAutocorrelation = !layers.empty();
    for (const LayerError &layer : layers) {
        total.weightEnergy += layer.weightEnergy;
        total.weightError += layer.weightError;
        total.correctedWeightError += layer.correctedWeightError;
        total.outputKnown = total.outputKnown && layer.outputKnown;
        total.fullAutocorrelation = total.fullAutocorrelation && layer.fullAutocorrelation;
        total.outputEnergy += layer.outputEnergy;
        total.outputError += layer.outputError;
        total.correctedOutputError += layer.correctedOutputError;
    }
    return total;
}

LayerError layerError(const std::string &layer, const ConstMatrixRef &weight, const ConstMatrixRef &quantized,
                      const LowRankCorrection *correction, const SiteStats *stats, const TaskContext &context)
{
    const auto wrong = [&](const std::string &message) {
        return Error(ErrorCode::Shape, "", fmt::format("layer '{}'", layer), message);
    };
    if (weight.rows() != quantized.rows() || weight.cols() != quantized.cols())
        throw wrong(fmt::format("weight is {}x{}, its quantized form {}x{}", weight.rows(), weight.cols(), quantized.rows(),
                                quantized.cols()));
    if (correction
        && (correction->a.rows() != weight.cols() || correction->b.cols() != weight.rows()
            || correction->a.cols() != correction->b.rows()))
        throw wrong(fmt::format("A is {}x{} and B {}x{}, the weight {}x{}", correction->a.rows(), correction->a.cols(),
                                correction->b.rows(), correction->b.cols(), weight.rows(), weight.cols()));
    if (stats && stats->features() != weight.cols())
        throw wrong(fmt::format("weight has {} inputs, the statistics cover {}", weight.cols(), stats->features()));

    const Matrix error = weight - quantized;
    LayerError result;
    result.layer = layer;
    result.weightEnergy = weight.cast<double>().squaredNorm();
    result.weightError = error.cast<double>().squaredNorm();
    result.correctedWeightError = result.weightError;
    if (correction && correction->rank() > 0)
        result.correctedWeightError = correctedEnergy(error, *correction, context);
    if (stats) {
        result.outputKnown = true;
        result.fullAutocorrelation = stats->autocorrelation.size() > 0;
        result.outputEnergy = lqer::outputError(weight, nullptr, *stats, context);
        result.outputError = lqer::outputError(error, nullptr, *stats, context);
        result.correctedOutputError = correction ? lqer::outputError(error, correction, *stats, context) : result.outputError;
    }
    return result;
}

Json LayerError::toJson() const
{
    Json json = Json::object();
    json.set("layer", layer);
    json.set("weight_energy", weightEnergy);
    json.set("weight_error", weightError);
    json.set("corrected_weight_error", correctedWeightError);
    json.set("output_known", outputKnown);
    json.set("full_autocorrelation", fullAutocorrelation);
    json.set("output_energy", outputEnergy);
    json.set("output_error", outputError);
    json.set("corrected_output_error", correctedOutputError);
    return json;
}

LayerError LayerError::fromJson(const JsonReader &json)
{
    LayerError error;
    error.layer = json["layer"].string();
    error.weightEnergy = readNumber(json, "weight_energy");
    error.weightError = readNumber(json, "weight_error");
    error.correctedWeightError = readNumber(json, "corrected_weight_error");
    error.outputKnown = json["output_known"].boolean();
    error.fullAutocorrelation = json["full_autocorrelation"].boolean();
    error.outputEnergy = readNumber(json, "output_energy");
    error.outputError = readNumber(json, "output_error");
    error.correctedOutputError = readNumber(json, "corrected_output_error");
    return error;
}

}  // namespace lqer
