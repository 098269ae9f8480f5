// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/project/project.h"

namespace lqer::test {

// Made-up contents of a project, the same for the same number.
CheckpointIdentity sampleCheckpoint();
CalibrationStats sampleProvenance();
SiteStats sampleSite(Index features, std::uint32_t seed);

struct SampleDecomposition {
    DecompositionRecord record;
    ErrorDecomposition decomposition;
};
SampleDecomposition sampleDecomposition(int layer, Index maxRank = 6);

// Everything in a project as text: two projects hold the same if these are equal.
std::string describe(Project &project);

std::vector<std::byte> readBytes(const std::string &path);
void writeBytes(const std::string &path, const std::vector<std::byte> &bytes);
// Relative paths of all files below a folder, sorted.
std::vector<std::string> filesBelow(const std::string &folder);

}  // namespace lqer::test
