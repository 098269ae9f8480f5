// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/eval/downstream/scored_requests.h"
#include "core/eval/downstream/task.h"
#include "core/eval/downstream/tasks_report.h"

namespace lqer {

struct TaskRequest {
    std::string task;            // taskDefinitions(), or "mmlu_SUBJECT"
    std::optional<int> fewShot;  // examples in front of every item; none: 0, which is every task's own number in lm-eval
    std::string file = {};       // of the evaluated split; "": looked for in the data folder
    std::string shotSplit = {};  // split that examples come from; "": the task's
};

// Tasks read, prompted and encoded for one model; run() may be called for the model under any hooks.
//
// The same as lm-eval 0.4 (v0.4.5): prompts, delimiters, the split that is evaluated, few-shot examples (Python's random.Random(1234) per task, drawn
// item by item in the file's order; an extra one where lm-eval draws one; MMLU's first ones of the subject), encoding, truncation, metrics and their
// standard errors. Not the same: the perplexity's standard error is that of the mean log-probability times the perplexity, where lm-eval
// resamples 100,000 times with the same expectation; and rows come in the order of the file, so few-shot examples are lm-eval's where the file was
// written from the data set unchanged.
class PreparedTasks {
public:
    // limit: only the first items of each task; 0: all. maxLength: ids that the model takes. Throws Error(NotFound | Format | Argument) naming file, line,
    // field.
    PreparedTasks(std::span<const TaskRequest> requests, const std::string &folder, std::int64_t limit, const TaskRules &rules, const Tokenizer &tokenizer,
                  std::int64_t maxLength, const TaskContext &context);

    // What is run.
    const TokenWindows &windows() const { return m_scored->windows(); }
    // Begins a progress stage of its own. keepAnswers: TaskResult::answers is filled.
    TasksReport run(const Transformer &model, ForwardHooks &hooks, const Transformer::ForwardOptions &options, const TaskContext &context,
                    bool keepAnswers = false) const;

private:
    struct Item {
        std::string id, subject;
        std::size_t gold = 0;
        std::int64_t words = 0, bytes = 0;
        std::vector<double> lengths;   // of the choices, in characters
        std::size_t firstRequest = 0, requests = 0;
    };
    struct Task {
        const TaskDefinition *definition = nullptr;
        std::vector<Item> items;
        TaskResult result;  // without what is measured
    };

    void add(const TaskRequest &request, const std::string &folder, const Tokenizer &tokenizer, std::int64_t maxLength, std::vector<EncodedRequest> &requests,
             const TaskContext &context);

    std::int64_t m_limit;
    TaskRules m_rules;
    std::vector<Task> m_tasks;
    std::optional<ScoredRequests> m_scored;
};

}  // namespace lqer
