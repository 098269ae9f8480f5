// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/matrix_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

namespace {

double binCentre(const MatrixPicture &picture, std::size_t bin)
{
    return picture.limit * (2.0 * (static_cast<double>(bin) + 0.5) / static_cast<double>(picture.histogram.size()) - 1.0);
}

}  // namespace

MatrixPicture pictureOf(const ConstMatrixRef &matrix, Index mostCells, int bins)
{
    MatrixPicture picture;
    picture.rows = matrix.rows();
    picture.columns = matrix.cols();
    const Index rows = std::min(mostCells, matrix.rows());
    const Index columns = std::min(mostCells, matrix.cols());
    picture.cells = MatrixF64::Zero(rows, columns);
    picture.histogram.assign(static_cast<std::size_t>(bins), 0.0);
    if (matrix.size() == 0)
        return picture;
    picture.limit = matrix.cwiseAbs().maxCoeff();
    const double scale = picture.limit > 0 ? bins / (2.0 * picture.limit) : 0;
    MatrixF64 counts = MatrixF64::Zero(rows, columns);
    double sum = 0;
    for (Index r = 0; r < matrix.rows(); ++r) {
        const Index row = r * rows / matrix.rows();
        for (Index c = 0; c < matrix.cols(); ++c) {
            const double value = matrix(r, c);
            const Index column = c * columns / matrix.cols();
            picture.cells(row, column) += value * value;
            counts(row, column) += 1;
            sum += value * value;
            const int bin = static_cast<int>((value + picture.limit) * scale);
            picture.histogram[static_cast<std::size_t>(std::clamp(bin, 0, bins - 1))] += 1;
        }
    }
    picture.cells = (picture.cells.array() / counts.array()).sqrt();
    picture.rootMeanSquare = std::sqrt(sum / static_cast<double>(matrix.size()));
    return picture;
}

MatrixPlot::MatrixPlot(QWidget *parent) : Plot(parent)
{
    QCustomPlot *plot = canvas();
    m_map = new QCPColorMap(plot->xAxis, plot->yAxis);
    m_map->setInterpolate(false);
    m_map->setTightBoundary(true);
    m_scale = new QCPColorScale(plot);
    m_scale->setType(QCPAxis::atRight);
    m_scale->setBarWidth(10);
    m_scale->axis()->setNumberFormat(QStringLiteral("g"));
    m_scale->axis()->setNumberPrecision(2);
    m_map->setColorScale(m_scale);
    plot->plotLayout()->addElement(0, 1, m_scale);
    plot->yAxis->setRangeReversed(true);
    plot->xAxis->setLabel(tr("input"));
    plot->yAxis->setLabel(tr("output"));
    setAccessibleName(tr("Matrix map"));
    MatrixPlot::restyle();
}

void MatrixPlot::setPicture(MatrixPicture picture, const QString &title, double high)
{
    m_picture = std::move(picture);
    m_high = high > 0 ? high : m_picture.cells.size() > 0 ? m_picture.cells.maxCoeff() : 1.0;
    const auto rows = static_cast<int>(m_picture.cells.rows());
    const auto columns = static_cast<int>(m_picture.cells.cols());
    m_map->data()->setSize(columns, rows);
    const double cellWidth = columns > 0 ? static_cast<double>(m_picture.columns) / columns : 1;
    const double cellHeight = rows > 0 ? static_cast<double>(m_picture.rows) / rows : 1;
    m_map->data()->setRange(QCPRange(cellWidth / 2, static_cast<double>(m_picture.columns) - cellWidth / 2),
                            QCPRange(cellHeight / 2, static_cast<double>(m_picture.rows) - cellHeight / 2));
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c)
            m_map->data()->setCell(c, r, m_picture.cells(r, c));
    m_map->setDataRange(QCPRange(0, m_high > 0 ? m_high : 1));
    setAccessibleName(title);
    m_scale->axis()->setLabel(title);
    m_scale->setVisible(true);
    setMessage({});
    resetView();
}

void MatrixPlot::clear(const QString &message)
{
    m_picture = {};
    m_map->data()->clear();
    m_scale->setVisible(false);
    setMessage(message);
}

void MatrixPlot::restyle()
{
    const Theme &t = theme();
    QCPColorGradient gradient;
    gradient.clearColorStops();
    for (int i = 0; i <= 8; ++i)
        gradient.setColorStopAt(i / 8.0, t.sequential(i / 8.0));
    m_map->setGradient(gradient);
    m_scale->axis()->setTickLabelColor(t.text);
    m_scale->axis()->setLabelColor(t.mutedText);
    m_scale->axis()->setBasePen(QPen(t.border));
    m_scale->axis()->setTickPen(QPen(t.border));
    m_scale->axis()->setSubTickPen(QPen(t.border));
}

