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
    // Identifies the contents: config.json, every shard's name, size and header and four pieces of 4 KiB of every tensor, spread
    // evenly from its first byte to its last (all of it if it has no more). Whatever changes a tensor as a whole, or its beginning
    // or end, changes it; a copy elsewhere does not. XXH3-128; computed on first use, from some thousand small reads.
    std::string fingerprint() const;
    // In the form of `like`, so that what earlier versions stored is still recognised: theirs held samples of whole files.
    std::string fingerprint(std::string_view like) const;

private:
    const TensorInfo &require(std::string_view name) const;

    struct State;
    std::string m_folder;
    Json m_config;
    std::shared_ptr<State> m_state;
};

}  // namespace lqer
