// SPDX-License-Identifier: Apache-2.0
// What a sweep leaves behind: one table as CSV and HDF5, the best points, plots, and a page with all of it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/eval/format.h"
#include "core/export/model_card.h"
#include "core/export/report/csv.h"
#include "core/export/report/report_style.h"
#include "core/export/report/svg.h"
#include "core/io/atomic_file.h"
#include "core/io/hdf5_file.h"
#include "core/pipeline/sweep.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// ---- the table

struct NumberColumn {
    std::string name;  // with its unit in brackets; without it in HDF5
    double (*of)(const SweepRow &row);
};

LayerError totalOf(const SweepRow &row)
{
    return totalError(row.report->layers);
}

const std::vector<NumberColumn> &numberColumns()
{
    static const std::vector<NumberColumn> columns{
        {"weight_bits_per_weight", [](const SweepRow &row) { return row.report->footprint->stored.weights; }},
        {"bits_per_weight_with_correction", [](const SweepRow &row) { return row.report->footprint->stored.withCorrection; }},
        {"paper_bits_per_weight_with_correction", [](const SweepRow &row) { return row.report->footprint->paper.withCorrection; }},
        {"paper_bits_per_stored_number", [](const SweepRow &row) { return row.report->footprint->paper.perStoredNumber; }},
        {"size [B]", [](const SweepRow &row) { return static_cast<double>(row.report->footprint->bytes); }},
        {"perplexity", [](const SweepRow &row) { return row.report->perplexity->headline(); }},
        {"standard_error", [](const SweepRow &row) { return row.report->perplexity->standardError; }},
        {"mean_nll [nat]", [](const SweepRow &row) { return row.report->perplexity->meanNll; }},
        {"original_perplexity", [](const SweepRow &row) { return row.report->original ? row.report->original->headline() : unknown; }},
        {"perplexity_increase",
         [](const SweepRow &row) { return row.report->original ? row.report->perplexity->headline() / row.report->original->headline() - 1 : unknown; }},
        {"relative_weight_error", [](const SweepRow &row) { return row.labels.empty() ? 0 : totalOf(row).relativeCorrectedWeightError(); }},
        {"relative_output_error",
         [](const SweepRow &row) { return row.labels.empty() ? 0 : totalOf(row).outputKnown ? totalOf(row).relativeCorrectedOutputError() : unknown; }},
        {"kl_divergence [nat]", [](const SweepRow &row) { return row.report->divergence ? row.report->divergence->kl.mean : unknown; }},
        {"moved_by_a_token [bit]", [](const SweepRow &row) { return row.cost.total.movedBits(1); }},
        {"multiply_accumulates [per token]", [](const SweepRow &row) { return row.cost.total.macs(); }},
        {"relative_area", [](const SweepRow &row) { return row.cost.total.area().value_or(unknown); }},
    };
    return columns;
}

std::vector<std::string> taskColumns(const SweepResult &result)
{
    std::vector<std::string> names;
    for (const SweepRow &row : result.rows)
        for (const auto &[name, value] : row.tasks)
            if (std::ranges::find(names, name) == names.end())
                names.push_back(name);
    return names;
}

double taskValue(const SweepRow &row, const std::string &name)
{
    const auto found = std::ranges::find(row.tasks, name, &std::pair<std::string, double>::first);
    return found == row.tasks.end() ? unknown : found->second;
}

std::string withoutUnit(const std::string &column)
{
    return column.substr(0, column.find(" ["));
}

std::string rowName(const SweepRow &row)
{
    return row.labels.empty() ? "original" : row.report->title;
}