void MatrixPlot::resetView()
{
    canvas()->xAxis->setRange(0, std::max<double>(1, static_cast<double>(m_picture.columns)));
    canvas()->yAxis->setRange(0, std::max<double>(1, static_cast<double>(m_picture.rows)));
    queueReplot();
}

QString MatrixPlot::describePosition(const QPointF &position) const
{
    if (m_picture.cells.size() == 0 || position.x() < 0 || position.y() < 0 || position.x() >= static_cast<double>(m_picture.columns) || position.y() >= static_cast<double>(m_picture.rows))
        return {};
    const auto row = static_cast<Index>(position.y()) * m_picture.cells.rows() / m_picture.rows;
    const auto column = static_cast<Index>(position.x()) * m_picture.cells.cols() / m_picture.columns;
    return tr("output %1, input %2: %3").arg(static_cast<qint64>(position.y())).arg(static_cast<qint64>(position.x())).arg(numberText(m_picture.cells(row, column)));
}

std::vector<PlotColumn> MatrixPlot::columns() const
{
    std::vector<PlotColumn> result;
    for (Index c = 0; c < m_picture.cells.cols(); ++c) {
        PlotColumn column{QString::number(c * m_picture.columns / m_picture.cells.cols()), {}};
        for (Index r = 0; r < m_picture.cells.rows(); ++r)
            column.values.push_back(m_picture.cells(r, c));
        result.push_back(std::move(column));
    }
    return result;
}

HistogramPlot::HistogramPlot(QWidget *parent) : Plot(parent)
{
    QCustomPlot *plot = canvas();
    makeLogarithmic(plot->yAxis);
    plot->xAxis->setLabel(tr("value"));
    plot->yAxis->setLabel(tr("elements"));
    setAccessibleName(tr("Distribution of values"));
}

void HistogramPlot::setSeries(std::vector<Series> series)
{
    m_series = std::move(series);
    QCustomPlot *plot = canvas();
    plot->clearGraphs();
    for (const Series &one : m_series) {
        QCPGraph *graph = plot->addGraph();
        graph->setName(one.label);
        graph->setLineStyle(QCPGraph::lsStepCenter);
        QVector<QCPGraphData> points;
        for (std::size_t i = 0; i < one.picture.histogram.size(); ++i)
            points.append(QCPGraphData(binCentre(one.picture, i), std::max(0.5, one.picture.histogram[i])));
        graph->data()->set(points, true);
    }
    plot->legend->setVisible(!m_series.empty());
    restyle();
    resetView();
}

void HistogramPlot::restyle()
{
    const Theme &t = theme();
    for (int i = 0; i < canvas()->graphCount(); ++i)
        canvas()->graph(i)->setPen(QPen(t.series[i % t.series.size()], 1.5, t.dashes[i % t.dashes.size()]));
}

void HistogramPlot::resetView()
{
    double limit = 0;
    double most = 1;
    for (const Series &one : m_series) {
        limit = std::max(limit, one.picture.limit);
        for (const double count : one.picture.histogram)
            most = std::max(most, count);
    }
    canvas()->xAxis->setRange(limit > 0 ? -limit * 1.05 : -1, limit > 0 ? limit * 1.05 : 1);
    canvas()->yAxis->setRange(0.6, most * 3);
    queueReplot();
}

QString HistogramPlot::describePosition(const QPointF &position) const
{
    QStringList lines;
    for (const Series &one : m_series) {
        if (one.picture.limit <= 0 || std::abs(position.x()) > one.picture.limit)
            continue;
        const auto bins = static_cast<double>(one.picture.histogram.size());
        const auto bin = static_cast<std::size_t>(std::clamp((position.x() / one.picture.limit + 1) / 2 * bins, 0.0, bins - 1));
        lines << tr("%1: %2 near %3").arg(one.label, countText(static_cast<qint64>(one.picture.histogram[bin])), numberText(binCentre(one.picture, bin)));
    }
    return lines.join(QLatin1Char('\n'));
}

std::vector<PlotColumn> HistogramPlot::columns() const
{
    std::vector<PlotColumn> result;
    for (const Series &one : m_series) {
        PlotColumn values{tr("%1: value").arg(one.label), {}};
        for (std::size_t i = 0; i < one.picture.histogram.size(); ++i)
            values.values.push_back(binCentre(one.picture, i));
        result.push_back(std::move(values));
        result.push_back({tr("%1: elements").arg(one.label), one.picture.histogram});
    }
    return result;
}

}  // namespace lqer
