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
// One row per task and metric, one column per report that has tasks; "" if none has. Of MMLU with each subject's.
std::string taskTable(const std::vector<NamedReport> &reports);
// What the tasks of a report share: "lm-eval's rule without BOS, 100 items of each, 1,499 answers in 1,430 runs".
std::string tasksLine(const TasksReport &report);
// What all reports of one run share: data, convention, tokens.
std::string dataLine(const PerplexityReport &report);

}  // namespace lqer::cli
