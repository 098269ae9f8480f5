// SPDX-License-Identifier: Apache-2.0
#include "app/cli/report_tables.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "app/cli/text_table.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

// Perplexity and its standard error. Reports of one text differ by much less than that error says: their tokens are the same, so the
// perplexity keeps its digits. A word perplexity has no error stated.
std::pair<std::string, std::string> perplexityCells(const PerplexityReport &report)
{
    const bool words = report.headline() != report.perplexity;
    return {formatPerplexity(report.headline()), words || report.standardError <= 0 ? "" : fmt::format("±{:.2g}", report.standardError)};
}

// The papers' other way of counting, where it differs: published bits per weight are compared by it.
std::string paperBitsLine(const std::vector<NamedReport> &reports)
{
    for (auto named = reports.rbegin(); named != reports.rend(); ++named)
        if (const auto &footprint = named->report->footprint; footprint && footprint->paper != footprint->stored)
            return fmt::format("Bits with 4 for each shared exponent, as the LQER paper counts: W {}, W + A B {}\n", formatBits(footprint->paper.weights),
                               formatBits(footprint->paper.withCorrection));
    return {};
}

const LayerFootprint *findFootprint(const EvaluationReport &report, const std::string &layer)
{
    if (!report.footprint)
        return nullptr;
    for (const LayerFootprint &footprint : report.footprint->layers)
        if (footprint.layer == layer)
            return &footprint;
    return nullptr;
}

}  // namespace

std::string modelTable(const std::vector<NamedReport> &reports)
{
    bool divergence = false;
    for (const NamedReport &named : reports)
        divergence = divergence || named.report->divergence;
    std::vector<TextTable::Column> columns = {{"model", Align::Left},
                                              {"W", Align::Right, "bits per weight"},
                                              {"W + A B", Align::Right, "bits per weight"},
                                              {"size"},
                                              {"weight", Align::Right, "relative error"},
                                              {"output", Align::Right, "relative error"},
                                              {"perplexity"},
                                              {"", Align::Left},
                                              {"increase"}};
    if (divergence) {
        columns.push_back({"KL divergence"});
        columns.push_back({"same top-1"});
    }
    TextTable table(columns);
    const auto reference = std::find_if(reports.begin(), reports.end(), [](const NamedReport &named) { return named.report->original && named.report->footprint; });
    if (reference != reports.end()) {
        const EvaluationReport &report = *reference->report;
        const Footprint &footprint = *report.footprint;
        double bits = 0;
        for (const LayerFootprint &layer : footprint.layers)
            bits += 8.0 * static_cast<double>(layer.originalBytes);
        table.addRow({"original", formatBits(footprint.linearWeights > 0 ? bits / static_cast<double>(footprint.linearWeights) : 0), "",
                      formatBytes(static_cast<double>(footprint.originalBytes)), "", "",
                      perplexityCells(*report.original).first, perplexityCells(*report.original).second});
    }
    for (const NamedReport &named : reports) {
        const EvaluationReport &report = *named.report;
        std::vector<std::string> row{escaped(named.name, 40)};
        if (report.footprint) {
            const AverageBits &bits = report.footprint->stored;
            row.insert(row.end(), {formatBits(bits.weights), bits.withCorrection > bits.weights ? formatBits(bits.withCorrection) : "",
                                   formatBytes(static_cast<double>(report.footprint->bytes))});
        } else {
            row.insert(row.end(), 3, "");
        }
        if (report.layers.empty()) {
            row.insert(row.end(), 2, "");
        } else {
            const LayerError error = totalError(report.layers);
            row.insert(row.end(), {formatPercent(error.relativeCorrectedWeightError()),
                                   error.outputKnown ? formatPercent(error.relativeCorrectedOutputError()) : "-"});
        }
        const auto [perplexity, error] = report.perplexity ? perplexityCells(*report.perplexity) : std::pair<std::string, std::string>();
        row.push_back(perplexity);
        row.push_back(error);
        row.push_back(report.perplexity && report.original
                          ? fmt::format("{:+.2f} %", 100 * (report.perplexity->headline() / report.original->headline() - 1))
                          : "");
        if (report.divergence) {
            row.push_back(formatWithError(report.divergence->kl.mean, report.divergence->kl.standardError));
            row.push_back(formatPercent(report.divergence->topAgreement.mean));
        }
        table.addRow(std::move(row));
    }
    return table.toString() + paperBitsLine(reports);
}

