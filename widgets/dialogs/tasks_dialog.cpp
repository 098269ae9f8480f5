// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/tasks_dialog.h"

#include <QCheckBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QProgressBar>
#include <QPushButton>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QVBoxLayout>

#include <algorithm>

#include "widgets/controls/path_field.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

TasksDialog::TasksDialog(Session &session, QWidget *parent) : QDialog(parent), m_session(session)
{
    setWindowTitle(tr("Downstream tasks"));
    resize(620, 560);
    auto *layout = new QVBoxLayout(this);
    auto *about = new QLabel(tr("Questions with known answers, asked and scored as lm-eval 0.4 does, of the present recipe."), this);
    about->setWordWrap(true);
    layout->addWidget(about);
    auto *form = new QFormLayout;
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    m_folder = new PathField(PathField::Kind::Folder, tr("Folder with the tasks' data"), {}, this);
    m_folder->setPlaceholder(tr("drop or choose a folder"));
    m_folder->setToolTip(tr("JSON lines in the data sets' own fields: arc_easy.test.jsonl, arc_easy/test.jsonl, ARC-Easy/test.jsonl and so on."));
    form->addRow(tr("&Data"), m_folder);
    layout->addLayout(form);

    m_tasks = new QListWidget(this);
    m_tasks->setAccessibleName(tr("Tasks"));
    m_tasks->setAlternatingRowColors(true);
    for (const TaskDefinition &task : taskDefinitions()) {
        const QString name = QString::fromUtf8(task.name.data(), static_cast<qsizetype>(task.name.size()));
        auto *item = new QListWidgetItem(tr("%1: %2").arg(name, QString::fromUtf8(task.meaning.data(), static_cast<qsizetype>(task.meaning.size()))), m_tasks);
        item->setData(Qt::UserRole, name);
        item->setFlags(Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemIsUserCheckable);
        item->setCheckState(Qt::Unchecked);
    }
    layout->addWidget(m_tasks, 1);

    auto *amounts = new QFormLayout;
    m_fewShot = new QSpinBox(this);
    m_fewShot->setRange(0, 100);
    m_fewShot->setSpecialValueText(tr("none"));
    m_fewShot->setAccessibleName(tr("Solved examples"));
    m_fewShot->setToolTip(tr("Solved examples in front of every question, drawn from the training split as lm-eval draws them."));
    amounts->addRow(tr("&Examples"), m_fewShot);
    m_limit = new QSpinBox(this);
    m_limit->setRange(0, 1 << 20);
    m_limit->setSpecialValueText(tr("all"));
    m_limit->setAccessibleName(tr("Items of each task"));
    m_limit->setToolTip(tr("Only the first items of each task: a quick look, with a larger standard error."));
    amounts->addRow(tr("&Items"), m_limit);
    m_bos = new QCheckBox(tr("&BOS in front, where the tokenizer adds it"), this);
    m_bos->setToolTip(tr("lm-eval 0.4 adds none; numbers compare only under the same choice."));
    amounts->addRow(m_bos);
    m_original = new QCheckBox(tr("Also the &original model"), this);
    m_original->setToolTip(tr("A second run under the same conditions, without the recipe."));
    amounts->addRow(m_original);
    layout->addLayout(amounts);

    m_bar = new QProgressBar(this);
    m_bar->setAccessibleName(tr("Progress of the tasks"));
    layout->addWidget(m_bar);
    m_status = new QLabel(this);
    m_status->setTextFormat(Qt::PlainText);
    m_status->setWordWrap(true);
    m_status->setAccessibleName(tr("State of the tasks"));
    layout->addWidget(m_status);
    auto *buttons = new QHBoxLayout;
    m_cancel = new QPushButton(tr("&Cancel run"), this);
    m_start = new QPushButton(tr("&Start"), this);
    auto *close = new QPushButton(tr("C&lose"), this);
    for (QPushButton *button : {m_cancel, close})
        button->setAutoDefault(false);
    m_start->setDefault(true);
    buttons->addStretch(1);
    for (QPushButton *button : {m_cancel, m_start, close})
        buttons->addWidget(button);
    layout->addLayout(buttons);

    connect(close, &QPushButton::clicked, this, &TasksDialog::reject);
    connect(m_start, &QPushButton::clicked, this, &TasksDialog::start);
    connect(m_cancel, &QPushButton::clicked, this, [this] {
        if (const auto job = m_session.runningJob())
            m_session.jobs().cancel(QString::fromStdString(job->tag()));
    });
    connect(m_folder, &PathField::pathEdited, this, &TasksDialog::takeSettings);
    connect(m_folder, &PathField::pathChosen, this, &TasksDialog::takeSettings);
    connect(m_tasks, &QListWidget::itemChanged, this, &TasksDialog::takeSettings);
    for (QSpinBox *box : {m_fewShot, m_limit})
        connect(box, &QSpinBox::valueChanged, this, &TasksDialog::takeSettings);
    for (QCheckBox *box : {m_bos, m_original})
        connect(box, &QCheckBox::clicked, this, &TasksDialog::takeSettings);
    connect(&m_session.jobs(), &JobBridge::started, this, &TasksDialog::showState);
    connect(&m_session.jobs(), &JobBridge::progressed, this, &TasksDialog::showState);
    connect(&m_session.jobs(), &JobBridge::finished, this, [this](const std::shared_ptr<Job> &job) {
        if (!m_mine || m_session.isRunning())
            return;
        m_mine = false;
        m_outcome = job->state() == JobState::Failed      ? safeText(job->error())
                    : job->state() == JobState::Cancelled ? tr("Stopped: nothing was kept.")
                                                          : tr("Done: the results are in the Runs panel and in Compare.");
        showState();
    });
    connect(&m_session, &Session::closed, this, &TasksDialog::reject);
    showSettings();
    showState();
}

