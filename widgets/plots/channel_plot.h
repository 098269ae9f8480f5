// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

class QCPGraph;

namespace lqer {

// How large each input channel of a layer is: in order or sorted, with the channels far above the median marked.
class ChannelPlot final : public Plot {
    Q_OBJECT

public:
    explicit ChannelPlot(QWidget *parent = nullptr);

    // One value per channel; what they are goes on the axis ("root mean square", "scale S").
    void setChannels(std::vector<double> values, const QString &quantity);
    void clear();
    void setSorted(bool sorted);
    bool isSorted() const { return m_sorted; }
    // Channels more than six times the median.
    const std::vector<int> &outliers() const { return m_outliers; }

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    void restyle() override;

private:
    void rebuild();

    std::vector<double> m_values;
    std::vector<int> m_order;     // shown position -> channel
    std::vector<int> m_outliers;
    double m_median = 0;
    bool m_sorted = true;
    QCPGraph *m_all;
    QCPGraph *m_marked;
};

}  // namespace lqer
