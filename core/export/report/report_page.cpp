// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/export/layer_counts.h"
#include "core/export/model_card.h"
#include "core/export/report/report_charts.h"
#include "core/export/report/report_style.h"
#include "core/export/report/report_view.h"
#include "core/export/report/svg.h"

namespace lqer {

namespace {

std::string bytesText(std::uint64_t bytes)
{
    return formatBytes(static_cast<double>(bytes));
}

std::string signedPercent(double fraction)
{
    return fmt::format("{:+.2f} %", 100 * fraction);
}

// Word perplexities have no error stated.
bool hasError(const PerplexityReport &report)
{
    return report.headline() == report.perplexity && report.standardError > 0;
}

// "2.2195 ± 0.02": runs over one text differ by much less than the error says, because their tokens are the same; so the digits stay.
std::string perplexityText(const PerplexityReport &report)
{
    return formatPerplexity(report.headline()) + (hasError(report) ? fmt::format(" ± {:.2g}", report.standardError) : "");
}

// Without the folder: a page that is passed on need not tell where somebody keeps their files.
std::string conventionText(const PerplexityReport &report)
{
    const std::string rows = report.rows > 0 ? fmt::format("{} rows, ", report.rows) : std::string();
    return fmt::format("{}: {}{} windows of {} tokens, {} scored, convention {}", dataName(report), rows, report.windows, report.windowOptions.length, report.tokens,
                       toString(report.windowOptions.convention));
}

double originalBits(const Footprint &footprint)
{
    double bits = 0;
    for (const LayerFootprint &layer : footprint.layers)
        bits += 8.0 * static_cast<double>(layer.originalBytes);
    return footprint.linearWeights > 0 ? bits / static_cast<double>(footprint.linearWeights) : 0;
}

// What the recipe decides, counted over the layers.
struct Decided {
    std::map<std::string, int> weights, activations, scalings, ranks, factors;

    explicit Decided(const ReportView &view)
    {
        for (const LayerView &layer : view.layers) {
            ++weights[layer.plan.quantize ? shortName(layer.plan.formats.weight) : "unquantized"];
            if (layer.plan.quantize)
                ++activations[layer.plan.formats.activation.isPassthrough() ? "as they are" : shortName(layer.plan.formats.activation)];
            if (!view.source.isCorrected(*layer.site))
                continue;
            ++scalings[std::string(toString(layer.plan.scaling))];
            ++ranks[std::to_string(layer.plan.rank)];
            const std::string a = shortName(layer.plan.formats.a), b = shortName(layer.plan.formats.b);
            ++factors[a == b ? a : a + " and " + b];
        }
    }
};

class Page {
public:
    explicit Page(const ReportView &view) : m_view(view), m_decided(view) {}

    std::string toString()
    {
        m_html = fmt::format("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
                             "<meta name=\"generator\" content=\"LQER Studio {}\"/>\n<title>{}, quantized</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
                             LQER_VERSION, markup(m_view.source.modelName()), reportStyle);
        head();
        runs();
        tasks();
        errors();
        spectra();
        ranks();
        cost();
        layerTable();
        recipe();
        provenance();
        terms();
        // No time of its own: the same project gives the same page.
        m_html += fmt::format("<footer>{}LQER Studio {}. The page is complete in itself: no script, nothing from a network.</footer>\n</main>\n</body>\n</html>\n",
                              m_view.main ? fmt::format("Measured {}. ", markup(m_view.main->created)) : "", LQER_VERSION);
        return std::move(m_html);
    }

private:
    // ---- first screen

    void head()
    {
        const Transformer &model = m_view.source.model();
        m_html += fmt::format("<p class=\"kicker\">Quantization report</p>\n<h1>{}</h1>\n", markup(m_view.source.modelName()));
        m_html += fmt::format("<p class=\"sub\">{} · {} parameters · recipe “{}”{}</p>\n", markup(model.config().architecture), grouped(model.parameters()),
                              markup(m_view.source.recipe().name),
                              m_view.perplexity() ? " · measured on " + markup(dataName(*m_view.perplexity())) : "");
        m_html += fmt::format("<p class=\"verdict\">{}</p>\n", verdict());
        cards();
        modelTable();
    }

