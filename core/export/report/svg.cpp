// SPDX-License-Identifier: Apache-2.0
#include "core/export/report/svg.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/text.h"

namespace lqer {

namespace {

// A length to a tenth of a unit.
std::string length(double value)
{
    std::string text = fmt::format("{:.1f}", value);
    if (text.ends_with(".0"))
        text.resize(text.size() - 2);
    return text == "-0" ? "0" : text;
}

std::string tipElement(std::string_view tip)
{
    return tip.empty() ? std::string() : fmt::format("<title>{}</title>", markup(tip));
}

std::string closed(std::string element, std::string_view name, std::string_view tip)
{
    return element + (tip.empty() ? "/>" : fmt::format(">{}</{}>", tipElement(tip), name));
}

// 1, 2 or 5 times a power of ten, at least `step`.
double roundStep(double step)
{
    const double power = std::pow(10.0, std::floor(std::log10(step)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (factor * power >= step * (1 - 1e-9))
            return factor * power;
    return 10 * power;
}

}  // namespace

std::string markup(std::string_view text, std::size_t maxLength)
{
    std::string out;
    for (const char c : escaped(text, maxLength)) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default: out += c;
        }
    }
    return out;
}

Svg::Svg(double width, double height, std::string_view label) : m_width(width), m_height(height), m_label(label) {}

void Svg::line(Point from, Point to, std::string_view style)
{
    m_body += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>", length(from.first), length(from.second), length(to.first),
                          length(to.second), style);
}

void Svg::rectangle(double x, double y, double width, double height, std::string_view style, std::string_view tip, double opacity)
{
    std::string element = fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{}\"", length(x), length(y),
                                      length(std::max(0.0, width)), length(std::max(0.0, height)), style);
    if (opacity < 1)
        element += fmt::format(" fill-opacity=\"{:.3f}\"", std::max(0.0, opacity));
    m_body += closed(std::move(element), "rect", tip);
}

void Svg::circle(Point centre, double radius, std::string_view style, std::string_view tip)
{
    m_body += closed(fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{}\"", length(centre.first), length(centre.second), length(radius), style),
                     "circle", tip);
}

void Svg::polyline(const std::vector<Point> &points, std::string_view style)
{
    std::string list;
    for (const auto &[x, y] : points)
        list += fmt::format("{}{},{}", list.empty() ? "" : " ", length(x), length(y));
    m_body += fmt::format("<polyline points=\"{}\" class=\"{}\"/>", list, style);
}

void Svg::text(Point at, std::string_view text, std::string_view style, Anchor anchor)
{
    const char *name = anchor == Anchor::Start ? "start" : anchor == Anchor::Middle ? "middle" : "end";
    m_body += fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\" text-anchor=\"{}\">{}</text>", length(at.first), length(at.second), style, name,
                          markup(text));
}

std::string Svg::toString() const
{
    return fmt::format("<svg width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{2}\">{3}</svg>", length(m_width), length(m_height), markup(m_label), m_body);
}

double labelWidth(std::string_view text)
{
    // Characters of a proportional font at 11 units; bytes that continue a UTF-8 sequence take no room.
    const auto characters = std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    return 5.9 * static_cast<double>(characters);
}

Scale::Scale(Kind kind, double low, double high, double from, double to) : m_kind(kind), m_low(low), m_high(high), m_from(from), m_to(to)
{
    LQER_ASSERT(std::isfinite(low) && std::isfinite(high) && (kind == Kind::Linear || low > 0));
    if (m_high > m_low)
        return;
    if (kind == Kind::Log) {
        m_low /= 2;
        m_high = 2 * low;
    } else {
        const double room = low == 0 ? 1 : std::abs(low) / 2;
        m_low -= room;
        m_high = low + room;
    }
}

double Scale::at(double value) const
{
    const double inside = std::clamp(value, m_low, m_high);
    const double part = m_kind == Kind::Log ? std::log(inside / m_low) / std::log(m_high / m_low) : (inside - m_low) / (m_high - m_low);
    return m_from + part * (m_to - m_from);
}

std::vector<double> Scale::ticks(int about) const
{
    std::vector<double> ticks;
    if (m_kind == Kind::Log) {
        const int first = static_cast<int>(std::floor(std::log10(m_low))), last = static_cast<int>(std::ceil(std::log10(m_high)));
        const int inside = last - first - 1;  // powers of ten between the ends, one or two more if they are ends
        const int every = std::max(1, (inside + about - 1) / about);
        for (int decade = first; decade <= last; ++decade)
            for (const double factor : {1.0, 2.0, 5.0}) {
                const bool wanted = factor == 1 ? decade % every == 0 : m_high < 100 * m_low;
                const double tick = factor * std::pow(10.0, decade);
                if (wanted && tick >= m_low * (1 - 1e-9) && tick <= m_high * (1 + 1e-9))
                    ticks.push_back(tick);
            }
        if (ticks.size() > 1)
            return ticks;
        ticks.clear();  // less than the way from 1 to 2: evenly spaced ticks say more
    }
    const double step = roundStep((m_high - m_low) / about);
    for (double k = std::ceil(m_low / step - 1e-9); k * step <= m_high + 1e-9 * step; ++k)
        ticks.push_back(k * step);
    return ticks;
}

std::vector<std::string> Scale::labels(const std::vector<double> &ticks) const
{
    const double largest = std::max(std::abs(m_low), std::abs(m_high));
    const bool powers = largest >= 1e6 || largest < 1e-3;
    const auto needs = [&](int decimals) {
        return std::ranges::any_of(ticks, [&](double tick) {
            const double scaled = tick * std::pow(10.0, decimals);
            return std::abs(scaled - std::round(scaled)) > 1e-6 * std::max(1.0, std::abs(scaled));
        });
    };
    int decimals = 0;
    while (decimals < 6 && needs(decimals))
        ++decimals;
    std::vector<std::string> labels;
    for (const double tick : ticks) {
        if (m_kind == Kind::Log && (tick >= 1e6 || tick < 1e-3))
            labels.push_back(fmt::format("{:.0e}", tick));
        else if (m_kind == Kind::Log || powers)
            labels.push_back(fmt::format("{:.6g}", tick));
        else
            labels.push_back(fmt::format("{:.{}f}", std::abs(tick) < 1e-12 * largest ? 0.0 : tick, decimals));
    }
    return labels;
}

void drawAxes(Svg &svg, const Scale &x, const Scale &y, std::string_view xTitle, std::string_view yTitle, int xTicks, int yTicks)
{
    const std::vector<double> rows = y.ticks(yTicks), columns = x.ticks(xTicks);
    const std::vector<std::string> rowLabels = y.labels(rows), columnLabels = x.labels(columns);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        svg.line({x.from(), y.at(rows[i])}, {x.to(), y.at(rows[i])}, "grid");
        svg.text({x.from() - 6, y.at(rows[i]) + 4}, rowLabels[i], "tick", Svg::Anchor::End);
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
        svg.line({x.at(columns[i]), y.from()}, {x.at(columns[i]), y.from() + 4}, "axis");
        svg.text({x.at(columns[i]), y.from() + 17}, columnLabels[i], "tick", Svg::Anchor::Middle);
    }
    svg.line({x.from(), y.from()}, {x.to(), y.from()}, "axis");
    svg.text({x.to(), y.from() + 34}, xTitle, "title", Svg::Anchor::End);
    svg.text({2, y.to() - 10}, yTitle, "title");
}

}  // namespace lqer
