// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/text/text_source.h"

namespace lqer {

enum class DataSplit { Train, Validation, Test };
std::string_view toString(DataSplit split);  // "train", "validation", "test"
// Throws Error(Argument) naming the known ones; "valid" is "validation".
DataSplit dataSplitFromString(std::string_view name);

// A data set of the papers' code that is known by name.
struct DataSetInfo {
    std::string_view name;     // "slim_pajama_6b"
    std::string_view meaning;  // what it is and where it comes from, one line
};
std::span<const DataSetInfo> dataSets();

// The file in `folder` that holds a split of a data set, as published or written by to_json() of Hugging Face's datasets, compressed (.gz) or not.
// name: one of dataSets(); a file's path, absolute or in the folder (`split` says nothing then); or any NAME, whose splits are NAME.SPLIT.EXT or
// NAME/SPLIT.EXT with .jsonl, .json, .txt or .raw. A published data set without a test split (c4) gives its validation split for it, and the
// source says so. Throws Error(NotFound) listing what was looked for.
TextSource findDataSet(const std::string &folder, std::string_view name, DataSplit split);

}  // namespace lqer
