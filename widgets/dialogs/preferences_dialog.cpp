// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/preferences_dialog.h"

#include <QComboBox>
#include <QDesktopServices>
#include <QDialogButtonBox>
#include <QDirIterator>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSpinBox>
#include <QUrl>
#include <QVBoxLayout>

#include "widgets/controls/path_field.h"
#include "widgets/session/preferences.h"
#include "widgets/text/number_text.h"

namespace lqer {

PreferencesDialog::PreferencesDialog(QWidget *parent)
    : QDialog(parent), m_theme(new QComboBox(this)), m_threads(new QSpinBox(this)), m_memory(new QDoubleSpinBox(this)), m_folder(new PathField(PathField::Kind::Folder, tr("Project folder"), {}, this))
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
    m_folder->setPath(preferences::workFolder());
    m_folder->setMinimumWidth(380);
    m_folder->setToolTip(tr("Statistics and factors of checkpoints that were not saved as a project of their own."));
    form->addRow(tr("&Projects and cache"), m_folder);
    qint64 bytes = 0;
    int projects = 0;
    for (QDirIterator files(preferences::workFolder(), QDir::Files | QDir::NoSymLinks, QDirIterator::Subdirectories); files.hasNext();) {
        files.next();
        bytes += files.fileInfo().size();
        projects += files.fileName() == QLatin1String("project.h5") ? 1 : 0;
    }
    auto *held = new QLabel(tr("%1 in %2").arg(bytesText(static_cast<double>(bytes)), pluralText(projects, tr("%1 project"), tr("%1 projects"))), this);
    held->setToolTip(tr("What is kept there: remove a folder to free its space; the next run computes it again."));
    auto *show = new QPushButton(tr("&Show folder"), this);
    connect(show, &QPushButton::clicked, this, [] { QDesktopServices::openUrl(QUrl::fromLocalFile(preferences::workFolder())); });
    auto *heldRow = new QHBoxLayout;
    heldRow->addWidget(held, 1);
    heldRow->addWidget(show);
    form->addRow(tr("Kept there"), heldRow);
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
    preferences::setWorkFolder(m_folder->path());
    QDialog::accept();
}

}  // namespace lqer
