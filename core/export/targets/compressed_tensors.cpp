// SPDX-License-Identifier: Apache-2.0
// Packed weights as vLLM, SGLang and transformers load them through compressed-tensors, with A and B as a LoRA adapter. exports.md C3;
// layout of the tensors: compressed-tensors, compressors/pack_quantized, nvfp4 and mxfp4.
//   integers: weight_packed int32 (out, in * bits / 32), element i of a row at bit i * bits, excess 2^(bits-1); weight_scale half precision
//     (out, groups); affine: weight_zero_point int32 (out * bits / 32, groups), packed along the outputs; weight_shape int64 (2).
//   mxfp4: weight_packed uint8 (out, in / 2), the even element in the low half; weight_scale uint8 (out, in / 32), E8M0.
//   nvfp4: weight_packed likewise, weight_scale F8_E4M3 (out, in / 16), weight_global_scale float32 (1): the reciprocal of the tensor's scale.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/export/integer_scheme.h"
#include "core/export/packed_checkpoint.h"
#include "core/export/targets/list.h"
#include "core/quant/bit_packing.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

// How one layer is packed.
struct PackedScheme {
    enum class Kind { Integer, Mxfp4, Nvfp4 } kind = Kind::Integer;
    IntegerScheme integer;
    bool tensorScale = false;      // nvfp4
    bool integerInputs = false;    // 8-bit integers per token
    const char *format() const
    {
        return kind == Kind::Integer ? "pack-quantized" : kind == Kind::Mxfp4 ? "mxfp4-pack-quantized" : "nvfp4-pack-quantized";
    }
    std::int64_t group() const { return kind == Kind::Integer ? integer.group : kind == Kind::Mxfp4 ? 32 : 16; }
    friend bool operator==(const PackedScheme &, const PackedScheme &) = default;
};

// Inputs as engines quantize them on the way: symmetric 8-bit integers with one scale a token.
bool isTokenInteger(const FormatSpec &format)
{
    const FormatSpec spec = withDefaults(format);
    return spec.name == "integer" && integerValue(spec, "n_bits") == 8 && !booleanValue(spec, "is_affine") && choiceValue(spec, "scope") == "channel"
        && integerValue(spec, "block_axis") == -1 && isNone(spec, "fp_min");
}

std::optional<PackedScheme> packedScheme(const LayerPlan &plan, std::string *reason = nullptr)
{
    const FormatSpec spec = withDefaults(plan.formats.weight);
    PackedScheme scheme;
    scheme.integerInputs = isTokenInteger(plan.formats.activation);
    if (spec.name == "mxfp4" || spec.name == "nvfp4") {
        if (const std::int64_t axis = integerValue(spec, "block_axis"); axis != -1 && axis != 1) {
            if (reason)
                *reason = "has blocks along the outputs";
            return std::nullopt;
        }
        scheme.kind = spec.name == "mxfp4" ? PackedScheme::Kind::Mxfp4 : PackedScheme::Kind::Nvfp4;
        scheme.tensorScale = spec.name == "nvfp4" && choiceValue(spec, "tensor_scale") == "amax";
        return scheme;
    }
    const auto integer = integerScheme(spec, reason);
    if (!integer)
        return std::nullopt;
    if (integer->bits != 4 && integer->bits != 8) {
        if (reason)
            *reason = fmt::format("has {} bits, where every version packs 4 and 8 in the same way", integer->bits);
        return std::nullopt;
    }
    scheme.integer = *integer;
    return scheme;
}

// The type of the first packed integers' scales; formats with scales of their own go with bfloat16.
DType restType(const ExportSource &source, const ExportOptions &options)
{
    for (const LinearSite &site : source.model().linearSites())
        if (const LayerPlan &plan = source.planFor(site); plan.quantize)
            if (const auto scheme = packedScheme(plan); scheme && scheme->kind == PackedScheme::Kind::Integer)
                return lqer::restType(source, options, scheme->integer.scaleType);
    return lqer::restType(source, options, DType::BF16);
}

std::string packingProblem(const PackedScheme &scheme, const LinearSite &site)
{
    if (scheme.kind == PackedScheme::Kind::Integer)
        return lqer::packingProblem(scheme.integer, site);
    return site.in % scheme.group() == 0 ? std::string() : fmt::format("{} inputs are no multiple of the block of {}", site.in, scheme.group());
}

Tensor bytesTensor(DType dtype, Shape shape, std::span<const std::uint8_t> bytes)
{
    Tensor tensor(dtype, std::move(shape));
    LQER_ASSERT(tensor.bytes().size() == bytes.size());
    std::memcpy(tensor.bytes().data(), bytes.data(), bytes.size());
    return tensor;
}