    std::string verdict() const
    {
        std::string text = fmt::format("Weights in {}", markup(layerCounts(m_decided.weights), 400));
        if (m_view.corrects)
            text += fmt::format(", corrected with rank {} under the scaling {}", markup(rankText()), markup(layerCounts(m_decided.scalings)));
        const PerplexityReport *measured = m_view.perplexity();
        if (!measured)
            return text + ". Its perplexity has not been measured in this project.";
        text += fmt::format(": perplexity <b>{}</b>", formatPerplexity(measured->headline()));
        if (m_view.original())
            text += fmt::format(" where the original model has {}", formatPerplexity(m_view.original()->headline()));
        if (m_view.corrects && m_view.plain)
            text += fmt::format(" and plain quantization {}", formatPerplexity(m_view.plain->perplexity->headline()));
        text += ". ";
        const double added = m_view.footprint.stored.withCorrection - m_view.footprint.stored.weights;
        if (const auto won = m_view.wonBack()) {
            text += *won > 0 ? fmt::format("The correction wins back <b>{:.0f} %</b> of what quantization lost, for {} bits per weight more.", 100 * *won, formatBits(added))
                             : fmt::format("Here the correction costs {} bits per weight and wins nothing back.", formatBits(added));
        } else if (m_view.corrects && m_view.plain && m_view.original()) {
            text += fmt::format("Plain quantization loses nothing on this text, so there is nothing to win back; the correction costs {} bits per weight.", formatBits(added));
        } else if (m_view.corrects && !m_view.plain) {
            text += fmt::format("The correction costs {} bits per weight; what it wins cannot be said, because plain quantization was not measured on these windows "
                                "(<code>lqer run</code> measures it).", formatBits(added));
        }
        return text;
    }

    // "32", or "4 to 32, 17.3 on average".
    std::string rankText() const
    {
        std::int64_t least = INT64_MAX, most = 0;
        double sum = 0;
        int count = 0;
        for (const LayerView &layer : m_view.layers) {
            if (!m_view.source.isCorrected(*layer.site))
                continue;
            least = std::min(least, layer.plan.rank);
            most = std::max(most, layer.plan.rank);
            sum += static_cast<double>(layer.plan.rank);
            ++count;
        }
        return least == most ? std::to_string(most) : fmt::format("{} to {} ({:.1f} on average)", least, most, sum / std::max(1, count));
    }

    void card(std::string_view label, const std::string &value, const std::string &note, std::string_view style = "")
    {
        m_html += fmt::format("<div class=\"card\"><div class=\"label\">{}</div><div class=\"value{}{}\">{}</div><div class=\"note\">{}</div></div>\n", label,
                              style.empty() ? "" : " ", style, value, note);
    }

    void cards()
    {
        m_html += "<div class=\"cards\">\n";
        if (const PerplexityReport *measured = m_view.perplexity()) {
            card("Perplexity", formatPerplexity(measured->headline()),
                 hasError(*measured) ? fmt::format("± {:.2g} standard error", measured->standardError) : "no standard error for it");
            if (m_view.original()) {
                const double increase = measured->headline() / m_view.original()->headline() - 1;
                std::string note = "over the original";
                if (m_view.corrects && m_view.plain)
                    note += fmt::format("; plain {}", signedPercent(m_view.plain->perplexity->headline() / m_view.original()->headline() - 1));
                card("Increase", signedPercent(increase), note);
            }
        }
        if (const auto won = m_view.wonBack())
            card("Won back", fmt::format("{:.0f} %", 100 * *won), "of what plain quantization lost", *won > 0 ? "good" : "bad");
        const Footprint &size = m_view.footprint;
        card("Size", bytesText(size.bytes), fmt::format("{:.0f} % of {}", 100 * static_cast<double>(size.bytes) / static_cast<double>(std::max<std::uint64_t>(1, size.originalBytes)),
                                                         bytesText(size.originalBytes)));
        card("Bits per weight", formatBits(size.stored.withCorrection),
             m_view.corrects ? fmt::format("{} without A and B; original {}", formatBits(size.stored.weights), formatBits(originalBits(size)))
                             : fmt::format("original {}", formatBits(originalBits(size))));
        if (m_view.total.weightEnergy > 0 && m_view.corrects) {
            const bool output = m_view.outputKnown();
            card(output ? "Output error" : "Weight error",
                 formatPercent(output ? m_view.total.relativeCorrectedOutputError() : m_view.total.relativeCorrectedWeightError()),
                 fmt::format("{} without correction", formatPercent(output ? m_view.total.relativeOutputError() : m_view.total.relativeWeightError())));
        }
        m_html += "</div>\n";
    }