void writeHdf5(const SweepResult &result, const std::string &path)
{
    AtomicFile file(path);
    Hdf5FileWriter writer(file);
    writer.attribute("", "version", std::int64_t(1));
    writer.attribute("", "program", std::string("LQER Studio " LQER_VERSION));
    writer.attribute("", "model", result.model);
    writer.attribute("", "fingerprint", result.fingerprint);
    writer.text("README", "A sweep's table. columns/NAME: float64, one value a row, NaN where it is not known. axes/N/choice: uint64, the row's place in axes/N/labels (a JSON "
                          "list), which is its length for the original model. plan: JSON. csv: the same table as text.\n");
    writer.text("plan", result.plan.toJson().dump(2));
    writer.text("csv", sweepCsv(result));
    const Shape shape{static_cast<std::int64_t>(result.rows.size())};
    for (std::size_t a = 0; a < result.plan.axes.size(); ++a) {
        const SweepAxis &axis = result.plan.axes[a];
        const std::string group = fmt::format("axes/{}", a);
        Json labels = Json::array();
        for (const SweepChoice &choice : axis.choices)
            labels.append(choice.label);
        writer.attribute(group, "key", axis.key);
        writer.text(group + "/labels", labels.dump());
        std::vector<std::uint64_t> choices;
        for (const SweepRow &row : result.rows)
            choices.push_back(row.labels.empty() ? axis.choices.size()
                                                 : static_cast<std::uint64_t>(std::ranges::find(axis.choices, row.labels[a], &SweepChoice::label) - axis.choices.begin()));
        writer.array<std::uint64_t>(group + "/choice", choices, shape);
    }
    std::vector<double> values(result.rows.size());
    const auto write = [&](const std::string &name, const auto &of) {
        std::ranges::transform(result.rows, values.begin(), of);
        writer.array<double>("columns/" + name, values, shape);
    };
    for (const NumberColumn &column : numberColumns())
        write(withoutUnit(column.name), column.of);
    for (const std::string &task : taskColumns(result)) {
        std::string name = task;
        std::ranges::replace(name, ' ', '_');
        std::ranges::replace(name, '/', '_');
        write(name, [&](const SweepRow &row) { return taskValue(row, task); });
    }
    write("best", [](const SweepRow &row) { return row.best ? 1.0 : 0.0; });
    writer.close();
    file.commit();
}

// ---- drawings

constexpr const char *plotStyle = R"(
.s0 { stroke: #0072b2; } .s1 { stroke: #d55e00; } .s2 { stroke: #009e73; } .s3 { stroke: #cc79a7; } .s4 { stroke: #56b4e9; } .s5 { stroke: #e69f00; } .s6 { stroke: #8c7a00; } .s7 { stroke: #7f7f7f; }
.d0 { fill: #0072b2; } .d1 { fill: #d55e00; } .d2 { fill: #009e73; } .d3 { fill: #cc79a7; } .d4 { fill: #56b4e9; } .d5 { fill: #e69f00; } .d6 { fill: #8c7a00; } .d7 { fill: #7f7f7f; }
.front { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 3; }
)";
constexpr std::size_t colours = 8;

struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points;
    std::vector<std::string> tips;
};

// Perplexity against something, one colour a series, with a key at the right. joined: a series is a curve.
std::string drawing(const std::string &label, const std::string &xTitle, Scale::Kind xKind, const std::vector<Series> &series, std::optional<double> original, bool joined,
                    const std::vector<std::pair<double, double>> &front)
{
    constexpr double width = 440, height = 300, left = 56, right = 14, top = 30, bottom = 44, key = 200, row = 16;
    double least = original.value_or(std::numeric_limits<double>::infinity()), most = original.value_or(0), low = std::numeric_limits<double>::infinity(), high = -low;
    std::size_t count = 0;
    for (const Series &one : series)
        for (const auto &[x, y] : one.points) {
            least = std::min(least, y);
            most = std::max(most, y);
            low = std::min(low, x);
            high = std::max(high, x);
            ++count;
        }
    if (count < 2 || !(least > 0) || !std::isfinite(most) || (xKind == Scale::Kind::Log && !(low > 0)))
        return {};
    Svg svg(width + key, std::max(height, top + row * static_cast<double>(series.size() + 2)), label);
    const double xMargin = (high - low) * (xKind == Scale::Kind::Linear ? 0.04 : 0);
    const bool log = most > 3 * least;
    const double yMargin = log ? 0 : 0.06 * (most - least);
    const Scale x(xKind, low - xMargin, high + xMargin, left, width - right), y(log ? Scale::Kind::Log : Scale::Kind::Linear, least - yMargin, most + yMargin, height - bottom, top);
    drawAxes(svg, x, y, xTitle, "perplexity");
    if (original) {
        svg.line({left, y.at(*original)}, {width - right, y.at(*original)}, "noise");
        svg.text({width + 26, top + 4}, fmt::format("original, {}", formatPerplexity(*original)), "tick");
        svg.line({width + 4, top}, {width + 20, top}, "noise");
    }
    if (front.size() > 1) {
        std::vector<Svg::Point> line;
        for (const auto &[bits, perplexity] : front)
            line.emplace_back(x.at(bits), y.at(perplexity));
        svg.polyline(line, "front");
    }
    for (std::size_t s = 0; s < series.size(); ++s) {
        const std::string colour = std::to_string(s % colours);
        if (joined && series[s].points.size() > 1) {
            std::vector<Svg::Point> line;
            for (const auto &[at, perplexity] : series[s].points)
                line.emplace_back(x.at(at), y.at(perplexity));
            svg.polyline(line, "curve s" + colour);
        }
        for (std::size_t i = 0; i < series[s].points.size(); ++i)
            svg.circle({x.at(series[s].points[i].first), y.at(series[s].points[i].second)}, 4, "d" + colour, series[s].tips[i]);
        if (series.size() > 1 || !series[s].name.empty()) {
            const double at = top + row * static_cast<double>(s + 1);
            svg.circle({width + 12, at}, 4, "d" + colour);
            svg.text({width + 26, at + 4}, series[s].name, "tick");
        }
    }
    return svg.toString();
}

