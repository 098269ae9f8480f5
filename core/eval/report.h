// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/eval/divergence.h"
#include "core/eval/downstream/tasks_report.h"
#include "core/eval/footprint.h"
#include "core/eval/output_error.h"
#include "core/eval/perplexity.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// Where W_q came from if not from the recipe's formats.
struct ReportedBase {
    std::string path;         // for people
    std::string description;  // "GPTQ, 4 bits, groups of 128"
    std::string fingerprint;  // QuantizedBase::fingerprint()
    friend bool operator==(const ReportedBase &, const ReportedBase &) = default;
};

// All that was measured of one model under one recipe, with where it came from. A value; kept in the project as JSON.
struct EvaluationReport {
    static constexpr std::int64_t currentVersion = 1;

    std::string title;                         // "exact, rank 32"
    std::string model;                         // directory or name, for people
    std::string fingerprint;                   // of the checkpoint
    std::string calibration;                   // CalibrationStats::key(); "" without
    std::string created;                       // UTC, ISO 8601
    std::optional<QuantizationRecipe> recipe;  // none: the original model
    std::optional<ReportedBase> base;
    std::optional<PerplexityReport> original;  // the unquantized model on the same data
    std::optional<PerplexityReport> perplexity;
    std::optional<DivergenceReport> divergence;
    std::optional<TasksReport> tasks;
    std::optional<Footprint> footprint;
    std::vector<LayerError> layers;  // in forward order

    Json toJson() const;
    // Throws Error(Format) with file and key path; a version this program does not know is Error(Unsupported).
    static EvaluationReport fromJson(const Json &json, const std::string &file);
    friend bool operator==(const EvaluationReport &, const EvaluationReport &) = default;
};

// "original" for a report without a recipe, "plain" for one without a correction anywhere, the scaling's name if all corrected layers have the
// same, else the recipe's.
std::string shortReportName(const EvaluationReport &report);

}  // namespace lqer