    // Original, plain, this recipe.
    void modelTable()
    {
        if (!m_view.perplexity())
            return;
        m_html += "<div class=\"table\"><table><thead><tr><th class=\"l\">model</th><th>perplexity</th><th>increase</th><th>bits per weight</th><th>with A and B</th>"
                  "<th>size</th><th>weight error</th><th>output error</th></tr></thead><tbody>\n";
        const Footprint &size = m_view.footprint;
        if (const PerplexityReport *original = m_view.original())
            m_html += fmt::format("<tr><td class=\"l\">original</td><td>{}</td><td></td><td>{}</td><td></td><td>{}</td><td></td><td></td></tr>\n", perplexityText(*original),
                                  formatBits(originalBits(size)), bytesText(size.originalBytes));
        if (m_view.plain && m_view.plain != m_view.main && m_view.corrects)
            reportRow("plain quantization", *m_view.plain, "");
        reportRow(m_view.corrects ? "with correction" : "quantized", *m_view.main, "main");
        m_html += fmt::format("</tbody></table></div>\n<p class=\"sub\">{}</p>\n", markup(conventionText(*m_view.perplexity()), 400));
    }

    // The cells from perplexity on.
    void reportRow(const std::string &name, const EvaluationReport &report, std::string_view style)
    {
        m_html += fmt::format("<tr class=\"{}\"><td class=\"l\">{}</td>{}</tr>\n", style, markup(name), reportCells(report));
    }

    std::string reportCells(const EvaluationReport &report) const
    {
        std::string cells = fmt::format("<td>{}</td>", report.perplexity ? perplexityText(*report.perplexity) : "");
        cells += fmt::format("<td>{}</td>", report.perplexity && report.original && report.recipe
                                                ? signedPercent(report.perplexity->headline() / report.original->headline() - 1) : "");
        if (report.footprint)
            cells += fmt::format("<td>{}</td><td>{}</td><td>{}</td>", formatBits(report.footprint->stored.weights),
                                 report.footprint->stored.withCorrection > report.footprint->stored.weights ? formatBits(report.footprint->stored.withCorrection) : "",
                                 bytesText(report.footprint->bytes));
        else
            cells += "<td></td><td></td><td></td>";
        const LayerError total = totalError(report.layers);
        cells += fmt::format("<td>{}</td>", report.layers.empty() ? "" : formatPercent(total.relativeCorrectedWeightError()));
        return cells + fmt::format("<td>{}</td>", total.outputKnown ? formatPercent(total.relativeCorrectedOutputError()) : "");
    }

    // ---- all runs

