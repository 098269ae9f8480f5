// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/export_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDesktopServices>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QFormLayout>
#include <QGroupBox>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QProgressBar>
#include <QPushButton>
#include <QSignalBlocker>
#include <QStackedWidget>
#include <QStorageInfo>
#include <QStyledItemDelegate>
#include <QTextBrowser>
#include <QTreeWidget>
#include <QUrl>
#include <QVBoxLayout>

#include <algorithm>
#include <utility>

#include "widgets/controls/parameter_form.h"
#include "widgets/controls/path_field.h"
#include "widgets/session/preferences.h"
#include "widgets/session/session.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr int askMilliseconds = 150;
constexpr int longestCard = 1 << 20;  // bytes

// A tree asks for heights without a rectangle, in which nothing wraps: its rows would stay one line high.
class WrappingDelegate final : public QStyledItemDelegate {
public:
    explicit WrappingDelegate(QTreeView *view) : QStyledItemDelegate(view), m_view(view) {}

    QSize sizeHint(const QStyleOptionViewItem &option, const QModelIndex &index) const override
    {
        QStyleOptionViewItem wrapped(option);
        wrapped.rect = QRect(0, 0, m_view->columnWidth(index.column()), option.fontMetrics.height());
        return QStyledItemDelegate::sizeHint(wrapped, index);
    }

private:
    const QTreeView *m_view;
};

QLabel *plainLabel(QWidget *parent)
{
    auto *label = new QLabel(parent);
    label->setTextFormat(Qt::PlainText);
    label->setWordWrap(true);
    return label;
}

}  // namespace

ExportDialog::ExportDialog(Session &session, QWidget *parent) : QDialog(parent), m_session(session), m_pages(new QStackedWidget(this))
{
    setWindowTitle(tr("Export"));
    resize(860, 620);
    auto *layout = new QVBoxLayout(this);
    layout->addWidget(m_pages, 1);
    m_pages->addWidget(makeChoices());
    m_pages->addWidget(makeResult());

    m_bar = new QProgressBar(this);
    m_bar->setAccessibleName(tr("Progress of the export"));
    m_status = plainLabel(this);
    m_status->setAccessibleName(tr("State of the export"));
    layout->addWidget(m_bar);
    layout->addWidget(m_status);
    auto *buttons = new QHBoxLayout;
    m_openFolder = new QPushButton(tr("Open &folder"), this);
    m_cancel = new QPushButton(tr("&Cancel export"), this);
    m_export = new QPushButton(tr("&Export"), this);
    m_close = new QPushButton(tr("C&lose"), this);
    for (QPushButton *button : {m_openFolder, m_cancel, m_close})
        button->setAutoDefault(false);
    m_export->setDefault(true);
    buttons->addWidget(m_openFolder);
    buttons->addStretch(1);
    for (QPushButton *button : {m_cancel, m_export, m_close})
        buttons->addWidget(button);
    layout->addLayout(buttons);

    m_askTimer.setSingleShot(true);
    m_askTimer.setInterval(askMilliseconds);
    connect(&m_askTimer, &QTimer::timeout, this, [this] { m_session.forecastExport(recipe(), request()); });
    connect(m_export, &QPushButton::clicked, this, &ExportDialog::start);
    connect(m_cancel, &QPushButton::clicked, this, [this] { m_session.jobs().cancel(QStringLiteral("export")); });
    connect(m_close, &QPushButton::clicked, this, &ExportDialog::reject);
    connect(m_openFolder, &QPushButton::clicked, this, [this] {
        const QFileInfo written(m_written);
        QDesktopServices::openUrl(QUrl::fromLocalFile(written.isDir() ? m_written : written.absolutePath()));
    });
    connect(&m_session, &Session::exportForecast, this, &ExportDialog::showForecast);
    connect(&m_session, &Session::exportFailed, this, &ExportDialog::showFailure);
    connect(&m_session, &Session::exportDone, this, [this](const std::shared_ptr<const ExportResult> &result) { showDone(*result); });
    connect(&m_session.jobs(), &JobBridge::started, this, &ExportDialog::showProgress);
    connect(&m_session.jobs(), &JobBridge::progressed, this, &ExportDialog::showProgress);
    connect(&m_session, &Session::closed, this, &ExportDialog::reject);
    connect(&m_session, &Session::reportsChanged, this, &ExportDialog::fillRecipes);
    for (const auto changed : {&Session::recipeChanged, &Session::statisticsChanged})
        connect(&m_session, changed, this, &ExportDialog::ask);
    fillRecipes();
    m_targets->setCurrentRow(0);
    showProgress();
}

