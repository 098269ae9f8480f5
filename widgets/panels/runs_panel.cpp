// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/runs_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QSignalBlocker>
#include <QSortFilterProxyModel>
#include <QSpinBox>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>

#include <algorithm>

#include "widgets/controls/path_field.h"
#include "widgets/delegates/bar_delegate.h"
#include "widgets/models/report_model.h"
#include "widgets/plots/runs_plot.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

// zero: what 0 stands for; "" if 0 is no choice.
QSpinBox *number(QWidget *parent, const QString &suffix, const QString &zero, const QString &name, const QString &tip)
{
    auto *box = new QSpinBox(parent);
    box->setRange(zero.isEmpty() ? 1 : 0, 1 << 20);
    box->setSuffix(QLatin1Char(' ') + suffix);
    box->setSpecialValueText(zero);
    box->setAccessibleName(name);
    box->setToolTip(tip);
    box->setMaximumWidth(130);
    return box;
}

}  // namespace

RunsPanel::RunsPanel(Session &session, QWidget *parent) : QWidget(parent), m_session(session)
{
    auto *outer = new QHBoxLayout(this);
    outer->setContentsMargins(6, 6, 6, 6);
    auto *splitter = new QSplitter(Qt::Horizontal, this);
    splitter->setChildrenCollapsible(false);
    outer->addWidget(splitter);

    auto *left = new QWidget(splitter);
    auto *leftLayout = new QVBoxLayout(left);
    leftLayout->setContentsMargins(0, 0, 0, 0);
    auto *form = new QGridLayout;
    form->setVerticalSpacing(4);
    const QString filter = tr("Texts and token ids (*.txt *.md *.jsonl *.json *.raw *.npy *.gz);;All files (*)");
    const auto addText = [&](int row, const QString &label, const QString &name, const QString &tip, QSpinBox *amount) {
        auto *field = new PathField(PathField::Kind::File, name, filter, left);
        field->setPlaceholder(tr("drop or choose a file"));
        field->setToolTip(tip + QLatin1Char('\n') + tr("Plain text, JSON lines with a \"text\" field, or token ids as a NumPy array of integers."));
        auto *title = new QLabel(label, left);
        title->setToolTip(field->toolTip());
        title->setBuddy(field);
        form->addWidget(title, row, 0);
        form->addWidget(field, row, 1);
        form->addWidget(amount, row, 2);
        connect(field, &PathField::pathChosen, this, &RunsPanel::takeSettings);
        connect(field, &PathField::pathEdited, this, &RunsPanel::takeSettings);
        return field;
    };
    m_calibrationWindows = number(left, tr("windows"), {}, tr("Calibration windows"), tr("How many windows of text calibration reads."));
    m_evaluationWindows = number(left, tr("windows"), tr("all windows"), tr("Evaluation windows"), tr("How many windows are scored; all: the whole text."));
    m_window = number(left, tr("tokens"), tr("auto"), tr("Tokens in a window"), tr("Tokens the model sees at once; auto: its context, at most 2048."));
    m_calibrationText = addText(0, tr("Ca&libration"), tr("Calibration text"), meaningOf(Term::Calibration), m_calibrationWindows);
    m_evaluationText = addText(1, tr("Evaluat&ion"), tr("Evaluation text"), meaningOf(Term::Perplexity), m_evaluationWindows);
    auto *windowLabel = new QLabel(tr("&Window"), left);
    windowLabel->setToolTip(m_window->toolTip());
    windowLabel->setBuddy(m_window);
    m_divergence = new QCheckBox(tr("&KL divergence"), left);
    m_divergence->setToolTip(meaningOf(Term::KlDivergence) + QLatin1Char(' ') + tr("Takes two more passes over the text."));
    form->addWidget(windowLabel, 2, 0);
    form->addWidget(m_divergence, 2, 1, Qt::AlignRight);
    form->addWidget(m_window, 2, 2);
    m_spectrum = new QComboBox(left);
    for (const auto &[extent, text, tip] :
         {std::tuple(SpectrumExtent::Estimated, tr("whole curve, its tail estimated"),
                     tr("The singular values that belong to the factors, and an estimate of the others: about three times as long as the leading ones only.")),
          std::tuple(SpectrumExtent::Whole, tr("whole curve, computed"), tr("All singular values: about ten times as long as the leading ones only.")),
          std::tuple(SpectrumExtent::Leading, tr("leading values only"), tr("Only the singular values that belong to the factors: the fastest, and the curve ends there."))}) {
        m_spectrum->addItem(text, static_cast<int>(extent));
        m_spectrum->setItemData(m_spectrum->count() - 1, tip, Qt::ToolTipRole);
    }
    m_spectrum->setAccessibleName(tr("Spectrum of large layers"));
    m_spectrum->setToolTip(tr("How much of the spectrum is computed when a large layer is decomposed. Layers with fewer than 1024 inputs or outputs always have all of it. "
                              "Decompose (F6) computes layers again that have less."));
    auto *spectrumLabel = new QLabel(tr("&Spectrum"), left);
    spectrumLabel->setToolTip(m_spectrum->toolTip());
    spectrumLabel->setBuddy(m_spectrum);
    form->addWidget(spectrumLabel, 3, 0);
    form->addWidget(m_spectrum, 3, 1, 1, 2);
    form->setColumnStretch(1, 1);
    leftLayout->addLayout(form);

    m_progressRow = new QWidget(left);
    auto *progress = new QVBoxLayout(m_progressRow);
    progress->setContentsMargins(0, 2, 0, 0);
    progress->setSpacing(2);
    auto *barRow = new QHBoxLayout;
    m_bar = new QProgressBar(m_progressRow);
    m_bar->setAccessibleName(tr("Progress"));
    m_pause = new QPushButton(tr("Pause"), m_progressRow);
    m_cancel = new QPushButton(tr("Cancel"), m_progressRow);
    barRow->addWidget(m_bar, 1);
    barRow->addWidget(m_pause);
    barRow->addWidget(m_cancel);
    progress->addLayout(barRow);
    m_status = new QLabel(m_progressRow);
    m_status->setTextFormat(Qt::PlainText);
    m_status->setMinimumWidth(50);
    progress->addWidget(m_status);
    leftLayout->addWidget(m_progressRow);
    m_running = new QLabel(left);
    m_running->setTextFormat(Qt::PlainText);
    m_running->setWordWrap(true);
    m_running->setToolTip(meaningOf(Term::StandardError));
    leftLayout->addWidget(m_running);
    leftLayout->addStretch(1);
    splitter->addWidget(left);

    auto *middle = new QWidget(splitter);
    auto *middleLayout = new QVBoxLayout(middle);
    middleLayout->setContentsMargins(0, 0, 0, 0);
    m_model = new ReportModel(m_session, this);
    auto *sorted = new QSortFilterProxyModel(this);
    sorted->setSourceModel(m_model);
    sorted->setSortRole(ReportModel::SortRole);
    m_view = new QTableView(middle);
    m_view->setModel(sorted);
    m_view->setSortingEnabled(true);
    m_view->sortByColumn(ReportModel::Created, Qt::AscendingOrder);
    m_view->setSelectionBehavior(QAbstractItemView::SelectRows);
    m_view->setAlternatingRowColors(true);
    m_view->verticalHeader()->hide();
    m_view->verticalHeader()->setDefaultSectionSize(rowHeight(m_view->fontMetrics()));
    m_view->setWordWrap(false);
    m_view->setAccessibleName(tr("Runs"));
    m_view->setTabKeyNavigation(false);
    middleLayout->addWidget(m_view, 1);
    auto *tableButtons = new QHBoxLayout;
    m_compare = new QPushButton(tr("Co&mpare"), middle);
    m_compare->setToolTip(tr("Two selected runs layer by layer"));
    m_remove = new QPushButton(tr("Remo&ve"), middle);
    m_remove->setToolTip(tr("Take the selected runs out of the project"));
    tableButtons->addStretch(1);
    tableButtons->addWidget(m_compare);
    tableButtons->addWidget(m_remove);
    middleLayout->addLayout(tableButtons);
    splitter->addWidget(middle);
    m_plot = new RunsPlot(splitter);
    splitter->addWidget(m_plot);
    splitter->setStretchFactor(0, 0);
    splitter->setStretchFactor(1, 3);
    splitter->setStretchFactor(2, 2);
    splitter->setSizes({290, 460, 220});

    for (QSpinBox *box : {m_window, m_calibrationWindows, m_evaluationWindows})
        connect(box, &QSpinBox::valueChanged, this, &RunsPanel::takeSettings);
    connect(m_divergence, &QCheckBox::clicked, this, &RunsPanel::takeSettings);
    connect(m_spectrum, &QComboBox::activated, this, &RunsPanel::takeSettings);
    connect(m_pause, &QPushButton::clicked, this, [this] {
        if (const auto job = m_session.runningJob())
            job->setPaused(!job->isPaused());
        showProgress();
    });
    connect(m_cancel, &QPushButton::clicked, this, [this] {
        if (const auto job = m_session.runningJob())
            m_session.jobs().cancel(QString::fromStdString(job->tag()));
    });
    connect(m_compare, &QPushButton::clicked, this, &RunsPanel::compareSelected);
    connect(m_remove, &QPushButton::clicked, this, [this, sorted] {
        std::vector<int> rows;
        for (const QModelIndex &index : m_view->selectionModel()->selectedRows())
            rows.push_back(sorted->mapToSource(index).row());
        std::sort(rows.rbegin(), rows.rend());
        for (const int row : rows)
            m_session.removeReport(static_cast<std::size_t>(row));
    });
    const auto updateButtons = [this] {
        const auto chosen = m_view->selectionModel()->selectedRows().size();
        m_compare->setEnabled(chosen == 2 || (chosen < 2 && m_model->rowCount() == 2));
        m_remove->setEnabled(chosen > 0);
    };
    connect(m_view->selectionModel(), &QItemSelectionModel::selectionChanged, this, updateButtons);
    connect(m_model, &QAbstractItemModel::modelReset, this, [this, updateButtons] {
        m_view->resizeColumnsToContents();
        updateButtons();
        showPlot();
    });
    updateButtons();
    connect(&m_session, &Session::opened, this, &RunsPanel::showSettings);
    connect(&m_session, &Session::closed, this, &RunsPanel::showSettings);
    connect(&m_session, &Session::runSettingsChanged, this, &RunsPanel::showSettings);
    connect(&m_session, &Session::recipeChanged, this, &RunsPanel::showPlot);
    connect(&m_session, &Session::recipeChanged, this, &RunsPanel::showProgress);
    connect(&m_session, &Session::runningPerplexityChanged, this, &RunsPanel::showProgress);
    connect(&m_session.jobs(), &JobBridge::progressed, this, &RunsPanel::showProgress);
    showSettings();
    showProgress();
    showPlot();
}

