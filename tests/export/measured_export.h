// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "tests/export/sample_export.h"

namespace lqer::test {

// Text as a file of somebody else might hold it: markup, a formula, quotes, control and bidirectional characters.
extern const char *const hostileText;

// A made-up model with three reports: plain, diag, and the recipe itself, which is the newest. Recipe and data are named by hostileText.
std::unique_ptr<SampleExport> measuredExport(const std::string &place);
// Another recipe of the same project, exported to `name` in its place. Returns the path.
std::string writeRecipe(const SampleExport &sample, const QuantizationRecipe &recipe, const std::string &target, const std::string &name);

// Says of every decomposition of the project that the singular values behind the first few are estimates, and of E itself that all are.
void markAsEstimated(const SampleExport &sample);

}  // namespace lqer::test