    void runs()
    {
        if (m_view.runs.empty())
            return;
        m_html += "<h2>All runs of the project</h2>\n";
        const std::string chart = runsChart(m_view);
        const auto comparable = std::ranges::count_if(m_view.runs, &RunView::comparable);
        if (!chart.empty())
            m_html += fmt::format("<div class=\"pair\"><figure>{}<figcaption>Lower left is better. {} of {} runs read the same windows by the same convention and can be "
                                  "compared; they are drawn.</figcaption></figure>\n<div><p>All of them score the same tokens, so two runs differ much more certainly than "
                                  "the standard error of each says: that error is of the text, and the text is the same.</p>{}</div></div>\n",
                                  chart, comparable, m_view.runs.size(), bestRun());
        const bool divergence = std::ranges::any_of(m_view.runs, [](const RunView &run) { return run.report->divergence.has_value(); });
        m_html += fmt::format("<div class=\"table\"><table><thead><tr><th>no.</th><th class=\"l\">run</th><th class=\"l\">recipe</th><th>perplexity</th><th>increase</th>"
                              "<th>bits per weight</th><th>with A and B</th><th>size</th><th>weight error</th><th>output error</th>{}</tr></thead><tbody>\n",
                              divergence ? "<th>KL divergence</th><th>same top-1</th>" : "");
        for (const RunView &run : m_view.runs) {
            const EvaluationReport &report = *run.report;
            std::string more;
            if (divergence)
                more = report.divergence ? fmt::format("<td>{}</td><td>{}</td>", formatWithError(report.divergence->kl.mean, report.divergence->kl.standardError),
                                                       formatPercent(report.divergence->topAgreement.mean))
                                         : "<td></td><td></td>";
            std::string recipe = report.recipe ? report.recipe->name : "the model as it is";
            if (report.perplexity && !run.comparable)
                recipe += fmt::format("; on other data: {}", conventionText(*report.perplexity));
            m_html += fmt::format("<tr class=\"{}\"><td>{}</td><td class=\"l\">{}</td><td class=\"l wrap\">{}</td>{}{}</tr>\n", run.isMain ? "main" : "", run.number,
                                  markup(run.name, 40), markup(recipe, 300), reportCells(report), more);
        }
        m_html += "</tbody></table></div>\n";
    }

    // Which of the comparable runs is best, and which at this size.
    std::string bestRun() const
    {
        const RunView *best = nullptr;
        for (const RunView &run : m_view.runs)
            if (run.comparable && run.report->recipe && (!best || run.report->perplexity->headline() < best->report->perplexity->headline()))
                best = &run;
        if (!best)
            return {};
        if (best->isMain)
            return "<p>This recipe has the lowest perplexity of all quantized runs.</p>";
        return fmt::format("<p>The lowest perplexity of all quantized runs is {} (run {}, {}{}).</p>", formatPerplexity(best->report->perplexity->headline()), best->number, markup(best->name, 40),
                           best->report->footprint ? ", " + bytesText(best->report->footprint->bytes) : "");
    }

    // ---- downstream tasks

    void tasks()
    {
        if (std::ranges::none_of(m_view.runs, [](const RunView &run) { return run.report->tasks.has_value(); }))
            return;
        m_html += "<h2>Downstream tasks</h2>\n<p>Prompts and scoring of lm-eval 0.4. Numbers compare between runs with the same items, examples and rule.</p>\n"
                  "<div class=\"table\"><table><thead><tr><th>no.</th><th class=\"l\">run</th><th class=\"l\">task</th><th>items</th><th>examples</th><th class=\"l\">rule</th>"
                  "<th class=\"l\">metric</th><th>value</th><th>standard error</th></tr></thead><tbody>\n";
        for (const RunView &run : m_view.runs) {
            if (!run.report->tasks)
                continue;
            const TasksReport &report = *run.report->tasks;
            for (const TaskResult &task : report.tasks)
                for (const TaskMetric &metric : task.metrics)
                    m_html += fmt::format("<tr><td>{}</td><td class=\"l\">{}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td><td class=\"l\">{}{}</td><td class=\"l\">{}</td><td>{}</td>"
                                          "<td>{}</td></tr>\n",
                                          run.number, markup(run.name, 40), markup(task.task, 40), grouped(task.items), task.fewShot, report.rules.bos ? "with BOS" : "without BOS",
                                          report.rules.boundary == Boundary::CommonPrefix ? ", common prefix" : "", markup(metric.name, 30), taskNumber(metric, metric.value),
                                          metric.standardError > 0 ? taskNumber(metric, metric.standardError) : "");
        }
        m_html += "</tbody></table></div>\n";
    }

    static std::string taskNumber(const TaskMetric &metric, double value)
    {
        return metric.name.starts_with("acc") ? formatPercent(value) : formatPerplexity(value);
    }

    // ---- errors of the layers

