// SPDX-License-Identifier: Apache-2.0
#include "core/text/data_sets.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/text/split_search.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

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
    std::error_code error;
    if (!isKnown)
        for (const fs::path &path : {fs::path(name), fs::path(folder) / name})
            if (fs::is_regular_file(path, error))
                return {.path = path.string()};
    if (folder.empty())
        throw Error(ErrorCode::Argument, fmt::format("data set '{}': no folder to look in was given", escaped(name)));
    if (!fs::is_directory(folder, error))
        throw Error(ErrorCode::NotFound, folder, {}, fmt::format("is no folder; the data set '{}' was to be found there", escaped(name)));
    if (isKnown && !layout->hasTest && split == DataSplit::Test)
        split = DataSplit::Validation;
    SplitSearch search{.folder = folder,
                       .name = std::string(name),
                       .subfolders = {std::string(name)},
                       .words = splitWords(std::string(toString(split))),
                       .extensions = {".jsonl", ".json", ".txt", ".raw"}};
    if (isKnown) {
        search.subfolders.insert(search.subfolders.end(), layout->folders.begin(), layout->folders.end());
        const auto &files = layout->files[static_cast<std::size_t>(split)];
        search.files.assign(files.begin(), files.end());
    }
    if (const std::string found = search.find(); !found.empty())
        return {.path = found, .dataSet = std::string(name), .split = std::string(toString(split))};
    std::vector<std::string> names;
    for (const DataSetInfo &info : dataSets())
        names.emplace_back(info.name);
    const std::string near = isKnown ? std::string() : nearest(name, names);
    throw Error(ErrorCode::NotFound, folder, fmt::format("data set '{}', {} split", name, toString(split)),
                search.nothingFound() + (near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace lqer
