// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/number_text.h"

#include <cmath>

#include "core/base/text.h"

namespace lqer {

namespace {

const QString none = QStringLiteral("\u2013");

}  // namespace

QString numberText(double value)
{
    if (!std::isfinite(value))
        return none;
    if (value == 0)
        return QStringLiteral("0");
    const double magnitude = std::abs(value);
    if (magnitude < 1e-3 || magnitude >= 1e5)
        return QString::number(value, 'e', 2);
    const int digitsBefore = static_cast<int>(std::floor(std::log10(magnitude))) + 1;
    return QString::number(value, 'f', std::max(0, 3 - digitsBefore));
}

QString fixedText(double value, int decimals)
{
    return std::isfinite(value) ? QString::number(value, 'f', decimals) : none;
}

QString percentText(double share)
{
    if (!std::isfinite(share))
        return none;
    const double percent = share * 100;
    const int decimals = std::abs(percent) >= 99.95 || percent == 0 ? 0 : std::abs(percent) >= 0.1 ? 1 : 2;
    return QString::number(percent, 'f', decimals) + QStringLiteral("\u00a0%");
}

QString countText(qint64 count)
{
    QString digits = QString::number(std::abs(count));
    for (qsizetype i = digits.size() - 3; i > 0; i -= 3)
        digits.insert(i, QChar(0x202f));
    return count < 0 ? QLatin1Char('-') + digits : digits;
}

QString shortCountText(double count)
{
    static constexpr const char *suffixes[] = {"", " k", " M", " B", " T"};
    std::size_t suffix = 0;
    while (std::abs(count) >= 999.5 && suffix + 1 < std::size(suffixes)) {
        count /= 1000;
        ++suffix;
    }
    const int decimals = suffix == 0 ? 0 : std::abs(count) < 9.995 ? 2 : std::abs(count) < 99.95 ? 1 : 0;
    return QString::number(count, 'f', decimals) + QLatin1String(suffixes[suffix]);
}

QString bytesText(double bytes)
{
    return std::isfinite(bytes) ? QString::fromStdString(formatBytes(bytes)) : none;
}

QString durationText(double seconds)
{
    if (!std::isfinite(seconds) || seconds < 0)
        return none;
    if (seconds < 10)
        return QStringLiteral("%1 s").arg(seconds, 0, 'f', 1);
    const auto whole = static_cast<qint64>(std::llround(seconds));
    if (whole < 60)
        return QStringLiteral("%1 s").arg(whole);
    if (whole < 3600)
        return QStringLiteral("%1 min %2 s").arg(whole / 60).arg(whole % 60, 2, 10, QLatin1Char('0'));
    return QStringLiteral("%1 h %2 min").arg(whole / 3600).arg(whole % 3600 / 60, 2, 10, QLatin1Char('0'));
}

QString bitsText(double bitsPerWeight)
{
    return std::isfinite(bitsPerWeight) ? QStringLiteral("%1 bits").arg(bitsPerWeight, 0, 'f', 2) : none;
}

QString perplexityText(double perplexity, double standardError)
{
    if (!std::isfinite(perplexity))
        return none;
    const int decimals = perplexity < 100 ? 3 : perplexity < 1000 ? 1 : 0;
    QString text = QString::number(perplexity, 'f', decimals);
    if (standardError > 0 && std::isfinite(standardError))
        text += QStringLiteral(" \u00b1 %1").arg(standardError, 0, 'f', decimals);
    return text;
}

QString shapeText(qint64 rows, qint64 columns)
{
    return QStringLiteral("%1 \u00d7 %2").arg(rows).arg(columns);
}

QString safeText(const std::string &text)
{
    return QString::fromStdString(escaped(text));
}

}  // namespace lqer
