// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "app/cli/text_table.h"

using lqer::cli::TextTable;

class TestTextTable : public QObject {
    Q_OBJECT
private slots:
    void columnsAreAsWideAsTheirWidestCell();
    void charactersCountNotBytes();
    void groupsStandAboveTheirColumns();
    void aWideGroupWidensItsLastColumn();
    void linesHaveNoTrailingSpaces();
};

void TestTextTable::columnsAreAsWideAsTheirWidestCell()
{
    TextTable table({{"name", TextTable::Align::Left}, {"n"}});
    table.addRow({"a", "1"});
    table.addRow({"longer", "1000"});
    QCOMPARE(table.toString(), std::string("name       n\n"
                                           "──────  ────\n"
                                           "a          1\n"
                                           "longer  1000\n"));
}

void TestTextTable::charactersCountNotBytes()
{
    TextTable table({{"x"}, {"y"}});
    table.addRow({"1 ± 2", "z"});
    table.addRow({"12345", "z"});
    QCOMPARE(table.toString(), std::string("    x  y\n"
                                           "─────  ─\n"
                                           "1 ± 2  z\n"
                                           "12345  z\n"));
}

void TestTextTable::groupsStandAboveTheirColumns()
{
    TextTable table({{"k", TextTable::Align::Left}, {"plain", TextTable::Align::Right, "error"}, {"exact", TextTable::Align::Right, "error"}});
    table.addRow({"q", "1", "2"});
    QCOMPARE(table.toString(), std::string("   ── error ───\n"
                                           "k  plain  exact\n"
                                           "─  ─────  ─────\n"
                                           "q      1      2\n"));
}

void TestTextTable::aWideGroupWidensItsLastColumn()
{
    TextTable table({{"a", TextTable::Align::Right, "heading"}, {"b", TextTable::Align::Right, "heading"}, {"c"}});
    table.addRow({"1", "2", "3"});
    QCOMPARE(table.toString(), std::string("heading\n"
                                           "a     b  c\n"
                                           "─  ────  ─\n"
                                           "1     2  3\n"));
}

void TestTextTable::linesHaveNoTrailingSpaces()
{
    TextTable table({{"a", TextTable::Align::Left}, {"b", TextTable::Align::Left}});
    table.addRow({"1"});
    table.addRule();
    table.addRow({"2", "3"});
    for (const QString &line : QString::fromStdString(table.toString()).split('\n'))
        QVERIFY2(!line.endsWith(' '), qPrintable(line));
}

QTEST_GUILESS_MAIN(TestTextTable)
#include "tst_text_table.moc"
