// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/project/project.h"
#include "core/project/shards.h"

namespace lqer {

inline constexpr std::string_view statisticsFolder = "statistics";
inline constexpr std::string_view factorsFolder = "factors";
inline constexpr std::string_view statisticsKind = "statistics";
inline constexpr std::string_view factorsKind = "factors";
inline constexpr const char *autocorrelationArray = "autocorrelation_upper";  // rows of the upper triangle, diagonal first

struct StoredSite {
    SiteStats stats;              // without the autocorrelation matrix
    bool autocorrelation = false; // the shard has it
    ShardRecord shard;
};

struct StoredCalibration {
    CalibrationStats provenance;  // without sites
    std::int64_t order = 0;       // of making
    bool complete = false;
    std::map<std::string, StoredSite> sites;  // by ActivationSite::name
};

struct StoredDecomposition {
    std::shared_ptr<const DecompositionRecord> record;
    ShardRecord shard;
    bool checked = false;  // its checksum was compared since the project was opened; not stored
};

// Everything project.h5 says.
struct ProjectIndex {
    std::string created;  // UTC, ISO 8601
    CheckpointIdentity checkpoint;
    std::map<std::string, StoredCalibration> calibrations;       // by key
    std::map<std::string, StoredDecomposition> decompositions;   // by DecompositionKey::text()
    std::map<std::string, Json> recipes;                         // by name
    std::map<std::string, std::shared_ptr<const Json>> reports;  // by id
    Json settings = Json::object();
};

Hdf5Group toHdf5(const ProjectIndex &index);
ProjectIndex indexFromHdf5(const Hdf5Group &root, const std::string &file);

// The records of shards, the same in project.h5 and in the shard itself.
Hdf5Group toHdf5(const DecompositionRecord &record);
DecompositionRecord decompositionFromHdf5(const Hdf5Reader &reader);
Hdf5Group provenanceToHdf5(const CalibrationStats &stats);
CalibrationStats provenanceFromHdf5(const Hdf5Reader &reader);
Hdf5Group siteToHdf5(const SiteStats &stats, bool autocorrelation);
StoredSite siteFromHdf5(const Hdf5Reader &reader);  // without its shard

}  // namespace lqer
