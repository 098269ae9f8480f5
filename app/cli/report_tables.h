// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/engine/engine.h"

namespace lqer::cli {

// A report under the short name its column or row gets.
struct NamedReport {
    std::string name;  // "plain", "lqer"
    std::shared_ptr<const EvaluationReport> report;
};

// One row for the original model and one per report: bits, size, errors, perplexity.
std::string modelTable(const std::vector<NamedReport> &reports);
// One row per layer: bits without and with the widest correction, then the weight and the output error under each report.
std::string layerTable(const std::vector<NamedReport> &reports);
// What all reports of one run share: data, convention, tokens.
std::string dataLine(const PerplexityReport &report);

}  // namespace lqer::cli
