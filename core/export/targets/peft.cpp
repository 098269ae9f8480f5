// SPDX-License-Identifier: Apache-2.0
// W_q as a dense Hugging Face checkpoint, A and B as a LoRA adapter beside it. exports.md C1.
#include <fmt/format.h>

#include "core/export/adapter.h"
#include "core/export/dense_checkpoint.h"
#include "core/export/targets/list.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

bool isExact(const ExportOptions &options)
{
    return optionText(options, "base_dtype") == "exact";
}

DType baseType(const ExportSource &source, const ExportOptions &options)
{
    return isExact(options) ? exactType(source) : floatType(optionText(options, "base_dtype"), source.model());
}

std::vector<TensorGroup> groups(const ExportSource &source, const ExportOptions &options)
{
    return denseCheckpoint(source, DenseWeights::Quantized, baseType(source, options), isExact(options));
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems = modelProblems(source);
    const DType chosen = baseType(source, options), exact = exactType(source);
    if (chosen != exact && chosen != DType::F32)
        problems.push_back(exportWarning("option 'base_dtype'", fmt::format("W_q is rounded to {}; {} holds it as it is", toString(chosen), toString(exact))));
    std::ranges::move(adapterProblems(source, options), std::back_inserter(problems));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    return checkpointBytes(groups(source, options)) + modelFilesBytes(source) + adapterBytes(source, options);
}

CardNotes card(const ExportSource &source, const ExportOptions &options)
{
    CardNotes notes;
    notes.contents = {fmt::format("`base/`: W_q dequantized, in {}, with the base model's configuration and tokenizer", torchName(baseType(source, options)))};
    notes.remarks = {"The base is dense: it has the values of the quantized weights and the size of the original, so it saves no memory."};
    if (source.largestRank() > 0) {
        notes.contents.push_back(adapterContents(source, options));
        notes.remarks.push_back(bareBaseRemark);
    }
    notes.launch = adapterLaunch(source);
    return notes;
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    const DType dtype = baseType(source, options);
    Json formats = Json::object();
    for (const LinearSite &site : source.model().linearSites())
        if (source.planFor(site).quantize)
            formats.set(site.name, shortName(source.planFor(site).formats.weight));
    // Under a key of its own: a quantization_config would make loaders look for packed weights.
    writeModelFiles(source.checkpoint(), folder, baseFolder, dtype, {{"lqer", Json::object().set("dequantized_from", std::move(formats))}});
    writeCheckpoint(folder, baseFolder, groups(source, options), shardBytes(options), context);
    writeAdapter(source, options, folder, context);
}

void verify(const ExportSource &source, const ExportOptions &, const std::string &folder)
{
    verifyCheckpoint(folder + "/" + baseFolder);
    verifyAdapter(source, folder);
}

}  // namespace

Exporter peftExporter()
{
    ExporterInfo info;
    info.name = "peft";
    info.title = "Hugging Face base and PEFT adapter";
    info.meaning = "W_q dequantized without loss as a dense checkpoint, and A and B as a LoRA adapter with every layer's own rank. Loads in transformers "
                   "with peft, vLLM and SGLang; the base is as large as the original and saves no memory.";
    info.options = {
        choiceParameter("base_dtype", {"exact", "bf16", "f16", "f32"}, "Element type of the base; exact: the narrowest that holds W_q as it is."),
        adapterTypeOption(),
        shardSizeOption(),
    };
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