    void errors()
    {
        const auto order = m_view.worstFirst();
        if (order.empty())
            return;
        const std::string kind = m_view.outputKnown() ? "output" : "weight";
        m_html += fmt::format("<h2>Error of every layer</h2>\n<p>Relative {} error, in per cent: how far what a layer {} is from what it should be.{}</p>\n", kind,
                              m_view.outputKnown() ? "computes" : "holds",
                              m_view.measuredErrors ? "" : " Predicted from the singular values, before A and B are quantized, where nothing was measured.");
        const std::string ramp = fmt::format("<div class=\"key\"><span>0 %</span><span class=\"ramp\"></span><span>{}</span></div>\n", formatPercent(m_view.before(*order.front())));
        const std::string before = errorMap(m_view, false);
        const std::string after = m_view.corrects ? errorMap(m_view, true) : "";
        if (!before.empty()) {
            m_html += ramp;
            const bool wide = isWide(m_view);
            m_html += wide ? "" : "<div class=\"pair\">\n";
            map(before, m_view.corrects ? "Without correction" : "", wide);
            if (!after.empty())
                map(after, "With correction", wide);
            m_html += wide ? "" : "</div>\n";
        }
        constexpr std::size_t rows = 24;
        const std::size_t column = (std::min(order.size(), rows) + 1) / 2;
        m_html += fmt::format("<h3 class=\"next\">{}</h3>\n<div class=\"key\"><span><i class=\"k-bar\"></i>without correction</span>{}</div>\n",
                              order.size() > rows ? fmt::format("The {} layers with the largest errors", rows) : "Layers, the largest error first",
                              m_view.corrects ? "<span><i class=\"k-after\"></i>with correction</span>" : "");
        m_html += fmt::format("<div class=\"pair\"><figure>{}</figure><figure>{}</figure></div>\n", errorBars(m_view, 0, column), errorBars(m_view, column, rows - column));
    }

    void map(const std::string &svg, const std::string &title, bool wide)
    {
        m_html += fmt::format("<figure{}>{}{}</figure>\n", wide ? " class=\"wide\"" : "", title.empty() ? "" : "<h3>" + title + "</h3>", svg);
    }

    // ---- spectra

    void spectra()
    {
        constexpr std::size_t shown = 6;
        std::string charts;
        std::size_t count = 0;
        bool shaped = false, estimated = false;
        for (const LayerView *layer : m_view.worstFirst()) {
            if (!layer->decomposition || count == shown)
                continue;
            const std::string chart = spectrumChart(*layer);
            if (chart.empty())
                continue;
            ++count;
            shaped = shaped || layer->decomposition->key.scaling != ScalingKind::Identity;
            estimated = estimated || layer->decomposition->spectrum() == SpectrumExtent::Estimated;
            charts += fmt::format("<figure><h3>{}</h3>{}</figure>\n", markup(shortLayerName(layer->site->name), 60), chart);
        }
        if (charts.empty())
            return;
        m_html += fmt::format("<h2 class=\"page\">Singular values of the error</h2>\n<p>Of the {} with the largest errors. The faster a curve falls, the more of the error a small rank takes away; "
                              "what lies below the noise edge is not worth rank. Each curve is relative to its first value.{}</p>\n",
                              count == 1 ? "layer" : fmt::format("{} layers", count),
                              estimated ? " What is dotted is estimated: the energy of the first values, however many, to within about 0.4 % of the total, "
                                          "a single value to within about 1 % of the largest." : "");
        m_html += "<div class=\"key\"><span><i class=\"k-before\"></i>of the error as it is</span>";
        if (shaped)
            m_html += "<span><i class=\"k-after\"></i>as the scaling shapes it</span>";
        if (estimated)
            m_html += "<span><i class=\"k-estimated\"></i>estimated</span>";
        m_html += "<span><i class=\"k-kept\"></i>what the rank keeps</span><span><i class=\"k-line\"></i>noise edge (of the error as it is)</span></div>\n";
        m_html += "<div class=\"pair\">\n" + charts + "</div>\n";
    }

    // ---- ranks

