// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace lqer {

// Locks that the kernel lets go when their holder dies. Both calls try for two tenths of a second, because a process that was killed a
// moment ago may still be on its way out.
bool lockDescriptor(int descriptor);  // flock; sets errno: EWOULDBLOCK if another process holds it

// A note in a file about who holds a lock, for people: "process 1234 on HOST". Nothing that must survive.
void writeLockHolder(const std::string &file);
// "process 1234 on HOST has it open", or without a name if there is no note.
std::string readLockHolder(const std::string &file);

// An exclusive lock on a regular file, which is made and stays. Holds between the machines of a shared file system, too, where that has locks
// (NFS, Lustre mounted with flock, GPFS, BeeGFS).
class FileLock {
public:
    // Throws Error(Io) if the file cannot be made, Error(Unsupported) if this file system has no locks.
    explicit FileLock(const std::string &file);
    ~FileLock();
    FileLock(const FileLock &) = delete;
    FileLock &operator=(const FileLock &) = delete;

    bool isHeld() const { return m_held; }
    // Who holds it, if this one does not.
    const std::string &holder() const { return m_holder; }

private:
    int m_descriptor = -1;
    bool m_held = false;
    std::string m_holder;
};

}  // namespace lqer
