// SPDX-License-Identifier: Apache-2.0
// Weights packed as GPTQ checkpoints are, with A and B as a LoRA adapter. exports.md C3; layout: GPTQModel and AutoGPTQ, qlinear
// pack().
//   qweight int32 (in * bits / 32, out): element i of a column at bit (i mod (32 / bits)) * bits of word i * bits / 32;
//   qzeros int32 (groups, out * bits / 32), packed along the outputs, version 1 stores the zero point less one;
//   scales float16 (groups, out); g_idx int32 (in): the group of each input.
#include <algorithm>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/export/integer_scheme.h"
#include "core/export/packed_checkpoint.h"
#include "core/export/targets/list.h"
#include "core/quant/bit_packing.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

DType restType(const ExportSource &source, const ExportOptions &options)
{
    return lqer::restType(source, options, DType::F16);
}

std::optional<IntegerScheme> gptqScheme(const LayerPlan &plan, std::string *reason = nullptr)
{
    const auto scheme = integerScheme(plan.formats.weight, reason);
    if (!scheme || (scheme->scaleType == DType::F16 && (scheme->bits == 2 || scheme->bits == 4 || scheme->bits == 8)))
        return scheme;
    if (reason)
        *reason = scheme->scaleType != DType::F16 ? "has scales in bfloat16, GPTQ stores float16"
                                                  : fmt::format("has {} bits, GPTQ packs 2, 4 or 8 without gaps", scheme->bits);
    return std::nullopt;
}

std::vector<TensorInfo> packedTensors(const IntegerScheme &scheme, const LinearSite &site)
{
    const std::int64_t inWord = 32 / scheme.bits, groups = scheme.groups(site.in);
    return {{.name = site.name + ".qweight", .dtype = DType::I32, .shape = {site.in / inWord, site.out}},
            {.name = site.name + ".qzeros", .dtype = DType::I32, .shape = {groups, site.out / inWord}},
            {.name = site.name + ".scales", .dtype = DType::F16, .shape = {groups, site.out}},
            {.name = site.name + ".g_idx", .dtype = DType::I32, .shape = {site.in}}};
}

template <typename Value>
Tensor tensorOf(const TensorInfo &info, const std::vector<Value> &values)
{
    Tensor tensor(info.dtype, info.shape);
    std::memcpy(tensor.bytes().data(), values.data(), tensor.bytes().size());
    return tensor;
}

std::vector<Tensor> packed(const IntegerScheme &scheme, const LinearSite &site, const QuantizedWeight &weight, bool zeroLessOne)
{
    const auto inWord = static_cast<std::size_t>(32 / scheme.bits), bits = static_cast<std::size_t>(scheme.bits);
    const auto in = static_cast<std::size_t>(site.in), out = static_cast<std::size_t>(site.out);
    const auto groups = static_cast<std::size_t>(scheme.groups(site.in));
    const std::vector<std::uint32_t> codes = expandedCodes(weight, scheme.bits);
    const std::vector<std::uint32_t> zeros = zeroPoints(weight, scheme, site.out * scheme.groups(site.in));
    std::vector<std::uint32_t> qweight(in / inWord * out), qzeros(groups * (out / inWord));
    std::vector<std::uint16_t> scales(groups * out);
    std::vector<std::int32_t> group(in);
    for (std::size_t o = 0; o < out; ++o) {
        for (std::size_t i = 0; i < in; ++i)
            qweight[i / inWord * out + o] |= codes[o * in + i] << (i % inWord * bits);
        for (std::size_t g = 0; g < groups; ++g) {
            const std::uint32_t zero = zeros[o * groups + g];
            if (zeroLessOne && zero == 0)
                throw Error(ErrorCode::Unsupported, "", fmt::format("tensor '{}'", weightName(site)),
                            fmt::format("zero point 0 of row {}, group {} cannot be stored in GPTQ's version 1 "
                                        "(checkpoint_format=gptq_v2 can)", o, g));
            qzeros[g * (out / inWord) + o / inWord] |= (zero - (zeroLessOne ? 1 : 0)) << (o % inWord * bits);
            scales[g * out + o] = halfAt(weight.scales, o * groups + g);
        }
    }
    for (std::size_t i = 0; i < in; ++i)
        group[i] = static_cast<std::int32_t>(i / (in / groups));
    const std::vector<TensorInfo> infos = packedTensors(scheme, site);
    std::vector<Tensor> made;
    made.push_back(tensorOf(infos[0], qweight));
    made.push_back(tensorOf(infos[1], qzeros));
    made.push_back(tensorOf(infos[2], scales));
    made.push_back(tensorOf(infos[3], group));
    return made;
}

std::vector<TensorGroup> groups(const ExportSource &source, const ExportOptions &options)
{
    const bool zeroLessOne = optionText(options, "checkpoint_format") == "gptq";
    const auto schemeOf = [&source](const LinearSite &site) { return gptqScheme(source.planFor(site)).value(); };
    const WeightPacking packing{[schemeOf](const LinearSite &site) { return packedTensors(schemeOf(site), site); },
                                [schemeOf, zeroLessOne](const LinearSite &site, const QuantizedWeight &weight) {
                                    return packed(schemeOf(site), site, weight, zeroLessOne);
                                }};
    return packedCheckpoint(source, packing, restType(source, options));
}

