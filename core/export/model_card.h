// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "core/eval/perplexity.h"
#include "core/export/exporter.h"

namespace lqer {

// README.md of an export: what it is, how it was made, what was measured and by which convention, how each engine loads it.
// folder: name of the export, which takes the place of {} in launch commands.
std::string modelCard(const Exporter &exporter, const ExportSource &source, const ExportOptions &options,
                      std::span<const ExportProblem> warnings, const std::string &folder);

// The data that a report was measured on, or statistics come from (TokenWindows::provenance()), as a document for others names it: without the
// folders of this machine.
std::string dataName(const PerplexityReport &report);
std::string dataName(const std::string &provenance);

}  // namespace lqer
