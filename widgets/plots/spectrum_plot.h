// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QVector>

#include "widgets/plots/rank_plot.h"

class QCPGraph;
class QCPItemStraightLine;

namespace lqer {

// One curve of singular values, descending.
struct SpectrumCurve {
    QString label;             // "diag, mxint4"
    std::vector<double> sigma;
    double totalEnergy = 0;    // sum of all squares; larger than that of `sigma` if only the leading ones are known
    bool shaped = true;        // false: of the plain error, before scale shaping (drawn dashed)
};

// Singular values of the quantization error on two logarithmic axes, before and after scale shaping, for one layer or several.
// The first curve is the one the marker's flag speaks of.
class SpectrumPlot final : public RankPlot {
    Q_OBJECT

public:
    explicit SpectrumPlot(QWidget *parent = nullptr);

    // Curves replace each other in place: the view is kept unless the number of components changes.
    void setCurves(QVector<SpectrumCurve> curves);
    const QVector<SpectrumCurve> &curves() const { return m_curves; }
    // Divides each curve by its largest value.
    void setNormalised(bool normalised);
    bool isNormalised() const { return m_normalised; }
    // Largest singular value that round-off noise alone would give the first curve (<= 0: not drawn). Components below it are noise.
    void setNoiseEdge(double edge);

    // Share of the first curve's energy in its leading `rank` components, 0 ... 1.
    double capturedEnergy(int rank) const;

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    QString describeRank(int rank) const override;
    void restyle() override;

private:
    void rebuild();
    double shown(const SpectrumCurve &curve, std::size_t index) const;

    QVector<SpectrumCurve> m_curves;
    std::vector<double> m_cumulative;  // of the first curve
    QVector<QCPGraph *> m_graphs;
    QCPGraph *m_captured;
    QCPItemStraightLine *m_noise;
    QCPItemText *m_noiseLabel;
    double m_noiseEdge = 0;
    bool m_normalised = false;
    std::size_t m_viewComponents = 0;
};

}  // namespace lqer
