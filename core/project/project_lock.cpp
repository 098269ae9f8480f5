// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_lock.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

std::string lockFile(const std::string &folder)
{
    return folder + "/lock";
}

std::string hostName()
{
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this machine";
}

// What the holder wrote, or a sentence without a name.
std::string readHolder(const std::string &folder)
{
    const int descriptor = open(lockFile(folder).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    std::array<char, 200> text{};
    ssize_t size = 0;
    if (descriptor >= 0) {
        size = read(descriptor, text.data(), text.size());
        close(descriptor);
    }
    if (size <= 0)
        return "another process has it open";
    std::string holder(text.data(), static_cast<std::size_t>(size));
    holder.resize(std::min(holder.size(), holder.find('\n')));
    return escaped(holder) + " has it open";
}

// Not an AtomicFile: this is a note about the present moment, nothing that must survive.
void writeHolder(const std::string &folder)
{
    const int descriptor =
        open(lockFile(folder).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0644);
    if (descriptor < 0)
        return;
    const std::string text = fmt::format("process {} on {}\n", getpid(), hostName());
    [[maybe_unused]] const ssize_t written = write(descriptor, text.data(), text.size());
    close(descriptor);
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
    // A process that was killed a moment ago may still be on its way out.
    int locked = flock(m_descriptor, LOCK_EX | LOCK_NB);
    for (int attempt = 0; attempt < 10 && locked != 0 && errno == EWOULDBLOCK; ++attempt) {
        usleep(20000);
        locked = flock(m_descriptor, LOCK_EX | LOCK_NB);
    }
    if (locked != 0) {
        // EWOULDBLOCK: held. Anything else: a file system without locks, where nothing can be promised to two writers.
        const int code = errno;
        m_reason = code == EWOULDBLOCK ? readHolder(folder) : fmt::format("the folder cannot be locked ({})", std::strerror(code));
        return;
    }
    m_held = true;
    writeHolder(folder);
}

ProjectLock::~ProjectLock()
{
    if (m_held)
        unlink(lockFile(m_folder).c_str());
    if (m_descriptor >= 0)
        close(m_descriptor);
}

}  // namespace lqer
