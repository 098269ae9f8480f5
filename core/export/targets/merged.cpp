// SPDX-License-Identifier: Apache-2.0
// W_q + A B in one dense weight, in Hugging Face's layout.
#include <fmt/format.h>

#include "core/export/checkpoint_files.h"
#include "core/export/targets/list.h"
#include "core/linalg/gemm.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

Tensor mergedWeight(const ExportSource &source, const LinearSite &site, DType dtype, const TaskContext &context)
{
    ExportLayer layer = source.layer(site, {.quantized = true, .correction = true}, context);
    if (layer.correction.rank() > 0) {
        // (A B)^T in double, rounded once: as near as float32 comes to what the two products give.
        const MatrixF64 product = (layer.correction.a.cast<double>() * layer.correction.b.cast<double>()).transpose();
        layer.quantized = (layer.quantized.cast<double>() + product).cast<float>();
    }
    return floatTensor(weightName(site), dtype, layer.quantized, site.storedTransposed);
}

std::vector<TensorGroup> groups(const ExportSource &source, const ExportOptions &options)
{
    const DType dtype = floatType(optionText(options, "dtype"), source.model());
    std::vector<TensorGroup> groups;
    for (const CheckpointEntry &entry : checkpointEntries(source.model())) {
        if (!entry.site) {
            groups.push_back(originalTensor(source, entry, dtype));
            continue;
        }
        const LinearSite &site = *entry.site;
        const Shape shape = site.storedTransposed ? Shape{site.in, site.out} : Shape{site.out, site.in};
        groups.push_back({{{.name = weightName(site), .dtype = dtype, .shape = shape}}, [&source, &site, dtype](const TaskContext &context) {
                              std::vector<Tensor> made;
                              made.push_back(mergedWeight(source, site, dtype, context));
                              return made;
                          }});
        if (site.hasBias)
            groups.push_back({{{.name = biasName(site), .dtype = dtype, .shape = {site.out}}}, [&source, &site, dtype](const TaskContext &context) {
                                  const Vector bias = source.layer(site, {.bias = true}, context).bias;
                                  std::vector<Tensor> made;
                                  made.push_back(floatTensor(biasName(site), dtype, {site.out}, {bias.data(), static_cast<std::size_t>(bias.size())}));
                                  return made;
                              }});
    }
    return groups;
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &)
{
    return modelProblems(source);
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    return checkpointBytes(groups(source, options)) + modelFilesBytes(source);
}

CardNotes card(const ExportSource &source, const ExportOptions &options)
{
    const std::string dtype = torchName(floatType(optionText(options, "dtype"), source.model()));
    CardNotes notes;
    notes.contents = {"`config.json`, tokenizer files: as in the base model",
                      fmt::format("`*.safetensors`: every weight W_q + A B, merged, in {}", dtype)};
    notes.launch = {
        {"transformers", "python",
         "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
         "model = AutoModelForCausalLM.from_pretrained(\"{}\", torch_dtype=\"auto\")\n"
         "tokenizer = AutoTokenizer.from_pretrained(\"{}\")"},
        {"vLLM", "sh", "vllm serve {}"},
        {"SGLang", "sh", "python -m sglang.launch_server --model-path {}"},
        {"llama.cpp", "sh", "python convert_hf_to_gguf.py {} --outfile model.gguf\nllama-cli -m model.gguf -p \"Once upon a time\""},
        {"lqer", "sh", "lqer evaluate {} --text FILE"},
    };
    notes.remarks = {"The weights are dense: this export shows what the quantized and corrected model says, it saves no memory."};
    if (dtype != "float32")
        notes.remarks.push_back(fmt::format("W_q + A B is rounded to {}; `dtype=f32` keeps it as it was measured.", dtype));
    return notes;
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    writeModelFiles(source, folder, "", floatType(optionText(options, "dtype"), source.model()));
    writeCheckpoint(folder, "", groups(source, options), shardBytes(options), context);
}

void verify(const ExportSource &, const ExportOptions &, const std::string &folder)
{
    verifyCheckpoint(folder);
}

}  // namespace

Exporter mergedExporter()
{
    ExporterInfo info;
    info.name = "merged";
    info.title = "Merged Hugging Face checkpoint";
    info.meaning = "One dense weight W_q + A B a layer, in Hugging Face's layout. Every engine that loads the original loads it; it is as large "
                   "as the original and saves no memory.";
    info.options = {
        choiceParameter("dtype", {"checkpoint", "bf16", "f16", "f32"}, "Element type of all weights; checkpoint: as the original has them."),
        shardSizeOption(),
    };
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
