// SPDX-License-Identifier: Apache-2.0
#include "core/io/file_lock.h"

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

std::string hostName()
{
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this machine";
}

}  // namespace

bool lockDescriptor(int descriptor)
{
    int locked = flock(descriptor, LOCK_EX | LOCK_NB);
    for (int attempt = 0; attempt < 10 && locked != 0 && errno == EWOULDBLOCK; ++attempt) {
        usleep(20000);
        locked = flock(descriptor, LOCK_EX | LOCK_NB);
    }
    return locked == 0;
}

// Not an AtomicFile: the note is about the present moment.
void writeLockHolder(const std::string &file)
{
    const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0644);
    if (descriptor < 0)
        return;
    const std::string text = fmt::format("process {} on {}\n", getpid(), hostName());
    [[maybe_unused]] const ssize_t written = write(descriptor, text.data(), text.size());
    close(descriptor);
}

std::string readLockHolder(const std::string &file)
{
    const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
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

FileLock::FileLock(const std::string &file)
{
    // Open for writing, without which NFS has no exclusive lock.
    m_descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0644);
    if (m_descriptor < 0)
        throw Error(ErrorCode::Io, file, "", fmt::format("the lock cannot be opened: {}", std::strerror(errno)));
    m_held = lockDescriptor(m_descriptor);
    if (!m_held && errno != EWOULDBLOCK) {
        const int code = errno;
        close(m_descriptor);
        throw Error(ErrorCode::Unsupported, file, "", fmt::format("this file system has no locks ({})", std::strerror(code)));
    }
    if (m_held)
        writeLockHolder(file);
    else
        m_holder = readLockHolder(file);
}

FileLock::~FileLock()
{
    close(m_descriptor);
}

}  // namespace lqer
