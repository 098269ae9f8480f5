// SPDX-License-Identifier: Apache-2.0
#include "core/export/packed_checkpoint.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>

#include "core/export/dense_checkpoint.h"
#include "core/export/exact_type.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

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
    for (const auto &[block, sites] : fused)
        for (const LinearSite *site : sites)
            if (formatOf(*site) != formatOf(*sites.front()))
                problems.push_back(exportError(layerPlace(*site), fmt::format("is {}, {} is {}: vLLM runs {} of a block as one layer of one format "
                                                                              "(engine=transformers leaves this out)", formatOf(*site), sites.front()->name,
                                                                              formatOf(*sites.front()), block.second)));
    return problems;
}

std::vector<ExportProblem> roundingProblems(const ExportSource &source, DType rest)
{
    std::set<DType> rounded;
    for (const CheckpointEntry &entry : checkpointEntries(source.model()))
        if (const TensorInfo *info = entry.site || !entry.isParameter ? nullptr : source.checkpoint().find(entry.stored);
            info && commonType(info->dtype, rest) != rest)
            rounded.insert(info->dtype);
    std::vector<ExportProblem> problems;
    for (const DType stored : rounded)
        problems.push_back(exportWarning("option 'dtype'", fmt::format("embeddings, norms and head are rounded from {} to {}", toString(stored), toString(rest))));
    return problems;
}

}  // namespace

std::vector<TensorGroup> packedCheckpoint(const ExportSource &source, const WeightPacking &packing, DType rest)
{
    std::vector<TensorGroup> groups;
    for (const CheckpointEntry &entry : checkpointEntries(source.model())) {
        if (!entry.site) {
            groups.push_back(originalTensor(source.checkpoint(), entry, rest));
            continue;
        }
        const LinearSite &site = *entry.site;
        if (!source.planFor(site).quantize) {
            groups.push_back(denseLayer(source, site, DenseWeights::Quantized, rest, false));
            continue;
        }
        TensorGroup group{packing.tensors(site), {}};
        if (site.hasBias)
            group.tensors.push_back({.name = biasName(site), .dtype = rest, .shape = {site.out}});
        group.make = [&source, &site, pack = packing.pack, rest](const TaskContext &context) {
            std::vector<Tensor> made = pack(site, source.layer(site, {.encoded = true}, context).encoded.value());
            if (site.hasBias)
                made.push_back(biasTensor(source, site, rest, false, context));
            return made;
        };
        groups.push_back(std::move(group));
    }
    return groups;
}

std::uint64_t packedCheckpointBytes(const ExportSource &source, const ExportOptions &options, const std::vector<TensorGroup> &groups)
{
    constexpr std::uint64_t configPerLayer = 512;  // its name in quantization_config
    return checkpointBytes(groups) + modelFilesBytes(source) + adapterBytes(source, options) + configPerLayer * source.model().linearSites().size();
}

void writePackedCheckpoint(const ExportSource &source, const ExportOptions &options, const std::vector<TensorGroup> &groups, DType rest,
                           const Json &quantizationConfig, ExportFolder &folder, const TaskContext &context)
{
    writeModelFiles(source.checkpoint(), folder, baseFolder, rest, {{"quantization_config", quantizationConfig}});
    writeCheckpoint(folder, baseFolder, groups, shardBytes(options), context);
    writeAdapter(source, options, folder, context);
}

void verifyPackedCheckpoint(const ExportSource &source, const std::vector<TensorGroup> &groups, const std::string &folder)
{
    verifyTensors(folder + "/" + baseFolder, groups);
    verifyAdapter(source, folder);
}

CardNotes packedCard(const ExportSource &source, const ExportOptions &options, const std::string &packing, DType rest)
{
    CardNotes notes;
    notes.contents = {fmt::format("`base/`: {}, everything else in {}", packing, torchName(rest))};
    if (source.largestRank() > 0) {
        notes.contents.push_back(adapterContents(source, options));
        notes.remarks = {bareBaseRemark};
    }
    notes.launch = adapterLaunch(source);
    return notes;
}

std::vector<ExportOption> packedOptions()
{
    return {choiceParameter("dtype", {"scales", "bf16", "f16", "f32"},
                            "Element type of everything that is not packed, in which engines compute; scales: that of the scales."),
            adapterTypeOption(),
            choiceParameter("engine", {"vllm", "transformers"}, "Whose rules the formats are held to: vLLM fuses layers and has fewer kernels."),
            shardSizeOption()};
}

DType restType(const ExportSource &source, const ExportOptions &options, DType ofScales)
{
    const std::string &choice = optionText(options, "dtype");
    return choice == "scales" ? ofScales : floatType(choice, source.model());
}

bool isForVllm(const ExportOptions &options)
{
    return optionText(options, "engine") == "vllm";
}

std::vector<ExportProblem> packedProblems(const ExportSource &source, const ExportOptions &options, DType rest)
{
    std::vector<ExportProblem> problems;
    const auto &layers = source.plan().layers;
    if (std::ranges::none_of(layers, [](const auto &layer) { return layer.second.quantize; }))
        problems.push_back(exportError("recipe", "quantizes no layer: there is nothing to pack"));
    const auto append = [&problems](std::vector<ExportProblem> more) { std::ranges::move(more, std::back_inserter(problems)); };
    if (isForVllm(options))
        append(fusedLayerProblems(source));
    append(roundingProblems(source, rest));
    append(adapterProblems(source, options));
    return problems;
}

}  // namespace lqer
