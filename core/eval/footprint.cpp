// SPDX-License-Identifier: Apache-2.0
#include "core/eval/footprint.h"

#include <cmath>

#include "core/eval/report_fields.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

constexpr int paperExponentBits = 4;  // what LQER's headline counts for a block's shared exponent

// Bits of one stored array under both habits.
struct ArrayBits {
    double stored = 0;
    double paper = 0;
};

ArrayBits arrayBits(const FormatSpec &format, const Shape &shape)
{
    const auto quantizer = makeQuantizer(format);
    const auto elements = static_cast<double>(elementCount(shape));
    return {quantizer->bitsPerElement(shape) * elements, quantizer->bitsPerElement(shape, paperExponentBits) * elements};
}

std::uint64_t bytesOf(double bits)
{
    // Stated bits are a quotient; a whole number of bits must not become a byte more by its rounding.
    return static_cast<std::uint64_t>(std::ceil(bits / 8 - 1e-6));
}

AverageBits average(double weightBits, double correctionBits, double weights, double factors)
{
    AverageBits bits;
    if (weights > 0) {
        bits.weights = weightBits / weights;
        bits.withCorrection = (weightBits + correctionBits) / weights;
        bits.perStoredNumber = (weightBits + correctionBits) / (weights + factors);
    }
    return bits;
}

}  // namespace

LayerFootprint layerFootprint(const LinearSite &site, const LayerPlan &plan, std::uint64_t originalWeightBytes,
                              std::uint64_t originalBiasBytes, std::optional<std::uint64_t> baseWeightBytes)
{
    LayerFootprint layer;
    layer.layer = site.name;
    layer.in = site.in;
    layer.out = site.out;
    layer.quantized = plan.quantize;
    layer.originalBytes = originalWeightBytes + originalBiasBytes;
    layer.weightBytes = originalWeightBytes;
    layer.biasBytes = originalBiasBytes;
    const auto weights = static_cast<double>(site.in) * static_cast<double>(site.out);
    const double originalBits = 8.0 * static_cast<double>(originalWeightBytes);
    ArrayBits weightBits{originalBits, originalBits};
    ArrayBits correctionBits;
    if (plan.quantize) {
        layer.rank = plan.rank;
        if (baseWeightBytes) {
            layer.weightBytes = *baseWeightBytes;
            weightBits.stored = weightBits.paper = 8.0 * static_cast<double>(*baseWeightBytes);
        } else if (!plan.formats.weight.isPassthrough()) {
            weightBits = arrayBits(plan.formats.weight, {site.out, site.in});
            layer.weightBytes = bytesOf(weightBits.stored);
        }
        if (site.hasBias && !plan.formats.bias.isPassthrough())
            layer.biasBytes = bytesOf(arrayBits(plan.formats.bias, {site.out}).stored);
        if (plan.rank > 0) {
            const ArrayBits a = arrayBits(plan.formats.a, {site.in, plan.rank});
            const ArrayBits b = arrayBits(plan.formats.b, {plan.rank, site.out});
            layer.correctionBytes = bytesOf(a.stored) + bytesOf(b.stored);
            correctionBits = {a.stored + b.stored, a.paper + b.paper};
        }
    }
    const double factors = static_cast<double>(layer.rank) * static_cast<double>(site.in + site.out);
    layer.stored = average(weightBits.stored, correctionBits.stored, weights, factors);
    layer.paper = average(weightBits.paper, correctionBits.paper, weights, factors);
    return layer;
}

