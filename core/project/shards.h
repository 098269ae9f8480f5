// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/io/hdf5_image.h"
#include "core/task/task_context.h"
#include "core/tensor/tensor.h"

namespace lqer {

// A shard as project.h5 lists it.
struct ShardRecord {
    std::string file;  // plain name inside the shard's folder
    std::uint64_t size = 0;
    std::string hash;  // of everything it says: kind, record and arrays
    friend bool operator==(const ShardRecord &, const ShardRecord &) = default;
};

// What a shard says about itself, and its large arrays.
struct Shard {
    Hdf5Group record;
    std::map<std::string, Tensor> arrays;
    std::string hash;
};

using ShardArrays = std::vector<std::pair<std::string, Tensor>>;

// A shard is a safetensors file that stands for itself: the numbers and texts of `record` (groups without lists may lie in it)
// are JSON in its metadata, its lists of numbers are float64 arrays named "record.<name>", and a checksum over all of it lies in the metadata too.
ShardRecord writeShard(const std::string &folder, const std::string &name, std::string_view kind, const Hdf5Group &record,
                       ShardArrays arrays);

// Throws Error(NotFound | Io | Format); "is damaged (checksum)" if anything in it changed. kind: what it must be. Without
// keepArrays the large arrays are checked, one at a time, and let go. Polls the stop token as it reads.
Shard readShard(const std::string &path, std::string_view kind, bool keepArrays, const TaskContext &context = {});

// True for a plain file name that a shard of ours can have.
bool isShardName(std::string_view name);
// A file name for a site and a key: "model.layers.0.mlp.up_proj.<key>".
std::string shardStem(std::string_view site, std::string_view key);

}  // namespace lqer
