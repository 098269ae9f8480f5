// SPDX-License-Identifier: Apache-2.0
#include "core/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/text.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

std::string errnoText(int code)
{
    return std::generic_category().message(code);
}

fs::path nearestExistingFolder(const fs::path &path)
{
    std::error_code ignored;
    fs::path folder = fs::absolute(path, ignored).lexically_normal();
    do
        folder = folder.parent_path();
    while (folder.has_relative_path() && !fs::is_directory(folder, ignored));
    return folder;
}

// The first folder on the way to `path` that this process may not enter, or an empty path.
fs::path closedFolder(const fs::path &path)
{
    std::error_code ignored;
    fs::path walked;
    for (const fs::path &part : fs::absolute(path, ignored).parent_path()) {
        walked /= part;
        if (::access(walked.c_str(), X_OK) != 0 && errno == EACCES)
            return walked;
    }
    return {};
}

[[noreturn]] void failOpen(const std::string &path, int code)
{
    std::error_code ignored;
    switch (code) {
    case ENOENT:
        if (fs::is_symlink(fs::symlink_status(path, ignored)))
            throw Error(ErrorCode::NotFound, path, {},
                        fmt::format("link points to missing file {}", fs::read_symlink(path, ignored).string()));
        [[fallthrough]];
    case ENOTDIR:
        throw Error(ErrorCode::NotFound, path, {},
                    fmt::format("does not exist (nearest existing folder: {})", nearestExistingFolder(path).string()));
    case ELOOP: throw Error(ErrorCode::NotFound, path, {}, "symbolic link loop");
    case ENXIO: throw Error(ErrorCode::Format, path, {}, "is not a regular file");
    case EACCES: {
        const fs::path closed = closedFolder(path);
        throw Error(ErrorCode::Io, path, {},
                    closed.empty() ? "no permission to read this file"
                                   : fmt::format("no permission to enter folder {}", closed.string()));
    }
    default: throw Error(ErrorCode::Io, path, {}, fmt::format("cannot be opened ({})", errnoText(code)));
    }
}

