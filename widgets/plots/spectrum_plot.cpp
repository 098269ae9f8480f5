// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/spectrum_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

SpectrumPlot::SpectrumPlot(QWidget *parent) : RankPlot(parent)
{
    QCustomPlot *plot = canvas();
    makeLogarithmic(plot->yAxis);
    plot->legend->setVisible(true);
    plot->axisRect()->insetLayout()->setInsetAlignment(0, Qt::AlignLeft | Qt::AlignBottom);
    plot->yAxis2->setVisible(true);
    plot->yAxis2->setLabel(tr("captured energy, %"));
    plot->yAxis2->setRange(0, 106);
    plot->yAxis2->setNumberFormat(QStringLiteral("f"));
    plot->yAxis2->setNumberPrecision(0);
    m_captured = addLine(plot->yAxis2);
    m_captured.computed->removeFromLegend();

    m_noise = new QCPItemStraightLine(plot);
    m_noise->setSelectable(false);
    m_noise->point1->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_noise->point2->setTypeX(QCPItemPosition::ptAxisRectRatio);
    m_noiseLabel = new QCPItemText(plot);
    m_noiseLabel->setSelectable(false);
    m_noiseLabel->setPositionAlignment(Qt::AlignRight | Qt::AlignBottom);
    m_noiseLabel->setPadding(QMargins(0, 0, 6, 1));
    m_noiseLabel->position->setTypeX(QCPItemPosition::ptAxisRectRatio);
    setAccessibleName(tr("Singular value spectrum"));
    SpectrumPlot::restyle();
    rebuild();
}

double SpectrumPlot::shown(const SpectrumCurve &curve, std::size_t index) const
{
    const double scale = m_normalised && !curve.sigma.empty() && curve.sigma.front() > 0 ? curve.sigma.front() : 1.0;
    return curve.sigma[index] / scale;
}

void SpectrumPlot::setCurves(QVector<SpectrumCurve> curves)
{
    m_curves = std::move(curves);
    rebuild();
}

void SpectrumPlot::setNormalised(bool normalised)
{
    if (normalised == m_normalised)
        return;
    m_normalised = normalised;
    m_viewComponents = 0;
    rebuild();
}

void SpectrumPlot::setNoiseEdge(double edge, bool estimated)
{
    m_noiseEdge = edge;
    m_noiseLabel->setText(estimated ? tr("noise edge, estimated") : tr("noise edge"));
    rebuild();
}

SpectrumPlot::Line SpectrumPlot::addLine(QCPAxis *values)
{
    QCustomPlot *plot = canvas();
    const Line line{plot->addGraph(plot->xAxis, values), plot->addGraph(plot->xAxis, values)};
    line.estimated->removeFromLegend();
    return line;
}

// points: sorted, one a component, so that the first `computed` of them are.
void SpectrumPlot::setLine(const Line &line, const QVector<QCPGraphData> &points, std::size_t computed)
{
    const auto first = static_cast<int>(std::min(computed, static_cast<std::size_t>(points.size())));
    line.computed->data()->set(points.mid(0, first), true);
    line.estimated->data()->set(first < points.size() ? points.mid(std::max(0, first - 1)) : QVector<QCPGraphData>(), true);
}

