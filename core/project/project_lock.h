// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "core/io/file_lock.h"

namespace lqer {

// Who may write into a project folder: an flock on the folder itself, which nobody can delete by hand and the kernel lets go when
// its holder dies, and a file `lock` that names the holder for people. Where folders cannot be locked (NFS), the file is locked, and stays.
class ProjectLock {
public:
    explicit ProjectLock(const std::string &folder);
    ~ProjectLock();
    ProjectLock(const ProjectLock &) = delete;
    ProjectLock &operator=(const ProjectLock &) = delete;

    bool isHeld() const { return m_held; }
    // Why it is not held: "process 1234 on HOST has it open", "the folder cannot be written (Permission denied)".
    const std::string &reason() const { return m_reason; }

private:
    void lockByFile();

    std::string m_folder;
    int m_descriptor = -1;
    bool m_held = false;
    std::string m_reason;
    std::unique_ptr<FileLock> m_file;  // instead of the folder
};

}  // namespace lqer