// The scheme of most layers; layers that differ are listed under "dynamic".
IntegerScheme commonScheme(const ExportSource &source)
{
    std::vector<std::pair<IntegerScheme, int>> counts;
    for (const LinearSite &site : source.model().linearSites()) {
        if (!source.planFor(site).quantize)
            continue;
        const IntegerScheme scheme = gptqScheme(source.planFor(site)).value();
        const auto found = std::ranges::find(counts, scheme, &std::pair<IntegerScheme, int>::first);
        if (found == counts.end())
            counts.emplace_back(scheme, 1);
        else
            ++found->second;
    }
    return std::ranges::max_element(counts, {}, &std::pair<IntegerScheme, int>::second)->first;
}

// vLLM makes one module of q, k and v of a block, and one of gate and up, and asks for rules by that module's name. Empty for
// other layers.
std::string fusedName(const LinearSite &site)
{
    const std::string parent = site.name.substr(0, site.name.rfind('.') + 1);
    switch (site.role) {
    case LinearRole::Query:
    case LinearRole::Key:
    case LinearRole::Value: return parent + "qkv_proj";
    case LinearRole::Gate:
    case LinearRole::Up: return parent + "gate_up_proj";
    default: return {};
    }
}

std::string modulePattern(const std::string &module)
{
    std::string pattern = "^";
    for (const char c : module)
        pattern += c == '.' ? "\\." : std::string(1, c);
    return pattern + "$";
}

Json quantizationConfig(const ExportSource &source, const ExportOptions &options)
{
    const IntegerScheme common = commonScheme(source);
    Json dynamic = Json::object();
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        const auto state = [&](const std::string &module) {
            if (!plan.quantize)
                dynamic.set("-:" + modulePattern(module), Json::object());
            else if (const IntegerScheme scheme = gptqScheme(plan).value(); scheme != common)
                dynamic.set("+:" + modulePattern(module),
                            Json::object().set("bits", scheme.bits).set("group_size", scheme.group).set("sym", !scheme.affine));
        };
        state(site.name);
        // Its parts have one format there: fusedLayerProblems().
        if (const std::string fused = fusedName(site); !fused.empty() && isForVllm(options))
            state(fused);
    }
    Json config = Json::object().set("quant_method", "gptq").set("bits", common.bits).set("group_size", common.group)
                      .set("desc_act", false).set("sym", !common.affine)
                      .set("checkpoint_format", optionText(options, "checkpoint_format")).set("lm_head", false)
                      .set("pack_dtype", "int32");
    if (!dynamic.asObject().empty())
        config.set("dynamic", std::move(dynamic));
    return config;
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems;
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        if (!plan.quantize)
            continue;
        std::string reason;
        const auto scheme = gptqScheme(plan, &reason);
        if (!scheme) {
            problems.push_back(exportError(layerPlace(site), fmt::format("{} {}: GPTQ has no exact type for it; int4-g128, "
                                                                         "int4-g128-affine, int8-channel and their kind have one",
                                                                         shortName(plan.formats.weight), reason)));
            continue;
        }
        if (const std::string problem = packingProblem(*scheme, site); !problem.empty())
            problems.push_back(exportError(layerPlace(site), problem));
        if (site.in % 32 != 0 || site.out % 32 != 0)
            problems.push_back(exportError(layerPlace(site), fmt::format("is {} x {}: GPTQ packs multiples of 32 in both "
                                                                         "directions", site.out, site.in)));
        if (isForVllm(options) && scheme->affine)
            problems.push_back(exportWarning(layerPlace(site),
                                             "has zero points: vLLM's fast GPTQ kernel takes symmetric formats only"));
    }
    std::ranges::move(modelProblems(source), std::back_inserter(problems));
    std::ranges::move(packedProblems(source, options, restType(source, options)), std::back_inserter(problems));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    return packedCheckpointBytes(source, options, groups(source, options));
}

CardNotes card(const ExportSource &source, const ExportOptions &options)
{
    const std::string &format = optionText(options, "checkpoint_format");
    const std::string packing = fmt::format("packed weights (GPTQ, checkpoint format {})", format);
    return packedCard(source, options, packing, restType(source, options));
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    const Json config = quantizationConfig(source, options);
    folder.writeJson(std::string(baseFolder) + "quantize_config.json", config);  // where GPTQ's own loaders look
    writePackedCheckpoint(source, options, groups(source, options), restType(source, options), config, folder, context);
}

void verify(const ExportSource &source, const ExportOptions &options, const std::string &folder)
{
    verifyPackedCheckpoint(source, groups(source, options), folder);
}

}  // namespace

Exporter gptqExporter()
{
    ExporterInfo info;
    info.name = "gptq";
    info.title = "Packed weights (GPTQ) and PEFT adapter";
    info.meaning = "W_q in 2, 4 or 8 bits a weight as GPTQ checkpoints pack it, and A and B as a LoRA adapter. Loads in "
                   "GPTQModel, transformers with peft, vLLM and SGLang; it saves memory.";
    info.options = packedOptions();
    info.options.insert(info.options.begin(),
                        choiceParameter("checkpoint_format", {"gptq", "gptq_v2"},
                                        "gptq stores each zero point less one, as most engines expect it; gptq_v2 as it is."));
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
