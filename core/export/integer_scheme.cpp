// SPDX-License-Identifier: Apache-2.0
#include "core/export/integer_scheme.h"

#include <map>
#include <set>

#include <fmt/format.h>

#include "core/export/checkpoint_files.h"
#include "core/export/exact_type.h"
#include "core/quant/bit_packing.h"
#include "core/quant/formats/list.h"

namespace lqer {

std::optional<IntegerScheme> integerScheme(const FormatSpec &format, std::string *reason)
{
    const FormatSpec spec = withDefaults(format);
    const auto refuse = [reason](const std::string &why) {
        if (reason)
            *reason = why;
        return std::nullopt;
    };
    if (spec.name != "integer")
        return refuse("is no integer format");
    IntegerScheme scheme;
    scheme.bits = static_cast<int>(integerValue(spec, "n_bits"));
    scheme.affine = booleanValue(spec, "is_affine");
    const std::string &scope = choiceValue(spec, "scope");
    scheme.group = scope == "group" ? integerValue(spec, "group_size") : -1;
    if (scope == "tensor" || !isNone(spec, "fp_min"))
        return refuse("has one scale for the whole tensor");
    if (const std::int64_t axis = integerValue(spec, "block_axis"); axis != -1 && axis != 1)
        return refuse("has groups along the outputs");
    if (scheme.affine && !booleanValue(spec, "include_zero"))
        return refuse("has zero points that are no codes (include_zero=true makes them so)");
    const std::string &type = choiceValue(spec, "scale_dtype");
    if (type == "float32")
        return refuse("has scales in float32, where packed checkpoints store half precision (scale_dtype=float16)");
    scheme.scaleType = type == "float16" ? DType::F16 : DType::BF16;
    return scheme;
}

std::string packingProblem(const IntegerScheme &scheme, const LinearSite &site)
{
    if (scheme.group > 0 && site.in % scheme.group != 0)
        return fmt::format("{} inputs are no multiple of the group of {}", site.in, scheme.group);
    if (site.in * scheme.bits % 32 != 0)
        return fmt::format("{} inputs of {} bits do not fill words of 32 bits", site.in, scheme.bits);
    return {};
}

std::vector<std::uint32_t> expandedCodes(const QuantizedWeight &weight, int bits)
{
    std::vector<std::uint32_t> codes(static_cast<std::size_t>(elementCount(weight.shape)));
    unpackCodes(weight.codes, bits, 0, codes);
    return codes;
}

std::vector<std::uint32_t> zeroPoints(const QuantizedWeight &weight, const IntegerScheme &scheme, std::int64_t count)
{
    std::vector<std::uint32_t> zeros(static_cast<std::size_t>(count), 1U << (scheme.bits - 1));
    if (scheme.affine)
        unpackCodes(weight.offsets, scheme.bits, 0, zeros);
    return zeros;
}

std::vector<ExportProblem> fusedLayerProblems(const ExportSource &source)
{
    std::map<std::pair<std::int64_t, std::string>, std::vector<const LinearSite *>> fused;
    for (const LinearSite &site : source.model().linearSites()) {
        if (site.role == LinearRole::Query || site.role == LinearRole::Key || site.role == LinearRole::Value)
            fused[{site.layer, "q, k and v"}].push_back(&site);
        else if (site.role == LinearRole::Gate || site.role == LinearRole::Up)
            fused[{site.layer, "gate and up"}].push_back(&site);
    }
    const auto formatOf = [&](const LinearSite &site) {
        const LayerPlan &plan = source.planFor(site);
        return plan.quantize ? shortName(plan.formats.weight) : std::string("not quantized");
    };
    std::vector<ExportProblem> problems;
    for (const auto &[key, sites] : fused)
        for (const LinearSite *site : sites)
            if (formatOf(*site) != formatOf(*sites.front()))
                problems.push_back(exportError(layerPlace(*site), fmt::format("is {}, {} is {}: vLLM runs {} of a block as one layer of one format (engine=transformers leaves this out)",
                                                                              formatOf(*site), sites.front()->name, formatOf(*sites.front()), key.second)));
    return problems;
}

ExportOption engineOption()
{
    return choiceParameter("engine", {"vllm", "transformers"}, "Whose rules the formats are held to: vLLM fuses layers and has fewer kernels.");
}

bool isForVllm(const ExportOptions &options)
{
    return optionText(options, "engine") == "vllm";
}

ExportOption restTypeOption()
{
    return choiceParameter("dtype", {"scales", "bf16", "f16", "f32"},
                           "Element type of everything that is not packed, in which engines compute; scales: that of the scales.");
}

std::vector<ExportProblem> restTypeProblems(const ExportSource &source, DType dtype)
{
    std::set<DType> rounded;
    for (const CheckpointEntry &entry : checkpointEntries(source.model()))
        if (const TensorInfo *info = entry.site || !entry.isParameter ? nullptr : source.checkpoint().find(entry.stored);
            info && commonType(info->dtype, dtype) != dtype)
            rounded.insert(info->dtype);
    std::vector<ExportProblem> problems;
    for (const DType stored : rounded)
        problems.push_back(exportWarning("option 'dtype'", fmt::format("embeddings, norms and head are rounded from {} to {}", toString(stored), toString(dtype))));
    return problems;
}

}  // namespace lqer
