// SPDX-License-Identifier: Apache-2.0
#include "core/export/export_folder.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/file.h"

namespace lqer {

namespace fs = std::filesystem;

std::string ExportFolder::at(const std::string &name) const
{
    const fs::path relative(name);
    LQER_ASSERT(relative.is_relative() && relative.has_filename() && relative.lexically_normal() == relative
                && *relative.begin() != "..");
    const fs::path path = fs::path(m_path) / relative;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error)
        throw Error(ErrorCode::Io, path.parent_path().string(), {}, fmt::format("cannot be made ({})", error.message()));
    return path.string();
}

void ExportFolder::commit(AtomicFile &file)
{
    const std::string name = fs::path(file.path()).lexically_relative(m_path).string();
    LQER_ASSERT(!name.empty() && !name.starts_with(".."));
    LQER_ASSERT(std::ranges::find(m_files, name, &ExportedFile::name) == m_files.end());
    file.commit();
    m_files.push_back({name, file.written(), file.hash()});
}

void ExportFolder::writeText(const std::string &name, std::string_view text)
{
    AtomicFile file(at(name), text.size());
    file.write(text);
    commit(file);
}

void ExportFolder::writeJson(const std::string &name, const Json &json)
{
    writeText(name, json.dump(2) + "\n");
}

void ExportFolder::copy(const std::string &from, const std::string &name)
{
    const InputFile source(from);
    AtomicFile file(at(name), source.size());
    std::vector<std::byte> buffer(1 << 20);
    for (std::uint64_t done = 0; done < source.size();) {
        const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), source.size() - done)));
        source.read(done, piece);
        file.write(piece);
        done += piece.size();
    }
    source.checkUnchanged();
    commit(file);
}

}  // namespace lqer
