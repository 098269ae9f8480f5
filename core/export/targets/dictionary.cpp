// SPDX-License-Identifier: Apache-2.0
// A, B and scales under the names of the papers' own code, so that its scripts go on from here. numerics.md B.1, C, F.1 and F.2: A (in, k),
// B (k, out) with all singular values in B, "<layer>.A", "<layer>.B"; scales "<layer>.scale" (in).
#include <fmt/format.h>

#include "core/export/checkpoint_files.h"
#include "core/export/dictionary_file.h"
#include "core/export/targets/list.h"
#include "core/io/safetensors.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

constexpr const char *scalesName = "scale_dict.safetensors";

std::string factorsName(const ExportOptions &options)
{
    return optionText(options, "repository") == "lqer" ? "low_rank_dict.safetensors" : "AB_dict.safetensors";
}

// A vector by which the error's rows are scaled, where the scaling is one; empty else.
VectorF64 scaleVector(const ExportSource &source, const CalibrationStats &stats, const LinearSite &site)
{
    const auto found = stats.sites.find(site.activationSite);
    if (found == stats.sites.end())
        return {};
    switch (source.planFor(site).scaling) {
    case ScalingKind::MeanAbs: return found->second.lqerScale();
    case ScalingKind::Diagonal: return found->second.diagonalScale();
    case ScalingKind::Identity: return VectorF64::Ones(site.in);
    case ScalingKind::Exact: return {};
    }
    return {};
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &)
{
    std::vector<ExportProblem> problems;
    if (source.largestRank() == 0)
        problems.push_back(exportError("recipe", "corrects no layer: there are no A and B"));
    const auto &sites = source.model().linearSites();
    if (std::ranges::any_of(sites, [&](const LinearSite &site) { return source.isCorrected(site) && source.planFor(site).scaling == ScalingKind::Exact; }))
        problems.push_back(exportWarning("recipe", "scaling exact has a matrix for a scale, which the papers' code does not store either: those layers have A and B only"));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &)
{
    std::uint64_t bytes = 4096;
    for (const LinearSite &site : source.model().linearSites())
        if (source.isCorrected(site))
            bytes += static_cast<std::uint64_t>((site.in + site.out) * source.planFor(site).rank + site.in) * sizeof(float) + 1024;
    return bytes;
}

CardNotes card(const ExportSource &, const ExportOptions &options)
{
    const std::string name = factorsName(options);
    CardNotes notes;
    notes.contents = {fmt::format("`{}`: `<layer>.A` (in, rank) and `<layer>.B` (rank, out), float32, all singular values in B", name),
                      fmt::format("`{}`: `<layer>.scale` (in), float32, where the scaling is a vector", scalesName)};
    const std::string pickle = name.substr(0, name.find('.')) + ".pt";
    notes.launch = {{"As the papers' scripts read it", "python",
                     fmt::format("import torch\nfrom safetensors.torch import load_file\ntorch.save(load_file(\"{{}}/{}\"), \"{}\")", name, pickle)}};
    if (optionText(options, "repository") == "lqer")
        notes.launch.push_back({"LQER", "toml", "[evaluate]\nlow_rank_dict = \"" + pickle + "\""});
    else
        notes.launch.push_back({"QERA", "sh", "python ptq_pipeline.py CONFIG.yaml --AB-dict " + pickle});
    notes.remarks = {"The scripts quantize the weights themselves: state the same format there as in the recipe, or A and B correct another error."};
    return notes;
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    std::vector<std::pair<const LinearSite *, Index>> layers;
    std::vector<TensorInfo> scales;
    std::vector<Tensor> scaleVectors;
    const auto stats = source.statistics();
    for (const LinearSite &site : source.model().linearSites()) {
        if (!source.isCorrected(site))
            continue;
        layers.emplace_back(&site, source.planFor(site).rank);
        const VectorF64 scale = stats ? scaleVector(source, *stats, site) : VectorF64();
        if (scale.size() == 0)
            continue;
        const Vector single = scale.cast<float>();
        scales.push_back({.name = site.name + ".scale", .dtype = DType::F32, .shape = {site.in}});
        scaleVectors.push_back(floatTensor(scales.back().name, DType::F32, {site.in}, {single.data(), static_cast<std::size_t>(single.size())}));
    }
    context.beginStage("writing the factors", layers.size());
    DictionaryWriter writer(folder.at(factorsName(options)), layers);
    for (const auto &[site, rank] : layers) {
        context.checkStop();
        context.setDetail(site->name);
        writer.write(*site, source.layer(*site, {.correction = true}, context.silent()).correction);
        context.advance();
    }
    folder.commit(writer.finished());
    if (scales.empty())
        return;
    SafetensorsWriter scaleWriter(folder.at(scalesName), std::move(scales), {{"format", "pt"}});
    for (const Tensor &scale : scaleVectors)
        scaleWriter.write(scale);
    folder.commit(scaleWriter.finished());
}

void verify(const ExportSource &, const ExportOptions &options, const std::string &folder)
{
    const SafetensorsFile opened(folder + "/" + factorsName(options));
}

}  // namespace

Exporter dictionaryExporter()
{
    ExporterInfo info;
    info.name = "dictionary";
    info.title = "LQER and QERA dictionaries";
    info.meaning = "A, B and scales under the tensor names of the papers' own code, for scripts that go on from there. Holds no weights.";
    info.options = {choiceParameter("repository", {"lqer", "qera"}, "Whose file name: low_rank_dict (LQER) or AB_dict (QERA); the tensors are the same.")};
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