std::string layerTable(const std::vector<NamedReport> &reports)
{
    if (reports.empty() || reports.front().report->layers.empty())
        return {};
    std::vector<TextTable::Column> columns = {{"layer", Align::Left}, {"rank"}, {"W", Align::Right, "bits"}, {"+ A B", Align::Right, "bits"}};
    for (const char *group : {"weight error, %", "output error, %"})
        for (const NamedReport &named : reports)
            columns.push_back({escaped(named.name, 20), Align::Right, group});
    TextTable table(columns);
    for (std::size_t l = 0; l < reports.front().report->layers.size(); ++l) {
        const std::string &name = reports.front().report->layers[l].layer;
        std::optional<LayerFootprint> widest;
        for (const NamedReport &named : reports)
            if (const LayerFootprint *footprint = findFootprint(*named.report, name); footprint && (!widest || footprint->rank > widest->rank))
                widest = *footprint;
        std::vector<std::string> row{escaped(shortLayerName(name), 60)};
        if (widest)
            row.insert(row.end(), {std::to_string(widest->rank), formatBits(widest->stored.weights), formatBits(widest->stored.withCorrection)});
        else
            row.insert(row.end(), 3, "");
        std::vector<std::string> outputs;
        for (const NamedReport &named : reports) {
            const auto &layers = named.report->layers;
            const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerError &error) { return error.layer == name; });
            row.push_back(found == layers.end() ? "" : fmt::format("{:.2f}", 100 * found->relativeCorrectedWeightError()));
            outputs.push_back(found == layers.end() || !found->outputKnown ? "-" : fmt::format("{:.2f}", 100 * found->relativeCorrectedOutputError()));
        }
        row.insert(row.end(), outputs.begin(), outputs.end());
        table.addRow(std::move(row));
    }
    return table.toString();
}

std::string taskTable(const std::vector<NamedReport> &reports)
{
    std::vector<const TasksReport *> measured;
    std::vector<TextTable::Column> columns = {{"task", Align::Left}, {"examples"}, {"items"}, {"metric", Align::Left}};
    for (const NamedReport &named : reports)
        if (named.report->tasks) {
            measured.push_back(&*named.report->tasks);
            columns.push_back({escaped(named.name, 20)});
            columns.push_back({"", Align::Left});
        }
    if (measured.empty())
        return {};
    // Rows in the order in which tasks turn up: the same task with another number of examples is another row.
    struct Row {
        std::string task, shownAs, metric;
        std::int64_t fewShot = 0, items = 0;
    };
    std::vector<Row> rows;
    const auto sameRow = [](const Row &row, const TaskResult &result, const TaskMetric &metric) {
        return row.task == result.task && row.metric == metric.name && row.fewShot == result.fewShot && row.items == result.items;
    };
    const auto addRows = [&](const TaskResult &result, const std::string &shownAs) {
        for (const TaskMetric &metric : result.metrics)
            if (std::none_of(rows.begin(), rows.end(), [&](const Row &row) { return sameRow(row, result, metric); }))
                rows.push_back({result.task, shownAs, metric.name, result.fewShot, result.items});
    };
    for (const TasksReport *report : measured)
        for (const TaskResult &result : report->tasks) {
            addRows(result, result.task);
            for (const TaskResult &subject : result.subjects)
                addRows(subject, "  " + subject.task.substr(result.task.size() + 1));
        }
    TextTable table(columns);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const Row &row = rows[r];
        const bool goesOn = r > 0 && rows[r - 1].task == row.task && rows[r - 1].fewShot == row.fewShot && rows[r - 1].items == row.items;
        std::vector<std::string> cells = {goesOn ? "" : escaped(row.shownAs, 40), goesOn ? "" : std::to_string(row.fewShot), goesOn ? "" : std::to_string(row.items),
                                          escaped(row.metric, 30)};
        for (const TasksReport *report : measured) {
            std::string value, error;
            const auto look = [&](const TaskResult &result) {
                for (const TaskMetric &metric : result.metrics)
                    if (sameRow(row, result, metric)) {
                        const bool fraction = metric.name.starts_with("acc");
                        value = fraction ? fmt::format("{:.4f}", metric.value) : formatPerplexity(metric.value);
                        error = metric.standardError > 0 ? fmt::format("±{:.2g}", metric.standardError) : "";
                    }
            };
            for (const TaskResult &result : report->tasks) {
                look(result);
                for (const TaskResult &subject : result.subjects)
                    look(subject);
            }
            cells.push_back(value);
            cells.push_back(error);
        }
        table.addRow(std::move(cells));
    }
    return table.toString();
}

std::string tasksLine(const TasksReport &report)
{
    return fmt::format("Tasks: {}, answers behind {}, {} answers in {} runs of {} tokens", report.rules.bos ? "with the tokenizer's special tokens" : "without BOS, as lm-eval",
                       report.rules.boundary == Boundary::ContextLength ? "the context's length" : "the common tokens", formatCount(report.requests),
                       formatCount(report.windows), formatCount(report.tokens))
           + (report.limit > 0 ? fmt::format(", only the first {} items of each", report.limit) : std::string());
}

std::string dataLine(const PerplexityReport &report)
{
    const std::string name = report.dataSet.empty() ? std::string() : fmt::format("{}, {} split, ", escaped(report.dataSet), escaped(report.split));
    const std::string rows = report.rows > 0 ? fmt::format("{} rows, ", report.rows) : std::string();
    return fmt::format("{}{}: {}{} windows of {} tokens, {} scored, convention {}", name, escaped(report.source), rows, report.windows, report.windowOptions.length,
                       report.tokens, toString(report.windowOptions.convention));
}

}  // namespace lqer::cli
