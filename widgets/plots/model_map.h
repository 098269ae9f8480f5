// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStringList>
#include <QWidget>

#include <functional>
#include <vector>

namespace lqer {

// The whole model at a glance: one row per block, one column per role, one colour per cell by whatever metric is chosen. Click
// selects (Ctrl adds, Shift extends), arrows move, Space toggles. Every cell also carries its number where it fits, so colour
// is never the only way to read it.
class ModelMap : public QWidget {
    Q_OBJECT

public:
    struct Cell {
        int row = 0;
        int column = 0;
        double value = 0;   // NaN: not known yet (hatched)
        QString text;       // the number as shown
        QString tip;        // plain text
    };

    explicit ModelMap(QWidget *parent = nullptr);

    void setAxes(QStringList rowTitles, QStringList columnTitles);
    // text: a value as the scale shows it.
    void setMetric(const QString &title, bool logarithmic, std::function<QString(double)> text);
    void setCells(std::vector<Cell> cells);
    // Indices into the cells, as last given.
    void setSelection(const std::vector<int> &cells);
    const std::vector<int> &selection() const { return m_selection; }
    // Index of the cell at a row and column, -1 where the model has none.
    int cellAt(int row, int column) const;
    QRectF cellRect(int row, int column) const;

    QSize sizeHint() const override;
    QSize minimumSizeHint() const override { return {180, 120}; }

signals:
    void selectionChanged(const std::vector<int> &cells);
    void activated(int cell);

protected:
    void paintEvent(QPaintEvent *event) override;
    void mousePressEvent(QMouseEvent *event) override;
    void mouseMoveEvent(QMouseEvent *event) override;
    void mouseDoubleClickEvent(QMouseEvent *event) override;
    void keyPressEvent(QKeyEvent *event) override;
    void leaveEvent(QEvent *event) override;
    bool event(QEvent *event) override;

private:
    QRectF gridRect() const;
    QRectF scaleRect() const;
    int cellAtPoint(const QPointF &point) const;
    double fraction(double value) const;
    void choose(int cell, Qt::KeyboardModifiers modifiers);

    QStringList m_rows;
    QStringList m_columns;
    QString m_metric;
    std::function<QString(double)> m_text;
    bool m_logarithmic = false;
    std::vector<Cell> m_cells;
    std::vector<int> m_grid;  // rows x columns -> index of the cell or -1
    double m_low = 0;
    double m_high = 1;
    std::vector<int> m_selection;
    int m_current = -1;
    int m_hovered = -1;
};

}  // namespace lqer