std::string tipOf(const SweepRow &row)
{
    return fmt::format("{}: {} at {} bits", rowName(row), formatPerplexity(row.report->perplexity->headline()), formatBits(row.report->footprint->stored.withCorrection));
}

std::vector<const SweepRow *> points(const SweepResult &result)
{
    std::vector<const SweepRow *> rows;
    for (const SweepRow &row : result.rows)
        if (!row.labels.empty() && std::isfinite(row.report->perplexity->headline()))
            rows.push_back(&row);
    return rows;
}

std::optional<double> onlyOriginal(const SweepResult &result)
{
    std::optional<double> found;
    for (const SweepRow &row : result.rows)
        if (row.labels.empty()) {
            if (found)
                return {};
            found = row.report->perplexity->headline();
        }
    return found;
}

std::vector<const SweepRow *> bestRows(const SweepResult &result)
{
    std::vector<const SweepRow *> rows;
    for (const SweepRow &row : result.rows)
        if (row.best)
            rows.push_back(&row);
    std::ranges::stable_sort(rows, {}, [](const SweepRow *row) { return row->report->footprint->stored.withCorrection; });
    return rows;
}

// Coloured by the axis with the most choices that a key still has room for.
std::string bitsPlot(const SweepResult &result)
{
    constexpr std::size_t room = 16;
    std::size_t axis = 0, most = 0;
    for (std::size_t a = 0; a < result.plan.axes.size(); ++a)
        if (const std::size_t size = result.plan.axes[a].choices.size(); size > most && size <= room) {
            axis = a;
            most = size;
        }
    std::vector<Series> series;
    for (const SweepRow *row : points(result)) {
        const std::string name = most > 0 ? fmt::format("{} {}", result.plan.axes[axis].key, row->labels[axis]) : "";
        auto found = std::ranges::find(series, name, &Series::name);
        if (found == series.end())
            found = series.insert(series.end(), Series{name, {}, {}});
        found->points.emplace_back(row->report->footprint->stored.withCorrection, row->report->perplexity->headline());
        found->tips.push_back(tipOf(*row));
    }
    std::vector<std::pair<double, double>> front;
    for (const SweepRow *row : bestRows(result))
        front.emplace_back(row->report->footprint->stored.withCorrection, row->report->perplexity->headline());
    return drawing("Perplexity against bits per weight", "bits per weight, A and B included", Scale::Kind::Linear, series, onlyOriginal(result), false, front);
}

std::optional<double> numberOf(const std::string &label)
{
    double value = 0;
    const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
    return error == std::errc() && end == label.data() + label.size() ? std::optional(value) : std::nullopt;
}

// Against an axis of numbers: a curve for every combination of the others.
std::string axisPlot(const SweepResult &result, std::size_t axis)
{
    const auto &choices = result.plan.axes[axis].choices;
    if (choices.size() < 2 || !std::ranges::all_of(choices, [](const SweepChoice &choice) { return numberOf(choice.label).has_value(); }))
        return {};
    const bool log = std::ranges::all_of(choices, [](const SweepChoice &choice) { return *numberOf(choice.label) > 0; });
    std::vector<Series> series;
    for (const SweepRow *row : points(result)) {
        std::vector<std::string> others = row->labels;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(axis));
        const std::string name = fmt::format("{}", fmt::join(others, ", "));
        auto found = std::ranges::find(series, name, &Series::name);
        if (found == series.end())
            found = series.insert(series.end(), Series{name, {}, {}});
        found->points.emplace_back(*numberOf(row->labels[axis]), row->report->perplexity->headline());
        found->tips.push_back(tipOf(*row));
    }
    for (Series &one : series) {
        std::vector<std::size_t> order(one.points.size());
        for (std::size_t i = 0; i < order.size(); ++i)
            order[i] = i;
        std::ranges::stable_sort(order, {}, [&](std::size_t i) { return one.points[i].first; });
        Series sorted{one.name, {}, {}};
        for (const std::size_t i : order) {
            sorted.points.push_back(one.points[i]);
            sorted.tips.push_back(one.tips[i]);
        }
        one = std::move(sorted);
    }
    return drawing(fmt::format("Perplexity against {}", result.plan.axes[axis].key), result.plan.axes[axis].key, log ? Scale::Kind::Log : Scale::Kind::Linear, series,
                   onlyOriginal(result), true, {});
}

