// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QVector>

#include "widgets/plots/plot.h"

class QCPGraph;
class QCPItemStraightLine;

namespace lqer {

// Perplexity against size over all runs: down and to the left is better. The original model is a line across.
class RunsPlot final : public Plot {
    Q_OBJECT

public:
    struct Point {
        QString label;
        double bytes = 0;
        double perplexity = 0;
        bool current = false;  // of the present recipe
        int number = 0;        // as the table of runs counts them, from 1
    };

    explicit RunsPlot(QWidget *parent = nullptr);
    // original: perplexity of the unquantized model; <= 0: not known.
    void setPoints(QVector<Point> points, double original);

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    void restyle() override;
    void resizeEvent(QResizeEvent *event) override;

private:
    void showLegend();
    void writeNumbers();

    QVector<Point> m_points;
    double m_original = 0;
    QCPGraph *m_runs;
    QCPGraph *m_front;
    QCPGraph *m_current;
    QCPItemStraightLine *m_line;
    QCPItemText *m_lineLabel;
    QVector<QCPItemText *> m_labels;
};

}  // namespace lqer
