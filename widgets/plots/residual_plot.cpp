// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/residual_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

ResidualPlot::ResidualPlot(QWidget *parent) : RankPlot(parent)
{
    QCustomPlot *plot = canvas();
    plot->xAxis->setLabel(tr("rank"));
    plot->yAxis->setLabel(tr("output error left"));
    plot->yAxis2->setLabel(tr("bits per weight"));
    plot->yAxis2->setVisible(true);
    plot->yAxis->setNumberFormat(QStringLiteral("g"));
    m_error = plot->addGraph();
    m_cost = plot->addGraph(plot->xAxis, plot->yAxis2);
    m_error->setName(tr("output error left"));
    m_cost->setName(tr("bits per weight"));
    plot->legend->setVisible(false);
    setAccessibleName(tr("Output error against rank"));
    ResidualPlot::restyle();
    resetView();
}

void ResidualPlot::setCurve(std::vector<double> sigma, double total, double bitsAtZero, double bitsPerRank)
{
    const bool sameSize = m_residual.size() == sigma.size() + 1;
    m_bitsAtZero = bitsAtZero;
    m_bitsPerRank = bitsPerRank;
    m_residual.assign(1, 1.0);
    // Summed from the small end, so that the last values do not drown in cancellation.
    std::vector<double> tail(sigma.size() + 1, 0.0);
    for (std::size_t i = sigma.size(); i-- > 0;)
        tail[i] = tail[i + 1] + sigma[i] * sigma[i];
    const double beyond = std::max(0.0, total - tail[0]);
    const double all = tail[0] + beyond;
    for (std::size_t k = 1; k <= sigma.size(); ++k)
        m_residual.push_back(all > 0 ? std::sqrt((tail[k] + beyond) / all) : 0.0);

    QVector<QCPGraphData> error;
    QVector<QCPGraphData> cost;
    for (std::size_t k = 0; k < m_residual.size(); ++k) {
        const double x = static_cast<double>(k) + 0.5;  // where the marker of rank k stands
        error.append(QCPGraphData(x, m_residual[k]));
        cost.append(QCPGraphData(x, bits(static_cast<int>(k))));
    }
    m_error->data()->set(error, true);
    m_cost->data()->set(cost, true);
    if (!sameSize)
        resetView();
    updateMarker();
    queueReplot();
}

void ResidualPlot::clear()
{
    m_residual.clear();
    m_error->data()->clear();
    m_cost->data()->clear();
    setMaximumRank(0);
    queueReplot();
}

double ResidualPlot::residual(int rank) const
{
    if (m_residual.empty())
        return 0;
    return m_residual[static_cast<std::size_t>(std::clamp(rank, 0, static_cast<int>(m_residual.size()) - 1))];
}

double ResidualPlot::bits(int rank) const
{
    return m_bitsAtZero + m_bitsPerRank * rank;
}

void ResidualPlot::resetView()
{
    QCustomPlot *plot = canvas();
    const double last = std::max<double>(2.0, static_cast<double>(m_residual.size()));
    plot->xAxis->setRange(0.45, last * 1.1);
    plot->yAxis->setRange(0, 1.06);
    const double most = bits(static_cast<int>(last) - 1);
    plot->yAxis2->setRange(0, std::max(1.0, most * 1.08));
    updateMarker();
    queueReplot();
}

void ResidualPlot::restyle()
{
    RankPlot::restyle();
    const Theme &t = theme();
    m_error->setPen(QPen(t.series[0], 1.8));
    m_cost->setPen(QPen(t.series[1], 1.4, Qt::DashLine));
    canvas()->yAxis->setLabelColor(t.series[0]);
    canvas()->yAxis2->setLabelColor(t.series[1]);
}

QString ResidualPlot::describeRank(int rank) const
{
    if (m_residual.empty())
        return tr("rank %1").arg(rank);
    return tr("rank %1: %2 left, %3 bits").arg(rank).arg(percentText(residual(rank)), fixedText(bits(rank), 2));
}

QString ResidualPlot::describePosition(const QPointF &position) const
{
    if (m_residual.empty() || position.x() < 0.4)
        return {};
    const int rank = static_cast<int>(std::lround(position.x() - 0.5));
    return rank < 0 || rank >= static_cast<int>(m_residual.size()) ? QString() : describeRank(rank);
}

std::vector<PlotColumn> ResidualPlot::columns() const
{
    PlotColumn ranks{tr("rank"), {}};
    PlotColumn errors{tr("output error left"), m_residual};
    PlotColumn costs{tr("bits per weight"), {}};
    for (std::size_t k = 0; k < m_residual.size(); ++k) {
        ranks.values.push_back(static_cast<double>(k));
        costs.values.push_back(bits(static_cast<int>(k)));
    }
    return {ranks, errors, costs};
}

}  // namespace lqer
