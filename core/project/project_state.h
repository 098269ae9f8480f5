// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/project/project.h"
#include "core/project/project_index.h"
#include "core/project/project_lock.h"

namespace lqer {

struct Project::State {
    explicit State(const std::string &projectFolder) : folder(projectFolder), lock(projectFolder) {}

    std::string folder;
    ProjectLock lock;

    mutable std::mutex mutex;  // guards what follows; never held while a file is read or written
    ProjectIndex index;
    std::vector<std::string> notes;
    std::uint64_t changes = 0;       // counts up
    std::uint64_t savedChanges = 0;  // `changes` at the last save
    std::chrono::steady_clock::time_point savedAt = std::chrono::steady_clock::now();
    std::vector<std::string> obsolete;  // files to remove once the saved project does not list them any more

    std::mutex saving;  // one save at a time

    std::string projectFile() const { return folder + "/project.h5"; }
    std::string path(std::string_view subfolder, const std::string &file) const
    {
        return folder + "/" + std::string(subfolder) + "/" + file;
    }
    // Throws Error(Conflict) if read-only.
    void requireWritable() const;
    void changed() { ++changes; }  // under the mutex

    // Reads project.h5 into the index.
    void load();
    // Strikes off shards that are not there, takes up complete ones that project.h5 does not list yet, removes superseded ones.
    void reconcileShards();

    // What becomes of an entry whose shard cannot be used; each returns its note and takes the mutex itself.
    std::string strikeSite(const std::string &key, const std::string &site, const std::string &why);
    std::string strikeDecomposition(const DecompositionKey &key, const std::string &why);

    void saveNow();
    // Saves if the last one is more than a few seconds ago.
    void saveIfDue();
};

}  // namespace lqer