    void ranks()
    {
        if (!m_view.corrects)
            return;
        m_html += fmt::format("<h2>Ranks</h2>\n<p>{} of {} layers are corrected, with rank {}.</p>\n<div class=\"pair\">\n", correctedLayers(), m_view.layers.size(), rankText());
        m_html += fmt::format("<figure><h3>How many layers have which rank</h3>{}</figure>\n", rankHistogram(m_view));
        const std::string curve = rankCurve(m_view);
        if (!curve.empty())
            m_html += fmt::format("<figure><h3>What a rank that all layers share would leave</h3>{}<figcaption>Predicted from the singular values, before A and B are quantized."
                                  "</figcaption></figure>\n", curve);
        m_html += "</div>\n";
        if (m_decided.ranks.size() > 1)
            rankOfEveryLayer();
    }

    void rankOfEveryLayer()
    {
        const std::string svg = rankMap(m_view);
        if (svg.empty())
            return;
        m_html += isWide(m_view) ? "" : "<div class=\"pair\">\n";
        map(svg, "Rank of every layer", isWide(m_view));
        m_html += isWide(m_view) ? "" : "</div>\n";
    }

    std::size_t correctedLayers() const
    {
        return static_cast<std::size_t>(std::ranges::count_if(m_view.layers, [this](const LayerView &layer) { return m_view.source.isCorrected(*layer.site); }));
    }

    // ---- hardware cost

    static std::string areaText(const LayerCost &cost)
    {
        const std::optional<double> area = cost.area();
        return area ? fmt::format("{} ({})", formatNumber(*area), lqer::toString(cost.basis())) : "not known";
    }

    void costRow(std::string_view name, const HardwareCost &of, std::string_view style)
    {
        const LayerCost &total = of.total;
        m_html += fmt::format("<tr class=\"{}\"><td class=\"l\">{}</td>", style, name);
        for (const double bits : {total.weightBits, total.correctionBits, total.activationBits, total.cacheBits, total.movedBits(of.options.tokens)})
            m_html += fmt::format("<td>{}</td>", bits > 0 ? formatQuantity(bits, "bit") : "");
        m_html += fmt::format("<td>{}</td><td>{}</td></tr>\n", formatQuantity(total.macs(), ""), areaText(total));
    }

    void cost()
    {
        const HardwareCost &of = m_view.cost;
        m_html += fmt::format("<h2>Hardware cost of a token</h2>\n<p>Of the linear layers and of attention to {} tokens, where every weight is read for each token (decoding one "
                              "sequence). Values that the recipe states no format for count 16 bits.</p>\n", grouped(of.options.context));
        m_html += "<div class=\"table\"><table><thead><tr><th class=\"l\" rowspan=\"2\">model</th><th class=\"group\" colspan=\"5\">bits moved</th>"
                  "<th rowspan=\"2\">multiply-accumulates</th><th rowspan=\"2\">relative area</th></tr>"
                  "<tr><th>W</th><th>A, B</th><th>activations</th><th>keys, values</th><th>all</th></tr></thead><tbody>\n";
        costRow("original", m_view.originalCost, "");
        costRow(m_view.corrects ? "with correction" : "quantized", of, "main");
        m_html += "</tbody></table></div>\n<div class=\"table\"><table><thead><tr><th class=\"l\">product</th><th class=\"l\">operands</th><th>multiply-accumulates</th>"
                  "<th>area of one</th><th class=\"l\">area is</th></tr></thead><tbody>\n";
        for (const ProductCount &product : of.total.products)
            m_html += fmt::format("<tr><td class=\"l\">{}</td><td class=\"l\">{} × {}</td><td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>\n", lqer::toString(product.kind),
                                  markup(product.left, 60), markup(product.right, 60), formatQuantity(product.count, ""),
                                  product.basis == AreaBasis::Unknown ? "" : formatNumber(product.area), lqer::toString(product.basis));
        m_html += "</tbody></table></div>\n<p class=\"sub\">Area of the engines that keep up with FP16 ones, FP16 = 1. Published by LQER (ICML 2024, circuit area estimates): FP16 1, "
                  "FP16 × 4-bit fixed point 13.99, whole layers of MXINT W4A8 0.3254 and W4A6 0.2287. Derived from these: a product of m- and n-bit fixed-point elements takes "
                  "(m − 1)(n − 1) units, the unit set by W4A8, which puts W4A6 1 % too high.</p>\n";
    }

