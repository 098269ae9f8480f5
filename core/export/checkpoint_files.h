// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/export/exporter.h"
#include "core/io/safetensors.h"

// What targets in Hugging Face's layout share: config.json, tokenizer files, safetensors in one file or in shards.
namespace lqer {

// Tensors that are made together when their turn comes and lie in the same file: those of one layer.
struct TensorGroup {
    std::vector<TensorInfo> tensors;                              // name, dtype, shape
    std::function<std::vector<Tensor>(const TaskContext &)> make;  // as `tensors` says, in that order
};

// One tensor of the original checkpoint, or a linear layer, in the order in which the model uses them.
struct CheckpointEntry {
    const LinearSite *site = nullptr;  // a linear layer: its weight and bias; else
    std::string stored = {};           // name in the checkpoint
    std::string name = {};             // name that the family's class gives it, to export it under
    bool isParameter = true;           // false: something the model does not need (a stored mask); copied as it is
};
// Embeddings, blocks, final norm, head, the rest. Names are the family's own, also where the checkpoint was saved from the bare trunk.
// Tied embeddings come once, as the token embedding, under whichever name they are stored.
std::vector<CheckpointEntry> checkpointEntries(const Transformer &model);
// Names for a linear layer's own tensors: "model.layers.0.mlp.up_proj.weight", "....bias".
std::string weightName(const LinearSite &site);
std::string biasName(const LinearSite &site);

// One of "checkpoint", "bf16", "f16", "f32" as a type; "checkpoint" is the type of the original's first linear layer, float32 for float64.
DType floatType(const std::string &choice, const Transformer &model);
// "bfloat16", "float16", "float32": as config.json says it.
std::string torchName(DType dtype);

// Values in `dtype`, rounded to nearest even. Throws Error(Numeric) naming the tensor where one is not finite or beyond the type's range
// or, if `exact`, would be rounded at all.
Tensor floatTensor(const std::string &name, DType dtype, Shape shape, std::span<const float> values, bool exact = false);
Tensor floatTensor(const std::string &name, DType dtype, const Matrix &values, bool exact = false);

// An entry that is no linear layer as a group of one, in `dtype`.
TensorGroup originalTensor(const Checkpoint &checkpoint, const CheckpointEntry &entry, DType dtype);

// Bytes of all tensors of the groups, and of headers and index about them.
std::uint64_t checkpointBytes(const std::vector<TensorGroup> &groups);
// Writes PREFIXmodel.safetensors or, if that would be above shardBytes, PREFIXmodel-0000i-of-0000N.safetensors and
// PREFIXmodel.safetensors.index.json. prefix: "" or "base/". A group larger than shardBytes has a shard of its own. One group is in memory
// at a time. Begins a progress stage of one step a group.
void writeCheckpoint(ExportFolder &folder, const std::string &prefix, const std::vector<TensorGroup> &groups, std::uint64_t shardBytes,
                     const TaskContext &context);

// config.json with its torch_dtype replaced and `changes` set at the top level; generation_config.json and tokenizer files byte by byte.
void writeModelFiles(const Checkpoint &checkpoint, ExportFolder &folder, const std::string &prefix, DType dtype,
                     const std::vector<std::pair<std::string, Json>> &changes = {});
// Upper bound of what writeModelFiles() writes.
std::uint64_t modelFilesBytes(const ExportSource &source);

// Opens a checkpoint with everything this program checks of one: every tensor there, of the right shape, readable type.
// Throws Error.
void verifyCheckpoint(const std::string &folder);

// For checkpoints that this program does not run: every file's header is valid, and the tensors are those of the groups. Throws Error.
void verifyTensors(const std::string &folder, const std::vector<TensorGroup> &groups);

// Options of these targets.
ExportOption shardSizeOption();
std::uint64_t shardBytes(const ExportOptions &options);

}  // namespace lqer
