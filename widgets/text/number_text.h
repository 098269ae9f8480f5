// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

namespace lqer {

// Numbers as the whole program writes them (core/eval/format.h, base/text.h), as Qt text: spaces before units do not break, and
// what is not known is an en dash.
QString numberText(double value);                    // three significant digits: "0.0123", "1.20e-05"
QString percentText(double share);                   // 0.123 -> "12.3 %"
QString countText(qint64 count);                     // "1,234,567"
QString shortCountText(double count);                // "1.32 M", "7.00 B" (parameters)
QString bytesText(double bytes);                     // "1.2 GB"
QString durationText(double seconds);                // "45 s", "3 min 20 s", "2 h 05 min"
QString bitsNumber(double bitsPerWeight);            // "4.25"
QString bitsText(double bitsPerWeight);              // "4.25 bits"
QString perplexityText(double perplexity, double standardError = 0);  // "5.671 ± 0.031"
QString quantityText(double value, const char *unit);  // "12.9 Mbit"
QString shapeText(qint64 rows, qint64 columns);      // "4096 × 11008"

// Text from a file made safe for a label: control characters and bidirectional marks escaped, at most 200 bytes.
QString safeText(const std::string &text);
// Any text as HTML that shows it as it is: for message boxes and tool tips, which take what looks like markup for markup. Names in files
// are untrusted (an <img> in one would be drawn).
QString plainHtml(const QString &text);
// Safe text for a module's name, which may be broken after its dots.
QString moduleText(const std::string &name);
// "1 layer", "3 layers"; %1 in the words is the count.
QString pluralText(qint64 count, const QString &one, const QString &many);

}  // namespace lqer