    // ---- tables

    void layerTable()
    {
        m_html += "<h2>Every layer</h2>\n<div class=\"table\"><table><thead><tr><th class=\"l\" rowspan=\"2\">layer</th><th rowspan=\"2\">out × in</th>"
                  "<th class=\"l\" rowspan=\"2\">weights</th><th class=\"l\" rowspan=\"2\">scaling</th><th rowspan=\"2\">rank</th><th class=\"group\" colspan=\"2\">bits per weight</th>"
                  "<th rowspan=\"2\">size</th><th class=\"group\" colspan=\"2\">weight error</th><th class=\"group\" colspan=\"2\">output error</th><th class=\"group\" colspan=\"3\">cost of a token</th></tr>"
                  "<tr><th>W</th><th>with A, B</th><th>before</th><th>after</th><th>before</th><th>after</th><th>moved</th><th>MACs</th><th>area</th></tr></thead><tbody>\n";
        for (const LayerView &layer : m_view.layers) {
            const bool corrected = m_view.source.isCorrected(*layer.site);
            m_html += fmt::format("<tr><td class=\"l\">{}</td><td>{} × {}</td><td class=\"l\">{}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                                  markup(layer.site->name, 80), layer.site->out, layer.site->in, markup(layer.plan.quantize ? shortName(layer.plan.formats.weight) : "unquantized"),
                                  corrected ? lqer::toString(layer.plan.scaling) : "", corrected ? std::to_string(layer.plan.rank) : "", formatBits(layer.footprint.stored.weights),
                                  corrected ? formatBits(layer.footprint.stored.withCorrection) : "", bytesText(layer.footprint.bytes()));
            const auto cells = [&](bool known, double before, double after) {
                m_html += known ? fmt::format("<td>{}</td><td>{}</td>", formatPercent(before), corrected ? formatPercent(after) : "") : "<td></td><td></td>";
            };
            const LayerError error = layer.error.value_or(LayerError{});
            cells(layer.error.has_value(), error.relativeWeightError(), error.relativeCorrectedWeightError());
            cells(error.outputKnown, error.relativeOutputError(), error.relativeCorrectedOutputError());
            const LayerCost &cost = m_view.cost.layers[static_cast<std::size_t>(&layer - m_view.layers.data())];
            m_html += fmt::format("<td>{}</td><td>{}</td><td>{}</td></tr>\n", formatQuantity(cost.movedBits(1), "bit"), formatQuantity(cost.macs(), ""),
                                  cost.area() ? formatNumber(*cost.area()) : "");
        }
        m_html += "</tbody></table></div>\n";
    }

    void fact(std::string_view name, const std::string &value)
    {
        if (!value.empty())
            m_html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, markup(value, 600));
    }

    void recipe()
    {
        m_html += "<h2>Recipe</h2>\n<dl class=\"facts\">\n";
        fact("name", m_view.source.recipe().name);
        fact("weights", layerCounts(m_decided.weights));
        fact("activations", layerCounts(m_decided.activations));
        fact("correction", m_view.corrects ? fmt::format("rank {}, scaling {}, A and B in {}", rankText(), layerCounts(m_decided.scalings), layerCounts(m_decided.factors)) : "none");
        m_html += fmt::format("</dl>\n<p>As a recipe file (<code>lqer run MODEL --recipe FILE</code>):</p>\n<pre>{}</pre>\n", preformatted(m_view.source.recipe().toJson().dump(2)));
    }

    // Line by line: line feeds stay what they are.
    static std::string preformatted(const std::string &text)
    {
        std::string out;
        for (std::size_t begin = 0; begin <= text.size();) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            if (begin > 0)
                out += '\n';
            out += markup(std::string_view(text).substr(begin, end - begin), 4000);
            begin = end + 1;
        }
        return out;
    }

