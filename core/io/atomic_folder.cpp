// SPDX-License-Identifier: Apache-2.0
#include "core/io/atomic_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <random>
#include <system_error>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view partialMark = ".partial-";

std::string errnoText(int code)
{
    return std::generic_category().message(code);
}

// The process in a name made for `name`, or 0.
pid_t partialOwner(std::string_view entry, std::string_view name)
{
    if (!entry.starts_with(name))
        return 0;
    entry.remove_prefix(name.size());
    if (!entry.starts_with(partialMark))
        return 0;
    entry.remove_prefix(partialMark.size());
    pid_t pid = 0;
    std::uint32_t number = 0;
    const auto [dash, error] = std::from_chars(entry.data(), entry.data() + entry.size(), pid);
    if (error != std::errc() || dash == entry.data() + entry.size() || *dash != '-')
        return 0;
    const auto [end, status] = std::from_chars(dash + 1, entry.data() + entry.size(), number, 16);
    return status == std::errc() && end == entry.data() + entry.size() && pid > 0 ? pid : 0;
}

// What processes that no longer run have left of exports to this name.
void sweepPartials(const fs::path &parent, const std::string &name)
{
    std::error_code ignored;
    for (const fs::directory_entry &entry : fs::directory_iterator(parent, ignored)) {
        const pid_t owner = partialOwner(entry.path().filename().string(), name);
        if (owner == 0 || entry.is_symlink(ignored) || !entry.is_directory(ignored) || ::kill(owner, 0) == 0 || errno != ESRCH)
            continue;
        if (fs::remove_all(entry.path(), ignored) > 0)
            logDebug(fmt::format("{}: removed, left over from process {}", entry.path().string(), owner));
    }
}

void syncFolder(const fs::path &folder, const std::string &path)
{
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = descriptor >= 0 && (::fsync(descriptor) == 0 || errno == EINVAL);
    const int code = errno;
    if (descriptor >= 0)
        ::close(descriptor);
    if (!synced)
        throw Error(ErrorCode::Io, path, {},
                    fmt::format("folder {} could not be synchronised ({})", folder.string(), errnoText(code)));
}

}  // namespace

std::string resolvedPath(const std::string &path)
{
    std::error_code error;
    fs::path resolved;
    if (!path.empty() && path.find('\0') == std::string::npos)
        resolved = fs::weakly_canonical(fs::absolute(path, error), error);
    if (!error && resolved.filename().empty())
        resolved = resolved.parent_path();
    if (error || resolved.filename().empty())
        throw Error(ErrorCode::Io, path, {}, "is not a name for a file or folder");
    return resolved.string();
}

AtomicFolder::AtomicFolder(const std::string &path, Existing existing) : m_path(path), m_existing(existing)
{
    std::error_code error;
    const fs::path target = resolvedPath(path);
    const fs::path parent = target.parent_path();
    const fs::file_status found = fs::symlink_status(target, error);
    if (fs::exists(found) && existing == Existing::Refuse)
        throw Error(ErrorCode::Conflict, path, {}, "is there already, and nothing is replaced unless that is asked for");
    if (fs::is_symlink(found))
        throw Error(ErrorCode::Io, path, {}, "is a symbolic link to nothing");
    if (!fs::is_directory(parent, error))
        throw Error(ErrorCode::NotFound, path, {}, fmt::format("cannot be written: there is no folder {}", parent.string()));

    const std::string name = target.filename().string();
    sweepPartials(parent, name);
    std::random_device random;
    for (int attempt = 0; m_folder.empty(); ++attempt) {
        const std::string folder = fmt::format("{}{}{}-{:08x}", target.string(), partialMark, ::getpid(), random());
        if (::mkdir(folder.c_str(), 0777) == 0)
            m_folder = folder;
        else if (errno != EEXIST || attempt == 10)
            throw Error(errno == ENOSPC || errno == EDQUOT ? ErrorCode::DiskFull : ErrorCode::Io, path, {},
                        fmt::format("cannot be written: nothing can be created in folder {} ({})", parent.string(),
                                    errnoText(errno)));
    }
    m_target = target.string();
}

AtomicFolder::~AtomicFolder()
{
    std::error_code ignored;
    if (!m_folder.empty())
        fs::remove_all(m_folder, ignored);
}

void AtomicFolder::rename(const std::string &from)
{
    const auto fail = [&](ErrorCode code, const std::string &message) -> void { throw Error(code, m_path, {}, message); };
    constexpr const char *noExchange =
        "this file system cannot exchange it for the new one in one step: remove it, or choose another name";
    constexpr const char *takenMeanwhile = "is there already: somebody else made it meanwhile";
    const fs::path parent = fs::path(m_target).parent_path();
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, m_target.c_str(), RENAME_NOREPLACE) == 0) {
        syncFolder(parent, m_path);
        return;
    }
    if (errno == EINVAL || errno == ENOSYS) {
        // This file system renames in one way only. That way refuses folders with something in them, but replaces files.
        std::error_code error;
        const fs::file_status there = fs::symlink_status(m_target, error);
        if (fs::exists(there) && m_existing == Existing::Refuse)
            fail(ErrorCode::Conflict, takenMeanwhile);
        if (fs::exists(there) && !(fs::is_regular_file(there) && fs::is_regular_file(from, error)))
            fail(ErrorCode::Unsupported, noExchange);
        if (::rename(from.c_str(), m_target.c_str()) != 0)
            fail(ErrorCode::Io, fmt::format("renaming failed ({})", errnoText(errno)));
        syncFolder(parent, m_path);
        return;
    }
    if (errno != EEXIST)
        fail(ErrorCode::Io, fmt::format("renaming failed ({})", errnoText(errno)));
    if (m_existing == Existing::Refuse)
        fail(ErrorCode::Conflict, takenMeanwhile);
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, m_target.c_str(), RENAME_EXCHANGE) != 0) {
        const bool unable = errno == EINVAL || errno == ENOSYS;
        fail(unable ? ErrorCode::Unsupported : ErrorCode::Io,
             unable ? std::string(noExchange)
                    : fmt::format("exchanging it for the new one failed ({})", errnoText(errno)));
    }
    syncFolder(parent, m_path);
    std::error_code ignored;
    fs::remove_all(from, ignored);  // the old one has the temporary's name now
}

void AtomicFolder::commit()
{
    LQER_ASSERT(!m_folder.empty());
    rename(m_folder);
    m_folder.clear();
}

void AtomicFolder::commitFile(const std::string &name)
{
    LQER_ASSERT(!m_folder.empty());
    rename((fs::path(m_folder) / name).string());
    std::error_code ignored;
    fs::remove_all(m_folder, ignored);
    m_folder.clear();
}

std::uint64_t freeDiskSpace(const std::string &folder)
{
    struct statvfs found {};
    if (::statvfs(folder.c_str(), &found) != 0)
        throw Error(ErrorCode::Io, folder, {}, fmt::format("its free space is not known ({})", errnoText(errno)));
    return static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
}

}  // namespace lqer
