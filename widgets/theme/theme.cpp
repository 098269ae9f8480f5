// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/theme.h"

#include <QApplication>
#include <QPalette>
#include <QProxyStyle>
#include <QStyleFactory>
#include <QStyleOption>
#include <QToolTip>
#include <qcustomplot.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace lqer {

namespace {

Theme lightTheme()
{
    Theme t;
    t.dark = false;
    t.window = QColor("#f3f4f6");
    t.panel = QColor("#fafbfc");
    t.base = QColor("#ffffff");
    t.alternate = QColor("#f5f7fa");
    t.text = QColor("#1b1f24");
    t.mutedText = QColor("#5a6472");
    t.border = QColor("#c9d0d8");
    t.grid = QColor("#e3e7ec");
    t.accent = QColor("#1f5fbf");
    t.accentText = QColor("#ffffff");
    t.warning = QColor("#9a5b00");
    t.error = QColor("#b3261e");
    t.good = QColor("#1a7a4c");
    t.series = {QColor("#0072b2"), QColor("#c1460a"), QColor("#00805e"), QColor("#a8447f"), QColor("#8a6a00"), QColor("#2a86b8"), QColor("#4b4f56")};
    t.dashes = {Qt::SolidLine, Qt::DashDotLine, Qt::DotLine, Qt::DashDotDotLine, Qt::SolidLine, Qt::DashDotLine, Qt::DotLine};
    return t;
}

Theme darkTheme()
{
    Theme t = lightTheme();
    t.dark = true;
    t.window = QColor("#1c1f24");
    t.panel = QColor("#22262c");
    t.base = QColor("#181a1f");
    t.alternate = QColor("#1e2127");
    t.text = QColor("#e6e9ee");
    t.mutedText = QColor("#a3adba");
    t.border = QColor("#3b424c");
    t.grid = QColor("#2d323a");
    t.accent = QColor("#2f6fd0");
    t.accentText = QColor("#ffffff");
    t.warning = QColor("#f0b357");
    t.error = QColor("#ff8a80");
    t.good = QColor("#5fd39a");
    t.series = {QColor("#56b4e9"), QColor("#ff9d5c"), QColor("#3fd0a4"), QColor("#e59ac8"), QColor("#f0e442"), QColor("#8fb8ff"), QColor("#c3c9d2")};
    return t;
}

Theme current = lightTheme();
std::optional<bool> systemSays;

// Anchors of the cividis scale, made for colour-blind readers.
constexpr std::array<std::array<int, 3>, 9> cividis = {{{0, 34, 78}, {18, 53, 112}, {59, 73, 108}, {87, 93, 109}, {112, 113, 115},
                                                        {138, 134, 120}, {165, 156, 116}, {195, 179, 105}, {254, 232, 56}}};

double luminance(const QColor &color)
{
    const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF());
}

QPalette paletteOf(const Theme &t)
{
    QPalette p;
    p.setColor(QPalette::Window, t.window);
    p.setColor(QPalette::WindowText, t.text);
    p.setColor(QPalette::Base, t.base);
    p.setColor(QPalette::AlternateBase, t.alternate);
    p.setColor(QPalette::Text, t.text);
    p.setColor(QPalette::PlaceholderText, t.mutedText);
    p.setColor(QPalette::Button, t.panel);
    p.setColor(QPalette::ButtonText, t.text);
    p.setColor(QPalette::BrightText, t.error);
    p.setColor(QPalette::Highlight, t.accent);
    p.setColor(QPalette::HighlightedText, t.accentText);
    p.setColor(QPalette::Link, t.dark ? QColor("#8fb8ff") : t.accent);
    p.setColor(QPalette::ToolTipBase, t.panel);
    p.setColor(QPalette::ToolTipText, t.text);
    p.setColor(QPalette::Mid, t.border);
    p.setColor(QPalette::Midlight, t.grid);
    p.setColor(QPalette::Dark, t.dark ? QColor("#111317") : QColor("#9aa4b0"));
    p.setColor(QPalette::Light, t.dark ? QColor("#343a43") : QColor("#ffffff"));
    p.setColor(QPalette::Shadow, t.dark ? QColor("#000000") : QColor("#8a929c"));
    for (const QPalette::ColorRole role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        p.setColor(QPalette::Disabled, role, t.dark ? QColor("#707a87") : QColor("#8b94a0"));
    p.setColor(QPalette::Disabled, QPalette::Highlight, t.border);
    return p;
}

// Fusion draws the outlines of fields in a shade of the window that cannot be told from it where that is dark.
class OutlinedFusion final : public QProxyStyle {
public:
    OutlinedFusion() : QProxyStyle(QStyleFactory::create(QStringLiteral("Fusion"))) {}

    void drawPrimitive(PrimitiveElement element, const QStyleOption *option, QPainter *painter, const QWidget *widget) const override
    {
        if (const auto *box = qstyleoption_cast<const QStyleOptionButton *>(option); box && element == PE_IndicatorCheckBox)
            QProxyStyle::drawPrimitive(element, &outlined(QStyleOptionButton(*box)), painter, widget);
        else if (const auto *frame = qstyleoption_cast<const QStyleOptionFrame *>(option); frame && element == PE_FrameLineEdit)
            QProxyStyle::drawPrimitive(element, &outlined(QStyleOptionFrame(*frame)), painter, widget);
        else
            QProxyStyle::drawPrimitive(element, option, painter, widget);
    }
    void drawComplexControl(ComplexControl control, const QStyleOptionComplex *option, QPainter *painter, const QWidget *widget) const override
    {
        if (const auto *spin = qstyleoption_cast<const QStyleOptionSpinBox *>(option); spin && control == CC_SpinBox)
            QProxyStyle::drawComplexControl(control, &outlined(QStyleOptionSpinBox(*spin)), painter, widget);
        else
            QProxyStyle::drawComplexControl(control, option, painter, widget);
    }

private:
    template <typename Option>
    static const Option &outlined(Option &&option)
    {
        constexpr int shade = 140;  // Fusion's outline is the window's colour, this much darker (per cent)
        if (current.dark)
            option.palette.setColor(QPalette::Window, QColor("#66707d").lighter(shade));
        return option;
    }
};

}  // namespace

