// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/export/adapter.h"
#include "core/export/checkpoint_files.h"

// What checkpoints with packed weights have in common, whatever the packing: a folder base/ in Hugging Face's layout whose quantized layers are
// a few tensors of codes and scales each, everything else dense in one element type, and the adapter beside it.
namespace lqer {

// How one target packs a layer.
struct WeightPacking {
    std::function<std::vector<TensorInfo>(const LinearSite &site)> tensors;
    // As `tensors` says, in that order. `weight` is the layer as its format encodes it.
    std::function<std::vector<Tensor>(const LinearSite &site, const QuantizedWeight &weight)> pack;
};

// Every tensor of the model: quantized layers packed, all others and biases in `rest`.
std::vector<TensorGroup> packedCheckpoint(const ExportSource &source, const WeightPacking &packing, DType rest);
std::uint64_t packedCheckpointBytes(const ExportSource &source, const ExportOptions &options, const std::vector<TensorGroup> &groups);
// base/ with `quantizationConfig` in its config.json, and adapter/.
void writePackedCheckpoint(const ExportSource &source, const ExportOptions &options, const std::vector<TensorGroup> &groups, DType rest,
                           const Json &quantizationConfig, ExportFolder &folder, const TaskContext &context);
void verifyPackedCheckpoint(const ExportSource &source, const std::vector<TensorGroup> &groups, const std::string &folder);
// packing: "packed weights (GPTQ)", for the card.
CardNotes packedCard(const ExportSource &source, const ExportOptions &options, const std::string &packing, DType rest);

// Options they all have: element type of what is not packed ("dtype"), of the adapter, whose rules are kept ("engine"), shard size.
std::vector<ExportOption> packedOptions();
// ofScales: the type of the packed layers' scales, which "dtype" takes unless another is chosen, because engines compute in one type.
DType restType(const ExportSource &source, const ExportOptions &options, DType ofScales);
// Whether vLLM's rules are kept, which has fewer kernels and runs some layers as one.
bool isForVllm(const ExportOptions &options);

// What holds for all of them: nothing to pack; layers that vLLM runs as one (q, k, v; gate, up) in different formats, an error unless
// engine=transformers; rounding of what stays dense; the adapter's.
std::vector<ExportProblem> packedProblems(const ExportSource &source, const ExportOptions &options, DType rest);

}  // namespace lqer
