// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/residual_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

ResidualPlot::ResidualPlot(QWidget *parent) : RankPlot(parent)
{
    QCustomPlot *plot = canvas();
    plot->xAxis->setLabel(tr("rank"));
    plot->yAxis->setNumberFormat(QStringLiteral("g"));
    plot->yAxis2->setLabel(tr("bits per weight"));
    plot->yAxis2->setVisible(true);
    m_cost = plot->addGraph(plot->xAxis, plot->yAxis2);
    m_cost->removeFromLegend();
    plot->legend->setVisible(false);
    plot->axisRect()->insetLayout()->setInsetAlignment(0, Qt::AlignLeft | Qt::AlignBottom);
    setAccessibleName(tr("Error against rank"));
    setCurves({}, 0, 0);
}

void ResidualPlot::setCurves(QVector<Curve> curves, double bitsAtZero, double bitsPerRank)
{
    QCustomPlot *plot = canvas();
    m_curves = std::move(curves);
    m_bitsAtZero = bitsAtZero;
    m_bitsPerRank = bitsPerRank;
    while (m_graphs.size() > m_curves.size())
        plot->removeGraph(m_graphs.takeLast());
    while (m_graphs.size() < m_curves.size())
        m_graphs.append(plot->addGraph());

    std::size_t ranks = 0;
    for (int i = 0; i < m_curves.size(); ++i) {
        const std::vector<double> &left = m_curves[i].error.left;
        QVector<QCPGraphData> points;
        for (std::size_t k = 0; k < left.size(); ++k)
            points.append(QCPGraphData(static_cast<double>(k) + 0.5, 100 * left[k]));  // where the marker of rank k stands
        m_graphs[i]->data()->set(points, true);
        m_graphs[i]->setName(m_curves[i].label);
        ranks = std::max(ranks, left.size());
    }
    QVector<QCPGraphData> cost;
    for (std::size_t k = 0; k < ranks; ++k)
        cost.append(QCPGraphData(static_cast<double>(k) + 0.5, bits(static_cast<int>(k))));
    m_cost->data()->set(cost, true);

    const bool output = m_curves.isEmpty() || m_curves.front().error.output;
    plot->yAxis->setLabel(output ? tr("output error, %") : tr("weight error, %"));
    ResidualPlot::restyle();
    showLegend();
    double high = 0;
    for (const Curve &curve : m_curves)
        high = std::max(high, curve.error.left.empty() ? 0.0 : curve.error.left.front());
    // The view is kept while a rank or a format changes little.
    const bool sameView = ranks == m_viewRanks && high == m_viewHigh;
    m_viewRanks = ranks;
    m_viewHigh = high;
    if (!sameView)
        resetView();
    updateMarker();
    setMessage(m_curves.isEmpty() ? tr("What each rank leaves of the error is drawn here") : QString());
}

void ResidualPlot::clear()
{
    setCurves({}, 0, 0);
    setMaximumRank(0);
}

double ResidualPlot::residual(int rank) const
{
    return m_curves.isEmpty() ? std::numeric_limits<double>::quiet_NaN() : m_curves.front().error.at(rank);
}

double ResidualPlot::bits(int rank) const
{
    return m_bitsAtZero + m_bitsPerRank * rank;
}

void ResidualPlot::resetView()
{
    QCustomPlot *plot = canvas();
    const std::size_t ranks = std::max<std::size_t>(2, m_viewRanks);
    showRanks(static_cast<double>(ranks));
    plot->yAxis->setRange(0, m_viewHigh > 0 && std::isfinite(m_viewHigh) ? 106 * m_viewHigh : 100);
    plot->yAxis2->setRange(0, std::max(1.0, bits(static_cast<int>(ranks) - 1) * 1.08));
    updateMarker();
    queueReplot();
}

void ResidualPlot::showLegend()
{
    // The colours are those of the spectrum above, whose legend counts where there is no room for another.
    canvas()->legend->setVisible(m_curves.size() > 1 && canvas()->height() > 40 * (m_curves.size() + 3));
}

void ResidualPlot::resizeEvent(QResizeEvent *event)
{
    RankPlot::resizeEvent(event);
    showLegend();
}

void ResidualPlot::restyle()
{
    RankPlot::restyle();
    const Theme &t = theme();
    // The same colours as the spectrum above gives them.
    for (int i = 0; i < m_graphs.size(); ++i)
        m_graphs[i]->setPen(QPen(t.series[i % t.series.size()], 1.8, t.dashes[i % t.dashes.size()]));
    m_cost->setPen(QPen(t.mutedText, 1.2, Qt::DotLine));
}

QString ResidualPlot::describeRank(int rank) const
{
    if (m_curves.isEmpty() || m_curves.front().error.left.empty())
        return tr("rank %1").arg(rank);
    return tr("rank %1: %2 left of %3, %4").arg(rank).arg(percentText(residual(rank)), percentText(residual(0)), bitsText(bits(rank)));
}

QString ResidualPlot::describePosition(const QPointF &position) const
{
    const auto rank = static_cast<long>(std::lround(position.x() - 0.5));
    if (m_curves.isEmpty() || rank < 0 || rank >= static_cast<long>(m_viewRanks))
        return {};
    if (m_curves.size() == 1)
        return describeRank(static_cast<int>(rank));
    QStringList lines{tr("rank %1, %2").arg(rank).arg(bitsText(bits(static_cast<int>(rank))))};
    for (const Curve &curve : m_curves)
        lines << QStringLiteral("%1: %2").arg(curve.label, percentText(curve.error.at(static_cast<int>(rank))));
    return lines.join(QLatin1Char('\n'));
}

std::vector<PlotColumn> ResidualPlot::columns() const
{
    PlotColumn ranks{tr("rank"), {}};
    PlotColumn costs{tr("bits per weight"), {}};
    for (std::size_t k = 0; k < m_viewRanks; ++k) {
        ranks.values.push_back(static_cast<double>(k));
        costs.values.push_back(bits(static_cast<int>(k)));
    }
    std::vector<PlotColumn> result{ranks};
    for (const Curve &curve : m_curves)
        result.push_back({tr("%1, error left").arg(curve.label), curve.error.left});
    result.push_back(std::move(costs));
    return result;
}

}  // namespace lqer
