// SPDX-License-Identifier: Apache-2.0
#include "core/export/report/report_charts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/export/report/svg.h"
#include "core/recon/noise_edge.h"

namespace lqer {

namespace {

using Point = Svg::Point;

constexpr double plotWidth = 440, plotHeight = 280;  // two drawings stand side by side
constexpr double pageWidth = 1072;
constexpr double left = 52, right = 14, top = 30, bottom = 44;  // room around the axes

Scale xScale(Scale::Kind kind, double low, double high)
{
    return {kind, low, high, left, plotWidth - right};
}
Scale yScale(Scale::Kind kind, double low, double high)
{
    return {kind, low, high, plotHeight - bottom, top};
}

// ---- labels beside points

struct Box {
    double x, y, width, height;
    bool overlaps(const Box &other) const
    {
        return x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height;
    }
};

// Puts names beside points where they cover neither each other nor a point nor leave the plot; a name without room is left out, it is in the
// point's tip.
class Labels {
public:
    void keepFree(Point centre, double radius) { m_taken.push_back({centre.first - radius, centre.second - radius, 2 * radius, 2 * radius}); }

    void put(Svg &svg, Point at, const std::string &name, std::string_view style)
    {
        constexpr double height = 13, gap = 8;
        const double width = labelWidth(name);
        const auto &[x, y] = at;
        for (const Box &box : {Box{x + gap, y - height / 2, width, height}, Box{x - gap - width, y - height / 2, width, height},
                               Box{x - width / 2, y - gap - height, width, height}, Box{x - width / 2, y + gap, width, height},
                               Box{x + gap, y - gap - height, width, height}, Box{x + gap, y + gap, width, height},
                               Box{x - gap - width, y - gap - height, width, height}, Box{x - gap - width, y + gap, width, height}}) {
            const bool inside = box.x >= left && box.x + box.width <= plotWidth && box.y >= top - 4 && box.y + box.height <= plotHeight - bottom;
            if (!inside || std::ranges::any_of(m_taken, [&](const Box &taken) { return taken.overlaps(box); }))
                continue;
            m_taken.push_back(box);
            svg.text({box.x, box.y + height - 3}, name, style);
            return;
        }
    }

private:
    std::vector<Box> m_taken;
};

// ---- maps of blocks and roles

struct MapCell {
    std::string text;  // inside the cell if it has room
    std::string tip;
    double strength = 0;  // 0 to 1
    bool known = false;
};

// Blocks from left to right, roles from top to bottom.
std::string blockMap(const ReportView &view, std::string_view label, const std::function<MapCell(const LayerView &)> &cellOf)
{
    std::vector<LinearRole> roles;
    std::int64_t blocks = 0;
    for (const LayerView &layer : view.layers) {
        if (layer.site->layer < 0)
            continue;
        blocks = std::max(blocks, layer.site->layer + 1);
        if (std::ranges::find(roles, layer.site->role) == roles.end())
            roles.push_back(layer.site->role);
    }
    if (blocks == 0)
        return {};
    constexpr double names = 44, height = 26, head = 22;
    const double room = isWide(view) ? pageWidth : plotWidth;
    const double width = std::clamp((room - names - 2) / static_cast<double>(blocks), 15.0, 88.0);
    Svg svg(std::max(room, names + width * static_cast<double>(blocks) + 2), head + height * static_cast<double>(roles.size()) + 4, label);
    const auto every = static_cast<std::int64_t>(std::ceil(22 / width));
    svg.text({names - 8, 14}, "block", "tick", Svg::Anchor::End);
    for (std::int64_t block = 0; block < blocks; block += every)
        svg.text({names + width * (static_cast<double>(block) + 0.5), 14}, std::to_string(block), "tick", Svg::Anchor::Middle);
    for (std::size_t role = 0; role < roles.size(); ++role)
        svg.text({names - 8, head + height * (static_cast<double>(role) + 0.5) + 4}, toString(roles[role]), "tick", Svg::Anchor::End);
    for (const LayerView &layer : view.layers) {
        if (layer.site->layer < 0)
            continue;
        const auto role = static_cast<double>(std::ranges::find(roles, layer.site->role) - roles.begin());
        const double x = names + width * static_cast<double>(layer.site->layer), y = head + height * role;
        const MapCell cell = cellOf(layer);
        svg.rectangle(x + 1, y + 1, width - 2, height - 2, cell.known ? "cell" : "cell unknown", cell.tip, cell.known ? 0.06 + 0.94 * cell.strength : 1);
        if (cell.known && labelWidth(cell.text) + 4 <= width)
            svg.text({x + width / 2, y + height / 2 + 4}, cell.text, cell.strength > 0.75 ? "in strong" : "in", Svg::Anchor::Middle);
    }
    return svg.toString();
}

// "8.06", "12.3", "103": a percentage in a few characters.
std::string shortPercent(double fraction)
{
    const double percent = 100 * fraction;
    return fmt::format("{:.{}f}", percent, percent < 9.95 ? 1 : 0);
}

// Indices of a curve of n points that a screen can tell apart on a logarithmic axis.
std::vector<Index> shownIndices(Index n)
{
    std::vector<Index> shown;
    for (Index i = 0; i < n; i = std::max(i + 1, static_cast<Index>(static_cast<double>(i) * 1.03)))
        shown.push_back(i);
    if (n > 0 && shown.back() != n - 1)
        shown.push_back(n - 1);
    return shown;
}

}  // namespace

bool isWide(const ReportView &view)
{
    constexpr std::int64_t mostBlocks = 24;
    return std::ranges::any_of(view.layers, [](const LayerView &layer) { return layer.site->layer >= mostBlocks; });
}

std::string runsChart(const ReportView &view)
{
    struct Mark {
        double size, perplexity;
        std::string name, tip;
        std::string_view style;
    };
    std::vector<Mark> marks;
    const auto add = [&](double size, double perplexity, const std::string &name, std::string_view style) {
        if (size > 0 && std::isfinite(perplexity) && perplexity > 0)
            marks.push_back({size, perplexity, name, fmt::format("{}: {} at {}", name, formatPerplexity(perplexity), formatBytes(size)), style});
    };
    for (const RunView &run : view.runs)
        if (run.comparable && run.report->footprint && run.report->recipe)
            add(static_cast<double>(run.report->footprint->bytes), run.report->perplexity->headline(), run.name,
                run.isMain ? "dot main" : run.name == "plain" ? "dot before" : "dot other");
    if (view.original())
        add(static_cast<double>(view.footprint.originalBytes), view.original()->headline(), "original", "dot original");
    if (marks.size() < 2)
        return {};
    double most = 0, least = marks.front().perplexity, largest = 0, smallest = marks.front().size;
    for (const Mark &mark : marks) {
        most = std::max(most, mark.perplexity);
        least = std::min(least, mark.perplexity);
        largest = std::max(largest, mark.size);
        smallest = std::min(smallest, mark.size);
    }
    constexpr double kilo = 1000;
    const double unit = std::pow(kilo, std::floor(std::log10(largest) / 3));
    const char *unitName = unit < kilo ? "B" : unit < 1e6 ? "kB" : unit < 1e9 ? "MB" : unit < 1e12 ? "GB" : "TB";
    const auto kind = most > 3 * least ? Scale::Kind::Log : Scale::Kind::Linear;
    const double room = kind == Scale::Kind::Linear ? 0.08 * (most - least) : 0;
    const Scale x = xScale(Scale::Kind::Linear, (smallest - 0.08 * (largest - smallest)) / unit, (largest + 0.08 * (largest - smallest)) / unit);
    const Scale y = kind == Scale::Kind::Log ? yScale(kind, least / 1.15, most * 1.15) : yScale(kind, least - room, most + room);
    Svg svg(plotWidth, plotHeight, "Perplexity against size of the model");
    drawAxes(svg, x, y, fmt::format("size of all weights, {}", unitName), "perplexity");
    Labels labels;
    for (const Mark &mark : marks)
        labels.keepFree({x.at(mark.size / unit), y.at(mark.perplexity)}, 5);
    for (const Mark &mark : marks)
        if (mark.style != "dot main")
            svg.circle({x.at(mark.size / unit), y.at(mark.perplexity)}, 4.5, mark.style, mark.tip);
    std::ranges::stable_partition(marks, [](const Mark &mark) { return mark.style == "dot main" || mark.style == "dot original"; });
    for (const Mark &mark : marks) {
        const Point at{x.at(mark.size / unit), y.at(mark.perplexity)};
        if (mark.style == "dot main")
            svg.circle(at, 5.5, mark.style, mark.tip);
        labels.put(svg, at, mark.name, mark.style == "dot main" ? "name main" : "name");
    }
    return svg.toString();
}

std::string errorMap(const ReportView &view, bool corrected)
{
    double largest = 0;
    for (const LayerView *layer : view.worstFirst())
        largest = std::max(largest, view.before(*layer));
    return blockMap(view, corrected ? "Error of every layer with correction" : "Error of every layer without correction", [&](const LayerView &layer) {
        MapCell cell;
        cell.tip = layer.site->name;
        if (!layer.error)
            return cell;
        const double error = corrected ? view.after(layer) : view.before(layer);
        cell.known = true;
        cell.text = shortPercent(error);
        cell.strength = largest > 0 ? std::min(1.0, error / largest) : 0;
        cell.tip = fmt::format("{}: {}", layer.site->name, formatPercent(error));
        return cell;
    });
}

std::string rankMap(const ReportView &view)
{
    std::int64_t largest = 0;
    for (const LayerView &layer : view.layers)
        largest = std::max(largest, layer.footprint.rank);
    if (largest == 0)
        return {};
    return blockMap(view, "Rank of every layer", [&](const LayerView &layer) {
        return MapCell{.text = std::to_string(layer.footprint.rank), .tip = fmt::format("{}: rank {}", layer.site->name, layer.footprint.rank),
                       .strength = static_cast<double>(layer.footprint.rank) / static_cast<double>(largest), .known = true};
    });
}

std::string errorBars(const ReportView &view, std::size_t first, std::size_t most)
{
    std::vector<const LayerView *> order = view.worstFirst();
    double largest = 0;
    for (const LayerView *layer : order)
        largest = std::max({largest, view.before(*layer), view.after(*layer)});
    order.resize(std::min(order.size(), first + most));
    order.erase(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), first)));
    if (order.empty())
        return {};
    constexpr double row = 21, names = 138, values = 96;
    const Scale x(Scale::Kind::Linear, 0, largest > 0 ? largest : 1, names, plotWidth - values);
    Svg svg(plotWidth, row * static_cast<double>(order.size()) + 4, "Layers with the largest errors, without and with correction");
    for (std::size_t i = 0; i < order.size(); ++i) {
        const LayerView &layer = *order[i];
        const double y = row * static_cast<double>(i) + 2, before = view.before(layer), after = view.after(layer);
        std::string name = shortLayerName(layer.site->name);
        if (name.size() > 23)
            name = "…" + name.substr(name.size() - 22);
        svg.text({names - 8, y + 13}, name, "tick", Svg::Anchor::End);
        svg.rectangle(names, y + 2, x.at(before) - names, row - 6, "bar before", fmt::format("{} without correction: {}", layer.site->name, formatPercent(before)));
        if (view.source.isCorrected(*layer.site))
            svg.rectangle(names, y + 5, x.at(after) - names, row - 12, "bar after", fmt::format("{} with correction: {}", layer.site->name, formatPercent(after)));
        svg.text({plotWidth, y + 13}, view.source.isCorrected(*layer.site) ? fmt::format("{} → {}", formatPercent(before), formatPercent(after)) : formatPercent(before),
                 "tick", Svg::Anchor::End);
    }
    return svg.toString();
}

