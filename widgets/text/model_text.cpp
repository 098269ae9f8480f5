// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/model_text.h"

#include <QCoreApplication>
#include <QStringList>

#include "widgets/text/number_text.h"

namespace lqer {

namespace {

QString tr(const char *text)
{
    return QCoreApplication::translate("ModelText", text);
}

QString dtypesText(const ModelSummary &summary)
{
    QStringList names;
    for (const auto &[dtype, bytes] : summary.dtypes)
        names << QString::fromStdString(dtype);
    return names.join(QLatin1Char('/'));
}

}  // namespace

QString summaryText(const ModelSummary &summary)
{
    return tr("%1, %2\u00a0parameters\n%3\u00a0blocks, %4, %5\n%6")
        .arg(safeText(summary.architecture), shortCountText(static_cast<double>(summary.parameters)), countText(summary.layers), dtypesText(summary),
             bytesText(static_cast<double>(summary.bytes)), summary.hasTokenizer ? safeText(summary.tokenizer) : tr("no tokenizer: %1").arg(safeText(summary.tokenizer)));
}

QString detailsText(const ModelSummary &summary)
{
    const auto number = [](std::int64_t value) { return countText(value); };
    return QStringList{tr("folder: %1").arg(safeText(summary.folder)),
                       tr("family: %1 (%2)").arg(safeText(summary.family), safeText(summary.architecture)),
                       tr("parameters: %1, of them %2 in %3 linear layers").arg(number(summary.parameters), number(summary.linearParameters), number(summary.linearLayers)),
                       tr("blocks: %1 of width %2, MLP %3").arg(number(summary.layers), number(summary.hidden), number(summary.intermediate)),
                       tr("attention heads: %1, for keys and values %2").arg(number(summary.heads), number(summary.kvHeads)),
                       tr("vocabulary: %1, context: %2 tokens").arg(number(summary.vocabulary), number(summary.contextLength)),
                       tr("tokenizer: %1").arg(safeText(summary.tokenizer)),
                       tr("fingerprint: %1").arg(safeText(summary.fingerprint))}
        .join(QLatin1Char('\n'));
}

}  // namespace lqer