std::string fileName(const std::string &key)
{
    std::string name;
    for (const char c : key)
        name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '-';
    return "perplexity-" + name + ".svg";
}

// By the name of the file it becomes.
std::vector<std::pair<std::string, std::string>> plots(const SweepResult &result)
{
    std::vector<std::pair<std::string, std::string>> all;
    if (std::string svg = bitsPlot(result); !svg.empty())
        all.emplace_back(fileName("bits"), std::move(svg));
    for (std::size_t axis = 0; axis < result.plan.axes.size(); ++axis)
        if (std::string svg = axisPlot(result, axis); !svg.empty())
            all.emplace_back(fileName(result.plan.axes[axis].key), std::move(svg));
    return all;
}

// A drawing of the page as a file of its own: with the page's colours, light or dark as the viewer is.
std::string standalone(const std::string &svg)
{
    const std::size_t body = svg.find('>') + 1;
    std::string open = svg.substr(0, body);
    if (open.find("xmlns=") == std::string::npos)
        open.replace(0, 4, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    return fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}<style>{}{} svg {{ background: var(--page); font-family: sans-serif; }}</style>{}\n", open, reportStyle, plotStyle,
                       svg.substr(body));
}

// ---- the page

std::string cells(const SweepRow &row, const std::vector<std::string> &tasks)
{
    const EvaluationReport &report = *row.report;
    const LayerError total = totalOf(row);
    std::string html = fmt::format("<td>{}</td><td>{}</td>", formatPerplexity(report.perplexity->headline()),
                                   report.original ? fmt::format("{:+.2f} %", 100 * (report.perplexity->headline() / report.original->headline() - 1)) : "");
    html += fmt::format("<td>{}</td><td>{}</td><td>{}</td>", formatBits(report.footprint->stored.weights), formatBits(report.footprint->stored.withCorrection),
                        formatBits(report.footprint->paper.withCorrection));
    html += row.labels.empty() ? "<td></td><td></td>"
                               : fmt::format("<td>{}</td><td>{}</td>", formatPercent(total.relativeCorrectedWeightError()),
                                             total.outputKnown ? formatPercent(total.relativeCorrectedOutputError()) : "");
    html += fmt::format("<td>{}</td>", row.cost.total.area() ? formatNumber(*row.cost.total.area()) : "");
    for (const std::string &task : tasks) {
        const double value = taskValue(row, task);
        html += fmt::format("<td>{}</td>", std::isnan(value) ? "" : formatNumber(value));
    }
    return html;
}

