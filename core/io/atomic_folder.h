// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace lqer {

// The absolute path without links and dots that `path` stands for, whether it is there or not. Throws Error(Io) if it is no name of a
// file or folder.
std::string resolvedPath(const std::string &path);

// A folder, or one file, that appears under its name whole or not at all. What is to be in it is written into a folder beside it,
// "NAME.partial-<process>-<number>"; commit() gives it the name. Until then whatever has the name stands untouched; the destructor of
// an uncommitted one removes what was written. Folders that dead processes left beside it are removed first.
// Source: reliability.md 5, directory swap.
class AtomicFolder {
public:
    enum class Existing { Refuse, Replace };

    // Throws Error(Conflict) if `path` is there and is not to be replaced, Error(NotFound) if its parent is not there, Error(Io).
    AtomicFolder(const std::string &path, Existing existing);
    ~AtomicFolder();
    AtomicFolder(const AtomicFolder &) = delete;
    AtomicFolder &operator=(const AtomicFolder &) = delete;

    // Where to write.
    const std::string &folder() const { return m_folder; }
    // The folder gets its name; what had it is removed afterwards. Throws Error(Conflict) if somebody else took the name meanwhile,
    // Error(Unsupported) if this file system cannot exchange two folders in one step, Error(Io).
    void commit();
    // The file `name` in the folder gets the path instead, and the folder is removed.
    void commitFile(const std::string &name);

private:
    void rename(const std::string &from);

    std::string m_path;    // as given, for messages
    std::string m_target;  // behind links
    std::string m_folder;
    Existing m_existing;
};

// Bytes that can still be written into the file system that holds `folder`.
std::uint64_t freeDiskSpace(const std::string &folder);

}  // namespace lqer
