// SPDX-License-Identifier: Apache-2.0
// What was measured, for people: an HTML page and two CSV tables.
#include <filesystem>

#include "core/base/error.h"
#include "core/export/report/report_view.h"
#include "core/export/targets/list.h"
#include "core/io/file.h"

namespace lqer {

namespace {

constexpr const char *pageName = "report.html";

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &)
{
    if (!source.measured())
        return {exportWarning("recipe", "was not measured in this project: the page has no perplexity of it")};
    return {};
}

// Generous: rows of tables and marks in drawings of a layer and of a report, drawings that do not grow, texts escaped.
std::uint64_t bytes(const ExportSource &source, const ExportOptions &)
{
    constexpr std::uint64_t page = 256 << 10, layer = 4 << 10, report = 8 << 10;
    return page + layer * source.model().linearSites().size() + report * source.reports().size() + 6 * source.recipe().toJson().dump(2).size();
}

void write(const ExportSource &source, const ExportOptions &, ExportFolder &folder, const TaskContext &context)
{
    context.beginStage("writing report", 1);
    const ReportView view(source);
    folder.writeText(pageName, reportPage(view));
    folder.writeText("layers.csv", layersCsv(view));
    folder.writeText("reports.csv", reportsCsv(view));
    if (const std::string tasks = tasksCsv(view); !tasks.empty())
        folder.writeText("tasks.csv", tasks);
    context.advance();
}

void verify(const ExportSource &, const ExportOptions &, const std::string &folder)
{
    constexpr std::uint64_t largestPage = 256 << 20;
    const std::string path = (std::filesystem::path(folder) / pageName).string();
    if (!readTextFile(path, largestPage).ends_with("</html>\n"))
        throw Error(ErrorCode::Format, path, {}, "has no end");
}

}  // namespace

Exporter reportExporter()
{
    ExporterInfo info;
    info.name = "report";
    info.title = "Report: HTML page and CSV tables";
    info.meaning = "report.html for a mail, an appendix or a printer: perplexity, sizes, errors of every layer, spectra, ranks, recipe, provenance, in one page that needs "
                   "no network. layers.csv, reports.csv and tasks.csv hold the same numbers unrounded.";
    return {std::move(info), check, bytes, nullptr, write, verify};
}

}  // namespace lqer
