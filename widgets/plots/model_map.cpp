// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/model_map.h"

#include <QAccessible>
#include <QHelpEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>

#include <algorithm>
#include <cmath>
#include <limits>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

namespace {

constexpr double scaleHeight = 34;
constexpr double gap = 1;

}  // namespace

ModelMap::ModelMap(QWidget *parent) : QWidget(parent)
{
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    setAttribute(Qt::WA_OpaquePaintEvent);
    setAccessibleName(tr("Model map"));
    setAccessibleDescription(tr("Blocks by roles, coloured by the chosen metric. Arrow keys move, Space selects."));
}

QSize ModelMap::sizeHint() const
{
    return {360, 60 + 22 * std::clamp<int>(static_cast<int>(m_rows.size()), 4, 16)};
}

void ModelMap::setAxes(QStringList rowTitles, QStringList columnTitles)
{
    m_rows = std::move(rowTitles);
    m_columns = std::move(columnTitles);
    m_cells.clear();
    m_grid.assign(static_cast<std::size_t>(m_rows.size() * m_columns.size()), -1);
    m_selection.clear();
    m_current = m_hovered = -1;
    updateGeometry();
    update();
}

void ModelMap::setMetric(const QString &title, bool logarithmic, std::function<QString(double)> text)
{
    m_metric = title;
    m_text = std::move(text);
    m_logarithmic = logarithmic;
    update();
}

void ModelMap::setCells(std::vector<Cell> cells)
{
    m_cells = std::move(cells);
    std::fill(m_grid.begin(), m_grid.end(), -1);
    m_low = std::numeric_limits<double>::infinity();
    m_high = -m_low;
    for (std::size_t i = 0; i < m_cells.size(); ++i) {
        const Cell &cell = m_cells[i];
        const auto place = static_cast<std::size_t>(cell.row * m_columns.size() + cell.column);
        if (cell.row < 0 || cell.column < 0 || cell.column >= m_columns.size() || place >= m_grid.size())
            continue;
        m_grid[place] = static_cast<int>(i);
        if (std::isfinite(cell.value) && (!m_logarithmic || cell.value > 0)) {
            m_low = std::min(m_low, cell.value);
            m_high = std::max(m_high, cell.value);
        }
    }
    std::erase_if(m_selection, [this](int cell) { return cell >= static_cast<int>(m_cells.size()); });
    update();
}

void ModelMap::setSelection(const std::vector<int> &cells)
{
    if (cells == m_selection)
        return;
    m_selection = cells;
    if (!cells.empty() && std::find(cells.begin(), cells.end(), m_current) == cells.end())
        m_current = cells.front();
    update();
}

int ModelMap::cellAt(int row, int column) const
{
    if (row < 0 || column < 0 || row >= m_rows.size() || column >= m_columns.size())
        return -1;
    return m_grid[static_cast<std::size_t>(row * m_columns.size() + column)];
}

QRectF ModelMap::gridRect() const
{
    const QFontMetricsF metrics(font());
    double left = 0;
    for (const QString &title : m_rows)
        left = std::max(left, metrics.horizontalAdvance(title));
    return QRectF(rect()).adjusted(left + 14, metrics.height() + 10, -8, -scaleHeight - 6);
}

QRectF ModelMap::scaleRect() const
{
    const QRectF grid = gridRect();
    return {grid.left(), height() - scaleHeight + 2, std::min(grid.width(), 260.0), 10};
}

QRectF ModelMap::cellRect(int row, int column) const
{
    const QRectF grid = gridRect();
    const double cellWidth = grid.width() / std::max<qsizetype>(1, m_columns.size());
    const double cellHeight = grid.height() / std::max<qsizetype>(1, m_rows.size());
    return QRectF(grid.left() + column * cellWidth, grid.top() + row * cellHeight, cellWidth, cellHeight).adjusted(gap / 2, gap / 2, -gap / 2, -gap / 2);
}

int ModelMap::cellAtPoint(const QPointF &point) const
{
    const QRectF grid = gridRect();
    if (!grid.contains(point) || m_columns.isEmpty() || m_rows.isEmpty())
        return -1;
    return cellAt(static_cast<int>((point.y() - grid.top()) / grid.height() * static_cast<double>(m_rows.size())),
                  static_cast<int>((point.x() - grid.left()) / grid.width() * static_cast<double>(m_columns.size())));
}

