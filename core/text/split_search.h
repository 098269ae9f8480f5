// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace lqer {

// Where a split of a data set or a task may lie in a folder, each also with ".gz": one of `files`, or NAME.WORD.EXT, in the folder itself; one of
// `files`, or WORD.EXT, in a subfolder.
struct SplitSearch {
    std::string folder;
    std::string name;
    std::vector<std::string> subfolders;
    std::vector<std::string> words;       // names of the split: "validation", "valid"
    std::vector<std::string> extensions;  // ".jsonl"
    std::vector<std::string> files = {};

    // The first one that is there, or "".
    std::string find() const;
    // "found neither A, B; nor, in C, D: E, F; with or without .gz", with a hint where there are Parquet files; for the error.
    std::string nothingFound() const;
};

// Names a split goes by: "validation" is also "valid".
std::vector<std::string> splitWords(const std::string &split);

}  // namespace lqer