void SpectrumPlot::rebuild()
{
    QCustomPlot *plot = canvas();
    while (m_lines.size() > m_curves.size()) {
        const Line line = m_lines.takeLast();
        plot->removeGraph(line.computed);
        plot->removeGraph(line.estimated);
    }
    while (m_lines.size() < m_curves.size())
        m_lines.append(addLine(plot->yAxis));

    std::size_t components = 0;
    bool named = false;  // one line of the legend says what the dotted parts are
    for (int i = 0; i < m_curves.size(); ++i) {
        const SpectrumCurve &curve = m_curves[i];
        QVector<QCPGraphData> points;
        points.reserve(static_cast<int>(curve.sigma.size()));
        for (std::size_t k = 0; k < curve.sigma.size(); ++k) {
            const double value = shown(curve, k);
            // A zero has no place on a logarithmic axis: the curve ends there.
            if (value > 0 && std::isfinite(value))
                points.append(QCPGraphData(static_cast<double>(k + 1), value));
        }
        setLine(m_lines[i], points, curve.computed);
        m_lines[i].computed->setName(curve.isEstimated(0) ? tr("%1, estimated").arg(curve.label) : curve.label);
        m_lines[i].estimated->removeFromLegend();
        if (!named && !curve.isEstimated(0) && !m_lines[i].estimated->data()->isEmpty()) {
            m_lines[i].estimated->setName(tr("estimated"));
            m_lines[i].estimated->addToLegend();
            named = true;
        }
        components = std::max(components, curve.sigma.size());
    }

    m_cumulative.clear();
    QVector<QCPGraphData> captured;
    if (!m_curves.isEmpty()) {
        double sum = 0;
        for (const double sigma : m_curves.front().sigma)
            m_cumulative.push_back(sum += sigma * sigma);
        for (int rank = 0; rank <= static_cast<int>(m_cumulative.size()); ++rank)
            captured.append(QCPGraphData(rank + 0.5, 100 * capturedEnergy(rank)));  // where the marker of this rank stands
    }
    // Of rank 0 nothing is estimated.
    setLine(m_captured, captured, 1 + (m_curves.isEmpty() ? 0 : std::min(m_curves.front().computed, m_cumulative.size())));

    double edge = m_noiseEdge;
    if (m_normalised && !m_curves.isEmpty() && !m_curves.front().sigma.empty() && m_curves.front().sigma.front() > 0)
        edge /= m_curves.front().sigma.front();
    const bool edgeShown = edge > 0 && std::isfinite(edge) && !m_curves.isEmpty();
    m_noise->setVisible(edgeShown);
    m_noiseLabel->setVisible(edgeShown);
    if (edgeShown) {
        m_noise->point1->setCoords(0, edge);
        m_noise->point2->setCoords(1, edge);
        m_noiseLabel->position->setCoords(1, edge);
    }

    plot->yAxis->setLabel(m_normalised ? tr("singular value / largest") : tr("singular value of the error"));
    plot->legend->setVisible(!m_curves.isEmpty());
    SpectrumPlot::restyle();
    if (components != m_viewComponents) {
        m_viewComponents = components;
        resetView();
    }
    updateMarker();
    queueReplot();
}

void SpectrumPlot::restyle()
{
    RankPlot::restyle();
    const Theme &t = theme();
    // A colour per layer or setting; the plain error of the same one keeps the colour and is dashed.
    int color = -1;
    // Dots; between the dashes of a dashed line.
    const auto dotted = [](QPen pen) {
        pen.setDashPattern(pen.style() == Qt::DashLine ? QVector<qreal>{4, 2.5, 1, 2.5} : QVector<qreal>{1, 2.5});
        return pen;
    };
    for (int i = 0; i < m_lines.size(); ++i) {
        const bool shaped = m_curves[i].shaped;
        if (shaped || color < 0)
            ++color;
        QPen pen(t.series[color % t.series.size()], 1.6);
        pen.setStyle(shaped ? t.dashes[color % t.dashes.size()] : Qt::DashLine);
        m_lines[i].estimated->setPen(dotted(pen));
        m_lines[i].computed->setPen(m_curves[i].isEstimated(0) ? dotted(pen) : pen);  // the legend shows it
    }
    m_captured.computed->setPen(QPen(t.mutedText, 1));
    m_captured.estimated->setPen(dotted(QPen(t.mutedText, 1)));
    m_noise->setPen(QPen(t.mutedText, 1, Qt::DashDotLine));
    m_noiseLabel->setColor(t.mutedText);
    QColor behind = t.base;
    behind.setAlpha(200);
    m_noiseLabel->setBrush(behind);
}