double ModelMap::fraction(double value) const
{
    if (!(m_high > m_low))
        return 0.5;
    return m_logarithmic ? std::log(value / m_low) / std::log(m_high / m_low) : (value - m_low) / (m_high - m_low);
}

void ModelMap::paintEvent(QPaintEvent *)
{
    const Theme &t = theme();
    QPainter painter(this);
    painter.fillRect(rect(), t.panel);
    if (m_rows.isEmpty() || m_columns.isEmpty()) {
        painter.setPen(t.mutedText);
        painter.drawText(rect(), Qt::AlignCenter, tr("Open a checkpoint to see its layers"));
        return;
    }
    const QFontMetricsF metrics(font());
    painter.setPen(t.mutedText);
    for (int column = 0; column < m_columns.size(); ++column) {
        const QRectF cell = cellRect(0, column);
        painter.drawText(QRectF(cell.left() - 20, 2, cell.width() + 40, metrics.height() + 4), Qt::AlignCenter, m_columns[column]);
    }
    const double rowHeight = gridRect().height() / static_cast<double>(m_rows.size());
    const int labelEvery = std::max(1, static_cast<int>(std::ceil(metrics.height() / std::max(1.0, rowHeight))));
    for (int row = 0; row < m_rows.size(); ++row) {
        if (row % labelEvery == 0) {
            const QRectF cell = cellRect(row, 0);
            painter.drawText(QRectF(2, cell.center().y() - metrics.height() / 2, gridRect().left() - 8, metrics.height()), Qt::AlignRight | Qt::AlignVCenter, m_rows[row]);
        }
    }

    const double devicePixel = 1.0 / devicePixelRatioF();
    QFont small = font();
    small.setPointSizeF(font().pointSizeF() * 0.85);
    const QFontMetricsF smallMetrics(small);
    painter.setFont(small);
    for (int row = 0; row < m_rows.size(); ++row) {
        for (int column = 0; column < m_columns.size(); ++column) {
            const int index = cellAt(row, column);
            if (index < 0)
                continue;
            const Cell &cell = m_cells[static_cast<std::size_t>(index)];
            const QRectF box = cellRect(row, column);
            const bool known = std::isfinite(cell.value) && (!m_logarithmic || cell.value > 0);
            const QColor color = known ? t.sequential(fraction(cell.value)) : t.base;
            painter.fillRect(box, color);
            if (!known)
                painter.fillRect(box, QBrush(t.grid, Qt::BDiagPattern));
            if (smallMetrics.horizontalAdvance(cell.text) + 4 <= box.width() && smallMetrics.height() <= box.height() + 2) {
                painter.setPen(known ? t.textOn(color) : t.mutedText);
                painter.drawText(box, Qt::AlignCenter, cell.text);
            }
            const bool selected = std::find(m_selection.begin(), m_selection.end(), index) != m_selection.end();
            if (selected) {
                painter.setPen(QPen(t.accent, 3));
                painter.drawRect(box.adjusted(1.5, 1.5, -1.5, -1.5));
                painter.setPen(QPen(t.accentText, 1));
                painter.drawRect(box.adjusted(3.5, 3.5, -3.5, -3.5));
            } else if (index == m_hovered) {
                painter.setPen(QPen(t.text, 1));
                painter.drawRect(box.adjusted(devicePixel, devicePixel, -devicePixel, -devicePixel));
            }
            if (index == m_current && hasFocus()) {
                painter.setPen(QPen(t.text, 1, Qt::DotLine));
                painter.drawRect(box.adjusted(-0.5, -0.5, 0.5, 0.5));
            }
        }
    }

    painter.setFont(font());
    const QRectF scale = scaleRect();
    if (m_high >= m_low) {
        QLinearGradient gradient(scale.topLeft(), scale.topRight());
        for (int i = 0; i <= 8; ++i)
            gradient.setColorAt(i / 8.0, t.sequential(i / 8.0));
        painter.fillRect(scale, gradient);
        painter.setPen(t.mutedText);
        const QRectF below(scale.left(), scale.bottom() + 2, width() - scale.left() - 8, metrics.height());
        const auto text = [this](double value) { return m_text ? m_text(value) : numberText(value); };
        painter.drawText(below, Qt::AlignLeft, text(m_low));
        painter.drawText(QRectF(scale.left(), below.top(), scale.width(), below.height()), Qt::AlignRight, text(m_high));
        const QRectF beside(scale.right() + 10, scale.top() - 5, width() - scale.right() - 14, metrics.height() + 4);
        painter.drawText(beside, Qt::AlignLeft | Qt::AlignVCenter, metrics.elidedText(m_metric, Qt::ElideRight, beside.width()));
    }
}

