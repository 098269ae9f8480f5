// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/csv_table.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"

namespace lqer {

namespace {

constexpr std::uint64_t mostBytes = 64ULL << 20;

[[noreturn]] void fail(const std::string &file, std::size_t line, const std::string &message)
{
    throw Error(ErrorCode::Format, file, fmt::format("line {}", line), message);
}

std::vector<std::string> split(std::string_view text, char separator)
{
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(separator, begin), text.size());
        parts.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

template <typename Number>
Number parsed(const std::string &field, const std::string &file, std::size_t line)
{
    Number value = 0;
    const auto [stop, fault] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (field.empty() || stop != field.data() + field.size() || fault != std::errc())
        fail(file, line, fmt::format("'{}' is no number", escaped(field, 60)));
    return value;
}

}  // namespace

CsvRow::CsvRow(std::string file, std::size_t line, std::vector<std::string> fields)
    : m_file(std::move(file)), m_line(line), m_fields(std::move(fields))
{
}

double CsvRow::number(std::size_t column) const
{
    return parsed<double>(m_fields[column], m_file, m_line);
}

std::int64_t CsvRow::integer(std::size_t column) const
{
    return parsed<std::int64_t>(m_fields[column], m_file, m_line);
}

std::vector<CsvRow> readCsv(const std::string &path, std::string_view header)
{
    std::vector<std::string> lines = split(readTextFile(path, mostBytes), '\n');
    if (lines.back().empty())
        lines.pop_back();
    if (lines.empty() || lines.front() != header)
        fail(path, 1, fmt::format("expected the columns {}", header));
    const std::size_t columns = split(header, ',').size();
    std::vector<CsvRow> rows;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        std::vector<std::string> fields = split(lines[i], ',');
        if (fields.size() != columns)
            fail(path, i + 1, fmt::format("{} fields were expected, found {}", columns, fields.size()));
        rows.emplace_back(path, i + 1, std::move(fields));
    }
    return rows;
}

}  // namespace lqer
