// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

class QCheckBox;
class QLabel;
class QListWidget;
class QProgressBar;
class QPushButton;
class QSpinBox;

namespace lqer {

class PathField;
class Session;

// Which downstream tasks are put to the model, and how. The list is the engine's own (taskDefinitions()). The window behind stays usable while they
// run; what is found stands in the Runs panel and in Compare.
class TasksDialog final : public QDialog {
    Q_OBJECT

public:
    explicit TasksDialog(Session &session, QWidget *parent = nullptr);

private:
    void showSettings();
    void takeSettings();
    void showState();
    void start();

    Session &m_session;
    PathField *m_folder;
    QListWidget *m_tasks;
    QSpinBox *m_fewShot;
    QSpinBox *m_limit;
    QCheckBox *m_bos;
    QCheckBox *m_original;
    QProgressBar *m_bar;
    QLabel *m_status;
    QPushButton *m_cancel;
    QPushButton *m_start;
    QString m_outcome;        // of the run that this dialog began
    bool m_mine = false;      // the running job was begun here
};

}  // namespace lqer
