// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/io/safetensors.h"

namespace lqer {

struct ShardInfo {
    std::string name;   // plain file name inside the checkpoint's folder
    std::uint64_t size = 0;
    std::string hash;   // fingerprint, see Checkpoint::shards()
};

// Where weights come from, tensor by tensor. Implemented by Checkpoint and by in-memory doubles in tests. Thread-safe.
class TensorSource {
public:
    virtual ~TensorSource() = default;
    // Null if there is no such tensor.
    virtual const TensorInfo *find(std::string_view name) const = 0;
    virtual std::vector<std::string> names() const = 0;
    // Reads the tensor's bytes now. Throws Error(NotFound) if there is no such tensor.
    virtual Tensor read(std::string_view name) const = 0;
    // For messages: the file that holds the tensor, or a name for an in-memory source.
    virtual std::string fileOf(std::string_view name) const = 0;
};

// A Hugging Face checkpoint folder: config.json and model.safetensors, or shards with model.safetensors.index.json.
// Opening reads headers only. Throws Error that names file, tensor, expected and found; lists all missing shards at once.
class Checkpoint final : public TensorSource {
public:
    explicit Checkpoint(const std::string &folder);

    const std::string &folder() const { return m_folder; }
    const Json &config() const { return m_config; }  // config.json
    std::string configPath() const;

    const TensorInfo *find(std::string_view name) const override;
    std::vector<std::string> names() const override;
    Tensor read(std::string_view name) const override;
    std::string fileOf(std::string_view name) const override;
    // Bytes [offset, offset + out.size()) of a tensor, which must have them. Throws Error(NotFound) as read().
    void readPart(std::string_view name, std::uint64_t offset, std::span<std::byte> out) const;

    // A name that the file's metadata declares to be another name of a stored tensor (tied embeddings), or "".
    std::string aliasOf(std::string_view name) const;
    std::uint64_t totalBytes() const;
    // Throws Error(Conflict) if a shard's size or modification time is another than when it was opened.
    void checkUnchanged() const;
    // Name, size and fingerprint of each shard: XXH3-128 of its size, header and, above 64 MiB, of 64 evenly spread blocks
    // of 1 MiB instead of all bytes. Computed on first use.
    const std::vector<ShardInfo> &shards() const;
    // One fingerprint of all shards and config.json.
    std::string fingerprint() const;

private:
    const TensorInfo &require(std::string_view name) const;

    struct State;
    std::string m_folder;
    Json m_config;
    std::shared_ptr<State> m_state;
};

}  // namespace lqer