void SpectrumPlot::resetView()
{
    QCustomPlot *plot = canvas();
    double low = 0;
    double high = 0;
    std::size_t components = 1;
    for (const SpectrumCurve &curve : m_curves) {
        components = std::max(components, curve.sigma.size());
        // The last few singular values fall off a cliff and say nothing: the view ends before them.
        const std::size_t last = curve.sigma.size() - curve.sigma.size() / 25;
        for (std::size_t k = 0; k < last; ++k) {
            const double value = shown(curve, k);
            if (!(value > 0) || !std::isfinite(value))
                continue;
            high = std::max(high, value);
            low = low == 0 ? value : std::min(low, value);
        }
    }
    if (high <= 0) {
        low = 0.1;
        high = 1;
    }
    // Rounding noise of a rank-deficient error is not shown: four decades are enough for everything that matters.
    low = std::max(low, high * 1e-4);
    showRanks(static_cast<double>(components));
    plot->yAxis->setRange(low / 1.4, high * 1.6);
    updateMarker();
    queueReplot();
}

double SpectrumPlot::capturedEnergy(int rank) const
{
    if (m_cumulative.empty() || rank <= 0)
        return 0;
    const double total = std::max(m_curves.front().totalEnergy, m_cumulative.back());
    const std::size_t last = std::min(static_cast<std::size_t>(rank), m_cumulative.size()) - 1;
    return total > 0 ? m_cumulative[last] / total : 0;
}

bool SpectrumPlot::isEstimated(int rank) const
{
    return rank > 0 && !m_curves.isEmpty() && m_curves.front().isEstimated(static_cast<std::size_t>(rank) - 1);
}

QString SpectrumPlot::describeRank(int rank) const
{
    if (m_cumulative.empty())
        return tr("rank %1").arg(rank);
    return (isEstimated(rank) ? tr("rank %1: about %2 of the error") : tr("rank %1: %2 of the error")).arg(rank).arg(percentText(capturedEnergy(rank)));
}

QString SpectrumPlot::describePosition(const QPointF &position) const
{
    if (m_curves.isEmpty() || position.x() < 0.5)
        return {};
    const auto index = static_cast<std::size_t>(std::max(0L, std::lround(position.x()) - 1));
    QStringList lines{tr("component %1").arg(index + 1)};
    for (const SpectrumCurve &curve : m_curves) {
        if (index < curve.sigma.size())
            lines << (curve.isEstimated(index) ? tr("%1: about %2, estimated") : QStringLiteral("%1: %2")).arg(curve.label, numberText(shown(curve, index)));
    }
    if (lines.size() < 2)
        return {};
    if (index < m_cumulative.size())
        lines << (isEstimated(static_cast<int>(index) + 1) ? tr("captured up to here: about %1") : tr("captured up to here: %1"))
                     .arg(percentText(capturedEnergy(static_cast<int>(index) + 1)));
    return lines.join(QLatin1Char('\n'));
}

std::vector<PlotColumn> SpectrumPlot::columns() const
{
    std::vector<PlotColumn> result;
    PlotColumn components{tr("component"), {}};
    for (std::size_t i = 0; i < m_viewComponents; ++i)
        components.values.push_back(static_cast<double>(i + 1));
    result.push_back(std::move(components));
    // What is estimated stands in a column of its own.
    for (const SpectrumCurve &curve : m_curves) {
        const auto computed = static_cast<std::ptrdiff_t>(std::min(curve.computed, curve.sigma.size()));
        if (computed > 0 || curve.sigma.empty())
            result.push_back({curve.label, {curve.sigma.begin(), curve.sigma.begin() + computed}});
        if (static_cast<std::size_t>(computed) == curve.sigma.size())
            continue;
        result.push_back({tr("%1, estimated").arg(curve.label), curve.sigma});
        std::fill_n(result.back().values.begin(), computed, std::numeric_limits<double>::quiet_NaN());
    }
    PlotColumn captured{tr("captured energy"), {}};
    for (int rank = 1; rank <= static_cast<int>(m_cumulative.size()); ++rank)
        captured.values.push_back(capturedEnergy(rank));
    if (!captured.values.empty())
        result.push_back(std::move(captured));
    return result;
}

}  // namespace lqer
