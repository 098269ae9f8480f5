// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/io/file.h"
#include "core/tensor/tensor.h"

namespace lqer {

class AtomicFile;

struct TensorInfo {
    std::string name;
    DType dtype = DType::F32;
    Shape shape;
    std::uint64_t offset = 0;  // of the first byte, from the beginning of the file
    std::uint64_t bytes = 0;
};

// One .safetensors file, its header validated by the format's rules and never looser than the reference reader
// (reliability.md 1 and 4 ST): no duplicate keys, no overlap, no holes, sizes that match dtype x shape.
class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::string &path);

    const std::string &path() const { return m_file->path(); }
    const std::vector<TensorInfo> &tensors() const { return m_tensors; }  // in the order of the header
    const TensorInfo *find(std::string_view name) const;
    const std::map<std::string, std::string> &metadata() const { return m_metadata; }
    const InputFile &file() const { return *m_file; }
    // Where the header ends: the 8 bytes of its length, the JSON text and its padding.
    std::uint64_t dataOffset() const { return m_dataOffset; }
    Tensor read(const TensorInfo &info) const;

private:
    std::shared_ptr<const InputFile> m_file;
    std::uint64_t m_dataOffset = 0;
    std::vector<TensorInfo> m_tensors;
    std::map<std::string, std::size_t, std::less<>> m_index;
    std::map<std::string, std::string> m_metadata;
};

// Writes a file tensor by tensor, so that it may be larger than memory. The header comes first, so names, types and shapes are
// said at the beginning. Throws Error(Argument) on a name that is there twice or that the format does not allow.
class SafetensorsWriter {
public:
    // Offsets and bytes of `tensors` are worked out here. The whole file's space is reserved at once.
    SafetensorsWriter(std::string path, std::vector<TensorInfo> tensors, const std::map<std::string, std::string> &metadata = {});
    ~SafetensorsWriter();
    SafetensorsWriter(const SafetensorsWriter &) = delete;
    SafetensorsWriter &operator=(const SafetensorsWriter &) = delete;

    // The next tensor of the list; asserts that it has its type and shape.
    void write(const Tensor &tensor);
    // The file with every tensor in it, to be committed; asserts that none is missing.
    AtomicFile &finished();

private:
    std::vector<TensorInfo> m_tensors;
    std::size_t m_next = 0;
    std::unique_ptr<AtomicFile> m_file;
};

// Writes tensors in the given order, atomically. Names must be unique.
void writeSafetensors(const std::string &path, const std::vector<std::pair<std::string, Tensor>> &tensors,
                      const std::map<std::string, std::string> &metadata = {});

}  // namespace lqer
