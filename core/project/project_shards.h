// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/project/project_index.h"

namespace lqer {

// The two kinds of shards a project has, written from and read to the engine's types. `project` is the project's folder.

struct SiteShard {
    std::string key;           // of the statistics
    CalibrationStats provenance;
    std::string site;
    StoredSite stored;
    MatrixF64 autocorrelation;  // empty without, or if it was not asked for
};
ShardRecord writeSiteShard(const std::string &project, const CalibrationStats &provenance, const std::string &site, const SiteStats &stats);
SiteShard readSiteShard(const std::string &project, const std::string &file, bool withArrays, const TaskContext &context = {});

struct FactorShard {
    std::string key;
    DecompositionRecord record;
    ErrorDecomposition decomposition;  // factors empty if they were not asked for
    ShardRecord shard;
};
ShardRecord writeFactorShard(const std::string &project, const DecompositionRecord &record, const ErrorDecomposition &decomposition);
FactorShard readFactorShard(const std::string &project, const std::string &file, bool withArrays);

}  // namespace lqer
