// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_lock.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"

namespace lqer {

namespace {

std::string lockFile(const std::string &folder)
{
    return folder + "/lock";
}

}  // namespace

ProjectLock::ProjectLock(const std::string &folder) : m_folder(folder)
{
    m_descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m_descriptor < 0) {
        const int code = errno;
        throw Error(code == ENOENT || code == ENOTDIR ? ErrorCode::NotFound : ErrorCode::Io, folder, "",
            fmt::format("cannot be opened as a folder: {}", std::strerror(code)));
    }
    if (access(folder.c_str(), W_OK) != 0) {
        m_reason = fmt::format("the folder cannot be written ({})", std::strerror(errno));
        return;
    }
    if (lockDescriptor(m_descriptor)) {
        m_held = true;
        writeLockHolder(lockFile(folder));
    } else if (errno == EWOULDBLOCK) {
        m_reason = readLockHolder(lockFile(folder));
    } else {
        lockByFile();
    }
}

// NFS locks no folders, as they cannot be opened for writing (EBADF). The file is the second best: whoever deletes it lets a second
// writer in.
void ProjectLock::lockByFile()
{
    try {
        m_file = std::make_unique<FileLock>(lockFile(m_folder));
        m_held = m_file->isHeld();
        m_reason = m_file->holder();
    } catch (const Error &error) {
        m_reason = fmt::format("the folder cannot be locked ({})", error.what());
    }
}

ProjectLock::~ProjectLock()
{
    if (m_held && !m_file)
        unlink(lockFile(m_folder).c_str());
    if (m_descriptor >= 0)
        close(m_descriptor);
}

}  // namespace lqer
