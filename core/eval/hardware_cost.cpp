// SPDX-License-Identifier: Apache-2.0
#include "core/eval/hardware_cost.h"

#include <algorithm>
#include <array>

#include "core/eval/report.h"
#include "core/quant/quantizer.h"
#include "core/recipe/layer_selector.h"

namespace lqer {

namespace {

constexpr double publishedMixed = 13.9941;  // FP16 x 4-bit fixed point
constexpr double publishedW4A8 = 0.3254;    // MXINT, rank 32, 4096 x 11008, A and B in 8 bits
constexpr double sheetIn = 4096, sheetOut = 11008, sheetRank = 32;
// Area of one product of two elements with one magnitude bit each.
constexpr double fixedPointUnit = publishedW4A8 / (3 * 7 + 7 * 7 * sheetRank * (sheetIn + sheetOut) / (sheetIn * sheetOut));
constexpr double unstatedBits = 16;         // of a value that no format is stated for: what the papers' models run in

// One side of a product.
struct Operand {
    std::string name;
    double bits = unstatedBits;   // stored, per element
    int magnitudeBits = 0;        // of a fixed-point element; 0 for other kinds
    bool halfPrecision = false;
};

Operand operandOf(const FormatSpec &format, const Shape &shape)
{
    if (format.isPassthrough())
        return {.name = "float16", .halfPrecision = true};
    const auto quantizer = makeQuantizer(format);
    Operand operand;
    const std::string known = shortName(format);
    operand.name = known.find(':') == std::string::npos ? known : format.name + std::to_string(quantizer->codeBits());
    operand.bits = quantizer->bitsPerElement(shape);
    constexpr std::array fixedPoint{"mxint", "block_fp", "integer", "fixed", "mxint8"};
    if (std::ranges::find(fixedPoint, format.name) != fixedPoint.end())
        operand.magnitudeBits = std::max(1, quantizer->codeBits() - 1);
    operand.halfPrecision = format.name == "float16" || format.name == "bfloat16";
    return operand;
}

ProductCount product(ProductKind kind, const Operand &left, const Operand &right, double count)
{
    ProductCount result{kind, left.name, right.name, count};
    if (left.halfPrecision && right.halfPrecision) {
        result.area = 1;
        result.basis = AreaBasis::Published;
    } else if (left.magnitudeBits > 0 && right.magnitudeBits > 0) {
        result.area = fixedPointUnit * left.magnitudeBits * right.magnitudeBits;
        result.basis = AreaBasis::Derived;
    } else if ((left.halfPrecision && right.magnitudeBits > 0) || (left.magnitudeBits > 0 && right.halfPrecision)) {
        result.area = publishedMixed;
        result.basis = std::max(left.magnitudeBits, right.magnitudeBits) == 3 ? AreaBasis::Published : AreaBasis::Derived;
    }
    return result;
}

void add(LayerCost &sum, const LayerCost &part)
{
    sum.weightBits += part.weightBits;
    sum.correctionBits += part.correctionBits;
    sum.activationBits += part.activationBits;
    sum.cacheBits += part.cacheBits;
    sum.reference += part.reference;
    for (const ProductCount &counted : part.products) {
        const auto same = std::ranges::find_if(sum.products, [&](const ProductCount &other) {
            return other.kind == counted.kind && other.left == counted.left && other.right == counted.right;
        });
        if (same == sum.products.end())
            sum.products.push_back(counted);
        else
            same->count += counted.count;
    }
}

LayerCost linearCost(const LinearSite &site, const LayerPlan &plan, const LayerFootprint &size, std::int64_t tokens, std::string_view base)
{
    const auto in = static_cast<double>(site.in), out = static_cast<double>(site.out), rank = static_cast<double>(size.rank);
    LayerCost cost;
    cost.layer = site.name;
    cost.weightBits = 8.0 * static_cast<double>(size.weightBytes + size.biasBytes);
    cost.correctionBits = 8.0 * static_cast<double>(size.correctionBytes);
    cost.reference = in * out;
    const LinearFormats formats = size.quantized ? plan.formats : LinearFormats{};
    const Operand x = operandOf(formats.activation, {1, tokens, site.in});
    const Operand w = size.quantized && !base.empty() ? Operand{.name = std::string(base)} : operandOf(formats.weight, {site.out, site.in});
    cost.activationBits = in * x.bits + out * unstatedBits;
    cost.products.push_back(product(ProductKind::Weight, x, w, in * out));
    if (size.rank > 0) {
        const Operand xa = operandOf(formats.xa, {1, tokens, size.rank});
        cost.activationBits += rank * xa.bits;
        cost.products.push_back(product(ProductKind::A, x, operandOf(formats.a, {site.in, size.rank}), in * rank));
        cost.products.push_back(product(ProductKind::B, xa, operandOf(formats.b, {size.rank, site.out}), rank * out));
    }
    return cost;
}

LayerCost attentionCost(const ModelConfig &config, const AttentionPlan &plan, std::string name, std::int64_t context)
{
    const auto heads = static_cast<double>(config.heads), width = static_cast<double>(config.headDim), cached = static_cast<double>(context);
    const Operand query = operandOf(plan.query, {config.heads, 1, config.headDim});
    const Operand key = operandOf(plan.key, {config.kvHeads, config.headDim, context});
    const Operand probabilities = operandOf(plan.probabilities, {config.heads, 1, context});
    const Operand value = operandOf(plan.value, {config.kvHeads, context, config.headDim});
    LayerCost cost;
    cost.layer = std::move(name);
    cost.activationBits = heads * width * (query.bits + unstatedBits);
    cost.cacheBits = static_cast<double>(config.kvHeads) * width * cached * (key.bits + value.bits);
    cost.reference = 2 * heads * width * cached;
    cost.products = {product(ProductKind::Scores, query, key, heads * width * cached), product(ProductKind::Values, probabilities, value, heads * width * cached)};
    return cost;
}

}  // namespace

std::string_view toString(AreaBasis basis)
{
    constexpr std::array names{"unknown", "derived", "published"};
    return names[static_cast<std::size_t>(basis)];
}

std::string_view toString(ProductKind kind)
{
    constexpr std::array names{"x W", "x A", "(x A) B", "q k", "p v"};
    return names[static_cast<std::size_t>(kind)];
}

double LayerCost::movedBits(std::int64_t tokens) const
{
    return (weightBits + correctionBits) / static_cast<double>(std::max<std::int64_t>(1, tokens)) + activationBits + cacheBits;
}

double LayerCost::macs() const
{
    double sum = 0;
    for (const ProductCount &counted : products)
        sum += counted.count;
    return sum;
}

std::optional<double> LayerCost::area() const
{
    double sum = 0;
    for (const ProductCount &counted : products) {
        if (counted.basis == AreaBasis::Unknown)
            return {};
        sum += counted.count * counted.area;
    }
    return reference > 0 ? std::optional(sum / reference) : std::nullopt;
}

AreaBasis LayerCost::basis() const
{
    AreaBasis weakest = AreaBasis::Published;
    for (const ProductCount &counted : products)
        weakest = std::min(weakest, counted.basis);
    return weakest;
}

Json LayerCost::toJson(std::int64_t tokens) const
{
    Json list = Json::array();
    for (const ProductCount &counted : products) {
        Json json = Json::object();
        json.set("product", toString(counted.kind)).set("left", counted.left).set("right", counted.right).set("macs_per_token", counted.count);
        json.set("area_of_one", counted.basis == AreaBasis::Unknown ? Json() : Json(counted.area)).set("area_is", toString(counted.basis));
        list.append(std::move(json));
    }
    Json json = Json::object();
    json.set("layer", layer).set("weight_bits", weightBits).set("correction_bits", correctionBits).set("activation_bits_per_token", activationBits);
    json.set("cache_bits_per_token", cacheBits).set("moved_bits_per_token", movedBits(tokens)).set("macs_per_token", macs());
    json.set("original_macs_per_token", reference).set("products", std::move(list));
    const std::optional<double> whole = area();
    json.set("relative_area", whole ? Json(*whole) : Json()).set("area_is", toString(basis()));
    return json;
}

Json HardwareCost::toJson() const
{
    const auto listOf = [this](const std::vector<LayerCost> &costs) {
        Json list = Json::array();
        for (const LayerCost &cost : costs)
            list.append(cost.toJson(options.tokens));
        return list;
    };
    Json json = Json::object();
    json.set("tokens", options.tokens).set("context", options.context).set("total", total.toJson(options.tokens));
    json.set("layers", listOf(layers)).set("attention", listOf(attention));
    return json;
}

LayerCost layerCost(const LinearSite &site, const LayerPlan &plan, const LayerFootprint &footprint, std::int64_t tokens)
{
    return linearCost(site, plan, footprint, std::max<std::int64_t>(1, tokens), {});
}

HardwareCost hardwareCost(const Transformer &model, const ModelPlan &plan, const Footprint &sizes, const CostOptions &options, std::string_view baseDescription)
{
    HardwareCost cost;
    cost.options = {.tokens = std::max<std::int64_t>(1, options.tokens), .context = options.context};
    if (cost.options.context < 1)
        cost.options.context = std::max<std::int64_t>(1, model.config().maxPositions);
    for (std::size_t i = 0; i < sizes.layers.size() && i < model.linearSites().size(); ++i) {
        const LinearSite &site = model.linearSites()[i];
        const auto planned = plan.layers.find(site.name);
        cost.layers.push_back(linearCost(site, planned == plan.layers.end() ? LayerPlan{} : planned->second, sizes.layers[i],
                                         cost.options.tokens, baseDescription));
        add(cost.total, cost.layers.back());
    }
    for (std::int64_t block = 0; block < model.config().layers; ++block) {
        const auto planned = plan.attention.find(block);
        cost.attention.push_back(attentionCost(model.config(), planned == plan.attention.end() ? AttentionPlan{} : planned->second,
                                               attentionModule(model.linearSites(), block), cost.options.context));
        add(cost.total, cost.attention.back());
    }
    return cost;
}

std::optional<HardwareCost> reportCost(const Transformer &model, const std::string &fingerprint, const EvaluationReport &report, const CostOptions &options)
{
    if (report.fingerprint != fingerprint || (report.recipe && !report.footprint))
        return {};
    const ModelPlan plan = report.recipe ? report.recipe->planFor(model.linearSites()) : ModelPlan{};
    const Footprint sizes = report.footprint ? *report.footprint : footprint(model, {});
    if (sizes.layers.size() != model.linearSites().size())
        return {};
    return hardwareCost(model, plan, sizes, options, report.base ? std::string_view(report.base->description) : std::string_view());
}

}  // namespace lqer