// Zero points (out, groups), packed along the outputs: that of row r in word r * bits / 32.
Tensor packedZeroPoints(const QuantizedWeight &weight, const IntegerScheme &scheme, const LinearSite &site)
{
    const std::int64_t groups = scheme.groups(site.in), inWord = 32 / scheme.bits, words = (site.out + inWord - 1) / inWord;
    const std::vector<std::uint32_t> zeros = zeroPoints(weight, scheme, site.out * groups);
    std::vector<std::uint32_t> packed(static_cast<std::size_t>(words * groups));
    for (std::int64_t row = 0; row < site.out; ++row)
        for (std::int64_t group = 0; group < groups; ++group)
            packed[static_cast<std::size_t>(row / inWord * groups + group)] |= zeros[static_cast<std::size_t>(row * groups + group)]
                << (row % inWord * scheme.bits);
    const auto bytes = std::as_bytes(std::span(packed));
    return bytesTensor(DType::I32, {words, groups}, {reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()});
}

// What a packed layer consists of, weight_packed first.
std::vector<TensorInfo> packedTensors(const PackedScheme &scheme, const LinearSite &site)
{
    const auto name = [&](const char *part) { return site.name + '.' + part; };
    if (scheme.kind != PackedScheme::Kind::Integer) {
        std::vector<TensorInfo> tensors{{.name = name("weight_packed"), .dtype = DType::U8, .shape = {site.out, site.in / 2}},
                                        {.name = name("weight_scale"), .dtype = scheme.kind == PackedScheme::Kind::Mxfp4 ? DType::U8 : DType::F8E4M3,
                                         .shape = {site.out, site.in / scheme.group()}}};
        if (scheme.kind == PackedScheme::Kind::Nvfp4)
            tensors.push_back({.name = name("weight_global_scale"), .dtype = DType::F32, .shape = {1}});
        return tensors;
    }
    const IntegerScheme &integer = scheme.integer;
    std::vector<TensorInfo> tensors{{.name = name("weight_packed"), .dtype = DType::I32, .shape = {site.out, site.in * integer.bits / 32}},
                                    {.name = name("weight_scale"), .dtype = integer.scaleType, .shape = {site.out, integer.groups(site.in)}}};
    if (integer.affine)
        tensors.push_back({.name = name("weight_zero_point"), .dtype = DType::I32,
                           .shape = {(site.out * integer.bits + 31) / 32, integer.groups(site.in)}});
    tensors.push_back({.name = name("weight_shape"), .dtype = DType::I64, .shape = {2}});
    return tensors;
}

std::vector<Tensor> packed(const PackedScheme &scheme, const LinearSite &site, const QuantizedWeight &weight)
{
    const std::vector<TensorInfo> infos = packedTensors(scheme, site);
    std::vector<Tensor> made;
    // Rows fill whole words, so our codes, one after another from the lowest bit, are these words.
    made.push_back(bytesTensor(infos[0].dtype, infos[0].shape, weight.codes));
    made.push_back(bytesTensor(infos[1].dtype, infos[1].shape, weight.scales));
    if (scheme.kind == PackedScheme::Kind::Nvfp4) {
        const float tensorScale = floatAt(weight.offsets, 0);
        const float reciprocal = tensorScale > 0 ? 1.0F / tensorScale : 1.0F;
        if (!std::isfinite(reciprocal))
            throw Error(ErrorCode::Numeric, "", fmt::format("tensor '{}'", weightName(site)), "its scale is too small to have a reciprocal");
        made.push_back(Tensor::fromVector(std::span(&reciprocal, 1)));
    }
    if (scheme.kind == PackedScheme::Kind::Integer) {
        if (scheme.integer.affine)
            made.push_back(packedZeroPoints(weight, scheme.integer, site));
        const std::int64_t extents[] = {site.out, site.in};
        const auto bytes = std::as_bytes(std::span(extents));
        made.push_back(bytesTensor(DType::I64, {2}, {reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()}));
    }
    return made;
}

std::vector<TensorGroup> groups(const ExportSource &source, const ExportOptions &options)
{
    const auto schemeOf = [&source](const LinearSite &site) { return packedScheme(source.planFor(site)).value(); };
    const WeightPacking packing{[schemeOf](const LinearSite &site) { return packedTensors(schemeOf(site), site); },
                                [schemeOf](const LinearSite &site, const QuantizedWeight &weight) { return packed(schemeOf(site), site, weight); }};
    return packedCheckpoint(source, packing, restType(source, options));
}

std::string quotedName(const std::string &module)
{
    std::string pattern = "re:^";
    for (const char c : module)
        pattern += c == '.' ? "[.]" : std::string(1, c);
    return pattern + "$";
}

Json weightArguments(const PackedScheme &scheme)
{
    Json json = Json::object();
    json.set("num_bits", scheme.kind == PackedScheme::Kind::Integer ? scheme.integer.bits : 4)
        .set("type", scheme.kind == PackedScheme::Kind::Integer ? "int" : "float")
        .set("symmetric", scheme.kind != PackedScheme::Kind::Integer || !scheme.integer.affine)
        .set("strategy", scheme.kind == PackedScheme::Kind::Nvfp4 ? "tensor_group" : scheme.group() < 0 ? "channel" : "group")
        .set("group_size", scheme.group() < 0 ? Json() : Json(scheme.group())).set("dynamic", false);
    if (scheme.kind == PackedScheme::Kind::Mxfp4)
        json.set("scale_dtype", "torch.uint8");
    return json;
}

