// SPDX-License-Identifier: Apache-2.0
// W_q + A B in one dense weight, in Hugging Face's layout.
#include <fmt/format.h>

#include "core/export/dense_checkpoint.h"
#include "core/export/targets/list.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

DType chosenType(const ExportSource &source, const ExportOptions &options)
{
    return floatType(optionText(options, "dtype"), source.model());
}

std::vector<TensorGroup> groups(const ExportSource &source, const ExportOptions &options)
{
    return denseCheckpoint(source, DenseWeights::Merged, chosenType(source, options), false);
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
    const std::string dtype = torchName(chosenType(source, options));
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
    writeModelFiles(source.checkpoint(), folder, "", chosenType(source, options));
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
