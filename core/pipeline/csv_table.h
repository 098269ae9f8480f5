// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lqer {

// A row of a table as the papers' code writes them: no quotes, no line feeds in fields.
class CsvRow {
public:
    CsvRow(std::string file, std::size_t line, std::vector<std::string> fields);

    const std::string &text(std::size_t column) const { return m_fields[column]; }
    // Throw Error(Format) naming file and line.
    double number(std::size_t column) const;
    std::int64_t integer(std::size_t column) const;

private:
    std::string m_file;
    std::size_t m_line;
    std::vector<std::string> m_fields;
};

// The rows below `header`, which the first line must be; each has as many fields. Throws Error(Format) naming file and line.
std::vector<CsvRow> readCsv(const std::string &path, std::string_view header);

}  // namespace lqer
