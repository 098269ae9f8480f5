// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/task_rows.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/line_reader.h"
#include "core/text/split_search.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t textLimit = 1ULL << 30;

SplitSearch searchFor(const TaskDefinition &task, const std::string &folder, std::string_view split)
{
    SplitSearch search{.folder = folder,
                       .name = std::string(task.name),
                       .subfolders = {std::string(task.name)},
                       .words = splitWords(std::string(split)),
                       .extensions = {".jsonl", ".json"}};
    for (const std::string_view published : task.folders)
        search.subfolders.emplace_back(published);
    return search;
}

// "arc_easy.jsonl", or else the only file "arc_easy.OTHER.jsonl" (or with - or _), where OTHER names no split.
std::string fileOfTask(const TaskDefinition &task, const std::string &folder)
{
    std::vector<std::string> named;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (!name.starts_with(task.name) || !(hasEnding(name, ".jsonl") || hasEnding(name, ".json")) || !at->is_regular_file(error))
            continue;
        const std::string rest = name.substr(task.name.size());
        if (rest == ".jsonl" || rest == ".json" || rest == ".jsonl.gz" || rest == ".json.gz")
            return at->path().string();
        const auto names = [&](std::string_view word) { return rest.find(word) != std::string::npos; };
        if (std::string_view("._-").find(rest.front()) != std::string_view::npos && !names("train") && !names("valid") && !names("test") && !names("dev"))
            named.push_back(at->path().string());
    }
    return named.size() == 1 ? named.front() : std::string();
}

void appendRows(const std::string &path, const std::string &subject, std::vector<TaskRow> &rows)
{
    LineReader reader(path);
    std::string line;
    while (reader.next(line)) {
        if (reader.bytes() > textLimit)
            throw Error(ErrorCode::Format, path, {}, fmt::format("has more than {} of text, too much for a task", formatBytes(static_cast<double>(textLimit))));
        if (line.find_first_not_of(" \t\r\n") == std::string::npos)
            continue;
        const std::string place = reader.place();
        rows.push_back({parseJson(line, place), place, subject});
    }
}

// Folders of one subject each, by name.
std::vector<std::pair<std::string, std::string>> subjectFiles(const TaskDefinition &task, const std::string &folder, std::string_view split)
{
    std::vector<std::pair<std::string, std::string>> files;
    std::error_code error;
    const fs::path inside = fs::path(folder) / task.name;
    for (fs::directory_iterator at(inside, error), end; !error && at != end; at.increment(error)) {
        if (!at->is_directory(error) || at->path().filename() == "all")
            continue;
        const std::string subject = at->path().filename().string();
        const SplitSearch search{.folder = at->path().string(), .name = subject, .subfolders = {"."}, .words = splitWords(std::string(split)), .extensions = {".jsonl", ".json"}};
        if (const std::string file = search.find(); !file.empty())
            files.emplace_back(subject, file);
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

TaskRows readTaskRows(const TaskDefinition &task, const std::string &folder, const std::string &file, std::string_view split, std::string_view subject)
{
    TaskRows found;
    found.source = file;
    if (found.source.empty()) {
        std::error_code error;
        if (folder.empty())
            throw Error(ErrorCode::Argument, fmt::format("task '{}': no folder with its data was given", task.name));
        if (!fs::is_directory(folder, error))
            throw Error(ErrorCode::NotFound, folder, {}, fmt::format("is no folder; the data of task '{}' were to be found there", task.name));
        const SplitSearch search = searchFor(task, folder, split);
        found.source = search.find();
        if (found.source.empty() && split == task.split)
            found.source = fileOfTask(task, folder);
        if (found.source.empty() && task.subjects)
            for (const auto &[name, path] : subjectFiles(task, folder, split)) {
                found.source = folder + "/" + std::string(task.name);
                if (subject.empty() || subject == name)
                    appendRows(path, name, found.rows);
            }
        if (found.source.empty())
            throw Error(ErrorCode::NotFound, folder, fmt::format("task '{}', {} split", task.name, split), search.nothingFound());
    }
    if (found.rows.empty())
        appendRows(found.source, {}, found.rows);
    if (!subject.empty())
        std::erase_if(found.rows, [&](const TaskRow &row) {
            return (row.subject.empty() ? JsonReader(row.value, row.place).string("subject", "") : row.subject) != subject;
        });
    if (found.rows.empty())
        throw Error(ErrorCode::Format, found.source, {}, subject.empty() ? std::string("has no lines with JSON") : fmt::format("has no rows of subject '{}'", subject));
    return found;
}

}  // namespace lqer
