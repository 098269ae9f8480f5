// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/task_text.h"

#include <QCoreApplication>

#include "widgets/text/number_text.h"

namespace lqer {

namespace {

bool isShare(const TaskMetric &metric)
{
    return metric.name.starts_with("acc");
}

QString words(const char *text)
{
    return QCoreApplication::translate("TaskText", text);
}

}  // namespace

QString metricText(const TaskMetric &metric)
{
    if (!isShare(metric))
        return perplexityText(metric.value, metric.standardError);
    const QString value = percentText(metric.value);
    return metric.standardError > 0 ? value + QStringLiteral(" \u00b1 ") + percentText(metric.standardError) : value;
}

QString taskSummary(const TasksReport &report)
{
    QStringList parts;
    for (const TaskResult &task : report.tasks) {
        const TaskMetric &metric = task.headline();
        parts << safeText(task.task) + QLatin1Char(' ') + (isShare(metric) ? percentText(metric.value) : perplexityText(metric.value));
    }
    return parts.join(QStringLiteral(", "));
}

QStringList taskLines(const TasksReport &report)
{
    QStringList lines;
    for (const TaskResult &task : report.tasks) {
        QStringList metrics;
        for (const TaskMetric &metric : task.metrics)
            metrics << safeText(metric.name) + QLatin1Char(' ') + metricText(metric);
        lines << words("%1: %2 (%3, %4)")
                     .arg(safeText(task.task), metrics.join(QStringLiteral(", ")), pluralText(static_cast<qint64>(task.items), words("%1 item"), words("%1 items")),
                          pluralText(static_cast<qint64>(task.fewShot), words("%1 example"), words("%1 examples")));
    }
    return lines;
}

QStringList taskChanges(const TasksReport &first, const TasksReport &second)
{
    QStringList parts;
    if (first.rules != second.rules)
        return parts;
    for (const TaskResult &before : first.tasks) {
        const TaskResult *after = second.find(before.task);
        if (!after || after->items != before.items || after->fewShot != before.fewShot || after->headline().name != before.headline().name)
            continue;
        const double change = after->headline().value - before.headline().value;
        const QString sign = change > 0 ? QStringLiteral("+") : QString();
        parts << safeText(before.task) + QLatin1Char(' ')
                     + (change == 0                 ? words("the same")
                        : isShare(before.headline()) ? words("%1 points").arg(sign + numberText(100 * change))
                                                     : sign + percentText(after->headline().value / before.headline().value - 1));
    }
    return parts;
}

}  // namespace lqer