std::string spectrumChart(const LayerView &layer)
{
    const DecompositionRecord &record = *layer.decomposition;
    struct Curve {
        const VectorF64 *sigma;
        Index exact;  // so many are computed, the others estimates
        std::string style;
    };
    std::vector<Curve> curves;
    if (record.sigmaUnscaled.size() > 1 && record.sigmaUnscaled[0] > 0)
        curves.push_back({&record.sigmaUnscaled, record.sigmaUnscaledExact, "curve before"});
    if (record.sigma.size() > 1 && record.sigma[0] > 0 && (curves.empty() || record.key.scaling != ScalingKind::Identity))
        curves.push_back({&record.sigma, record.sigmaExact, "curve after"});
    if (curves.empty())
        return {};
    // The last few per cent of a spectrum may fall to rounding errors, which would take the whole axis.
    double low = 1;
    Index longest = 0;
    for (const Curve &curve : curves) {
        const VectorF64 &sigma = *curve.sigma;
        longest = std::max(longest, sigma.size());
        low = std::min(low, sigma[(sigma.size() - 1) * 97 / 100] / sigma[0]);
    }
    low = std::max(low, 1e-6);
    Svg svg(plotWidth, plotHeight, fmt::format("Singular values of the error of {}", layer.site->name));
    const Scale x = xScale(Scale::Kind::Log, 1, static_cast<double>(longest)), y = yScale(Scale::Kind::Log, low / 1.1, 1.1);
    drawAxes(svg, x, y, "index i", "σᵢ / σ₁", 4, 5);
    if (layer.footprint.rank > 0) {
        const double at = x.at(static_cast<double>(layer.footprint.rank));
        svg.rectangle(left, top, at - left, plotHeight - bottom - top, "kept");
        svg.line({at, plotHeight - bottom}, {at, top}, "rank");
        const std::string name = fmt::format("rank {}", layer.footprint.rank);
        const bool beside = at + labelWidth(name) + 8 < plotWidth;
        svg.text({beside ? at + 5 : at - 5, top - 6}, name, "name", beside ? Svg::Anchor::Start : Svg::Anchor::End);
    }
    if (record.sigmaUnscaled.size() == std::min(record.in, record.out) && record.sigmaUnscaled[0] > 0) {
        const double edge = noiseLevel(record.sigmaUnscaled, record.in, record.out).edge / record.sigmaUnscaled[0];
        if (edge > low && edge < 1.1) {
            svg.line({left, y.at(edge)}, {plotWidth - right, y.at(edge)}, "noise");
            // At the right end, where curves are low; below the line if the rank's name is above it.
            const double room = plotWidth - right - 12 - labelWidth("noise edge") - labelWidth("rank 256");
            const bool above = layer.footprint.rank == 0 || x.at(static_cast<double>(layer.footprint.rank)) < room;
            svg.text({plotWidth - right - 4, y.at(edge) + (above ? -5 : 14)}, "noise edge", "name", Svg::Anchor::End);
        }
    }
    for (const Curve &curve : curves) {
        const auto pointOf = [&](Index i) {
            return Point(x.at(static_cast<double>(i + 1)), y.at(std::max((*curve.sigma)[i] / (*curve.sigma)[0], low / 1.1)));
        };
        std::vector<Point> computed, estimated;
        for (const Index i : shownIndices(curve.sigma->size()))
            (i < curve.exact ? computed : estimated).push_back(pointOf(i));
        // The two parts meet in the last value that is computed.
        if (curve.exact > 0 && !estimated.empty()) {
            computed.push_back(pointOf(curve.exact - 1));
            estimated.insert(estimated.begin(), computed.back());
        }
        if (!computed.empty())
            svg.polyline(computed, curve.style);
        if (!estimated.empty())
            svg.polyline(estimated, curve.style + " estimated");
    }
    return svg.toString();
}