const Theme &theme()
{
    return current;
}

QColor Theme::sequential(double t) const
{
    t = std::clamp(std::isfinite(t) ? t : 0.0, 0.0, 1.0);
    if (!dark)
        t = 1.0 - t;
    const double position = t * (cividis.size() - 1);
    const auto low = std::min(static_cast<std::size_t>(position), cividis.size() - 2);
    const double share = position - static_cast<double>(low);
    const auto mix = [&](int channel) {
        const auto c = static_cast<std::size_t>(channel);
        return static_cast<int>(std::lround(cividis[low][c] * (1 - share) + cividis[low + 1][c] * share));
    };
    return QColor(mix(0), mix(1), mix(2));
}

QColor Theme::textOn(const QColor &background) const
{
    return luminance(background) > 0.22 ? QColor("#111317") : QColor("#f4f6f8");
}

void applyTheme(QApplication &application, ThemeMode mode)
{
    static const bool systemIsDark = application.palette().color(QPalette::Window).lightness() < 128;
    const bool dark = mode == ThemeMode::Dark || (mode == ThemeMode::System && systemSays.value_or(systemIsDark));
    current = dark ? darkTheme() : lightTheme();
    application.setStyle(new OutlinedFusion);
    const QPalette palette = paletteOf(current);
    application.setPalette(palette);
    QToolTip::setPalette(palette);
}

void followSystem(std::optional<bool> dark)
{
    systemSays = dark;
}

QString toString(ThemeMode mode)
{
    switch (mode) {
    case ThemeMode::System: return QStringLiteral("system");
    case ThemeMode::Light: return QStringLiteral("light");
    case ThemeMode::Dark: return QStringLiteral("dark");
    }
    return {};
}

ThemeMode themeModeFromString(const QString &name)
{
    if (name == QLatin1String("light"))
        return ThemeMode::Light;
    return name == QLatin1String("dark") ? ThemeMode::Dark : ThemeMode::System;
}

void styleAxisRect(QCPAxisRect *rect)
{
    const Theme &t = theme();
    rect->setBackground(QBrush(t.base));
    for (QCPAxis *axis : rect->axes()) {
        axis->setBasePen(QPen(t.border));
        axis->setTickPen(QPen(t.border));
        axis->setSubTickPen(QPen(t.border));
        axis->setTickLabelColor(t.text);
        axis->setLabelColor(t.mutedText);
        axis->grid()->setPen(QPen(t.grid, 0));
        axis->grid()->setSubGridPen(QPen(t.grid, 0, Qt::DotLine));
        axis->grid()->setZeroLinePen(QPen(t.grid, 0));
        axis->setSelectedBasePen(QPen(t.accent));
    }
}

void stylePlot(QCustomPlot *plot)
{
    const Theme &t = theme();
    plot->setBackground(QBrush(t.panel));
    for (QCPAxisRect *rect : plot->axisRects())
        styleAxisRect(rect);
    if (plot->legend) {
        QColor back = t.panel;
        back.setAlpha(225);
        plot->legend->setBrush(back);
        plot->legend->setBorderPen(QPen(t.border));
        plot->legend->setTextColor(t.text);
    }
}

}  // namespace lqer