    void provenance()
    {
        const Transformer &model = m_view.source.model();
        m_html += "<h2>Where it comes from</h2>\n<dl class=\"facts\">\n";
        fact("checkpoint", m_view.source.modelName());
        fact("fingerprint", m_view.source.fingerprint());
        fact("architecture", fmt::format("{}, {} parameters in {} linear layers and {} others", model.config().architecture, grouped(m_view.footprint.linearWeights),
                                         m_view.layers.size(), grouped(model.parameters() - m_view.footprint.linearWeights)));
        if (const auto statistics = m_view.source.statistics()) {
            fact("calibration", fmt::format("{}: {} windows of {} tokens, {}", dataName(statistics->data), statistics->windows, statistics->windowLength,
                                            statistics->options.autocorrelation ? "with autocorrelation" : "without autocorrelation"));
            fact("calibration data", statistics->dataHash);
            fact("statistics", statistics->key());
        } else {
            fact("calibration", "none");
        }
        if (const PerplexityReport *measured = m_view.perplexity()) {
            fact("evaluation", conventionText(*measured) + fmt::format(", weighted by {}", lqer::toString(measured->weighting)));
            fact("evaluation data", measured->dataHash);
            fact("measured", m_view.main->created);
        }
        fact("program", "LQER Studio " LQER_VERSION);
        m_html += "</dl>\n";
    }

    // ---- terms

    void term(std::string_view name, std::string_view meaning) { m_html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", name, meaning); }

    void terms()
    {
        m_html += "<h2>How to read this page</h2>\n<dl class=\"terms\">\n";
        term("Perplexity", "How unsure the model is of the next token: e to the mean negative log-likelihood; 1 would be never wrong. Only figures of the same text, windows and convention compare.");
        term("Standard error", "How far the perplexity would typically move with another text of the same kind and length, from the spread over windows.");
        term("Convention", "How the text was cut into windows and which tokens were scored; papers differ in this, and their figures with it.");
        term("Increase", "Perplexity of the quantized model over that of the original, minus one.");
        term("Won back", "The part of the perplexity lost by plain quantization that the correction removes: 100 % would be the original model.");
        term("W, W_q", "The weight of a linear layer as in the checkpoint, and as its number format stores it.");
        term("Correction, A and B", "A narrow pair of matrices added to W_q; their product is the part of the quantization error that matters most.");
        term("Rank", "The width of A and B: more takes away more of the error and costs more bits.");
        term("Scaling", "How the error is weighted before its largest part is taken: identity not at all; lqer by mean magnitude, diag by mean square, exact by the whole autocorrelation of the layer's input.");
        term("Bits per weight", "Stored bits of the linear layers' weights, scales included, per element of W; with A and B: those counted in.");
        term("Size", "All tensors of the model as stored: quantized layers, A and B, and everything that is left as it was.");
        term("Bits moved", "What a token's way through the linear layers and attention takes from memory: weights, A and B, inputs and results of layers, keys and values.");
        term("Multiply-accumulates (MACs)", "Products of two numbers that are added up, counted by what is multiplied: x W_q, x A, (x A) B, and the two products of attention.");
        term("Relative area", "Silicon for engines of the same throughput, relative to half precision: published by LQER where the formats are the same, derived from its figures where they are not.");
        term("Weight error", "The norm of W − W_q (− A B) over the norm of W.");
        term("Output error", "The same for what the layer computes on the calibration data: root mean square of the error over that of the output.");
        term("Singular values", "The strengths of the error's directions, largest first; a correction of rank k removes the first k.");
        term("Noise edge", "Where the singular values of pure round-off noise of this size would end (Marchenko and Pastur); what stands above it has structure.");
        term("KL divergence", "How far the quantized model's predictions are from the original's, over all scored tokens, in nats; same top-1: how often both find the same token most likely.");
        m_html += "</dl>\n";
    }

    // "2,016,960"
    static std::string grouped(std::int64_t number)
    {
        std::string text = std::to_string(number);
        for (std::size_t at = text.size(); at > 3; at -= 3)
            text.insert(at - 3, 1, ',');
        return text;
    }

    const ReportView &m_view;
    Decided m_decided;
    std::string m_html;
};

}  // namespace

std::string reportPage(const ReportView &view)
{
    return Page(view).toString();
}

}  // namespace lqer
