// SPDX-License-Identifier: Apache-2.0
#include "app/cli/task_options.h"

#include <algorithm>
#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer::cli {

namespace {

constexpr int mostShots = 1000;

// NAME[:EXAMPLES][=FILE]
TaskRequest parsedTask(const std::string &text, int fewShot, const std::string &shotSplit)
{
    TaskRequest request;
    request.fewShot = fewShot;
    request.shotSplit = shotSplit;
    const std::size_t equals = text.find('=');
    std::string name = text.substr(0, equals);
    if (equals != std::string::npos)
        request.file = text.substr(equals + 1);
    if (const std::size_t colon = name.find(':'); colon != std::string::npos) {
        const std::string_view digits = std::string_view(name).substr(colon + 1);
        int shots = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), shots);
        if (error != std::errc() || end != digits.data() + digits.size() || shots < 0 || shots > mostShots)
            throw Error(ErrorCode::Argument, fmt::format("task '{}': the number of examples must be from 0 to {}, found '{}'", escaped(text), mostShots, escaped(digits)));
        request.fewShot = shots;
        name.resize(colon);
    }
    taskDefinition(name);
    request.task = std::move(name);
    return request;
}

}  // namespace

void TaskOptions::add(CLI::App &command)
{
    const std::string group = "Downstream tasks";
    std::vector<std::string_view> names;
    for (const TaskDefinition &task : taskDefinitions())
        names.push_back(task.name);
    CLI::Option *tasks = command.add_option("--tasks", m_tasks,
                                            fmt::format("Tasks, each NAME, NAME:EXAMPLES or NAME=FILE, from JSON lines in the folder of --data: {}. mmlu_SUBJECT is one of MMLU's", fmt::join(names, ", ")));
    tasks->delimiter(',')->type_name("NAMES")->group(group);
    command.add_option("--num-fewshot", m_fewShot, "Solved examples in front of every item")->capture_default_str()->type_name("N")->check(CLI::Range(0, mostShots))->needs(tasks)->group(group);
    command.add_option("--fewshot-split", m_shotSplit, "Split that examples come from (default: the task's own in lm-eval)")->type_name("NAME")->needs(tasks)->group(group);
    command.add_option("--limit", m_limit, "Only the first N items of each task (0: all)")->type_name("N")->check(CLI::NonNegativeNumber)->needs(tasks)->group(group);
    command.add_flag("--bos", m_bos, "Special tokens as the model's tokenizer adds them; lm-eval 0.4 adds none")->needs(tasks)->group(group);
    command.add_option("--boundary", m_boundary, "Where an answer begins: context-length (lm-eval: behind as many tokens as the context alone has) or common-prefix (behind the tokens that both share)")
        ->capture_default_str()
        ->type_name("NAME")
        ->needs(tasks)
        ->group(group);
}

std::vector<TaskRequest> TaskOptions::requests() const
{
    std::vector<TaskRequest> requests;
    for (const std::string &task : m_tasks)
        requests.push_back(parsedTask(task, m_fewShot, m_shotSplit));
    return requests;
}

TasksOptions TaskOptions::options(const std::string &dataFolder) const
{
    const auto hasFile = [](const std::string &task) { return task.find('=') != std::string::npos; };
    if (dataFolder.empty() && !std::all_of(m_tasks.begin(), m_tasks.end(), hasFile))
        throw Error(ErrorCode::Argument, "--tasks needs the folder with the data: --data DIR, or LQER_DATA in the environment");
    TasksOptions options;
    options.dataFolder = dataFolder;
    options.limit = m_limit;
    options.rules.bos = m_bos;
    options.rules.boundary = boundaryFromString(m_boundary);
    return options;
}

}  // namespace lqer::cli