std::int64_t nanoseconds(const timespec &time)
{
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

struct InputFile::State {
    std::string path;
    int descriptor = -1;
    std::uint64_t size = 0;
    std::int64_t modifiedNs = 0;

    ~State()
    {
        if (descriptor >= 0)
            ::close(descriptor);
    }

    struct stat status() const
    {
        struct stat found {};
        if (::fstat(descriptor, &found) != 0)
            throw Error(ErrorCode::Io, path, {}, fmt::format("cannot be examined ({})", errnoText(errno)));
        return found;
    }
};

InputFile::InputFile(const std::string &path) : m_state(std::make_unique<State>())
{
    m_state->path = path;
    if (path.empty() || path.find('\0') != std::string::npos)
        throw Error(ErrorCode::NotFound, path, {}, "is not a file name");
    // O_NONBLOCK: opening a FIFO without a writer would wait for ever.
    do
        m_state->descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    while (m_state->descriptor < 0 && errno == EINTR);
    if (m_state->descriptor < 0)
        failOpen(path, errno);
    const struct stat found = m_state->status();
    if (S_ISDIR(found.st_mode))
        throw Error(ErrorCode::Format, path, {}, "is a folder, a file was expected");
    if (!S_ISREG(found.st_mode))
        throw Error(ErrorCode::Format, path, {}, "is not a regular file");
    m_state->size = static_cast<std::uint64_t>(found.st_size);
    m_state->modifiedNs = nanoseconds(found.st_mtim);
}

InputFile::~InputFile() = default;

const std::string &InputFile::path() const { return m_state->path; }
std::uint64_t InputFile::size() const { return m_state->size; }
std::int64_t InputFile::modifiedNs() const { return m_state->modifiedNs; }

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const
{
    if (offset > m_state->size || out.size() > m_state->size - offset)
        throw Error(ErrorCode::Io, path(), fmt::format("byte {}", offset),
                    fmt::format("{} bytes were expected here, the file has {} in all", out.size(), m_state->size));
    std::size_t done = 0;
    while (done < out.size()) {
        const std::uint64_t at = offset + done;
        const ssize_t count = ::pread(m_state->descriptor, out.data() + done, out.size() - done, static_cast<off_t>(at));
        if (count > 0)
            done += static_cast<std::size_t>(count);
        else if (count == 0)
            throw Error(ErrorCode::Io, path(), fmt::format("byte {}", at), "the file became shorter while being read");
        else if (errno != EINTR)
            throw Error(ErrorCode::Io, path(), {}, fmt::format("read error ({}) at byte {}", errnoText(errno), at));
    }
}

void InputFile::prefetch(std::uint64_t offset, std::uint64_t bytes) const
{
    static_cast<void>(::posix_fadvise(m_state->descriptor, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED));
}

void InputFile::checkUnchanged() const
{
    const struct stat now = m_state->status();
    if (static_cast<std::uint64_t>(now.st_size) != m_state->size)
        throw Error(ErrorCode::Conflict, path(), {},
                    fmt::format("changed while in use: {} bytes before, {} now", m_state->size, now.st_size));
    if (nanoseconds(now.st_mtim) != m_state->modifiedNs)
        throw Error(ErrorCode::Conflict, path(), {}, "changed while in use: somebody wrote to it");
}

std::string fileFingerprint(const InputFile &file, std::uint64_t head)
{
    constexpr std::uint64_t blockBytes = 1 << 20;
    constexpr std::uint64_t blocks = 64;
    LQER_ASSERT(head <= file.size());
    Hasher hasher;
    std::vector<std::byte> buffer;
    const auto addRange = [&](std::uint64_t begin, std::uint64_t end) {
        while (begin < end) {
            buffer.resize(static_cast<std::size_t>(std::min(blockBytes, end - begin)));
            file.read(begin, buffer);
            hasher.add(buffer);
            begin += buffer.size();
        }
    };
    const std::uint64_t size = file.size();
    hasher.add(std::as_bytes(std::span(&size, 1)));
    addRange(0, head);
    const std::uint64_t dataBytes = size - head;
    if (dataBytes <= blocks * blockBytes) {
        addRange(head, size);
    } else {
        for (std::uint64_t i = 0; i < blocks; ++i) {
            // In steps, so that the product stays below 2^64 for every file size there is.
            const std::uint64_t span = dataBytes - blockBytes;
            const std::uint64_t begin = head + span / (blocks - 1) * i + span % (blocks - 1) * i / (blocks - 1);
            addRange(begin, begin + blockBytes);
        }
    }
    return hasher.hex();
}

std::string readTextFile(const std::string &path, std::uint64_t limit)
{
    const InputFile file(path);
    if (file.size() > limit)
        throw Error(ErrorCode::Format, path, {},
                    fmt::format("has {}, larger than the {} limit for this file", formatBytes(static_cast<double>(file.size())),
                                formatBytes(static_cast<double>(limit))));
    std::string text(static_cast<std::size_t>(file.size()), '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    return text;
}

std::string recognisedContent(std::span<const std::byte> head)
{
    const std::string_view text(reinterpret_cast<const char *>(head.data()), head.size());
    const auto magicAt = [&](std::size_t at, std::string_view magic) {
        return text.size() >= at && text.substr(at, magic.size()) == magic;
    };

    if (magicAt(0, "version https://git-lfs"))
        return "a Git LFS pointer, not the data: run git lfs pull";
    if (magicAt(0, "# xet version"))
        return "a Xet pointer, not the data: download the file again";
    if (magicAt(0, std::string_view("PK\x03\x04", 4)))
        return "a zip archive, as pickle checkpoints are, which can run programs when loaded: convert it to safetensors";
    if (magicAt(0, "\x80") && text.size() > 1 && text[1] >= 2 && text[1] <= 5)
        return "a pickle checkpoint, which can run programs when loaded: convert it to safetensors";
    if (magicAt(0, "GGUF"))
        return "a GGUF file";
    if (magicAt(0, "\x89HDF\r\n\x1a\n"))
        return "an HDF5 file";
    if (magicAt(0, "\x93NUMPY"))
        return "a NumPy array";
    if (magicAt(4, "TFL3"))
        return "a TensorFlow Lite model";
    if (magicAt(257, "ustar"))
        return "a tar archive";
    if (magicAt(0, "\x1f\x8b"))
        return "a gzip archive";
    if (magicAt(0, "\x28\xb5\x2f\xfd"))
        return "a zstd archive";
    if (magicAt(0, "\x7f" "ELF"))
        return "a program";
    if (magicAt(0, "%PDF"))
        return "a PDF document";

    std::string start(text.substr(0, 64));
    start.erase(0, start.find_first_not_of("\xef\xbb\xbf \t\r\n"));
    std::transform(start.begin(), start.end(), start.begin(), [](unsigned char c) { return std::tolower(c); });
    for (const char *page : {"<!doctype", "<html", "<head", "<?xml"})
        if (start.starts_with(page))
            return "a web page: the download failed";
    for (const char *answer : {"entry not found", "invalid username or password", "access to model", "{\"error\":"})
        if (start.starts_with(answer))
            return "an error message of a server: the download failed";
    // A safetensors header: its length in 8 bytes, below 2^32, then the opening brace.
    if (text.size() > 8 && text.substr(4, 5) == std::string_view("\0\0\0\0{", 5))
        return "a safetensors file";
    return {};
}

}  // namespace lqer
