// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/compare_panel.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QSignalBlocker>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QVBoxLayout>

#include <algorithm>

#include "core/eval/hardware_cost.h"
#include "widgets/delegates/bar_delegate.h"
#include "widgets/models/report_model.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"
#include "widgets/text/task_text.h"

namespace lqer {

namespace {

// "perplexity -0.02 %, KL -24.7 %, size the same".
QString changes(const EvaluationReport &first, const EvaluationReport &second)
{
    QStringList parts;
    const auto add = [&](const QString &name, double before, double after) {
        if (before == after)
            parts << ComparePanel::tr("%1 the same").arg(name);
        else if (before > 0)
            parts << name + QLatin1Char(' ') + (after > before ? QStringLiteral("+") : QString()) + percentText(after / before - 1);
    };
    if (first.perplexity && second.perplexity)
        add(ComparePanel::tr("perplexity"), first.perplexity->headline(), second.perplexity->headline());
    if (first.divergence && second.divergence)
        add(ComparePanel::tr("KL"), first.divergence->kl.mean, second.divergence->kl.mean);
    if (first.tasks && second.tasks)
        parts << taskChanges(*first.tasks, *second.tasks);
    if (first.footprint && second.footprint)
        add(ComparePanel::tr("size"), static_cast<double>(first.footprint->bytes), static_cast<double>(second.footprint->bytes));
    return parts.join(QStringLiteral(", "));
}

}  // namespace

ComparePanel::ComparePanel(Session &session, QWidget *parent)
    : QWidget(parent), m_session(session), m_first(new QComboBox(this)), m_second(new QComboBox(this)), m_summary(new QLabel(this)), m_model(new CompareModel(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    auto *bar = new QHBoxLayout;
    m_first->setAccessibleName(tr("First run"));
    m_second->setAccessibleName(tr("Second run"));
    for (QComboBox *box : {m_first, m_second}) {
        box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
        box->setMinimumContentsLength(16);
    }
    for (const auto &[title, box] : {std::pair{tr("&A"), m_first}, std::pair{tr("&B"), m_second}}) {
        auto *label = new QLabel(title, this);
        label->setBuddy(box);
        bar->addWidget(label);
        bar->addWidget(box, 1);
    }
    layout->addLayout(bar);
    m_summary->setTextFormat(Qt::PlainText);
    m_summary->setWordWrap(true);
    m_summary->setToolTip(plainHtml(titleOf(Term::MovedBits) + QStringLiteral(": ") + meaningOf(Term::MovedBits) + QLatin1Char('\n') + tr("Products: ") + meaningOf(Term::MultiplyAccumulates)
                                    + QLatin1Char('\n') + titleOf(Term::RelativeArea) + QStringLiteral(": ") + meaningOf(Term::RelativeArea)));
    layout->addWidget(m_summary);
    auto *view = new QTableView(this);
    auto *sorted = new QSortFilterProxyModel(this);
    sorted->setSourceModel(m_model);
    sorted->setSortRole(CompareModel::SortRole);
    view->setModel(sorted);
    view->setSortingEnabled(true);
    view->sortByColumn(-1, Qt::AscendingOrder);
    view->setSelectionBehavior(QAbstractItemView::SelectRows);
    view->setAlternatingRowColors(true);
    view->verticalHeader()->hide();
    view->verticalHeader()->setDefaultSectionSize(rowHeight(view->fontMetrics()));
    view->setItemDelegateForColumn(CompareModel::Change, new BarDelegate(this));
    view->setAccessibleName(tr("Layers of both runs"));
    view->setTabKeyNavigation(false);
    layout->addWidget(view, 1);
    connect(m_model, &QAbstractItemModel::modelReset, view, [view] {
        view->resizeColumnsToContents();
        view->horizontalHeader()->setStretchLastSection(true);
    });
    connect(view, &QTableView::doubleClicked, this, [this, sorted](const QModelIndex &index) {
        m_session.select({sorted->index(index.row(), CompareModel::Layer).data().toString().toStdString()});
    });
    connect(m_first, &QComboBox::currentIndexChanged, this, &ComparePanel::refresh);
    connect(m_second, &QComboBox::currentIndexChanged, this, &ComparePanel::refresh);
    connect(&m_session, &Session::reportsChanged, this, &ComparePanel::refill);
    connect(&m_session, &Session::closed, this, &ComparePanel::refill);
    refill();
}

void ComparePanel::refill()
{
    const QSignalBlocker blockers[] = {QSignalBlocker(m_first), QSignalBlocker(m_second)};
    const int before = m_first->currentIndex();
    m_first->clear();
    m_second->clear();
    for (std::size_t i = 0; i < m_session.reports().size(); ++i) {
        const QString title = tr("%1: %2").arg(i + 1).arg(safeText(m_session.reports()[i]->title));
        m_first->addItem(title);
        m_second->addItem(title);
    }
    m_first->setCurrentIndex(before >= 0 && before < m_first->count() ? before : 0);
    m_second->setCurrentIndex(m_second->count() - 1);
    refresh();
}

void ComparePanel::compare(int first, int second)
{
    m_first->setCurrentIndex(first);
    m_second->setCurrentIndex(second);
}

void ComparePanel::refresh()
{
    const auto report = [this](const QComboBox *box) -> std::shared_ptr<const EvaluationReport> {
        const int index = box->currentIndex();
        return index >= 0 && static_cast<std::size_t>(index) < m_session.reports().size() ? m_session.reports()[static_cast<std::size_t>(index)] : nullptr;
    };
    const auto first = report(m_first);
    const auto second = report(m_second);
    m_model->setReports(first, second);
    if (!first || !second || first == second) {
        m_summary->setText(m_session.reports().size() < 2 ? tr("Two evaluated recipes can be compared here layer by layer. Evaluate (F7), change the recipe, evaluate again.")
                                                          : tr("Choose two different runs."));
        return;
    }
    const auto costOf = [this](const EvaluationReport &one) {
        const auto &model = m_session.model();
        return model ? reportCost(model->transformer(), model->summary().fingerprint, one, {}) : std::nullopt;
    };
    const auto words = [&costOf](const EvaluationReport &one) {
        QStringList parts;
        if (one.perplexity)
            parts << tr("perplexity %1").arg(perplexityText(one.perplexity->headline(), one.perplexity->standardError));
        if (one.divergence)
            parts << tr("KL %1").arg(numberText(one.divergence->kl.mean));
        if (one.tasks)
            parts << taskSummary(*one.tasks);
        if (one.footprint)
            parts << tr("%1, %2").arg(bitsText(one.footprint->stored.withCorrection), bytesText(static_cast<double>(one.footprint->bytes)));
        if (const auto cost = costOf(one)) {
            parts << tr("%1 moved and %2 products a token").arg(quantityText(cost->total.movedBits(1), "bit"), quantityText(cost->total.macs(), ""));
            if (const auto area = cost->total.area())
                parts << tr("area %1 (%2)").arg(numberText(*area), QString::fromStdString(std::string(toString(cost->total.basis()))));
        }
        return parts.join(QStringLiteral(", "));
    };
    m_summary->setText(tr("A: %1\nB: %2\nB against A: %3").arg(words(*first), words(*second), changes(*first, *second)));
}

}  // namespace lqer
