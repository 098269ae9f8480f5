// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/eval/downstream/task.h"

namespace lqer::prompts {

// Each turns one row of its data set into lm-eval's prompt (TaskDefinition::item).
TaskItem arc(const JsonReader &row);
TaskItem boolq(const JsonReader &row);
TaskItem commonsenseQa(const JsonReader &row);
TaskItem copa(const JsonReader &row);
TaskItem hellaswag(const JsonReader &row);
TaskItem lambada(const JsonReader &row);
TaskItem mmlu(const JsonReader &row);
TaskItem openbookqa(const JsonReader &row);
TaskItem piqa(const JsonReader &row);
TaskItem wikitext(const JsonReader &row);
TaskItem winogrande(const JsonReader &row);

}  // namespace lqer::prompts
