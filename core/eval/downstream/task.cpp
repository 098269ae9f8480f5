// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/task.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/downstream/prompts.h"

namespace lqer {

namespace {

constexpr std::string_view mmluPrefix = "mmlu_";

}  // namespace

std::span<const TaskDefinition> taskDefinitions()
{
    using enum TaskKind;
    static const std::vector<TaskDefinition> definitions = {
        {"arc_easy", "science questions of primary schools, the easy ones", Choices, true, {"ARC-Easy", "ai2_arc/ARC-Easy"}, "test", "train", false, false, prompts::arc},
        {"arc_challenge", "science questions of primary schools, the hard ones", Choices, true, {"ARC-Challenge", "ai2_arc/ARC-Challenge"}, "test", "train", false, false, prompts::arc},
        {"boolq", "yes-no questions about a passage", Choices, false, {"super_glue/boolq"}, "validation", "train", false, false, prompts::boolq},
        {"commonsense_qa", "questions of common sense", Choices, false, {"commonsenseqa"}, "validation", "train", false, false, prompts::commonsenseQa},
        {"copa", "causes and effects", Choices, false, {"super_glue/copa"}, "validation", "train", false, false, prompts::copa},
        {"hellaswag", "how a description goes on", Choices, true, {}, "validation", "train", false, false, prompts::hellaswag},
        {"lambada_openai", "the last word of a passage", Continuation, false, {"lambada"}, "test", "test", false, false, prompts::lambada},
        {"mmlu", "examinations in 57 subjects; mmlu_SUBJECT is one of them", Choices, false, {"mmlu/all"}, "test", "dev", true, true, prompts::mmlu},
        {"openbookqa", "science questions, without the book", Choices, true, {"openbookqa/main"}, "test", "train", false, false, prompts::openbookqa},
        {"piqa", "everyday physics", Choices, true, {}, "validation", "train", false, false, prompts::piqa},
        {"wikitext", "WikiText-2 page by page, perplexity per word", Pages, false, {"wikitext_document_level", "wikitext2_document_level"}, "test", "", false, false, prompts::wikitext},
        {"winogrande", "what a pronoun stands for", Choices, false, {"winogrande_xl", "winogrande/winogrande_xl"}, "validation", "train", false, false, prompts::winogrande},
    };
    return definitions;
}

std::string_view taskSubject(std::string_view name)
{
    return name.starts_with(mmluPrefix) ? name.substr(mmluPrefix.size()) : std::string_view();
}

const TaskDefinition &taskDefinition(std::string_view name)
{
    const std::string_view wanted = taskSubject(name).empty() ? name : mmluPrefix.substr(0, mmluPrefix.size() - 1);
    const std::span<const TaskDefinition> known = taskDefinitions();
    const auto found = std::find_if(known.begin(), known.end(), [&](const TaskDefinition &task) { return task.name == wanted; });
    if (found != known.end())
        return *found;
    std::vector<std::string> names;
    for (const TaskDefinition &task : known)
        names.emplace_back(task.name);
    const std::string near = nearest(name, names);
    throw Error(ErrorCode::Argument, fmt::format("unknown task '{}', known are: {}{}", escaped(name), fmt::join(names, ", "),
                                                 near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

std::string subjectDescription(std::string_view subject)
{
    std::string words(subject);
    std::replace(words.begin(), words.end(), '_', ' ');
    return fmt::format("The following are multiple choice questions (with answers) about {}.\n\n", words);
}

}  // namespace lqer
