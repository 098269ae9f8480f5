// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lqer {

// A table as RFC 4180 has it: commas, CRLF, fields quoted where they must be. Numbers are written so that reading gives the same bits. A text
// that a spreadsheet would take for a formula (it begins with = + - @) gets an apostrophe in front.
class CsvTable {
public:
    explicit CsvTable(const std::vector<std::string> &header);

    CsvTable &text(std::string_view value);
    CsvTable &number(double value);  // "inf" and "nan" for what is no number
    CsvTable &integer(std::int64_t value);
    CsvTable &number(const std::optional<double> &value);  // nothing: an empty field
    CsvTable &nothing();
    // Asserts that the row has as many fields as the header.
    void endRow();

    const std::string &toString() const { return m_text; }

private:
    void field(std::string_view plain);

    std::string m_text;
    std::size_t m_columns;
    std::size_t m_fields = 0;
};

}  // namespace lqer