void RunsPanel::showSettings()
{
    const RunSettings &settings = m_session.runSettings();
    const QSignalBlocker blockers[] = {QSignalBlocker(m_window), QSignalBlocker(m_calibrationWindows), QSignalBlocker(m_evaluationWindows)};
    m_calibrationText->setPath(settings.calibrationText);
    m_evaluationText->setPath(settings.evaluationText);
    m_window->setValue(settings.windowLength);
    m_calibrationWindows->setValue(settings.calibrationWindows);
    m_evaluationWindows->setValue(settings.evaluationWindows);
    m_divergence->setChecked(settings.divergence);
    m_spectrum->setCurrentIndex(m_spectrum->findData(static_cast<int>(settings.spectrum)));
    showProgress();
}

void RunsPanel::takeSettings()
{
    RunSettings settings;
    settings.calibrationText = m_calibrationText->path();
    settings.evaluationText = m_evaluationText->path();
    settings.windowLength = m_window->value();
    settings.calibrationWindows = m_calibrationWindows->value();
    settings.evaluationWindows = m_evaluationWindows->value();
    settings.divergence = m_divergence->isChecked();
    settings.spectrum = static_cast<SpectrumExtent>(m_spectrum->currentData().toInt());
    m_session.setRunSettings(settings);
}

