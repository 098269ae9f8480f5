// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/rank_plot.h"

class QCPGraph;

namespace lqer {

// What rank buys: the output error that remains, relative to no correction, against rank (left axis), and the bits per weight it
// costs (right axis).
class ResidualPlot final : public RankPlot {
    Q_OBJECT

public:
    explicit ResidualPlot(QWidget *parent = nullptr);

    // sigma: singular values of the shaped error, descending; total: sum of all squares; bitsAtZero: bits per weight without a
    // correction; bitsPerRank: what one component adds.
    void setCurve(std::vector<double> sigma, double total, double bitsAtZero, double bitsPerRank);
    void clear();

    // Remaining error / error without correction, as amplitudes (square root of the energies), 0 ... 1.
    double residual(int rank) const;
    double bits(int rank) const;

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    QString describeRank(int rank) const override;
    void restyle() override;

private:
    std::vector<double> m_residual;  // by rank, 0 ... n
    double m_bitsAtZero = 0;
    double m_bitsPerRank = 0;
    QCPGraph *m_error;
    QCPGraph *m_cost;
};

}  // namespace lqer