std::string rankHistogram(const ReportView &view)
{
    std::map<std::int64_t, int> counts;
    for (const LayerView &layer : view.layers)
        ++counts[layer.footprint.rank];
    // A bar a rank, or, where there are many different ones, a bar for ranks from one number to the next.
    constexpr std::size_t bars = 12;
    std::vector<std::pair<std::string, int>> rows;
    if (counts.size() <= bars) {
        for (const auto &[rank, count] : counts)
            rows.emplace_back(std::to_string(rank), count);
    } else {
        const std::int64_t step = counts.rbegin()->first / static_cast<std::int64_t>(bars) + 1;
        for (std::int64_t low = 0; low <= counts.rbegin()->first; low += step) {
            int count = 0;
            for (const auto &[rank, layers] : counts)
                count += rank >= low && rank < low + step ? layers : 0;
            rows.emplace_back(fmt::format("{}–{}", low, low + step - 1), count);
        }
    }
    constexpr double row = 24, names = 64;
    const int most = std::ranges::max_element(rows, {}, &std::pair<std::string, int>::second)->second;
    const Scale x(Scale::Kind::Linear, 0, most, names, plotWidth - 78);
    Svg svg(plotWidth, row * static_cast<double>(rows.size()) + 22, "How many layers have which rank");
    svg.text({names - 8, 12}, "rank", "title", Svg::Anchor::End);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double y = row * static_cast<double>(i) + 20;
        svg.text({names - 8, y + 15}, rows[i].first, "tick", Svg::Anchor::End);
        svg.rectangle(names, y + 3, x.at(rows[i].second) - names, row - 7, "bar after");
        svg.text({x.at(rows[i].second) + 6, y + 15}, fmt::format("{} {}", rows[i].second, rows[i].second == 1 ? "layer" : "layers"), "tick");
    }
    return svg.toString();
}