Json quantizationConfig(const ExportSource &source)
{
    struct Group {
        PackedScheme scheme;
        std::vector<const LinearSite *> sites;
    };
    std::vector<Group> found;
    Json ignored = Json::array().append("lm_head");
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        if (!plan.quantize) {
            ignored.append(site.name);
            continue;
        }
        const PackedScheme scheme = packedScheme(plan).value();
        auto group = std::ranges::find(found, scheme, &Group::scheme);
        if (group == found.end())
            group = found.insert(found.end(), {scheme, {}});
        group->sites.push_back(&site);
    }
    Json groups = Json::object();
    bool mixed = false;
    for (std::size_t i = 0; i < found.size(); ++i) {
        Json targets = Json::array();
        if (found.size() == 1)
            targets.append("Linear");
        else
            for (const LinearSite *site : found[i].sites)
                targets.append(quotedName(site->name));
        Json inputs;
        if (found[i].scheme.integerInputs)
            inputs = Json::object().set("num_bits", 8).set("type", "int").set("symmetric", true).set("strategy", "token").set("dynamic", true);
        mixed = mixed || std::string_view(found[i].scheme.format()) != found.front().scheme.format();
        groups.set(fmt::format("group_{}", i), Json::object().set("targets", std::move(targets)).set("weights", weightArguments(found[i].scheme))
                                                   .set("input_activations", std::move(inputs)).set("output_activations", Json()).set("format", found[i].scheme.format()));
    }
    return Json::object().set("quant_method", "compressed-tensors").set("format", mixed ? "mixed-precision" : found.front().scheme.format())
        .set("quantization_status", "compressed").set("kv_cache_scheme", Json()).set("global_compression_ratio", Json())
        .set("ignore", std::move(ignored)).set("config_groups", std::move(groups));
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems;
    bool reciprocal = false;
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        if (!plan.quantize)
            continue;
        std::string reason;
        const auto scheme = packedScheme(plan, &reason);
        if (!scheme) {
            problems.push_back(exportError(layerPlace(site), fmt::format("{} {}: compressed-tensors has no exact type for it; int4-g128, int8-channel, mxfp4, nvfp4 and their kind have one",
                                                                         shortName(plan.formats.weight), reason)));
            continue;
        }
        reciprocal = reciprocal || scheme->tensorScale;
        if (const std::string problem = packingProblem(*scheme, site); !problem.empty())
            problems.push_back(exportError(layerPlace(site), problem));
        if (site.storedTransposed)
            problems.push_back(exportError(layerPlace(site), "is a Conv1D of GPT-2, and compressed-tensors quantizes Linear modules: the targets gptq, peft and gguf take it"));
        if (isForVllm(options) && scheme->kind == PackedScheme::Kind::Integer && scheme->group() > 0 && scheme->group() != 32 && scheme->group() != 64 && scheme->group() != 128)
            problems.push_back(exportWarning(layerPlace(site), fmt::format("has groups of {}; vLLM's fast kernels take 32, 64, 128 or whole rows", scheme->group())));
    }
    if (reciprocal)
        problems.push_back(exportWarning("recipe", "nvfp4: the tensor's scale is stored as its reciprocal in float32, so weights may differ by one rounding (1.2e-7 of their size); tensor_scale=unit has none"));
    std::ranges::move(modelProblems(source, [](const LayerPlan &plan) { return isTokenInteger(plan.formats.activation); }), std::back_inserter(problems));
    std::ranges::move(packedProblems(source, options, restType(source, options)), std::back_inserter(problems));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    return packedCheckpointBytes(source, options, groups(source, options));
}

CardNotes card(const ExportSource &source, const ExportOptions &options)
{
    return packedCard(source, options, "packed weights (compressed-tensors)", restType(source, options));
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    writePackedCheckpoint(source, options, groups(source, options), restType(source, options), quantizationConfig(source), folder, context);
}

void verify(const ExportSource &source, const ExportOptions &options, const std::string &folder)
{
    verifyPackedCheckpoint(source, groups(source, options), folder);
}

}  // namespace

Exporter compressedTensorsExporter()
{
    ExporterInfo info;
    info.name = "compressed-tensors";
    info.title = "Packed weights (compressed-tensors) and PEFT adapter";
    info.meaning = "W_q in 4 or 8 bits a weight as compressed-tensors packs it (integers, MXFP4, NVFP4), and A and B as a LoRA adapter. Loads in vLLM, SGLang and "
                   "transformers with peft; this one saves memory.";
    info.options = packedOptions();
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