Footprint footprint(const Transformer &model, const ModelPlan &plan, const QuantizedBase *base)
{
    const Checkpoint &checkpoint = model.checkpoint();
    const auto bytesIn = [&](const std::string &tensor) {
        const TensorInfo *info = tensor.empty() ? nullptr : checkpoint.find(tensor);
        return info ? info->bytes : 0;
    };
    Footprint sum;
    sum.parameters = model.parameters();
    for (const std::string &name : checkpoint.names())
        sum.originalBytes += bytesIn(name);
    sum.restBytes = sum.originalBytes;
    double factors = 0;
    ArrayBits weightBits;
    ArrayBits correctionBits;
    for (const LinearSite &site : model.linearSites()) {
        const auto planned = plan.layers.find(site.name);
        LayerPlan own;
        own.quantize = false;
        const LayerPlan &layerPlan = planned == plan.layers.end() ? own : planned->second;
        std::optional<std::uint64_t> baseBytes;
        if (base && layerPlan.quantize)
            baseBytes = base->weightBytes(site);
        LayerFootprint layer = layerFootprint(site, layerPlan, bytesIn(site.weightTensor), bytesIn(site.biasTensor), baseBytes);
        const std::int64_t weights = site.in * site.out;
        const auto count = static_cast<double>(weights);
        sum.linearWeights += weights;
        sum.restBytes -= layer.originalBytes;
        sum.bytes += layer.bytes();
        factors += static_cast<double>(layer.rank) * static_cast<double>(site.in + site.out);
        weightBits.stored += layer.stored.weights * count;
        weightBits.paper += layer.paper.weights * count;
        correctionBits.stored += (layer.stored.withCorrection - layer.stored.weights) * count;
        correctionBits.paper += (layer.paper.withCorrection - layer.paper.weights) * count;
        sum.layers.push_back(std::move(layer));
    }
    sum.bytes += sum.restBytes;
    const auto linear = static_cast<double>(sum.linearWeights);
    sum.stored = average(weightBits.stored, correctionBits.stored, linear, factors);
    sum.paper = average(weightBits.paper, correctionBits.paper, linear, factors);
    sum.wholeModelBits = sum.parameters > 0 ? 8.0 * static_cast<double>(sum.bytes) / static_cast<double>(sum.parameters) : 0;
    return sum;
}

namespace {

Json bitsToJson(const AverageBits &bits)
{
    Json json = Json::object();
    json.set("weights", bits.weights);
    json.set("with_correction", bits.withCorrection);
    json.set("per_stored_number", bits.perStoredNumber);
    return json;
}

AverageBits bitsFromJson(const JsonReader &json)
{
    return {readNumber(json, "weights"), readNumber(json, "with_correction"), readNumber(json, "per_stored_number")};
}

Json layerToJson(const LayerFootprint &layer)
{
    Json json = Json::object();
    json.set("layer", layer.layer);
    json.set("in", layer.in);
    json.set("out", layer.out);
    json.set("rank", layer.rank);
    json.set("quantized", layer.quantized);
    json.set("original_bytes", layer.originalBytes);
    json.set("weight_bytes", layer.weightBytes);
    json.set("bias_bytes", layer.biasBytes);
    json.set("correction_bytes", layer.correctionBytes);
    json.set("stored_bits", bitsToJson(layer.stored));
    json.set("paper_bits", bitsToJson(layer.paper));
    return json;
}

std::uint64_t readBytes(const JsonReader &json, std::string_view key)
{
    return static_cast<std::uint64_t>(readCount(json, key));
}

LayerFootprint layerFromJson(const JsonReader &json)
{
    LayerFootprint layer;
    layer.layer = json["layer"].string();
    layer.in = readCount(json, "in");
    layer.out = readCount(json, "out");
    layer.rank = readCount(json, "rank");
    layer.quantized = json["quantized"].boolean();
    layer.originalBytes = readBytes(json, "original_bytes");
    layer.weightBytes = readBytes(json, "weight_bytes");
    layer.biasBytes = readBytes(json, "bias_bytes");
    layer.correctionBytes = readBytes(json, "correction_bytes");
    layer.stored = bitsFromJson(json["stored_bits"]);
    layer.paper = bitsFromJson(json["paper_bits"]);
    return layer;
}

}  // namespace

Json Footprint::toJson() const
{
    Json list = Json::array();
    for (const LayerFootprint &layer : layers)
        list.append(layerToJson(layer));
    Json json = Json::object();
    json.set("layers", std::move(list));
    json.set("parameters", parameters);
    json.set("linear_weights", linearWeights);
    json.set("rest_bytes", restBytes);
    json.set("original_bytes", originalBytes);
    json.set("bytes", bytes);
    json.set("stored_bits", bitsToJson(stored));
    json.set("paper_bits", bitsToJson(paper));
    json.set("whole_model_bits", wholeModelBits);
    return json;
}

Footprint Footprint::fromJson(const JsonReader &json)
{
    Footprint footprint;
    const JsonReader list = json["layers"];
    for (std::size_t i = 0; i < list.size(); ++i)
        footprint.layers.push_back(layerFromJson(list.at(i)));
    footprint.parameters = readCount(json, "parameters");
    footprint.linearWeights = readCount(json, "linear_weights");
    footprint.restBytes = readBytes(json, "rest_bytes");
    footprint.originalBytes = readBytes(json, "original_bytes");
    footprint.bytes = readBytes(json, "bytes");
    footprint.stored = bitsFromJson(json["stored_bits"]);
    footprint.paper = bitsFromJson(json["paper_bits"]);
    footprint.wholeModelBits = readNumber(json, "whole_model_bits");
    return footprint;
}

}  // namespace lqer
