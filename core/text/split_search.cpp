// SPDX-License-Identifier: Apache-2.0
#include "core/text/split_search.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace lqer {

namespace {

namespace fs = std::filesystem;

bool isFile(const fs::path &path)
{
    std::error_code error;
    return fs::is_regular_file(path, error);
}

bool holdsParquet(const fs::path &folder)
{
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
        if (at->path().extension() == ".parquet")
            return true;
    return false;
}

std::vector<std::string> combined(const std::vector<std::string> &files, const std::string &front, const std::vector<std::string> &words,
                                  const std::vector<std::string> &extensions)
{
    std::vector<std::string> names = files;
    for (const std::string &word : words)
        for (const std::string &extension : extensions)
            names.push_back(front + word + extension);
    return names;
}

}  // namespace

std::string SplitSearch::find() const
{
    std::vector<fs::path> wanted;
    for (const std::string &file : combined(files, name + ".", words, extensions))
        wanted.push_back(fs::path(folder) / file);
    for (const std::string &subfolder : subfolders)
        for (const std::string &file : combined(files, "", words, extensions))
            wanted.push_back(fs::path(folder) / subfolder / file);
    for (const fs::path &path : wanted)
        for (const char *packing : {"", ".gz"})
            if (const std::string file = path.string() + packing; isFile(file))
                return file;
    return {};
}

std::string SplitSearch::nothingFound() const
{
    bool parquet = holdsParquet(folder);
    for (const std::string &subfolder : subfolders)
        parquet = parquet || holdsParquet(fs::path(folder) / subfolder);
    return fmt::format("found neither {}; nor, in {}: {}; with or without .gz{}", fmt::join(combined(files, name + ".", words, extensions), ", "),
                       fmt::join(subfolders, ", "), fmt::join(combined(files, "", words, extensions), ", "),
                       parquet ? "; Parquet files are not read: write them as JSON lines first (to_json of Hugging Face's datasets)" : "");
}

std::vector<std::string> splitWords(const std::string &split)
{
    return split == "validation" ? std::vector<std::string>{"validation", "valid"} : std::vector<std::string>{split};
}

}  // namespace lqer
