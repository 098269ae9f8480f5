// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/preferences_dialog.h"

#include <QComboBox>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QLineEdit>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>

#include "widgets/session/preferences.h"

namespace lqer {

PreferencesDialog::PreferencesDialog(QWidget *parent)
    : QDialog(parent), m_theme(new QComboBox(this)), m_threads(new QSpinBox(this)), m_memory(new QDoubleSpinBox(this)), m_folder(new QLineEdit(this))
{
    setWindowTitle(tr("Preferences"));
    auto *layout = new QVBoxLayout(this);
    auto *form = new QFormLayout;
    layout->addLayout(form);
    m_theme->addItems({tr("Like the system"), tr("Light"), tr("Dark")});
    m_theme->setCurrentIndex(static_cast<int>(preferences::themeMode()));
    form->addRow(tr("&Theme"), m_theme);
    m_threads->setRange(0, 1024);
    m_threads->setSpecialValueText(tr("all processors"));
    m_threads->setValue(preferences::threads());
    m_threads->setToolTip(tr("How many processors computing may use. Results are the same with any number."));
    form->addRow(tr("T&hreads"), m_threads);
    m_memory->setRange(0, 1e6);
    m_memory->setDecimals(1);
    m_memory->setSuffix(tr(" GB"));
    m_memory->setSpecialValueText(tr("nine tenths of what is free"));
    m_memory->setValue(preferences::memoryLimitGigabytes());
    m_memory->setToolTip(tr("A stage that would need more is refused before it starts."));
    form->addRow(tr("&Memory limit"), m_memory);
    auto *row = new QWidget(this);
    auto *rowLayout = new QHBoxLayout(row);
    rowLayout->setContentsMargins(0, 0, 0, 0);
    m_folder->setText(preferences::workFolder());
    m_folder->setMinimumWidth(320);
    m_folder->setAccessibleName(tr("Project folder"));
    m_folder->setToolTip(tr("Statistics and factors of checkpoints that were not saved as a project of their own."));
    auto *browse = new QToolButton(row);
    browse->setText(QStringLiteral("..."));
    browse->setAccessibleName(tr("Choose the project folder"));
    rowLayout->addWidget(m_folder, 1);
    rowLayout->addWidget(browse);
    form->addRow(tr("&Projects and cache"), row);
    connect(browse, &QToolButton::clicked, this, [this] {
        const QString chosen = QFileDialog::getExistingDirectory(this, tr("Project folder"), m_folder->text());
        if (!chosen.isEmpty())
            m_folder->setText(chosen);
    });
    auto *note = new QLabel(tr("Threads, memory and folder take effect when the program starts next."), this);
    note->setWordWrap(true);
    layout->addWidget(note);
    auto *buttons = new QDialogButtonBox(QDialogButtonBox::Ok | QDialogButtonBox::Cancel, this);
    layout->addWidget(buttons);
    connect(buttons, &QDialogButtonBox::accepted, this, &PreferencesDialog::accept);
    connect(buttons, &QDialogButtonBox::rejected, this, &PreferencesDialog::reject);
}

void PreferencesDialog::accept()
{
    preferences::setThemeMode(static_cast<ThemeMode>(m_theme->currentIndex()));
    preferences::setThreads(m_threads->value());
    preferences::setMemoryLimitGigabytes(m_memory->value());
    preferences::setWorkFolder(m_folder->text());
    QDialog::accept();
}

}  // namespace lqer
