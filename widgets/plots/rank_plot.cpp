// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/rank_plot.h"

#include <QKeyEvent>
#include <QWheelEvent>
#include <qcustomplot.h>

#include <algorithm>
#include <cmath>

#include "widgets/theme/theme.h"

namespace lqer {

namespace {

// Rank 0 has no place on a logarithmic axis: it stands at the left edge of the first component's cell.
double markerCoordinate(int rank)
{
    return rank + 0.5;
}

constexpr int grabDistance = 6;  // pixels

}  // namespace

RankPlot::RankPlot(QWidget *parent) : Plot(parent)
{
    QCustomPlot *plot = canvas();
    makeLogarithmic(plot->xAxis);
    plot->xAxis->setLabel(tr("component (rank)"));

    m_kept = new QCPItemRect(plot);
    m_line = new QCPItemStraightLine(plot);
    m_flag = new QCPItemText(plot);
    for (QCPAbstractItem *item : {static_cast<QCPAbstractItem *>(m_kept), static_cast<QCPAbstractItem *>(m_line), static_cast<QCPAbstractItem *>(m_flag)}) {
        item->setLayer(overlay());
        item->setSelectable(false);
        item->setVisible(false);
    }
    m_kept->topLeft->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_kept->topLeft->setTypeY(QCPItemPosition::ptAxisRectRatio);
    m_kept->topLeft->setCoords(0, 0);
    m_kept->bottomRight->setTypeX(QCPItemPosition::ptPlotCoords);
    m_kept->bottomRight->setTypeY(QCPItemPosition::ptAxisRectRatio);
    m_line->point1->setTypeY(QCPItemPosition::ptAxisRectRatio);
    m_line->point2->setTypeY(QCPItemPosition::ptAxisRectRatio);
    m_flag->setPadding(QMargins(5, 2, 5, 2));
    m_flag->position->setType(QCPItemPosition::ptAbsolute);
    m_flag->setPositionAlignment(Qt::AlignLeft | Qt::AlignTop);
    connect(plot, &QCustomPlot::afterLayout, this, &RankPlot::placeFlag);
    plot->axisRect()->setAutoMargins(QCP::msTop | QCP::msBottom);
    fixMargins();
    RankPlot::restyle();
}

void RankPlot::restyle()
{
    const Theme &t = theme();
    QColor fill = t.accent;
    fill.setAlpha(26);
    m_kept->setBrush(fill);
    m_kept->setPen(Qt::NoPen);
    m_line->setPen(QPen(t.accent, 2));
    m_flag->setBrush(t.accent);
    m_flag->setColor(t.accentText);
    m_flag->setPen(Qt::NoPen);
}

void RankPlot::fixMargins()
{
    // Room for a tick label and the axis title, the same in every plot of ranks, so that their markers stand above each other.
    const QFontMetrics metrics(canvas()->xAxis->tickLabelFont());
    const int side = metrics.horizontalAdvance(QStringLiteral("0.0001")) + metrics.height() + 18;
    canvas()->axisRect()->setMargins(QMargins(side, 0, side, 0));
}

void RankPlot::changeEvent(QEvent *event)
{
    if (event->type() == QEvent::FontChange)
        fixMargins();
    Plot::changeEvent(event);
}

void RankPlot::shareRanksWith(RankPlot &other)
{
    const auto follow = [](RankPlot &leader, RankPlot &follower) {
        connect(leader.canvas()->xAxis, qOverload<const QCPRange &>(&QCPAxis::rangeChanged), &follower, [&follower](const QCPRange &range) {
            if (follower.canvas()->xAxis->range() == range)
                return;
            follower.canvas()->xAxis->setRange(range);
            follower.queueReplot();
        });
    };
    follow(*this, other);
    follow(other, *this);
}

void RankPlot::showRanks(double most)
{
    // From rank 0, which stands half a component before the first.
    canvas()->xAxis->setRange(0.45, most * 1.1);
}

void RankPlot::setMaximumRank(int maximum)
{
    m_maximum = std::max(0, maximum);
    m_rank = std::min(m_rank, m_maximum);
    updateMarker();
}

void RankPlot::setRank(int rank)
{
    rank = std::clamp(rank, 0, m_maximum);
    if (rank == m_rank)
        return;
    m_rank = rank;
    updateMarker();
}

double RankPlot::markerPixel() const
{
    return canvas()->xAxis->coordToPixel(markerCoordinate(m_rank));
}

void RankPlot::updateMarker()
{
    const bool shown = m_maximum > 0;
    m_kept->setVisible(shown);
    m_line->setVisible(shown);
    m_flag->setVisible(shown);
    if (shown) {
        const double x = markerCoordinate(m_rank);
        m_kept->bottomRight->setCoords(x, 1);
        m_line->point1->setCoords(x, 0);
        m_line->point2->setCoords(x, 1);
        m_flag->setText(describeRank(m_rank));
        placeFlag();
    }
    replotOverlay();
}

void RankPlot::placeFlag()
{
    // Hangs right of the marker, or left where there is no room, and never leaves the plot.
    const QRect area = canvas()->axisRect()->rect();
    const QMargins padding = m_flag->padding();
    const double width = QFontMetricsF(m_flag->font()).horizontalAdvance(m_flag->text()) + padding.left() + padding.right() + 2;
    const double marker = markerPixel();
    const double wished = marker + width <= area.right() ? marker : marker - width;
    m_flag->position->setCoords(std::max<double>(area.left(), std::min(wished, area.right() - width)), area.top());
}

bool RankPlot::nearMarker(const QPoint &position) const
{
    return m_maximum > 0 && canvas()->axisRect()->rect().contains(position) && std::abs(position.x() - markerPixel()) <= grabDistance;
}

int RankPlot::rankAt(const QPoint &position) const
{
    const double coordinate = canvas()->xAxis->pixelToCoord(position.x());
    return std::clamp(static_cast<int>(std::lround(std::min(coordinate - 0.5, 1e9))), 0, m_maximum);
}

void RankPlot::moveTo(int rank)
{
    rank = std::clamp(rank, 0, m_maximum);
    if (rank == m_rank)
        return;
    setRank(rank);
    emit rankMoved(rank);
}

bool RankPlot::pressed(const QPoint &position)
{
    const bool jump = QGuiApplication::keyboardModifiers().testFlag(Qt::ControlModifier) && canvas()->axisRect()->rect().contains(position);
    m_dragging = m_maximum > 0 && (jump || nearMarker(position));
    if (jump)
        moveTo(rankAt(position));
    return m_dragging;
}

bool RankPlot::moved(const QPoint &position)
{
    if (!m_dragging) {
        canvas()->setCursor(nearMarker(position) ? Qt::SizeHorCursor : Qt::ArrowCursor);
        return false;
    }
    moveTo(rankAt(position));
    return true;
}

bool RankPlot::released(const QPoint &position)
{
    Q_UNUSED(position)
    if (!m_dragging)
        return false;
    m_dragging = false;
    emit rankChosen(m_rank);
    return true;
}

void RankPlot::keyPressEvent(QKeyEvent *event)
{
    int step = 0;
    switch (event->key()) {
    case Qt::Key_Left: step = -1; break;
    case Qt::Key_Right: step = 1; break;
    case Qt::Key_PageUp: step = 8; break;
    case Qt::Key_PageDown: step = -8; break;
    default: Plot::keyPressEvent(event); return;
    }
    moveTo(m_rank + step);
    emit rankChosen(m_rank);
}

bool RankPlot::eventFilter(QObject *watched, QEvent *event)
{
    if (watched == canvas() && event->type() == QEvent::Wheel) {
        auto *wheel = static_cast<QWheelEvent *>(event);
        if (wheel->modifiers().testFlag(Qt::ShiftModifier) && m_maximum > 0) {
            // Some platforms turn Shift+wheel into a horizontal one.
            const int delta = wheel->angleDelta().y() != 0 ? wheel->angleDelta().y() : wheel->angleDelta().x();
            moveTo(m_rank + (delta > 0 ? 1 : -1));
            emit rankChosen(m_rank);
            return true;
        }
    }
    return Plot::eventFilter(watched, event);
}

}  // namespace lqer
