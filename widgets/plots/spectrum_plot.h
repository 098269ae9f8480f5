// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QVector>

#include <limits>

#include "widgets/plots/rank_plot.h"

class QCPAxis;
class QCPGraph;
class QCPGraphData;
class QCPItemStraightLine;

namespace lqer {

// One curve of singular values, descending.
struct SpectrumCurve {
    QString label;             // "diag, mxint4"
    std::vector<double> sigma;
    double totalEnergy = 0;    // sum of all squares; larger than that of `sigma` if only the leading ones are known
    bool shaped = true;        // false: of the plain error, before scale shaping (drawn dashed)
    // So many of sigma, from the first, are computed; the others are estimates (drawn dotted, and said to be such wherever they are named).
    std::size_t computed = std::numeric_limits<std::size_t>::max();
    bool isEstimated(std::size_t index) const { return index >= computed; }
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
    void setNoiseEdge(double edge, bool estimated = false);

    // Share of the first curve's energy in its leading `rank` components, 0 ... 1.
    double capturedEnergy(int rank) const;
    // True if that of this rank rests on estimates.
    bool isEstimated(int rank) const;

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
    // A part that is computed and a part that is estimated of one line. They meet in the last computed value.
    struct Line {
        QCPGraph *computed;
        QCPGraph *estimated;
    };
    Line addLine(QCPAxis *values);
    static void setLine(const Line &line, const QVector<QCPGraphData> &points, std::size_t computed);

    QVector<Line> m_lines;
    Line m_captured;
    QCPItemStraightLine *m_noise;
    QCPItemText *m_noiseLabel;
    double m_noiseEdge = 0;
    bool m_normalised = false;
    std::size_t m_viewComponents = 0;
};

}  // namespace lqer
