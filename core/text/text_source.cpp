// SPDX-License-Identifier: Apache-2.0
#include "core/text/text_source.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/json.h"
#include "core/io/line_reader.h"

namespace lqer {

namespace {

constexpr std::uint64_t textLimit = 1ULL << 30;

// Calls row(line, reader) for the lines of the source until it says that it has enough.
template <typename Row>
void forEachLine(const TextSource &source, const Row &row)
{
    LineReader reader(source.path);
    std::string line;
    while (reader.next(line)) {
        if (reader.bytes() > textLimit)
            throw Error(ErrorCode::Format, source.path, {},
                        fmt::format("has more than {} of text: say how many rows are to be used", formatBytes(static_cast<double>(textLimit))));
        if (!row(line, reader))
            return;
    }
    if (reader.number() == 0)
        throw Error(ErrorCode::Format, source.path, {}, "is empty (0 bytes)");
}

}  // namespace

bool isJsonLines(const TextSource &source)
{
    return hasEnding(source.path, ".jsonl") || hasEnding(source.path, ".ndjson") || hasEnding(source.path, ".json");
}

std::vector<std::string> readRows(const TextSource &source, std::int64_t maxRows)
{
    std::vector<std::string> rows;
    const bool json = isJsonLines(source);
    forEachLine(source, [&](const std::string &line, const LineReader &reader) {
        if (!json) {
            rows.push_back(line);
        } else if (line.find_first_not_of(" \t\r\n") != std::string::npos) {
            const std::string place = reader.place();
            const Json value = parseJson(line, place);
            rows.push_back(JsonReader(value, place)[source.jsonField].string());
        }
        return maxRows <= 0 || static_cast<std::int64_t>(rows.size()) < maxRows;
    });
    if (rows.empty())
        throw Error(ErrorCode::Format, source.path, {}, "has no lines with JSON");
    return rows;
}

std::vector<std::string> readDocuments(const TextSource &source, std::int64_t maxRows, std::int64_t *count)
{
    std::vector<std::string> rows = readRows(source, maxRows);
    if (count)
        *count = static_cast<std::int64_t>(rows.size());
    if (isJsonLines(source))
        return rows;
    std::string text;
    for (const std::string &row : rows)
        text += row;
    return {std::move(text)};
}

}  // namespace lqer