QWidget *ExportDialog::makeChoices()
{
    auto *page = new QWidget(this);
    auto *layout = new QHBoxLayout(page);
    layout->setContentsMargins(0, 0, 0, 0);
    m_targets = new QListWidget(page);
    m_targets->setAccessibleName(tr("Target"));
    m_targets->setMaximumWidth(260);
    m_targets->setWordWrap(true);
    m_targets->setSpacing(2);
    for (const Exporter &target : exporters()) {
        auto *item = new QListWidgetItem(QString::fromStdString(target.info.title), m_targets);
        item->setToolTip(QString::fromStdString(target.info.meaning));
    }
    layout->addWidget(m_targets);

    auto *right = new QVBoxLayout;
    layout->addLayout(right, 1);
    m_meaning = plainLabel(page);
    m_meaning->setAccessibleName(tr("What the target is"));
    right->addWidget(m_meaning);
    auto *form = new QFormLayout;
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    m_recipe = new QComboBox(page);
    m_recipe->setAccessibleName(tr("Recipe to export"));
    m_recipe->setToolTip(tr("The present recipe, or the one of a run."));
    m_recipe->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    form->addRow(tr("&Recipe"), m_recipe);
    m_parentFolder = new PathField(PathField::Kind::Folder, tr("Destination folder"), {}, page);
    const QString last = preferences::exportFolder();
    m_parentFolder->setPath(last.isEmpty() || !QFileInfo::exists(last) ? QDir::homePath() : last);
    m_parentFolder->setToolTip(tr("Where the export is put."));
    form->addRow(tr("&Destination"), m_parentFolder);
    m_name = new QLineEdit(page);
    m_name->setAccessibleName(tr("Name of the export"));
    m_name->setToolTip(tr("A folder (or file) of this name is made; it appears when everything is written and checked."));
    form->addRow(tr("&Name"), m_name);
    m_overwrite = new QCheckBox(tr("Replace an earlier e&xport of this name"), page);
    m_overwrite->setToolTip(tr("Only an export of this program is ever replaced."));
    form->addRow(m_overwrite);
    right->addLayout(form);
    auto *options = new QGroupBox(tr("Options"), page);
    m_optionsPlace = new QVBoxLayout(options);
    right->addWidget(options);
    m_verdict = plainLabel(page);
    m_verdict->setAccessibleName(tr("Result of the checks"));
    right->addWidget(m_verdict);
    m_problems = new QTreeWidget(page);
    m_problems->setAccessibleName(tr("What was found"));
    m_problems->setHeaderLabels({tr("kind"), tr("where"), tr("what")});
    m_problems->setRootIsDecorated(false);
    m_problems->setWordWrap(true);
    m_problems->setAlternatingRowColors(true);
    m_problems->setSelectionMode(QAbstractItemView::NoSelection);
    m_problems->setItemDelegate(new WrappingDelegate(m_problems));
    connect(m_problems->header(), &QHeaderView::sectionResized, m_problems, &QTreeWidget::doItemsLayout);
    right->addWidget(m_problems, 1);
    right->addStretch(0);

    connect(m_targets, &QListWidget::currentRowChanged, this, &ExportDialog::chooseTarget);
    connect(m_recipe, &QComboBox::currentIndexChanged, this, &ExportDialog::ask);
    connect(m_parentFolder, &PathField::pathEdited, this, &ExportDialog::ask);
    connect(m_parentFolder, &PathField::pathChosen, this, &ExportDialog::ask);
    connect(m_name, &QLineEdit::textChanged, this, &ExportDialog::ask);
    connect(m_name, &QLineEdit::textEdited, this, [this] { m_nameIsOurs = false; });
    connect(m_overwrite, &QCheckBox::toggled, this, &ExportDialog::ask);
    return page;
}

QWidget *ExportDialog::makeResult()
{
    auto *page = new QWidget(this);
    auto *layout = new QVBoxLayout(page);
    layout->setContentsMargins(0, 0, 0, 0);
    m_doneTitle = plainLabel(page);
    m_doneTitle->setTextInteractionFlags(Qt::TextSelectableByMouse);
    layout->addWidget(m_doneTitle);
    m_card = new QTextBrowser(page);
    m_card->setAccessibleName(tr("Model card"));
    m_card->setOpenLinks(false);
    layout->addWidget(m_card, 1);
    return page;
}