std::string page(const SweepResult &result)
{
    const std::vector<std::string> tasks = taskColumns(result);
    const PerplexityReport &data = *result.rows.front().report->perplexity;
    std::string html = fmt::format("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
                                   "<meta name=\"generator\" content=\"LQER Studio {}\"/>\n<title>{}: {}</title>\n<style>{}{}</style>\n</head>\n<body>\n<main>\n",
                                   LQER_VERSION, markup(result.plan.name), markup(result.model), reportStyle, plotStyle);
    html += fmt::format("<p class=\"kicker\">Sweep</p>\n<h1>{}: {}</h1>\n<p class=\"sub\">{} combinations · {}: {} windows of {} tokens, convention {}</p>\n", markup(result.model),
                        markup(result.plan.name), points(result).size(), markup(dataName(data.source)), data.windows, data.windowOptions.length,
                        toString(data.windowOptions.convention));
    const auto drawings = plots(result);
    for (const auto &[name, svg] : drawings)
        html += fmt::format("<figure>{}</figure>\n", svg);
    if (!drawings.empty())
        html += "<p class=\"sub\">The dotted line joins the points that no other one beats at its size.</p>\n";
    const auto table = [&](const std::vector<const SweepRow *> &rows) {
        html += "<div class=\"table\"><table><thead><tr>";
        for (const SweepAxis &axis : result.plan.axes)
            html += fmt::format("<th class=\"l\">{}</th>", markup(axis.key));
        html += "<th>perplexity</th><th>increase</th><th>bits W</th><th>with A, B</th><th>as the paper counts</th><th>weight error</th><th>output error</th><th>area</th>";
        for (const std::string &task : tasks)
            html += fmt::format("<th>{}</th>", markup(task));
        html += "</tr></thead><tbody>\n";
        for (const SweepRow *row : rows) {
            html += row->best ? "<tr class=\"main\">" : "<tr>";
            for (std::size_t a = 0; a < result.plan.axes.size(); ++a)
                html += fmt::format("<td class=\"l\">{}</td>", row->labels.empty() ? (a == 0 ? "original" : "") : markup(row->labels[a], 60));
            html += cells(*row, tasks) + "</tr>\n";
        }
        html += "</tbody></table></div>\n";
    };
    html += "<h2>Best at its size</h2>\n";
    table(bestRows(result));
    html += "<h2>Every combination</h2>\n";
    std::vector<const SweepRow *> all;
    for (const SweepRow &row : result.rows)
        all.push_back(&row);
    table(all);
    html += "<h2>The sweep</h2>\n<p>As a sweep file (<code>lqer sweep MODEL --file FILE</code>):</p>\n<pre>";
    const std::string plan = result.plan.toJson().dump(2);
    for (std::size_t begin = 0; begin <= plan.size();) {
        const std::size_t end = std::min(plan.find('\n', begin), plan.size());
        html += markup(std::string_view(plan).substr(begin, end - begin), 4000) + '\n';
        begin = end + 1;
    }
    return html + fmt::format("</pre>\n<footer>LQER Studio {}. Bold: no other combination is smaller and as good. The page is complete in itself: no script, nothing from a network."
                              "</footer>\n</main>\n</body>\n</html>\n", LQER_VERSION);
}

void writeText(const std::string &path, std::string_view text)
{
    AtomicFile file(path, text.size());
    file.write(text);
    file.commit();
}

}  // namespace

std::string sweepCsv(const SweepResult &result)
{
    const std::vector<std::string> tasks = taskColumns(result);
    std::vector<std::string> header;
    for (const SweepAxis &axis : result.plan.axes)
        header.push_back(axis.key);
    header.emplace_back("recipe");
    for (const NumberColumn &column : numberColumns())
        header.push_back(column.name);
    header.insert(header.end(), tasks.begin(), tasks.end());
    header.insert(header.end(), {"best", "id"});
    CsvTable table(header);
    for (const SweepRow &row : result.rows) {
        for (std::size_t a = 0; a < result.plan.axes.size(); ++a)
            table.text(row.labels.empty() ? "" : row.labels[a]);
        table.text(rowName(row));
        const auto number = [&](double value) { table.number(std::isnan(value) ? std::nullopt : std::optional(value)); };
        for (const NumberColumn &column : numberColumns())
            number(column.of(row));
        for (const std::string &task : tasks)
            number(taskValue(row, task));
        table.text(row.best ? "true" : "false").text(row.id);
        table.endRow();
    }
    return table.toString();
}

std::string bestOfSweep(const SweepResult &result)
{
    std::string text = "Best at its size (no other combination is smaller and as good):\n";
    for (const SweepRow *row : bestRows(result)) {
        text += fmt::format("  {} bits per weight: perplexity {}", formatBits(row->report->footprint->stored.withCorrection), formatPerplexity(row->report->perplexity->headline()));
        if (row->report->original)
            text += fmt::format(" ({:+.2f} %)", 100 * (row->report->perplexity->headline() / row->report->original->headline() - 1));
        text += fmt::format(", {}\n", rowName(*row));
    }
    return text;
}

void writeSweepResults(const SweepResult &result, const std::string &folder)
{
    const auto at = [&](const std::string &name) { return (fs::path(folder) / name).string(); };
    writeText(at("results.csv"), sweepCsv(result));
    writeHdf5(result, at("results.h5"));
    writeText(at("best.txt"), bestOfSweep(result));
    writeText(at("report.html"), page(result));
    writeText(at("sweep.json"), result.plan.toJson().dump(2) + '\n');
    for (const auto &[name, svg] : plots(result))
        writeText(at(name), standalone(svg));
}

}  // namespace lqer