std::string rankCurve(const ReportView &view)
{
    Index most = 0;
    double energy = 0;
    for (const LayerView &layer : view.layers) {
        if (!layer.decomposition || (view.outputKnown() && !layer.decomposition->outputKnown))
            continue;
        most = std::max(most, layer.decomposition->maxRank);
        energy += view.outputKnown() ? layer.decomposition->outputEnergy : layer.decomposition->weightEnergy;
    }
    if (most < 2 || !(energy > 0))
        return {};
    // rankOf: what each layer is given.
    const auto errorWith = [&](const std::function<Index(const LayerView &)> &rankOf) {
        double error = 0;
        for (const LayerView &layer : view.layers) {
            if (!layer.decomposition || (view.outputKnown() && !layer.decomposition->outputKnown))
                continue;
            const Index rank = std::min(rankOf(layer), layer.decomposition->maxRank);
            error += view.outputKnown() ? layer.decomposition->correctedOutputError(rank) : layer.decomposition->correctedWeightError(rank);
        }
        return 100 * std::sqrt(std::max(0.0, error) / energy);
    };
    std::vector<std::pair<double, double>> values;
    const Index step = std::max<Index>(1, most / 64);
    for (Index rank = 0; rank <= most; rank += step)
        values.emplace_back(static_cast<double>(rank), errorWith([rank](const LayerView &) { return rank; }));
    const Scale x = xScale(Scale::Kind::Linear, 0, static_cast<double>(most)), y = yScale(Scale::Kind::Linear, 0, 1.05 * values.front().second);
    Svg svg(plotWidth, plotHeight, "Error of all layers together against the rank");
    drawAxes(svg, x, y, "rank of every layer", view.outputKnown() ? "output error, %" : "weight error, %");
    std::vector<Point> points;
    for (const auto &[rank, error] : values)
        points.emplace_back(x.at(rank), y.at(error));
    svg.polyline(points, "curve after");
    double ranks = 0;
    int corrected = 0;
    for (const LayerView &layer : view.layers) {
        ranks += static_cast<double>(layer.footprint.rank);
        corrected += layer.decomposition ? 1 : 0;
    }
    const double mean = ranks / std::max(1, corrected), chosen = errorWith([](const LayerView &layer) { return static_cast<Index>(layer.footprint.rank); });
    const Point at{x.at(mean), y.at(chosen)};
    svg.circle(at, 5.5, "dot main", fmt::format("this recipe: {:.2f} % at mean rank {:.4g}", chosen, mean));
    Labels labels;
    labels.keepFree(at, 6);
    labels.put(svg, {at.first, at.second - 6}, "this recipe", "name main");
    return svg.toString();
}

}  // namespace lqer
