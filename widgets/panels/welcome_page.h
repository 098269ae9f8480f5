// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QLabel;
class QListWidget;
class QPushButton;

namespace lqer {

// What is seen before anything is open: a checkpoint, the demo, and what was open lately are one click away.
class WelcomePage final : public QWidget {
    Q_OBJECT

public:
    explicit WelcomePage(QWidget *parent = nullptr);
    void setRecent(const QStringList &folders);
    void setDemoAvailable(bool available);
    // A line below the buttons: what is being opened, or why it failed.
    void setStatus(const QString &text);

signals:
    void openRequested();
    void demoRequested();
    void recentRequested(const QString &folder);

private:
    QPushButton *m_open;
    QPushButton *m_demo;
    QLabel *m_status;
    QLabel *m_recentTitle;
    QListWidget *m_recent;
};

}  // namespace lqer