void ModelMap::choose(int cell, Qt::KeyboardModifiers modifiers)
{
    if (cell < 0)
        return;
    std::vector<int> chosen = m_selection;
    if (modifiers.testFlag(Qt::ControlModifier)) {
        const auto found = std::find(chosen.begin(), chosen.end(), cell);
        if (found == chosen.end())
            chosen.push_back(cell);
        else
            chosen.erase(found);
    } else if (modifiers.testFlag(Qt::ShiftModifier) && m_current >= 0) {
        const Cell &from = m_cells[static_cast<std::size_t>(m_current)];
        const Cell &to = m_cells[static_cast<std::size_t>(cell)];
        chosen.clear();
        for (int row = std::min(from.row, to.row); row <= std::max(from.row, to.row); ++row)
            for (int column = std::min(from.column, to.column); column <= std::max(from.column, to.column); ++column)
                if (const int inside = cellAt(row, column); inside >= 0)
                    chosen.push_back(inside);
    } else {
        chosen = {cell};
    }
    if (!modifiers.testFlag(Qt::ShiftModifier))
        m_current = cell;
    m_selection = std::move(chosen);
    update();
    emit selectionChanged(m_selection);
    QAccessibleEvent changed(this, QAccessible::SelectionWithin);
    QAccessible::updateAccessibility(&changed);
}

void ModelMap::mousePressEvent(QMouseEvent *event)
{
    if (event->button() == Qt::LeftButton)
        choose(cellAtPoint(event->position()), event->modifiers());
}

void ModelMap::mouseDoubleClickEvent(QMouseEvent *event)
{
    if (const int cell = cellAtPoint(event->position()); cell >= 0)
        emit activated(cell);
}

void ModelMap::mouseMoveEvent(QMouseEvent *event)
{
    const int cell = cellAtPoint(event->position());
    if (cell != m_hovered) {
        m_hovered = cell;
        update();
    }
}

void ModelMap::leaveEvent(QEvent *)
{
    m_hovered = -1;
    update();
}

void ModelMap::keyPressEvent(QKeyEvent *event)
{
    int rowStep = 0;
    int columnStep = 0;
    switch (event->key()) {
    case Qt::Key_Left: columnStep = -1; break;
    case Qt::Key_Right: columnStep = 1; break;
    case Qt::Key_Up: rowStep = -1; break;
    case Qt::Key_Down: rowStep = 1; break;
    case Qt::Key_Space: choose(m_current, event->modifiers() | Qt::ControlModifier); return;
    case Qt::Key_Return:
    case Qt::Key_Enter:
        if (m_current >= 0)
            emit activated(m_current);
        return;
    default: QWidget::keyPressEvent(event); return;
    }
    if (m_cells.empty())
        return;
    if (m_current < 0) {
        choose(0, Qt::NoModifier);
        return;
    }
    const Cell &from = m_cells[static_cast<std::size_t>(m_current)];
    const int next = cellAt(from.row + rowStep, from.column + columnStep);
    if (next < 0)
        return;
    if (event->modifiers().testFlag(Qt::ControlModifier)) {
        m_current = next;
        update();
    } else {
        choose(next, event->modifiers());
    }
}

bool ModelMap::event(QEvent *event)
{
    if (event->type() == QEvent::ToolTip) {
        auto *help = static_cast<QHelpEvent *>(event);
        const int cell = cellAtPoint(help->pos());
        if (cell < 0)
            QToolTip::hideText();
        else
            QToolTip::showText(help->globalPos(), QStringLiteral("<p style='white-space:pre'>") + m_cells[static_cast<std::size_t>(cell)].tip.toHtmlEscaped() + QStringLiteral("</p>"), this);
        return true;
    }
    return QWidget::event(event);
}

}  // namespace lqer
