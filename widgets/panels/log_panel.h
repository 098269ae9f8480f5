// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPlainTextEdit>

namespace lqer {

// What the program noticed and decided, newest last.
class LogPanel final : public QPlainTextEdit {
    Q_OBJECT

public:
    explicit LogPanel(QWidget *parent = nullptr);
    // The engine's log goes here from now on, until the panel is gone.
    ~LogPanel() override;
    void add(const QString &text);

private slots:
    void drain();
};

}  // namespace lqer
