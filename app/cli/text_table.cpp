// SPDX-License-Identifier: Apache-2.0
#include "app/cli/text_table.h"

#include <algorithm>

#include "core/base/check.h"

namespace lqer::cli {

namespace {

std::size_t width(const std::string &text)
{
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string &text, std::size_t columns, TextTable::Align align)
{
    const std::string space(columns - std::min(columns, width(text)), ' ');
    return align == TextTable::Align::Left ? text + space : space + text;
}

void appendLine(std::string &out, std::string line)
{
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
}

}  // namespace

TextTable::TextTable(std::vector<Column> columns) : m_columns(std::move(columns))
{
}

void TextTable::addRow(std::vector<std::string> cells)
{
    LQER_ASSERT(!m_columns.empty() && cells.size() <= m_columns.size());
    cells.resize(m_columns.size());
    m_rows.push_back(std::move(cells));
}

void TextTable::addRule()
{
    m_rows.emplace_back();
}

std::string TextTable::toString() const
{
    const std::string gap = "  ";
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < m_columns.size(); ++c) {
        std::size_t w = width(m_columns[c].title);
        for (const auto &row : m_rows)
            w = std::max(w, row.empty() ? 0 : width(row[c]));
        widths.push_back(w);
    }

    // A group's heading may be wider than its columns: the last one gets the rest.
    std::string groups;
    bool anyGroup = false;
    for (std::size_t c = 0; c < m_columns.size();) {
        const std::string &group = m_columns[c].group;
        std::size_t end = c + 1, span = widths[c];
        for (; end < m_columns.size() && !group.empty() && m_columns[end].group == group; ++end)
            span += gap.size() + widths[end];
        if (width(group) > span) {
            widths[end - 1] += width(group) - span;
            span = width(group);
        }
        // "── title ──" where there is room for it.
        std::string heading = group;
        if (const std::size_t room = span - width(group); !group.empty() && room >= 4) {
            heading = ' ' + group + ' ';
            for (std::size_t d = 2; d < room; ++d)
                heading = d % 2 == 0 ? heading + "─" : "─" + heading;
        }
        groups += padded(heading, span, Align::Left) + gap;
        anyGroup = anyGroup || !group.empty();
        c = end;
    }

    std::string out;
    if (anyGroup)
        appendLine(out, groups);
    std::string titles, rule;
    for (std::size_t c = 0; c < m_columns.size(); ++c) {
        titles += padded(m_columns[c].title, widths[c], m_columns[c].align) + gap;
        for (std::size_t d = 0; d < widths[c]; ++d)
            rule += "─";
        rule += gap;
    }
    appendLine(out, titles);
    appendLine(out, rule);
    for (const auto &row : m_rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c)
            line += padded(row[c], widths[c], m_columns[c].align) + gap;
        appendLine(out, row.empty() ? rule : line);
    }
    return out;
}

}  // namespace lqer::cli
