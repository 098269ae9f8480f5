// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/matrix.h"
#include "widgets/plots/plot.h"

class QCPColorMap;
class QCPColorScale;

namespace lqer {

// A matrix as a map of magnitudes, reduced to what a screen can show: each cell is the root mean square of a patch. Meant for a
// worker to reduce and for the GUI to show.
struct MatrixPicture {
    MatrixF64 cells;             // (rows, columns) root mean square of each patch
    Index rows = 0;              // of the matrix itself
    Index columns = 0;
    std::vector<double> histogram;  // counts of elements between -limit and +limit, even bins
    double limit = 0;               // largest magnitude
    double rootMeanSquare = 0;
};
MatrixPicture pictureOf(const ConstMatrixRef &matrix, Index mostCells = 192, int bins = 121);

class MatrixPlot final : public Plot {
    Q_OBJECT

public:
    explicit MatrixPlot(QWidget *parent = nullptr);
    // `high` fixes the top of the colour scale, so that several maps compare; 0 takes this one's own.
    void setPicture(MatrixPicture picture, const QString &title, double high = 0);
    // Shows a sentence in its place.
    void clear(const QString &message);

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    void restyle() override;

private:
    MatrixPicture m_picture;
    double m_high = 0;
    QCPColorMap *m_map;
    QCPColorScale *m_scale;
};

// Distribution of a matrix's elements on a logarithmic count axis; several laid over each other.
class HistogramPlot final : public Plot {
    Q_OBJECT

public:
    explicit HistogramPlot(QWidget *parent = nullptr);
    struct Series {
        QString label;
        MatrixPicture picture;
    };
    void setSeries(std::vector<Series> series);

    std::vector<PlotColumn> columns() const override;
    void resetView() override;

protected:
    QString describePosition(const QPointF &position) const override;
    void restyle() override;

private:
    std::vector<Series> m_series;
};

}  // namespace lqer
