// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lqer {

// File-supplied text for HTML and SVG, as content or in a quoted attribute: what core's escaped() makes safe for a label, and
// the five characters that mean something in markup.
std::string markup(std::string_view text, std::size_t maxLength = 200);

// A drawing, element by element. Lengths in units of a viewBox; how large a unit is, the page decides. Colours, strokes and fonts come from
// the page's style sheet by class, so that they follow light, dark and print. Texts are escaped here.
class Svg {
public:
    enum class Anchor { Start, Middle, End };
    using Point = std::pair<double, double>;

    // label: what the drawing shows, for those who do not see it.
    Svg(double width, double height, std::string_view label);

    // tip: appears when the pointer rests on it; "" without.
    void line(Point from, Point to, std::string_view style);
    void rectangle(double x, double y, double width, double height, std::string_view style, std::string_view tip = {}, double opacity = 1);
    void circle(Point centre, double radius, std::string_view style, std::string_view tip = {});
    void polyline(const std::vector<Point> &points, std::string_view style);
    void text(Point at, std::string_view text, std::string_view style, Anchor anchor = Anchor::Start);

    double width() const { return m_width; }
    double height() const { return m_height; }
    std::string toString() const;

private:
    double m_width;
    double m_height;
    std::string m_label;
    std::string m_body;
};

// About how wide a label of the page's font becomes, in units, at the size of a drawing's texts.
double labelWidth(std::string_view text);

// From values to lengths, linear or logarithmic, with ticks at round values.
class Scale {
public:
    enum class Kind { Linear, Log };

    // [low, high] to [from, to]. Log: both above 0. A range of one value is widened.
    Scale(Kind kind, double low, double high, double from, double to);

    double at(double value) const;  // values outside lie on the ends
    std::vector<double> ticks(int about) const;
    // What stands at them: with as many decimals as the most exact of them needs, or, on a logarithmic axis, as short as possible.
    std::vector<std::string> labels(const std::vector<double> &ticks) const;
    double from() const { return m_from; }
    double to() const { return m_to; }

private:
    Kind m_kind;
    double m_low, m_high;
    double m_from, m_to;
};

// Left and bottom axis with grid lines, ticks and titles.
void drawAxes(Svg &svg, const Scale &x, const Scale &y, std::string_view xTitle, std::string_view yTitle, int xTicks = 5, int yTicks = 5);

}  // namespace lqer
