// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/channel_plot.h"

#include <qcustomplot.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

namespace lqer {

namespace {

constexpr double outlierFactor = 6;

}  // namespace

ChannelPlot::ChannelPlot(QWidget *parent) : Plot(parent)
{
    QCustomPlot *plot = canvas();
    makeLogarithmic(plot->yAxis);
    m_all = plot->addGraph();
    m_marked = plot->addGraph();
    m_all->setName(tr("channels"));
    m_marked->setName(tr("outliers (over 6 × median)"));
    m_marked->setLineStyle(QCPGraph::lsNone);
    plot->legend->setVisible(true);
    setAccessibleName(tr("Channel magnitudes"));
    ChannelPlot::restyle();
    rebuild();
}

void ChannelPlot::setChannels(std::vector<double> values, const QString &quantity)
{
    m_values = std::move(values);
    canvas()->yAxis->setLabel(quantity);
    rebuild();
    resetView();
}

void ChannelPlot::clear()
{
    m_values.clear();
    rebuild();
}

void ChannelPlot::setSorted(bool sorted)
{
    m_sorted = sorted;
    rebuild();
    resetView();
}

void ChannelPlot::rebuild()
{
    m_order.resize(m_values.size());
    std::iota(m_order.begin(), m_order.end(), 0);
    std::vector<int> bySize = m_order;
    std::stable_sort(bySize.begin(), bySize.end(), [this](int a, int b) { return m_values[static_cast<std::size_t>(a)] > m_values[static_cast<std::size_t>(b)]; });
    m_median = bySize.empty() ? 0 : m_values[static_cast<std::size_t>(bySize[bySize.size() / 2])];
    m_outliers.clear();
    for (const int channel : bySize)
        if (m_values[static_cast<std::size_t>(channel)] > outlierFactor * m_median)
            m_outliers.push_back(channel);
    if (m_sorted)
        m_order = std::move(bySize);

    QVector<QCPGraphData> all;
    QVector<QCPGraphData> marked;
    for (std::size_t i = 0; i < m_order.size(); ++i) {
        const double value = m_values[static_cast<std::size_t>(m_order[i])];
        if (!(value > 0))
            continue;
        all.append(QCPGraphData(static_cast<double>(i), value));
        if (value > outlierFactor * m_median)
            marked.append(QCPGraphData(static_cast<double>(i), value));
    }
    m_all->data()->set(all, true);
    m_marked->data()->set(marked, true);
    canvas()->legend->setVisible(!m_values.empty());
    canvas()->xAxis->setLabel(m_sorted ? tr("input channels, largest first") : tr("input channel"));
    queueReplot();
}

void ChannelPlot::restyle()
{
    const Theme &t = theme();
    m_all->setPen(QPen(t.series[0], 1.2));
    m_marked->setPen(QPen(t.series[1], 1.2));
    m_marked->setScatterStyle(QCPScatterStyle(QCPScatterStyle::ssDiamond, QPen(t.series[1], 1.4), QBrush(t.series[1]), 7));
}

void ChannelPlot::resetView()
{
    double low = 0;
    double high = 0;
    for (const double value : m_values) {
        if (!(value > 0) || !std::isfinite(value))
            continue;
        high = std::max(high, value);
        low = low == 0 ? value : std::min(low, value);
    }
    if (high <= 0)
        low = 0.1, high = 1;
    canvas()->xAxis->setRange(-0.02 * static_cast<double>(m_values.size()) - 0.5, 1.02 * static_cast<double>(std::max<std::size_t>(1, m_values.size())));
    canvas()->yAxis->setRange(std::max(low, high * 1e-6) / 1.5, high * 2);
    queueReplot();
}

QString ChannelPlot::describePosition(const QPointF &position) const
{
    const auto index = std::lround(position.x());
    if (index < 0 || index >= static_cast<long>(m_order.size()))
        return {};
    const int channel = m_order[static_cast<std::size_t>(index)];
    const double value = m_values[static_cast<std::size_t>(channel)];
    return tr("channel %1: %2\n%3 × median").arg(channel).arg(numberText(value), m_median > 0 ? numberText(value / m_median) : QStringLiteral("\u2013"));
}

std::vector<PlotColumn> ChannelPlot::columns() const
{
    PlotColumn channels{tr("channel"), {}};
    PlotColumn values{canvas()->yAxis->label(), {}};
    for (const int channel : m_order) {
        channels.values.push_back(channel);
        values.values.push_back(m_values[static_cast<std::size_t>(channel)]);
    }
    return {channels, values};
}

}  // namespace lqer