void TasksDialog::showSettings()
{
    const TaskSettings &settings = m_session.taskSettings();
    const QSignalBlocker blockers[] = {QSignalBlocker(m_tasks), QSignalBlocker(m_fewShot), QSignalBlocker(m_limit)};
    m_folder->setPath(settings.folder);
    for (int i = 0; i < m_tasks->count(); ++i)
        m_tasks->item(i)->setCheckState(settings.tasks.contains(m_tasks->item(i)->data(Qt::UserRole).toString()) ? Qt::Checked : Qt::Unchecked);
    m_fewShot->setValue(settings.fewShot);
    m_limit->setValue(settings.limit);
    m_bos->setChecked(settings.bos);
    m_original->setChecked(settings.original);
}

void TasksDialog::takeSettings()
{
    TaskSettings settings;
    settings.folder = m_folder->path();
    for (int i = 0; i < m_tasks->count(); ++i)
        if (m_tasks->item(i)->checkState() == Qt::Checked)
            settings.tasks << m_tasks->item(i)->data(Qt::UserRole).toString();
    settings.fewShot = m_fewShot->value();
    settings.limit = m_limit->value();
    settings.bos = m_bos->isChecked();
    settings.original = m_original->isChecked();
    m_session.setTaskSettings(settings);
    m_outcome.clear();
    showState();
}

void TasksDialog::showState()
{
    const std::shared_ptr<Job> job = m_session.runningJob();
    const TaskSettings &settings = m_session.taskSettings();
    m_bar->setVisible(m_mine);
    m_cancel->setVisible(m_mine);
    m_start->setEnabled(!job && !settings.tasks.isEmpty() && !settings.folder.isEmpty());
    if (m_mine && job) {
        const std::uint64_t total = job->progress().total();
        m_bar->setRange(0, total > 0 ? 1000 : 0);
        if (total > 0)
            m_bar->setValue(static_cast<int>(1000 * std::min(job->progress().done(), total) / total));
        m_status->setText(QString::fromStdString(job->progress().stage().empty() ? job->title() : job->progress().stage()));
    } else if (job) {
        m_status->setText(tr("Something else is running: it has to end first."));
    } else if (!m_outcome.isEmpty()) {
        m_status->setText(m_outcome);
    } else if (settings.folder.isEmpty()) {
        m_status->setText(tr("Choose the folder with the tasks' data."));
    } else {
        m_status->setText(settings.tasks.isEmpty() ? tr("Choose at least one task.") : tr("%1 chosen.").arg(pluralText(settings.tasks.size(), tr("%1 task"), tr("%1 tasks"))));
    }
}

void TasksDialog::start()
{
    m_outcome.clear();
    m_mine = true;
    m_session.evaluateTasks();
    m_mine = m_session.isRunning();
    showState();
}

}  // namespace lqer
