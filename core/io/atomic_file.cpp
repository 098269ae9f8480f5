// SPDX-License-Identifier: Apache-2.0
#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view temporaryMark = ".tmp.";
constexpr std::size_t randomDigits = 16;

std::string errnoText(int code)
{
    return std::generic_category().message(code);
}

// By default the kernel kills a process whose file grows past the size limit; ignored, write() returns EFBIG.
void ignoreFileSizeSignal()
{
    static std::once_flag once;
    std::call_once(once, [] { std::signal(SIGXFSZ, SIG_IGN); });
}

// Replacing a link would cut it off from what it points to, so the file behind it is replaced.
fs::path behindLinks(fs::path path)
{
    constexpr int mostLinks = 40;  // as the kernel
    std::error_code ignored;
    for (int i = 0; i < mostLinks && fs::is_symlink(fs::symlink_status(path, ignored)); ++i)
        path = path.parent_path() / fs::read_symlink(path, ignored);
    return path;
}

fs::path folderOf(const fs::path &path)
{
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

std::string freeSpace(const fs::path &folder)
{
    struct statvfs found {};
    if (::statvfs(folder.c_str(), &found) != 0)
        return "unknown";
    return formatBytes(static_cast<double>(found.f_bavail) * static_cast<double>(found.f_frsize));
}

std::string temporaryName(const std::string &name)
{
    std::random_device random;
    const std::uint64_t number = (static_cast<std::uint64_t>(random()) << 32) | random();
    return fmt::format("{}{}{}.{:016x}", name, temporaryMark, ::getpid(), number);
}

// The process id in a name made by temporaryName(), or 0.
pid_t temporaryOwner(std::string_view name)
{
    if (name.size() <= randomDigits || name[name.size() - randomDigits - 1] != '.')
        return 0;
    const std::string_view random = name.substr(name.size() - randomDigits);
    if (!std::all_of(random.begin(), random.end(), [](unsigned char c) { return std::isxdigit(c); }))
        return 0;
    name.remove_suffix(randomDigits + 1);
    const std::size_t mark = name.rfind(temporaryMark);
    if (mark == std::string_view::npos || mark == 0)
        return 0;
    const std::string_view digits = name.substr(mark + temporaryMark.size());
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
    return error == std::errc() && end == digits.data() + digits.size() && pid > 0 ? pid : 0;
}

}  // namespace

struct AtomicFile::State {
    std::string path;  // as the caller gave it, for messages
    fs::path target;
    fs::path temporary;
    int descriptor = -1;
    std::uint64_t expected = 0;
    std::uint64_t written = 0;
    Hasher hasher;
    bool inOrder = true;          // written from front to back
    std::string hashOfDisorder;  // otherwise, once it is committed

    ~State() { discard(); }

    void discard() noexcept
    {
        if (descriptor < 0)
            return;
        ::close(descriptor);
        descriptor = -1;
        ::unlink(temporary.c_str());
    }

    // What could not be done, why, and how much room there was and would have been needed.
    [[noreturn]] void fail(const char *step, int code, std::uint64_t needed)
    {
        discard();
        const bool full = code == ENOSPC || code == EDQUOT;
        throw Error(full ? ErrorCode::DiskFull : ErrorCode::Io, path, {},
                    fmt::format("{} failed ({}): {} needed, {} free in {}", step, errnoText(code),
                                formatBytes(static_cast<double>(needed)), freeSpace(folderOf(target)), folderOf(target).string()));
    }

    void create()
    {
        struct stat found {};
        const bool exists = ::stat(target.c_str(), &found) == 0;
        if (!exists && errno == ELOOP)
            throw Error(ErrorCode::Io, path, {}, "cannot be written: symbolic link loop");
        if (exists && S_ISDIR(found.st_mode))
            throw Error(ErrorCode::Io, path, {}, "is a folder, a file was expected");
        if (exists && !S_ISREG(found.st_mode))
            throw Error(ErrorCode::Io, path, {}, "is not a regular file");

        const fs::path folder = folderOf(target);
        for (int attempt = 0; descriptor < 0; ++attempt) {
            temporary = folder / temporaryName(target.filename().string());
            descriptor = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (descriptor < 0 && errno != EINTR && (errno != EEXIST || attempt == 10))
                throw Error(errno == ENOSPC || errno == EDQUOT ? ErrorCode::DiskFull : ErrorCode::Io, path, {},
                            fmt::format("cannot be written: no file can be created in folder {} ({})", folder.string(), errnoText(errno)));
        }
        if (exists && ::fchmod(descriptor, found.st_mode & 07777) != 0)
            fail("setting the permissions", errno, expected);
    }

    void reserve()
    {
        if (expected == 0)
            return;
        int code = 0;
        do
            code = ::posix_fallocate(descriptor, 0, static_cast<off_t>(expected));
        while (code == EINTR);
        // A file system that cannot reserve says EOPNOTSUPP or EINVAL; the writes will tell.
        if (code != 0 && code != EOPNOTSUPP && code != EINVAL && code != ENOSYS)
            fail("reserving the space", code, expected);
    }

