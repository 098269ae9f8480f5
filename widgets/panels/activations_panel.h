// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QCheckBox;
class QComboBox;
class QLabel;

namespace lqer {

class ChannelPlot;
class Session;

// What calibration saw at the current layer's input: magnitudes of its channels and the scale that is made of them.
class ActivationsPanel final : public QWidget {
    Q_OBJECT

public:
    explicit ActivationsPanel(Session &session, QWidget *parent = nullptr);

private:
    void refresh();

    Session &m_session;
    QComboBox *m_quantity;
    QCheckBox *m_sorted;
    QLabel *m_summary;
    ChannelPlot *m_plot;
};

}  // namespace lqer
