// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/number_text.h"

#include <QTextDocument>

#include <cmath>

#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer {

namespace {

constexpr QChar noBreakSpace(0x00a0);

QString shown(bool known, const std::string &text)
{
    return known ? QString::fromStdString(text).replace(QLatin1Char(' '), noBreakSpace) : QStringLiteral("\u2013");
}

}  // namespace

QString numberText(double value) { return shown(std::isfinite(value), formatNumber(value)); }
QString percentText(double share) { return shown(std::isfinite(share), formatPercent(share)); }
QString countText(qint64 count) { return QString::fromStdString(formatCount(count)); }

QString shortCountText(double count)
{
    static constexpr const char *units[] = {"", "k", "M", "B", "T"};
    std::size_t unit = 0;
    while (std::abs(count) >= 999.5 && unit + 1 < std::size(units)) {
        count /= 1000;
        ++unit;
    }
    if (unit == 0)
        return QString::number(count, 'f', 0);
    return QString::fromStdString(formatNumber(count)) + noBreakSpace + QLatin1String(units[unit]);
}

QString bytesText(double bytes) { return shown(std::isfinite(bytes), formatBytes(bytes)); }
QString durationText(double seconds) { return shown(std::isfinite(seconds) && seconds >= 0, formatSeconds(seconds)); }
QString quantityText(double value, const char *unit) { return shown(std::isfinite(value), formatQuantity(value, unit)); }
QString bitsNumber(double bitsPerWeight) { return shown(std::isfinite(bitsPerWeight), formatBits(bitsPerWeight)); }
QString bitsText(double bitsPerWeight) { return shown(std::isfinite(bitsPerWeight), formatBits(bitsPerWeight) + " bits"); }

QString perplexityText(double perplexity, double standardError)
{
    return shown(std::isfinite(perplexity), formatWithError(perplexity, standardError));
}

QString shapeText(qint64 rows, qint64 columns)
{
    return QStringLiteral("%1 \u00d7 %2").arg(rows).arg(columns);
}

QString safeText(const std::string &text)
{
    return QString::fromStdString(escaped(text));
}

QString plainHtml(const QString &text)
{
    return Qt::convertFromPlainText(text, Qt::WhiteSpaceNormal);
}

QString moduleText(const std::string &name)
{
    return safeText(name).replace(QLatin1Char('.'), QStringLiteral(".\u200b"));
}

QString pluralText(qint64 count, const QString &one, const QString &many)
{
    return (count == 1 ? one : many).arg(countText(count));
}

}  // namespace lqer