void ExportDialog::fillRecipes()
{
    const std::shared_ptr<const EvaluationReport> chosen = chosenReport();
    const QSignalBlocker blocker(m_recipe);
    m_recipe->clear();
    m_reports.assign(1, nullptr);
    m_recipe->addItem(tr("the present one"));
    for (std::size_t i = m_session.reports().size(); i-- > 0;) {
        const EvaluationReport &report = *m_session.reports()[i];
        if (!report.recipe)
            continue;
        m_reports.push_back(m_session.reports()[i]);
        m_recipe->addItem(tr("run %1: %2%3").arg(i + 1).arg(safeText(report.title), report.perplexity ? tr(", perplexity %1").arg(perplexityText(report.perplexity->headline())) : QString()));
    }
    // The list may be filled again: the choice stays while its run is there.
    const auto again = std::find_if(m_reports.begin(), m_reports.end(), [&](const auto &report) { return report && chosen && report->recipe == chosen->recipe; });
    m_recipe->setCurrentIndex(again == m_reports.end() ? 0 : static_cast<int>(again - m_reports.begin()));
    ask();
}

std::shared_ptr<const EvaluationReport> ExportDialog::chosenReport() const
{
    const int index = m_recipe->currentIndex();
    return index > 0 ? m_reports[static_cast<std::size_t>(index)] : nullptr;
}

const Exporter &ExportDialog::exporter() const
{
    return exporters()[static_cast<std::size_t>(std::max(0, m_targets->currentRow()))];
}

const QuantizationRecipe &ExportDialog::recipe() const
{
    const auto report = chosenReport();
    return report ? *report->recipe : m_session.recipe();
}

QString ExportDialog::destination() const
{
    return QDir(m_parentFolder->path()).absoluteFilePath(m_name->text());
}

ExportRequest ExportDialog::request() const
{
    return {exporter().info.name, m_options, destination().toStdString(), m_overwrite->isChecked()};
}

void ExportDialog::chooseTarget()
{
    m_meaning->setText(QString::fromStdString(exporter().info.meaning));
    m_options = withDefaults(exporter(), {});
    delete m_form;
    m_optionsPlace->parentWidget()->setVisible(!exporter().info.options.empty());
    m_form = new ParameterForm(exporter().info.options, m_options, this);
    m_optionsPlace->addWidget(m_form);
    connect(m_form, &ParameterForm::valueChosen, this, [this](const std::string &name, const FormatValue &value) {
        m_options[name] = value;
        ask();
    });
    suggestName();
    ask();
}

void ExportDialog::suggestName()
{
    if (m_nameIsOurs)
        m_name->setText(QStringLiteral("%1-%2%3").arg(m_session.title(), QString::fromStdString(exporter().info.name), QString::fromStdString(exporter().info.singleFile)));
}

void ExportDialog::ask()
{
    if (m_exporting)
        return;
    m_ready = false;
    m_export->setEnabled(false);
    m_verdict->setText(tr("Checking..."));
    m_askTimer.start();
}

QString ExportDialog::destinationProblem() const
{
    const QString name = m_name->text();
    if (name.isEmpty() || name.contains(QLatin1Char('/')) || name == QLatin1String(".") || name == QLatin1String(".."))
        return tr("give the export a name without slashes");
    const QFileInfo parent(m_parentFolder->path());
    if (!parent.isDir())
        return tr("there is no folder %1").arg(m_parentFolder->path());
    if (!parent.isWritable())
        return tr("the folder %1 cannot be written to").arg(m_parentFolder->path());
    if (QFileInfo::exists(destination()) && !m_overwrite->isChecked())
        return tr("%1 is there already: choose another name, or let it be replaced").arg(name);
    return {};
}

void ExportDialog::addProblem(const QString &severity, const QString &place, const QString &message)
{
    auto *item = new QTreeWidgetItem(m_problems, {severity, place, message});
    item->setToolTip(2, message);
}

