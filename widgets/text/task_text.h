// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStringList>

#include "core/eval/downstream/tasks_report.h"

namespace lqer {

// "arc_easy 62.1 %, piqa 71.0 %": each task's first metric.
QString taskSummary(const TasksReport &report);
// A line per task with all its metrics, errors, items and examples.
QStringList taskLines(const TasksReport &report);
// A metric with its error: "62.1 % \u00b1 1.4 %", "5.671 \u00b1 0.031".
QString metricText(const TaskMetric &metric);
// "arc_easy +1.20 points, lambada_openai -0.30 points": what the second did better in the tasks that both were asked under one rule.
QStringList taskChanges(const TasksReport &first, const TasksReport &second);

}  // namespace lqer
