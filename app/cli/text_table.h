// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace lqer::cli {

// A table for a terminal: columns as wide as their widest cell, two spaces between them. Cells are UTF-8 without control characters;
// every character is taken to be one column wide.
class TextTable {
public:
    enum class Align { Left, Right };
    struct Column {
        std::string title;
        Align align = Align::Right;
        std::string group = {};  // neighbours of the same group share a heading above their titles
    };

    explicit TextTable(std::vector<Column> columns);
    // Missing cells are empty. At most as many as there are columns.
    void addRow(std::vector<std::string> cells);
    void addRule();
    bool isEmpty() const { return m_rows.empty(); }
    // Lines end with a line feed and have no trailing spaces.
    std::string toString() const;

private:
    std::vector<Column> m_columns;
    std::vector<std::vector<std::string>> m_rows;  // an empty row is a rule
};

}  // namespace lqer::cli