void ExportDialog::showForecast(const ExportForecast &forecast)
{
    // The answer to a question that is out of date already says nothing about what is asked now.
    if (m_exporting || m_pages->currentIndex() != 0 || m_askTimer.isActive())
        return;
    m_problems->clear();
    int errors = 0;
    if (const QString problem = destinationProblem(); !problem.isEmpty()) {
        addProblem(tr("error"), tr("destination"), problem);
        ++errors;
    }
    const qint64 free = QStorageInfo(m_parentFolder->path()).bytesAvailable();
    if (forecast.bytes > 0 && free >= 0 && static_cast<quint64>(free) < forecast.bytes) {
        addProblem(tr("error"), tr("disk"), tr("%1 are needed, %2 are free").arg(bytesText(static_cast<double>(forecast.bytes)), bytesText(static_cast<double>(free))));
        ++errors;
    }
    for (const ExportProblem &problem : forecast.problems) {
        const bool error = problem.severity == ExportProblem::Severity::Error;
        addProblem(error ? tr("error") : tr("note"), safeText(problem.place), QString::fromStdString(problem.message));
        errors += error ? 1 : 0;
    }
    for (int column = 0; column < 2; ++column)
        m_problems->resizeColumnToContents(column);
    m_problems->setVisible(m_problems->topLevelItemCount() > 0);
    const QString size = forecast.bytes > 0 ? tr("About %1 will be written, %2 are free.").arg(bytesText(static_cast<double>(forecast.bytes)), bytesText(static_cast<double>(free))) : QString();
    m_ready = errors == 0;
    m_readyWords = tr("Ready. %1").arg(size);
    if (!m_ready)
        m_verdict->setText(pluralText(errors, tr("%1 problem to solve before this can be exported."), tr("%1 problems to solve before this can be exported.")));
    showProgress();
}

void ExportDialog::start()
{
    if (const QString problem = destinationProblem(); !problem.isEmpty() || m_session.isRunning())
        return;
    preferences::setExportFolder(m_parentFolder->path());
    m_askTimer.stop();
    m_session.jobs().cancel(QStringLiteral("forecast"));
    m_status->clear();
    m_exporting = true;
    m_session.exportModel(recipe(), request());
    showProgress();
}

void ExportDialog::showProgress()
{
    const std::shared_ptr<Job> job = m_exporting ? m_session.runningJob() : nullptr;
    if (m_exporting && !job) {
        // It was stopped: neither done nor failed.
        m_exporting = false;
        m_status->setText(tr("The export was stopped. Nothing was left behind."));
        ask();
    }
    const bool choosing = m_pages->currentIndex() == 0;
    m_pages->widget(0)->setEnabled(!job);
    m_bar->setVisible(job != nullptr);
    m_cancel->setVisible(job != nullptr);
    m_export->setVisible(choosing && !job);
    const bool waits = m_ready && !job && m_session.isRunning();
    m_export->setEnabled(m_ready && !waits);
    if (m_ready)
        m_verdict->setText(waits ? tr("Ready, but something else is running: the export can begin when that is done.") : m_readyWords);
    m_openFolder->setVisible(!choosing);
    m_status->setVisible(!m_status->text().isEmpty() || job);
    if (!job)
        return;
    const std::uint64_t total = job->progress().total();
    m_bar->setRange(0, total > 0 ? 1000 : 0);
    if (total > 0)
        m_bar->setValue(static_cast<int>(1000 * std::min(job->progress().done(), total) / total));
    QStringList parts{QString::fromStdString(job->progress().stage().empty() ? job->title() : job->progress().stage())};
    if (!job->progress().detail().empty())
        parts << safeText(job->progress().detail());
    if (const double left = m_session.jobs().remainingSeconds(*job); left >= 0)
        parts << tr("%1 left").arg(durationText(left));
    m_status->setText(parts.join(QStringLiteral(" \u00b7 ")));
}

void ExportDialog::showDone(const ExportResult &result)
{
    if (!m_exporting)
        return;
    m_exporting = false;
    m_written = QString::fromStdString(result.path);
    m_doneTitle->setText(tr("Written and verified: %1\n%2, %3, in %4").arg(m_written, pluralText(static_cast<qint64>(result.files.size()), tr("%1 file"), tr("%1 files")), bytesText(static_cast<double>(result.bytes)), durationText(result.seconds)));
    QFile card(QDir(m_written).filePath(QStringLiteral("README.md")));
    QString text = tr("This export has no model card.");
    if (card.open(QIODevice::ReadOnly))
        text = QString::fromUtf8(card.read(longestCard));
    // The header in front is for the hub.
    if (text.startsWith(QLatin1String("---\n")))
        text = text.mid(std::max<qsizetype>(0, text.indexOf(QLatin1String("\n---\n"), 4) + 5));
    m_card->setMarkdown(text);
    m_status->clear();
    m_pages->setCurrentIndex(1);
    showProgress();
    m_openFolder->setFocus();
}

void ExportDialog::showFailure(const QString &message)
{
    const bool whileWriting = std::exchange(m_exporting, false);
    m_status->setText(whileWriting ? tr("The export failed: %1").arg(message) : QString());
    showProgress();
    if (whileWriting) {
        ask();  // whoever made room may try again
        return;
    }
    m_ready = false;
    m_export->setEnabled(false);
    m_verdict->setText(message);
}

}  // namespace lqer
