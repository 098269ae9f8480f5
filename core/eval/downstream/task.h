// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"

namespace lqer {

enum class TaskKind {
    Choices,       // the continuation with the highest log-probability is the answer: acc, acc_norm
    Continuation,  // one continuation: acc (is it the greedy one), perplexity
    Pages,         // whole pages, every token scored: word_perplexity, byte_perplexity, bits_per_byte
};

// What a model is asked: the log-probability of `continuation` behind `context`.
struct TaskPair {
    std::string context;
    std::string continuation;
};

// One row of a data set as a task puts it to a model, without examples in front.
struct TaskItem {
    std::string id;                    // the row's, "" if it has none
    std::string subject;               // of MMLU's questions
    std::vector<TaskPair> pairs;       // one per choice
    std::vector<std::string> choices;  // that the lengths of acc_norm are taken of
    std::size_t gold = 0;
    std::string shot;                  // context and answer, as the item stands in front of others
    std::int64_t words = 0, bytes = 0; // of a page, before anything was changed
};

// A task as lm-eval 0.4 has it. Prompts, splits and rules: lm_eval/tasks and lm_eval/api of EleutherAI/lm-evaluation-harness v0.4.5.
struct TaskDefinition {
    std::string_view name;
    std::string_view meaning;  // for lists
    TaskKind kind = TaskKind::Choices;
    bool normalized = false;                    // acc_norm too
    std::vector<std::string_view> folders;      // where the data set's splits are published, besides a folder of the task's name
    std::string_view split;                     // that is evaluated
    std::string_view shots;                     // split that examples come from; "": none
    bool firstShots = false;                    // the first ones of the subject in place of a random sample
    bool subjects = false;                      // rows have a subject, or folders of one each
    // Throws Error(Format) with file, line and field. Rows in the data set's own fields, or {question, choices, label} and {context, target}.
    TaskItem (*item)(const JsonReader &row) = nullptr;
};

std::span<const TaskDefinition> taskDefinitions();
// Throws Error(Argument) with the known ones and the nearest. "mmlu_anatomy" is mmlu.
const TaskDefinition &taskDefinition(std::string_view name);
// "anatomy" of "mmlu_anatomy"; "" for a task's own name.
std::string_view taskSubject(std::string_view name);

// lm-eval's description in front of an MMLU question.
std::string subjectDescription(std::string_view subject);

}  // namespace lqer
