// SPDX-License-Identifier: Apache-2.0
#include "core/text/data_sets.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> extensions{".jsonl", ".json", ".txt", ".raw"};

// How a data set lies on disk beyond the general rule (NAME.SPLIT.EXT, NAME/SPLIT.EXT).
struct Layout {
    DataSetInfo info;
    std::vector<std::string_view> folders;                // besides NAME and the data folder itself
    std::array<std::vector<std::string_view>, 3> files;  // by split; in any of the folders
    bool hasTest = true;
};

const std::vector<Layout> &layouts()
{
    static const std::vector<Layout> known = {
        {{"wikitext2", "WikiText-2, raw (wikitext-2-raw-v1): wiki.train.raw, wiki.valid.raw, wiki.test.raw"},
         {"wikitext-2-raw", "wikitext-2-raw-v1", "wikitext/wikitext-2-raw-v1"},
         {{{"wiki.train.raw"}, {"wiki.valid.raw"}, {"wiki.test.raw"}}}},
        {{"slim_pajama_6b", "a sample of SlimPajama (DKYoon/SlimPajama-6B), JSON lines with the field text"}, {"SlimPajama-6B", "SlimPajama-6B/data"}, {}},
        {{"slim_pajama_1b", "a sample of SlimPajama (iankur/SlimPajama-1B), JSON lines with the field text"}, {"SlimPajama-1B", "SlimPajama-1B/data"}, {}},
        {{"slim_pajama_600m", "a sample of SlimPajama (iankur/SlimPajama-600M), JSON lines with the field text"}, {"SlimPajama-600M", "SlimPajama-600M/data"}, {}},
        {{"slim_pajama_100m", "a sample of SlimPajama (iankur/SlimPajama-100M), JSON lines with the field text"}, {"SlimPajama-100M", "SlimPajama-100M/data"}, {}},
        {{"c4", "C4, English (allenai/c4): the first file of a split, as GPTQ takes it; it has no test split"},
         {"c4/en", "en"},
         {{{"c4-train.00000-of-01024.json"}, {"c4-validation.00000-of-00008.json"}, {}}},
         false},
    };
    return known;
}

bool isFile(const fs::path &path)
{
    std::error_code error;
    return fs::is_regular_file(path, error);
}

// The path, or the path with ".gz"; empty if neither is a file.
std::string existing(const fs::path &path)
{
    if (isFile(path))
        return path.string();
    const std::string packed = path.string() + ".gz";
    return isFile(packed) ? packed : std::string();
}

bool holdsParquet(const fs::path &folder)
{
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
        if (at->path().extension() == ".parquet")
            return true;
    return false;
}

}  // namespace

std::string_view toString(DataSplit split)
{
    constexpr std::array<std::string_view, 3> names{"train", "validation", "test"};
    return names[static_cast<std::size_t>(split)];
}

DataSplit dataSplitFromString(std::string_view name)
{
    for (const DataSplit split : {DataSplit::Train, DataSplit::Validation, DataSplit::Test})
        if (toString(split) == name)
            return split;
    if (name == "valid")
        return DataSplit::Validation;
    throw Error(ErrorCode::Argument, fmt::format("unknown split '{}', known are: train, validation, test", escaped(name)));
}

std::span<const DataSetInfo> dataSets()
{
    static const std::vector<DataSetInfo> infos = [] {
        std::vector<DataSetInfo> list;
        for (const Layout &layout : layouts())
            list.push_back(layout.info);
        return list;
    }();
    return infos;
}

TextSource findDataSet(const std::string &folder, std::string_view name, DataSplit split)
{
    if (name.empty())
        throw Error(ErrorCode::Argument, "a data set needs a name");
    const auto layout = std::find_if(layouts().begin(), layouts().end(), [&](const Layout &known) { return known.info.name == name; });
    const bool isKnown = layout != layouts().end();
    if (!isKnown)
        for (const fs::path &path : {fs::path(name), fs::path(folder) / name})
            if (isFile(path))
                return {.path = path.string()};
    if (folder.empty())
        throw Error(ErrorCode::Argument, fmt::format("data set '{}': no folder to look in was given", escaped(name)));
    std::error_code error;
    if (!fs::is_directory(folder, error))
        throw Error(ErrorCode::NotFound, folder, {}, fmt::format("is no folder; the data set '{}' was to be found there", escaped(name)));
    if (isKnown && !layout->hasTest && split == DataSplit::Test)
        split = DataSplit::Validation;
    std::vector<std::string> words{std::string(toString(split))};
    if (split == DataSplit::Validation)
        words.emplace_back("valid");

    std::vector<fs::path> folders{fs::path(folder) / name};
    std::vector<std::string> files;  // in these folders
    if (isKnown) {
        for (const std::string_view own : layout->folders)
            folders.push_back(fs::path(folder) / own);
        for (const std::string_view file : layout->files[static_cast<std::size_t>(split)])
            files.emplace_back(file);
    }
    std::vector<fs::path> wanted;
    for (const std::string &file : files)
        wanted.push_back(fs::path(folder) / file);
    for (const std::string &word : words)
        for (const std::string_view extension : extensions) {
            wanted.push_back(fs::path(folder) / fmt::format("{}.{}{}", name, word, extension));
            files.push_back(fmt::format("{}{}", word, extension));
        }
    for (const fs::path &subfolder : folders)
        for (const std::string &file : files)
            wanted.push_back(subfolder / file);
    for (const fs::path &path : wanted)
        if (const std::string found = existing(path); !found.empty())
            return {.path = found, .dataSet = std::string(name), .split = std::string(toString(split))};

    // Compactly: the folder itself, then what any of the others may hold.
    std::vector<std::string> here, inside;
    for (const fs::path &path : wanted)
        if (path.parent_path() == fs::path(folder))
            here.push_back(path.filename().string());
    for (const fs::path &path : folders)
        inside.push_back(path.lexically_relative(folder).string());
    std::string hint;
    folders.emplace_back(folder);
    if (std::any_of(folders.begin(), folders.end(), holdsParquet))
        hint = "; Parquet files are not read: write them as JSON lines first (to_json of Hugging Face's datasets)";
    std::vector<std::string> names;
    for (const DataSetInfo &info : dataSets())
        names.emplace_back(info.name);
    if (const std::string near = isKnown ? std::string() : nearest(name, names); !near.empty())
        hint += fmt::format("; did you mean '{}'?", near);
    throw Error(ErrorCode::NotFound, folder, fmt::format("data set '{}', {} split", name, toString(split)),
                fmt::format("found neither {}; nor, in {}: {}; with or without .gz{}", fmt::join(here, ", "), fmt::join(inside, ", "),
                            fmt::join(files, ", "), hint));
}

}  // namespace lqer