    void syncFolder() const
    {
        const int folder = ::open(folderOf(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const bool synced = folder >= 0 && (::fsync(folder) == 0 || errno == EINVAL);
        const int code = errno;
        if (folder >= 0)
            ::close(folder);
        if (!synced)
            throw Error(ErrorCode::Io, path, {},
                        fmt::format("was replaced, but its folder could not be synchronised ({}): it may not survive a power loss",
                                    errnoText(code)));
    }
};

AtomicFile::AtomicFile(std::string path, std::uint64_t expectedSize) : m_state(std::make_unique<State>())
{
    ignoreFileSizeSignal();
    m_state->target = behindLinks(path);
    m_state->path = std::move(path);
    m_state->expected = expectedSize;
    if (!m_state->target.has_filename() || m_state->path.find('\0') != std::string::npos)
        throw Error(ErrorCode::Io, m_state->path, {}, "is not a file name");
    m_state->create();
    m_state->reserve();
}

AtomicFile::~AtomicFile() = default;

void AtomicFile::write(std::span<const std::byte> bytes)
{
    writeAt(m_state->written, bytes);
}

void AtomicFile::writeAt(std::uint64_t offset, std::span<const std::byte> bytes)
{
    LQER_ASSERT(m_state->descriptor >= 0);
    m_state->inOrder = m_state->inOrder && offset == m_state->written;
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::pwrite(m_state->descriptor, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
        if (count >= 0) {
            if (m_state->inOrder)
                m_state->hasher.add(bytes.subspan(done, static_cast<std::size_t>(count)));
            done += static_cast<std::size_t>(count);
            m_state->written = std::max(m_state->written, offset + done);
        } else if (errno != EINTR) {
            m_state->fail("writing", errno, std::max(m_state->expected, offset + bytes.size()));
        }
    }
}

void AtomicFile::readBack(std::uint64_t offset, std::span<std::byte> bytes) const
{
    LQER_ASSERT(m_state->descriptor >= 0);
    while (!bytes.empty()) {
        const ssize_t count = ::pread(m_state->descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            throw Error(ErrorCode::Io, m_state->path, {}, fmt::format("cannot be read back ({})", errnoText(errno)));
        if (count == 0)
            break;
        offset += static_cast<std::uint64_t>(count);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    std::ranges::fill(bytes, std::byte{0});
}

void AtomicFile::write(std::string_view text)
{
    write(std::as_bytes(std::span(text)));
}

const std::string &AtomicFile::path() const
{
    return m_state->path;
}

std::uint64_t AtomicFile::written() const
{
    return m_state->written;
}

std::string AtomicFile::hash() const
{
    LQER_ASSERT(m_state->inOrder || !m_state->hashOfDisorder.empty());
    return m_state->inOrder ? m_state->hasher.hex() : m_state->hashOfDisorder;
}

void AtomicFile::commit()
{
    LQER_ASSERT(m_state->descriptor >= 0);
    State &state = *m_state;
    if (!state.inOrder) {
        Hasher hasher;
        std::vector<std::byte> buffer(1 << 20);
        for (std::uint64_t done = 0; done < state.written;) {
            const auto piece = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), state.written - done)));
            readBack(done, piece);
            hasher.add(piece);
            done += piece.size();
        }
        state.hashOfDisorder = hasher.hex();
    }
    if (state.written < state.expected && ::ftruncate(state.descriptor, static_cast<off_t>(state.written)) != 0)
        state.fail("shortening", errno, state.written);
    while (::fsync(state.descriptor) != 0)
        if (errno != EINTR)
            state.fail("synchronising", errno, state.written);
    // Network file systems report a failed write here. The descriptor is gone in any case, and EINTR comes after the fsync.
    const bool closed = ::close(std::exchange(state.descriptor, -1)) == 0 || errno == EINTR;
    if (!closed || ::rename(state.temporary.c_str(), state.target.c_str()) != 0) {
        const int code = errno;
        ::unlink(state.temporary.c_str());
        state.fail(closed ? "renaming" : "closing", code, state.written);
    }
    state.syncFolder();
}

void writeFileAtomically(const std::string &path, std::span<const std::byte> bytes)
{
    AtomicFile file(path, bytes.size());
    file.write(bytes);
    file.commit();
}

void writeFileAtomically(const std::string &path, std::string_view text)
{
    writeFileAtomically(path, std::as_bytes(std::span(text)));
}

void sweepTemporaries(const std::string &folder)
{
    std::error_code ignored;
    for (const fs::directory_entry &entry : fs::directory_iterator(folder, ignored)) {
        const pid_t owner = temporaryOwner(entry.path().filename().string());
        if (owner == 0 || !entry.is_regular_file(ignored) || ::kill(owner, 0) == 0 || errno != ESRCH)
            continue;
        if (fs::remove(entry.path(), ignored))
            logDebug(fmt::format("{}: removed, left over from process {}", entry.path().string(), owner));
    }
}

void sweepTemporariesOf(const std::string &path)
{
    std::error_code ignored;
    const std::string begin = fs::path(path).filename().string() + std::string(temporaryMark);
    for (const fs::directory_entry &entry : fs::directory_iterator(fs::path(path).parent_path(), ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(begin) && temporaryOwner(name) != 0)
            fs::remove(entry.path(), ignored);
    }
}

}  // namespace lqer
