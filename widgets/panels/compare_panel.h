// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QComboBox;
class QLabel;

namespace lqer {

class CompareModel;
class Session;

// Two runs side by side: what they measure as a whole, and layer by layer.
class ComparePanel final : public QWidget {
    Q_OBJECT

public:
    explicit ComparePanel(Session &session, QWidget *parent = nullptr);
    void compare(int first, int second);

private:
    void refill();
    void refresh();

    Session &m_session;
    QComboBox *m_first;
    QComboBox *m_second;
    QLabel *m_summary;
    CompareModel *m_model;
};

}  // namespace lqer
