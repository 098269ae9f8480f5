// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

namespace lqer {

// Every number a person reads in the studio is made here, so that one thing looks the same everywhere. NaN becomes an en dash.
QString numberText(double value);                    // three significant digits: "0.0123", "1.20e-5"
QString fixedText(double value, int decimals);       // "4.25"
QString percentText(double share);                   // 0.123 -> "12.3 %"
QString countText(qint64 count);                     // "1 234 567" with narrow spaces
QString shortCountText(double count);                // "1.32 M", "7.0 B" (parameters)
QString bytesText(double bytes);                     // "1.20 GB"
QString durationText(double seconds);                // "45 s", "3 min 20 s", "2 h 05 min"
QString bitsText(double bitsPerWeight);              // "4.25 bits"
QString perplexityText(double perplexity, double standardError = 0);  // "5.68 ± 0.03"
QString shapeText(qint64 rows, qint64 columns);      // "4096 × 11008"

// Text from a file made safe for a label: control characters and bidirectional marks escaped, at most 200 bytes.
QString safeText(const std::string &text);

}  // namespace lqer
