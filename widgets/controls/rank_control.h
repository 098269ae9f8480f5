// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QSlider;
class QSpinBox;

namespace lqer {

// Rank by slider or number. The slider is quadratic, so that the small ranks that matter have room.
class RankControl final : public QWidget {
    Q_OBJECT

public:
    explicit RankControl(QWidget *parent = nullptr);

    int rank() const;
    void setRank(int rank);          // does not emit
    void setMaximum(int maximum);    // min(in, out)

signals:
    void rankMoved(int rank);   // every step
    void rankChosen(int rank);  // finished: one step of undo

protected:
    bool eventFilter(QObject *watched, QEvent *event) override;

private:
    int toSlider(int rank) const;
    int fromSlider(int position) const;

    QSlider *m_slider;
    QSpinBox *m_number;
    int m_maximum = 0;
};

}  // namespace lqer
