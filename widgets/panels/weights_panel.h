// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <optional>

#include "widgets/plots/matrix_plot.h"

class QLabel;
class QPushButton;

namespace lqer {

class Session;

// Maps and distributions of the current layer's weight, of what quantization lost, and of what is left after the correction.
// Read and computed in the background, only while the panel is seen.
class WeightsPanel final : public QWidget {
    Q_OBJECT

public:
    explicit WeightsPanel(Session &session, QWidget *parent = nullptr);

protected:
    void showEvent(QShowEvent *event) override;

private:
    struct Pictures {
        MatrixPicture weight;
        MatrixPicture error;
        std::optional<MatrixPicture> left;
    };
    void refresh();
    void show(const Pictures &pictures);
    void clear(const QString &message);

    Session &m_session;
    QLabel *m_summary;
    MatrixPlot *m_weight;
    MatrixPlot *m_error;
    MatrixPlot *m_left;
    HistogramPlot *m_histogram;
    QString m_shownKey;
    bool m_hasPictures = false;
};

}  // namespace lqer
