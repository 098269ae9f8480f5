// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDialog>

class QComboBox;
class QDoubleSpinBox;
class QSpinBox;

namespace lqer {

class PathField;

// Theme, threads, memory limit, where projects live. accept() writes them.
class PreferencesDialog final : public QDialog {
    Q_OBJECT

public:
    explicit PreferencesDialog(QWidget *parent = nullptr);
    void accept() override;

private:
    QComboBox *m_theme;
    QSpinBox *m_threads;
    QDoubleSpinBox *m_memory;
    PathField *m_folder;
};

}  // namespace lqer
