// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lqer {

// Rows of a text. A text file's rows are its lines with their line feed kept; of JSON lines (.jsonl, .ndjson, .json), the named field of each line.
// Either may be compressed (.gz).
struct TextSource {
    std::string path;
    std::string jsonField = "text";
    // Where findDataSet() found it, for reports: "wikitext2", "test". Empty for a file by its path.
    std::string dataSet = {};
    std::string split = {};
};

bool isJsonLines(const TextSource &source);

// maxRows: only the first so many; 0: all. Throws Error(Format) for an empty file, invalid UTF-8 (naming the byte), broken JSON (naming the line)
// and more than 1 GiB of text.
std::vector<std::string> readRows(const TextSource &source, std::int64_t maxRows = 0);
// The documents the rows are: the whole text for a text file, one per line for JSON lines. count: gets the number of rows.
std::vector<std::string> readDocuments(const TextSource &source, std::int64_t maxRows = 0, std::int64_t *count = nullptr);

}  // namespace lqer
