// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/tasks_report.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/eval/report_fields.h"

namespace lqer {

namespace {

Json resultToJson(const TaskResult &result)
{
    Json metrics = Json::object();
    for (const TaskMetric &metric : result.metrics)
        metrics.set(metric.name, Json::object().set("value", metric.value).set("standard_error", metric.standardError));
    Json json = Json::object();
    json.set("task", result.task);
    json.set("few_shot", result.fewShot);
    json.set("items", result.items);
    json.set("source", result.source);
    json.set("split", result.split);
    json.set("shot_source", result.shotSource);
    json.set("metrics", std::move(metrics));
    if (!result.subjects.empty()) {
        Json subjects = Json::array();
        for (const TaskResult &subject : result.subjects)
            subjects.append(resultToJson(subject));
        json.set("subjects", std::move(subjects));
    }
    return json;
}

TaskResult resultFromJson(const JsonReader &json, bool isSubject)
{
    TaskResult result;
    result.task = json["task"].string();
    result.fewShot = readCount(json, "few_shot");
    result.items = readCount(json, "items");
    result.source = json["source"].string();
    result.split = json["split"].string();
    result.shotSource = json["shot_source"].string();
    const JsonReader metrics = json["metrics"];
    if (!metrics.value().isObject() || metrics.value().asObject().empty())
        metrics.fail("must hold at least one metric");
    for (const auto &[name, value] : metrics.value().asObject()) {
        const JsonReader metric = metrics[name];
        result.metrics.push_back({name, readNumber(metric, "value"), readNumber(metric, "standard_error")});
    }
    if (!isSubject && json.has("subjects")) {
        const JsonReader subjects = json["subjects"];
        for (std::size_t i = 0; i < subjects.size(); ++i)
            result.subjects.push_back(resultFromJson(subjects.at(i), true));
    }
    return result;
}

template <typename Named>
const Named *findNamed(const std::vector<Named> &list, std::string_view name, std::string Named::*key)
{
    const auto found = std::ranges::find(list, name, key);
    return found == list.end() ? nullptr : &*found;
}

}  // namespace

const TaskMetric *TaskResult::find(std::string_view metric) const
{
    return findNamed(metrics, metric, &TaskMetric::name);
}

const TaskResult *TasksReport::find(std::string_view task) const
{
    return findNamed(tasks, task, &TaskResult::task);
}

Json TasksReport::toJson() const
{
    Json json = Json::object();
    json.set("bos", rules.bos);
    json.set("boundary", toString(rules.boundary));
    json.set("limit", limit);
    json.set("precision", toString(precision));
    json.set("requests", requests);
    json.set("windows", windows);
    json.set("tokens", tokens);
    json.set("seconds", seconds);
    Json list = Json::array();
    for (const TaskResult &task : tasks)
        list.append(resultToJson(task));
    json.set("tasks", std::move(list));
    return json;
}

TasksReport TasksReport::fromJson(const JsonReader &json)
{
    TasksReport report;
    report.rules.bos = json["bos"].boolean();
    const JsonReader boundary = json["boundary"];
    if (boundary.string() != toString(Boundary::ContextLength) && boundary.string() != toString(Boundary::CommonPrefix))
        boundary.fail("must be \"context-length\" or \"common-prefix\"");
    report.rules.boundary = boundaryFromString(boundary.string());
    report.limit = readCount(json, "limit");
    report.precision = precisionFromString(json["precision"].string());
    report.requests = readCount(json, "requests");
    report.windows = readCount(json, "windows");
    report.tokens = readCount(json, "tokens");
    report.seconds = readNumber(json, "seconds");
    const JsonReader list = json["tasks"];
    for (std::size_t i = 0; i < list.size(); ++i)
        report.tasks.push_back(resultFromJson(list.at(i), false));
    return report;
}

}  // namespace lqer
