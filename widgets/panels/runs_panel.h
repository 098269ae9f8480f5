// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QCheckBox;
class QComboBox;
class QLabel;
class QProgressBar;
class QPushButton;
class QSpinBox;
class QTableView;

namespace lqer {

class PathField;
class ReportModel;
class RunsPlot;
class Session;

// Texts and amounts, the three stages with their progress, the measurements so far and what they cost.
class RunsPanel final : public QWidget {
    Q_OBJECT

public:
    explicit RunsPanel(Session &session, QWidget *parent = nullptr);

signals:
    // Two measurements to look at side by side (rows of the reports).
    void compareRequested(int first, int second);

private:
    void showSettings();
    void takeSettings();
    void showProgress();
    void showPlot();
    void compareSelected();

    Session &m_session;
    PathField *m_calibrationText;
    PathField *m_evaluationText;
    QSpinBox *m_window;
    QSpinBox *m_calibrationWindows;
    QSpinBox *m_evaluationWindows;
    QCheckBox *m_divergence;
    QComboBox *m_spectrum;
    QWidget *m_progressRow;
    QProgressBar *m_bar;
    QLabel *m_status;
    QLabel *m_running;
    QPushButton *m_pause;
    QPushButton *m_cancel;
    ReportModel *m_model;
    QTableView *m_view;
    QPushButton *m_compare;
    QPushButton *m_remove;
    RunsPlot *m_plot;
};

}  // namespace lqer