void RunsPanel::showProgress()
{
    const std::shared_ptr<Job> job = m_session.runningJob();
    m_progressRow->setVisible(job != nullptr);
    if (job) {
        const JobBridge &jobs = m_session.jobs();
        const std::uint64_t total = job->progress().total();
        // Thousandths, since a count of steps need not fit an int.
        m_bar->setRange(0, total > 0 ? 1000 : 0);
        if (total > 0)
            m_bar->setValue(static_cast<int>(1000 * std::min(job->progress().done(), total) / total));
        QStringList parts{QString::fromStdString(job->progress().stage().empty() ? job->title() : job->progress().stage())};
        if (job->isPaused()) {
            parts << tr("paused");
        } else {
            if (const double rate = jobs.stepsPerSecond(*job); rate > 0)
                parts << tr("%1 steps/s").arg(numberText(rate));
            if (const double left = jobs.remainingSeconds(*job); left >= 0)
                parts << tr("%1 left").arg(durationText(left));
        }
        m_status->setText(parts.join(QStringLiteral(" \u00b7 ")));
        m_status->setToolTip(plainHtml(safeText(job->progress().detail())));
        m_pause->setText(job->isPaused() ? tr("Resume") : tr("Pause"));
    }
    const auto &running = m_session.runningPerplexity();
    if (running)
        m_running->setText(tr("Perplexity so far: %1, %2 windows\nof %3%4")
                               .arg(perplexityText(running->headline(), running->standardError), countText(static_cast<qint64>(running->windows)), m_session.runningTitle(),
                                    m_session.isRunningCurrent() ? QString() : tr(" (stale: the recipe was edited since)")));
    m_running->setVisible(running != nullptr);
}

void RunsPanel::showPlot()
{
    QVector<RunsPlot::Point> points;
    double original = 0;
    int number = 0;
    for (const auto &report : m_session.reports()) {
        ++number;
        if (report->original)
            original = report->original->headline();
        if (report->perplexity && report->footprint && report->recipe)
            points.append({safeText(report->title), static_cast<double>(report->footprint->bytes), report->perplexity->headline(), m_session.isCurrent(*report), number});
    }
    m_plot->setPoints(std::move(points), original);
}

void RunsPanel::compareSelected()
{
    auto *sorted = static_cast<QSortFilterProxyModel *>(m_view->model());
    std::vector<int> rows;
    for (const QModelIndex &index : m_view->selectionModel()->selectedRows())
        rows.push_back(sorted->mapToSource(index).row());
    if (rows.size() != 2 && m_model->rowCount() == 2)
        rows = {0, 1};
    if (rows.size() == 2) {
        std::sort(rows.begin(), rows.end());
        emit compareRequested(rows[0], rows[1]);
    }
}

}  // namespace lqer
