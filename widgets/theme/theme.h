// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QColor>
#include <QString>
#include <QVector>

#include <optional>

class QApplication;
class QCPAxisRect;
class QCustomPlot;

namespace lqer {

enum class ThemeMode { System, Light, Dark };

// Every colour the program draws with. Series colours are the Okabe-Ito set (safe for the common colour blindnesses), shifted in
// lightness so that each keeps a contrast of 3:1 against the background; curves differ in dash pattern as well.
struct Theme {
    bool dark = false;
    QColor window, panel, base, alternate, text, mutedText, border, grid, accent, accentText, warning, error, good;
    QVector<QColor> series;
    QVector<Qt::PenStyle> dashes;
    // Sequential scale for maps: perceptually even, light to dark (dark to light in the dark theme). t in [0, 1].
    QColor sequential(double t) const;
    // Text that is readable on top of `background`.
    QColor textOn(const QColor &background) const;
};

// The theme in force. Widgets that paint themselves ask here in paintEvent and repaint on QEvent::PaletteChange.
const Theme &theme();
// Sets palette, style and theme(). System follows what followSystem() said last, else the desktop's window colour at start-up.
void applyTheme(QApplication &application, ThemeMode mode);
void followSystem(std::optional<bool> dark);
QString toString(ThemeMode mode);
ThemeMode themeModeFromString(const QString &name);

// Background, axes, grid, legend and fonts of a plot in the colours of theme().
void styleAxisRect(QCPAxisRect *rect);
void stylePlot(QCustomPlot *plot);

}  // namespace lqer
