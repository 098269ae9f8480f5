// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

class QCPItemStraightLine;
class QCPItemRect;

namespace lqer {

// A plot over the index of the singular values (logarithmic, 1 ... n) with a marker at the chosen rank. The marker moves with
// the mouse (drag it, or click with Ctrl), Left and Right by one, Page Up and Page Down by eight, and the wheel while Shift is
// held; it lives on the overlay, so moving it never redraws a curve.
class RankPlot : public Plot {
    Q_OBJECT

public:
    explicit RankPlot(QWidget *parent = nullptr);

    int rank() const { return m_rank; }
    int maximumRank() const { return m_maximum; }
    // Does not emit.
    void setRank(int rank);
    void setMaximumRank(int maximum);
    // Pixel column of the marker on the canvas.
    double markerPixel() const;
    // The two plots stand above each other: same margins, and zooming or panning one along its ranks takes the other along.
    void shareRanksWith(RankPlot &other);

signals:
    // While it is being moved: every step.
    void rankMoved(int rank);
    // When a move is finished (mouse released, key pressed, wheel turned): one step of undo.
    void rankChosen(int rank);

protected:
    // A few words for the marker's flag ("rank 32, 87 % captured").
    virtual QString describeRank(int rank) const = 0;
    void restyle() override;
    bool pressed(const QPoint &position) override;
    bool moved(const QPoint &position) override;
    bool released(const QPoint &position) override;
    void keyPressEvent(QKeyEvent *event) override;
    bool eventFilter(QObject *watched, QEvent *event) override;
    // Words of the flag changed without the rank (new curves).
    void updateMarker();
    void showRanks(double most);
    void changeEvent(QEvent *event) override;

private:
    int rankAt(const QPoint &position) const;
    bool nearMarker(const QPoint &position) const;
    void moveTo(int rank);
    void placeFlag();
    void fixMargins();

    QCPItemStraightLine *m_line;
    QCPItemRect *m_kept;
    QCPItemText *m_flag;
    int m_rank = 0;
    int m_maximum = 0;
    bool m_dragging = false;
};

}  // namespace lqer
