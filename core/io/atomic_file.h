// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lqer {

// The only way this program writes a file: a temporary beside it, write, fsync, rename, fsync of the folder. Until commit()
// returned, the old file stands untouched; the destructor of an uncommitted one removes the temporary. Source: reliability.md 3.1.
class AtomicFile {
public:
    // expectedSize > 0 reserves the space first, so that a full disk is found before any work is lost.
    explicit AtomicFile(std::string path, std::uint64_t expectedSize = 0);
    ~AtomicFile();
    AtomicFile(const AtomicFile &) = delete;
    AtomicFile &operator=(const AtomicFile &) = delete;

    // Throws Error(DiskFull | Io) naming the file, the bytes needed and the bytes free.
    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    // Anywhere, for a format that is not written from front to back; what is left out reads as zeros.
    void writeAt(std::uint64_t offset, std::span<const std::byte> bytes);
    // What was written, and zeros behind the end. Throws Error(Io).
    void readBack(std::uint64_t offset, std::span<std::byte> bytes) const;
    const std::string &path() const;  // as given
    std::uint64_t written() const;    // up to the last byte
    // XXH3-128 of what was written, for whoever reads the file back to compare. Of a file that was not written from front to back only once
    // it is committed, when its bytes are read back for this.
    std::string hash() const;
    void commit();

private:
    struct State;
    std::unique_ptr<State> m_state;
};

void writeFileAtomically(const std::string &path, std::span<const std::byte> bytes);
void writeFileAtomically(const std::string &path, std::string_view text);

// Removes temporaries that a killed process left in `folder` (their process id is part of the name and no longer runs).
void sweepTemporaries(const std::string &folder);
// Removes all temporaries of this one file, whoever left them: for a caller that keeps others, on any machine, from writing it.
void sweepTemporariesOf(const std::string &path);

}  // namespace lqer
