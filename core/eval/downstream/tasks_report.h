// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/eval/downstream/scored_requests.h"
#include "core/io/json.h"

namespace lqer {

// One number that a task gives, by lm-eval's name: "acc", "acc_norm", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte".
struct TaskMetric {
    std::string name;
    double value = 0;
    double standardError = 0;  // of means: sample standard deviation / sqrt(n), n - 1 in it; 0 where none is stated
    friend bool operator==(const TaskMetric &, const TaskMetric &) = default;
};

// How one item was answered, for those who want to look closer. Not kept in projects.
struct ItemResult {
    std::string id;
    std::size_t gold = 0;
    std::vector<double> sums;           // log-probability of each choice
    std::vector<std::int64_t> tokens;   // scored tokens of each
    std::vector<bool> greedy;
    friend bool operator==(const ItemResult &, const ItemResult &) = default;
};

struct TaskResult {
    std::string task;
    std::int64_t fewShot = 0;
    std::int64_t items = 0;
    std::string source;      // file or folder
    std::string split;       // "test"
    std::string shotSource;  // of the examples; "" without
    std::vector<TaskMetric> metrics;
    std::vector<TaskResult> subjects;  // of MMLU; without split and sources of their own
    std::vector<ItemResult> answers;

    const TaskMetric *find(std::string_view metric) const;
    // What the papers print: acc_norm for arc_challenge under QERA, word perplexity ... the task's first metric.
    const TaskMetric &headline() const { return metrics.front(); }
    friend bool operator==(const TaskResult &, const TaskResult &) = default;
};

// What a model makes of downstream tasks.
struct TasksReport {
    TaskRules rules;
    std::int64_t limit = 0;  // items of each task, the first ones; 0: all
    Precision precision = Precision::Float32;
    std::vector<TaskResult> tasks;  // in the order they were asked for
    std::int64_t requests = 0;      // continuations that were scored
    std::int64_t windows = 0;       // inputs that were run for them
    std::int64_t tokens = 0;        // in these inputs
    double seconds = 0;

    const TaskResult *find(std::string_view task) const;
    Json toJson() const;  // without answers
    static TasksReport fromJson(const JsonReader &json);
    friend bool operator==(const TasksReport &, const TasksReport &) = default;
};

}  // namespace lqer
