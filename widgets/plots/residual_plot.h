// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QVector>

#include "widgets/models/error_curve.h"
#include "widgets/plots/rank_plot.h"

class QCPGraph;

namespace lqer {

// What rank buys: the layer's error that remains (left axis), and the bits per weight it costs (right axis). The first curve is the
// layer's own; others of the same layer under another format or scaling are laid over it.
class ResidualPlot final : public RankPlot {
    Q_OBJECT

public:
    struct Curve {
        QString label;  // "diag, mxint4"
        ErrorCurve error;
    };

    explicit ResidualPlot(QWidget *parent = nullptr);

    // bitsAtZero: bits per weight without a correction; bitsPerRank: what one component adds.
    void setCurves(QVector<Curve> curves, double bitsAtZero, double bitsPerRank);
    void clear();

    // Of the first curve: remaining relative error, 0 ... about 1. NaN if nothing is known.
    double residual(int rank) const;
    double bits(int rank) const;

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    QString describeRank(int rank) const override;
    void restyle() override;
    void resizeEvent(QResizeEvent *event) override;

private:
    void showLegend();

    QVector<Curve> m_curves;
    QVector<QCPGraph *> m_graphs;
    QCPGraph *m_cost;
    double m_bitsAtZero = 0;
    double m_bitsPerRank = 0;
    std::size_t m_viewRanks = 0;
    double m_viewHigh = 0;
};

}  // namespace lqer
