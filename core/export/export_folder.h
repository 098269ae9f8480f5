// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/json.h"

namespace lqer {

// A file of an export as it was written.
struct ExportedFile {
    std::string name;  // path inside the export: "adapter/adapter_model.safetensors"
    std::uint64_t bytes = 0;
    std::string hash;  // XXH3-128 of the bytes that were handed to the disk
    friend bool operator==(const ExportedFile &, const ExportedFile &) = default;
};

// The folder an exporter writes into, without its final name yet. Keeps a list of what was written, which is held against the disk
// before the folder gets its name. Used from one thread.
class ExportFolder {
public:
    explicit ExportFolder(std::string path) : m_path(std::move(path)) {}

    // Absolute path for a file of the export; folders in between are made. `name` is a relative path without "..".
    std::string at(const std::string &name) const;
    // The only way a file gets into an export: opened with AtomicFile at at(name), written, then handed here, where it is committed.
    void commit(AtomicFile &file);
    // Whole files.
    void writeText(const std::string &name, std::string_view text);
    void writeJson(const std::string &name, const Json &json);
    // A file of somebody else, byte by byte.
    void copy(const std::string &from, const std::string &name);

    const std::string &path() const { return m_path; }
    const std::vector<ExportedFile> &files() const { return m_files; }  // in the order they were committed

private:
    std::string m_path;
    std::vector<ExportedFile> m_files;
};

}  // namespace lqer
