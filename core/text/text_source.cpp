// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/text/token_windows.h"

namespace lqer {

namespace {

constexpr std::uint64_t textLimit = 1ULL << 30;

bool isJsonl(const TextSource &source)
{
    return source.path.ends_with(".jsonl") || source.path.ends_with(".ndjson");
}

std::string readText(const TextSource &source)
{
    std::string text = readTextFile(source.path, textLimit);
    if (text.empty())
        throw Error(ErrorCode::Format, source.path, {}, "is empty (0 bytes)");
    std::size_t badByte = 0;
    if (!isValidUtf8(text, &badByte))
        throw Error(ErrorCode::Format, source.path, fmt::format("byte {}", badByte), "invalid UTF-8");
    return text;
}

// Lines with their line feed.
std::vector<std::string_view> linesOf(std::string_view text)
{
    std::vector<std::string_view> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
        lines.push_back(text.substr(at, end - at));
        at = end;
    }
    return lines;
}

std::vector<std::string> readJsonl(const TextSource &source)
{
    const std::string text = readText(source);
    std::vector<std::string> values;
    const std::vector<std::string_view> lines = linesOf(text);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (lines[i].find_first_not_of(" \t\r\n") == std::string_view::npos)
            continue;
        const std::string place = fmt::format("{}, line {}", source.path, i + 1);
        const Json json = parseJson(lines[i], place);
        values.push_back(JsonReader(json, place)[source.jsonField].string());
    }
    if (values.empty())
        throw Error(ErrorCode::Format, source.path, {}, "has no lines with JSON");
    return values;
}

}  // namespace

std::vector<std::string> readRows(const TextSource &source)
{
    if (isJsonl(source))
        return readJsonl(source);
    const std::string text = readText(source);
    const std::vector<std::string_view> lines = linesOf(text);
    return {lines.begin(), lines.end()};
}

std::vector<std::string> readDocuments(const TextSource &source)
{
    if (isJsonl(source))
        return readJsonl(source);
    return {readText(source)};
}

}  // namespace lqer
