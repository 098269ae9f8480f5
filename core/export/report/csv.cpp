// SPDX-License-Identifier: Apache-2.0
#include "core/export/report/csv.h"

#include <fmt/format.h>

#include "core/base/check.h"

namespace lqer {

namespace {

std::string quoted(std::string_view text)
{
    if (text.find_first_of(",\"\r\n") == std::string_view::npos)
        return std::string(text);
    std::string out(1, '"');
    for (const char c : text)
        out.append(c == '"' ? 2 : 1, c);
    out.push_back('"');
    return out;
}

}  // namespace

CsvTable::CsvTable(const std::vector<std::string> &header) : m_columns(header.size())
{
    for (const std::string &name : header)
        field(name);
    endRow();
}

CsvTable &CsvTable::text(std::string_view value)
{
    const bool formula = !value.empty() && std::string_view("=+-@\t\r").find(value.front()) != std::string_view::npos;
    field(formula ? fmt::format("'{}", value) : std::string(value));
    return *this;
}

CsvTable &CsvTable::number(double value)
{
    field(fmt::format("{}", value));
    return *this;
}

CsvTable &CsvTable::integer(std::int64_t value)
{
    field(fmt::format("{}", value));
    return *this;
}

CsvTable &CsvTable::number(const std::optional<double> &value)
{
    return value ? number(*value) : nothing();
}

CsvTable &CsvTable::nothing()
{
    field({});
    return *this;
}

void CsvTable::field(std::string_view plain)
{
    if (m_fields++ > 0)
        m_text += ',';
    m_text += quoted(plain);
}

void CsvTable::endRow()
{
    LQER_ASSERT(m_fields == m_columns);
    m_fields = 0;
    m_text += "\r\n";
}

}  // namespace lqer
