// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/eval/hardware_cost.h"
#include "core/export/export_source.h"

namespace lqer {

// One linear layer as a report shows it.
struct LayerView {
    const LinearSite *site = nullptr;
    LayerPlan plan;
    LayerFootprint footprint;
    std::shared_ptr<const DecompositionRecord> decomposition;  // null without a correction
    // Measured with A and B as quantized, or predicted from the decomposition where nothing was measured; none without both.
    std::optional<LayerError> error;
    bool measured = false;
};

// A report of the project with what it is compared by.
struct RunView {
    std::size_t number = 0;  // from 1, as `lqer report` counts
    std::string name;        // "plain", "exact"
    std::shared_ptr<const EvaluationReport> report;
    bool isMain = false;     // measured the recipe that the page is about
    bool comparable = false; // its perplexity is of the same windows, by the same convention
};

// What the page and the tables are made of. Holds on to its source.
struct ReportView {
    explicit ReportView(const ExportSource &source);

    const ExportSource &source;
    std::shared_ptr<const EvaluationReport> main;   // the recipe's newest; null if it was never measured
    std::shared_ptr<const EvaluationReport> plain;  // the same weights' formats without a correction, on the same windows; null without
    std::vector<RunView> runs;                      // all reports, oldest first
    Footprint footprint;                            // of the recipe
    HardwareCost cost, originalCost;                // of the recipe and of the original model, one token at a time
    std::vector<LayerView> layers;                  // in forward order
    LayerError total;                               // of `layers` that have an error
    bool measuredErrors = false;                    // every error in `layers` was measured
    bool corrects = false;                          // some layer has a correction

    const PerplexityReport *perplexity() const;     // of the recipe; null if it was never measured
    const PerplexityReport *original() const;       // of the original model on the same windows
    // The part of the perplexity lost by plain quantization that the correction wins back; none where that is not known or means nothing.
    std::optional<double> wonBack() const;
    // Layers with an error, the largest relative error without correction first: in the output, or in the weight where outputs are not known.
    std::vector<const LayerView *> worstFirst() const;
    bool outputKnown() const { return total.outputKnown; }
    double before(const LayerView &layer) const;    // relative error without and with correction, of the kind that is known
    double after(const LayerView &layer) const;
};

// report.html: one page without script, network or any other file.
std::string reportPage(const ReportView &view);
// layers.csv: one row a layer. reports.csv: one row a report of the project.
std::string layersCsv(const ReportView &view);
std::string reportsCsv(const ReportView &view);
// tasks.csv: one row a report, task and metric; "" without tasks.
std::string tasksCsv(const ReportView &view);

}  // namespace lqer
