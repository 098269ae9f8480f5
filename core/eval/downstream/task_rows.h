// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/eval/downstream/task.h"

namespace lqer {

struct TaskRow {
    Json value;
    std::string place;    // "FILE, line N"
    std::string subject;  // of the folder it lay in; "" where the row says it itself, or there is none
};

// Rows of one split, from one file or, of subjects, from a folder of each.
struct TaskRows {
    std::string source;  // file or folder
    std::vector<TaskRow> rows;
};

// The file itself if `file` is one, else the split of the task in `folder`: TASK.SPLIT.jsonl, TASK/SPLIT.jsonl, FOLDER/SPLIT.jsonl where the data set
// is published as FOLDER; for the evaluated split also TASK.jsonl, or the one file whose name begins with TASK and a mark. `subject`: only rows of it, if
// it is not "". Throws Error(NotFound) listing what was looked for, Error(Format) naming file and line.
TaskRows readTaskRows(const TaskDefinition &task, const std::string &folder, const std::string &file, std::string_view split, std::string_view subject);

}  // namespace lqer
