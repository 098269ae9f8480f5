// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/runs_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

namespace {

constexpr double megabyte = 1e6;

}  // namespace

RunsPlot::RunsPlot(QWidget *parent) : Plot(parent)
{
    QCustomPlot *plot = canvas();
    m_front = plot->addGraph();
    m_runs = plot->addGraph();
    m_current = plot->addGraph();
    m_front->setName(tr("best at its size"));
    m_runs->setName(tr("runs"));
    m_current->setName(tr("present recipe"));
    m_runs->setLineStyle(QCPGraph::lsNone);
    m_current->setLineStyle(QCPGraph::lsNone);
    m_front->setLineStyle(QCPGraph::lsStepLeft);
    plot->xAxis->setLabel(tr("size of the model, MB"));
    plot->yAxis->setLabel(tr("perplexity"));
    plot->legend->setVisible(true);
    m_line = new QCPItemStraightLine(plot);
    m_line->point1->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_line->point2->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_line->setSelectable(false);
    m_lineLabel = new QCPItemText(plot);
    m_lineLabel->position->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_lineLabel->setPositionAlignment(Qt::AlignLeft | Qt::AlignTop);  // runs are above the line
    m_lineLabel->setPadding(QMargins(6, 1, 0, 0));
    m_lineLabel->setText(tr("original model"));
    m_lineLabel->setSelectable(false);
    setAccessibleName(tr("Perplexity against size"));
    RunsPlot::restyle();
    connect(plot, &QCustomPlot::afterLayout, this, &RunsPlot::writeNumbers);
    setPoints({}, 0);
}

void RunsPlot::setPoints(QVector<Point> points, double original)
{
    m_points = std::move(points);
    m_original = original;
    std::sort(m_points.begin(), m_points.end(), [](const Point &a, const Point &b) { return std::tie(a.bytes, a.perplexity, a.number) < std::tie(b.bytes, b.perplexity, b.number); });
    QVector<QCPGraphData> all;
    QVector<QCPGraphData> front;
    QVector<QCPGraphData> current;
    double best = INFINITY;
    for (const Point &point : m_points) {
        const QCPGraphData data(point.bytes / megabyte, point.perplexity);
        (point.current ? current : all).append(data);
        if (point.perplexity < best) {
            best = point.perplexity;
            front.append(data);
        }
    }
    m_runs->data()->set(all, true);
    m_front->data()->set(front, true);
    m_current->data()->set(current, true);
    m_line->setVisible(original > 0);
    m_lineLabel->setVisible(original > 0);
    if (original > 0) {
        m_line->point1->setCoords(0, original);
        m_line->point2->setCoords(1, original);
        m_lineLabel->position->setCoords(0, original);
    }
    // A number beside each point is its row in the table.
    while (m_labels.size() > m_points.size())
        canvas()->removeItem(m_labels.takeLast());
    while (m_labels.size() < m_points.size()) {
        auto *label = new QCPItemText(canvas());
        label->setSelectable(false);
        label->setPositionAlignment(Qt::AlignLeft | Qt::AlignBottom);
        label->setPadding(QMargins(5, 0, 0, 3));
        m_labels.append(label);
    }
    for (int i = 0; i < m_points.size(); ++i) {
        m_labels[i]->position->setCoords(m_points[i].bytes / megabyte, m_points[i].perplexity);
    }
    showLegend();
    RunsPlot::restyle();
    setMessage(m_points.isEmpty() ? tr("Every evaluation adds a point here") : QString());
    resetView();
}

void RunsPlot::writeNumbers()
{
    // Points so near that their numbers would cover each other, as of the same recipe measured twice, share one label.
    const double room = QFontMetrics(canvas()->font()).height();
    QVector<QVector<int>> numbers(m_points.size());
    for (int i = 0; i < m_points.size(); ++i) {
        const QPointF place = m_labels[i]->position->pixelPosition();
        int head = 0;
        while (head < i && (numbers[head].isEmpty() || (m_labels[head]->position->pixelPosition() - place).manhattanLength() > room))
            ++head;
        numbers[head].append(m_points[i].number);
    }
    for (int i = 0; i < m_points.size(); ++i) {
        std::sort(numbers[i].begin(), numbers[i].end());
        QStringList words;
        for (const int number : numbers[i])
            words << QString::number(number);
        m_labels[i]->setText(words.join(QStringLiteral(", ")));
        m_labels[i]->setVisible(!words.isEmpty());
    }
}

void RunsPlot::showLegend()
{
    // In a small plot it would hide the points.
    canvas()->legend->setVisible(!m_points.isEmpty() && canvas()->width() > 420 && canvas()->height() > 240);
}

void RunsPlot::resizeEvent(QResizeEvent *event)
{
    Plot::resizeEvent(event);
    showLegend();
    canvas()->xAxis->ticker()->setTickCount(std::clamp(canvas()->width() / 90, 2, 6));
}

void RunsPlot::restyle()
{
    const Theme &t = theme();
    for (QCPItemText *label : m_labels)
        label->setColor(t.text);
    m_runs->setPen(QPen(t.series[0]));
    m_runs->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(t.series[0], 1.4), QBrush(t.base), 8));
    m_current->setPen(QPen(t.series[1]));
    m_current->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssDiamond, QPen(t.series[1], 1.4), QBrush(t.series[1]), 11));
    m_front->setPen(QPen(t.series[2], 1.2, Qt::DashLine));
    m_line->setPen(QPen(t.mutedText, 1, Qt::DashDotLine));
    m_lineLabel->setColor(t.mutedText);
}

void RunsPlot::resetView()
{
    double left = INFINITY;
    double right = 0;
    double low = m_original > 0 ? m_original : INFINITY;
    double high = m_original;
    for (const Point &point : m_points) {
        left = std::min(left, point.bytes / megabyte);
        right = std::max(right, point.bytes / megabyte);
        low = std::min(low, point.perplexity);
        high = std::max(high, point.perplexity);
    }
    if (!std::isfinite(left)) {
        left = 0;
        right = 1;
    }
    if (!std::isfinite(low)) {
        low = 0;
        high = 1;
    }
    const double padX = std::max((right - left) * 0.15, right * 0.03);
    const double padY = std::max((high - low) * 0.2, high * 0.01);
    canvas()->xAxis->setRange(left - padX, right + padX);
    canvas()->yAxis->setRange(low - padY, high + padY);
    queueReplot();
}

QString RunsPlot::describePosition(const QPointF &position) const
{
    // The nearest run within a few pixels.
    const Point *nearest = nullptr;
    double distance = 14;
    for (const Point &point : m_points) {
        const double dx = canvas()->xAxis->coordToPixel(point.bytes / megabyte) - canvas()->xAxis->coordToPixel(position.x());
        const double dy = canvas()->yAxis->coordToPixel(point.perplexity) - canvas()->yAxis->coordToPixel(position.y());
        if (std::hypot(dx, dy) < distance) {
            distance = std::hypot(dx, dy);
            nearest = &point;
        }
    }
    return nearest ? tr("%1: %2\nperplexity %3, %4").arg(nearest->number).arg(nearest->label, perplexityText(nearest->perplexity), bytesText(nearest->bytes)) : QString();
}

std::vector<PlotColumn> RunsPlot::columns() const
{
    PlotColumn bytes{tr("bytes"), {}};
    PlotColumn perplexity{tr("perplexity"), {}};
    for (const Point &point : m_points) {
        bytes.values.push_back(point.bytes);
        perplexity.values.push_back(point.perplexity);
    }
    return {bytes, perplexity};
}

}  // namespace lqer
