// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QCheckBox;
class QComboBox;
class QLabel;

namespace lqer {

class ResidualPlot;
class Session;
class SpectrumPlot;

// Singular values of the chosen layers' quantization error, and what rank buys; other formats or scalings laid over it.
class SpectrumPanel final : public QWidget {
    Q_OBJECT

public:
    explicit SpectrumPanel(Session &session, QWidget *parent = nullptr);
    SpectrumPlot &spectrum() { return *m_spectrum; }
    ResidualPlot &residual() { return *m_residual; }

private:
    void refresh();
    void showRank(int rank);

    Session &m_session;
    QLabel *m_title;
    QCheckBox *m_normalised;
    QCheckBox *m_unshaped;
    QComboBox *m_overlayFormat;
    QComboBox *m_overlayScaling;
    SpectrumPlot *m_spectrum;
    ResidualPlot *m_residual;
};

}  // namespace lqer
