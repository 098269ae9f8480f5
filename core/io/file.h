// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lqer {

// A regular file opened once and read with pread; deleting or renaming it meanwhile is harmless. Thread-safe.
// Source: reliability.md 3.3.
class InputFile {
public:
    // Throws Error(NotFound | Io | Format): missing (with the nearest existing folder), folder, FIFO or device, dangling
    // or looping link, no permission.
    explicit InputFile(const std::string &path);
    ~InputFile();
    InputFile(const InputFile &) = delete;
    InputFile &operator=(const InputFile &) = delete;

    const std::string &path() const;
    std::uint64_t size() const;
    std::int64_t modifiedNs() const;
    // Exactly out.size() bytes from `offset`. Throws Error(Io) if the file became shorter.
    void read(std::uint64_t offset, std::span<std::byte> out) const;
    // Has the disk begin to read it, for a read() soon; a wish.
    void prefetch(std::uint64_t offset, std::uint64_t bytes) const;
    // Throws Error(Conflict) if size or modification time changed since it was opened.
    void checkUnchanged() const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

// XXH3-128 of a file's size, of its first `head` bytes and of the rest: all of it up to 64 MiB, else 64 evenly spread blocks of 1 MiB.
// 32 hexadecimal digits.
std::string fileFingerprint(const InputFile &file, std::uint64_t head);

// The whole file as text; Error if it is larger than `limit`.
std::string readTextFile(const std::string &path, std::uint64_t limit);

// What a file really is, by its first bytes, for messages: "a Git LFS pointer", "a web page", "a pickle checkpoint, which can
// run programs when loaded", ...; "" if nothing is recognised.
std::string recognisedContent(std::span<const std::byte> head);

}  // namespace lqer
