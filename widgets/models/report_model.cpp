// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/report_model.h"

#include <QDateTime>

#include <algorithm>
#include <cmath>
#include <limits>

#include "widgets/delegates/bar_delegate.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"
#include "widgets/text/task_text.h"

namespace lqer {

namespace {

const QString none = QStringLiteral("\u2013");

QString createdText(const EvaluationReport &report)
{
    const QDateTime created = QDateTime::fromString(QString::fromStdString(report.created), Qt::ISODate);
    if (!created.isValid())
        return safeText(report.created);
    const QDateTime local = created.toLocalTime();
    return local.toString(local.date() == QDate::currentDate() ? QStringLiteral("hh:mm") : QStringLiteral("yyyy-MM-dd hh:mm"));
}

}  // namespace

ReportModel::ReportModel(Session &session, QObject *parent) : QAbstractTableModel(parent), m_session(session)
{
    const auto reset = [this] {
        beginResetModel();
        m_reports = m_session.reports();
        endResetModel();
    };
    connect(&m_session, &Session::reportsChanged, this, reset);
    connect(&m_session, &Session::closed, this, reset);
    connect(&m_session, &Session::recipeChanged, this, [this] {
        if (!m_reports.empty())
            emit dataChanged(index(0, 0), index(rowCount() - 1, ColumnCount - 1));
    });
    m_reports = m_session.reports();
}

std::shared_ptr<const EvaluationReport> ReportModel::report(int row) const
{
    return row >= 0 && static_cast<std::size_t>(row) < m_reports.size() ? m_reports[static_cast<std::size_t>(row)] : nullptr;
}

int ReportModel::rowCount(const QModelIndex &parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_reports.size());
}

int ReportModel::columnCount(const QModelIndex &parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant ReportModel::data(const QModelIndex &index, int role) const
{
    const auto report = index.isValid() ? this->report(index.row()) : nullptr;
    if (!report)
        return {};
    const bool stale = report->recipe && !m_session.isCurrent(*report);  // the original is what it is
    if (role == Qt::TextAlignmentRole)
        return index.column() == Title || index.column() == Created || index.column() == Tasks ? QVariant() : QVariant(Qt::AlignRight | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole)
        return plainHtml(safeText(report->title) + QLatin1Char('\n')
            + (report->perplexity ? tr("%1, %2 windows of %3 tokens").arg(QString::fromStdString(toString(report->perplexity->windowOptions.convention)))
                                        .arg(report->perplexity->windows)
                                        .arg(report->perplexity->windowOptions.length)
                                  : QString())
            + (report->tasks ? taskLines(*report->tasks).join(QLatin1Char('\n')) : QString())
            + (stale ? QLatin1Char('\n') + meaningOf(Term::Stale) : QString()));
    if (role != Qt::DisplayRole && role != SortRole)
        return {};
    const bool sort = role == SortRole;
    const auto number = [&](bool known, double value, const QString &text) { return sort ? QVariant(known ? value : -1.0) : QVariant(known ? text : none); };
    const auto &perplexity = report->perplexity;
    const auto &divergence = report->divergence;
    const auto &footprint = report->footprint;
    switch (index.column()) {
    case Title: return sort ? QVariant(index.row()) : QVariant(tr("%1: %2%3").arg(index.row() + 1).arg(safeText(report->title), stale ? tr(" (stale)") : QString()));
    case Perplexity: return number(perplexity.has_value(), perplexity ? perplexity->headline() : 0, perplexity ? perplexityText(perplexity->headline(), perplexity->standardError) : none);
    case Tasks: return sort ? QVariant(report->tasks ? report->tasks->tasks.front().headline().value : -1.0) : QVariant(report->tasks ? taskSummary(*report->tasks) : none);
    case Original: return number(report->original.has_value(), report->original ? report->original->headline() : 0, report->original ? perplexityText(report->original->headline()) : none);
    case Kl: return number(divergence.has_value(), divergence ? divergence->kl.mean : 0, divergence ? numberText(divergence->kl.mean) : none);
    case Agreement: return number(divergence.has_value(), divergence ? divergence->topAgreement.mean : 0, divergence ? percentText(divergence->topAgreement.mean) : none);
    case Bits: return number(footprint.has_value(), footprint ? footprint->stored.withCorrection : 0, footprint ? bitsNumber(footprint->stored.withCorrection) : none);
    case Size: return number(footprint.has_value(), footprint ? static_cast<double>(footprint->bytes) : 0, footprint ? bytesText(static_cast<double>(footprint->bytes)) : none);
    case Seconds: return number(perplexity.has_value(), perplexity ? perplexity->seconds : 0, perplexity ? durationText(perplexity->seconds) : none);
    case Created: return sort ? QVariant(QString::fromStdString(report->created)) : QVariant(createdText(*report));
    default: return {};
    }
}

QVariant ReportModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    struct Head {
        const char *title;
        std::optional<Term> term;
    };
    static const Head heads[ColumnCount] = {{QT_TR_NOOP("run"), Term::Recipe}, {QT_TR_NOOP("perplexity"), Term::Perplexity}, {QT_TR_NOOP("tasks"), Term::TaskAccuracy},
                                            {QT_TR_NOOP("KL"), Term::KlDivergence},
                                            {QT_TR_NOOP("top-1"), Term::TopOneAgreement}, {QT_TR_NOOP("bits"), Term::BitsPerWeight}, {QT_TR_NOOP("size"), Term::Footprint},
                                            {QT_TR_NOOP("time"), std::nullopt}, {QT_TR_NOOP("original"), Term::Perplexity}, {QT_TR_NOOP("measured"), std::nullopt}};
    if (section < 0 || section >= ColumnCount)
        return {};
    if (role == Qt::DisplayRole)
        return tr(heads[section].title);
    if (role == Qt::ToolTipRole && heads[section].term)
        return meaningOf(*heads[section].term);
    return {};
}

void CompareModel::setReports(std::shared_ptr<const EvaluationReport> first, std::shared_ptr<const EvaluationReport> second)
{
    beginResetModel();
    m_reports[0] = std::move(first);
    m_reports[1] = std::move(second);
    m_rows.clear();
    for (std::size_t side = 0; side < 2; ++side) {
        if (!m_reports[side])
            continue;
        const auto rowOf = [&](const std::string &layer) -> Row & {
            const QString name = safeText(layer);
            const auto found = std::find_if(m_rows.begin(), m_rows.end(), [&](const Row &row) { return row.layer == name; });
            if (found != m_rows.end())
                return *found;
            m_rows.push_back({name, {}, {}});
            return m_rows.back();
        };
        for (const LayerError &error : m_reports[side]->layers)
            rowOf(error.layer).errors[side] = &error;
        if (m_reports[side]->footprint)
            for (const LayerFootprint &cost : m_reports[side]->footprint->layers)
                rowOf(cost.layer).costs[side] = &cost;
    }
    endResetModel();
}

int CompareModel::rowCount(const QModelIndex &parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
}

int CompareModel::columnCount(const QModelIndex &parent) const
{
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant CompareModel::data(const QModelIndex &index, int role) const
{
    if (!index.isValid() || static_cast<std::size_t>(index.row()) >= m_rows.size())
        return {};
    const Row &row = m_rows[static_cast<std::size_t>(index.row())];
    if (role == Qt::TextAlignmentRole)
        return index.column() == Layer ? QVariant() : QVariant(Qt::AlignRight | Qt::AlignVCenter);
    const auto error = [&](int side) { return row.errors[side] && row.errors[side]->outputKnown ? row.errors[side]->relativeCorrectedOutputError() : std::numeric_limits<double>::quiet_NaN(); };
    const double change = error(0) > 0 ? error(1) / error(0) - 1 : std::numeric_limits<double>::quiet_NaN();
    if (role == BarDelegate::BarRole)
        return index.column() == Change && std::isfinite(change) ? QVariant(std::min(1.0, std::abs(change))) : QVariant();
    if (role != Qt::DisplayRole && role != SortRole)
        return {};
    const bool sort = role == SortRole;
    const auto bits = [&](int side) { return row.costs[side] ? (sort ? QVariant(row.costs[side]->stored.withCorrection) : QVariant(bitsNumber(row.costs[side]->stored.withCorrection))) : QVariant(none); };
    const auto rank = [&](int side) { return row.costs[side] ? (sort ? QVariant(static_cast<qlonglong>(row.costs[side]->rank)) : QVariant(QString::number(row.costs[side]->rank))) : QVariant(none); };
    switch (index.column()) {
    case Layer: return row.layer;
    case FormatFirst: return bits(0);
    case FormatSecond: return bits(1);
    case RankFirst: return rank(0);
    case RankSecond: return rank(1);
    case ErrorFirst: return sort ? QVariant(error(0)) : QVariant(percentText(error(0)));
    case ErrorSecond: return sort ? QVariant(error(1)) : QVariant(percentText(error(1)));
    case Change:
        if (sort)
            return change;
        // Direction in words and sign, not by colour.
        if (!std::isfinite(change))
            return none;
        return change == 0 ? tr("same") : (change < 0 ? tr("better by %1") : tr("worse by %1")).arg(percentText(std::abs(change)));
    default: return {};
    }
}

QVariant CompareModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::ToolTipRole) {
        switch (section) {
        case FormatFirst:
        case FormatSecond: return meaningOf(Term::BitsPerWeight);
        case RankFirst:
        case RankSecond: return meaningOf(Term::Rank);
        case ErrorFirst:
        case ErrorSecond:
        case Change: return meaningOf(Term::OutputErrorCorrected);
        default: return {};
        }
    }
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Layer: return tr("layer");
    case FormatFirst: return tr("bits A");
    case FormatSecond: return tr("bits B");
    case RankFirst: return tr("rank A");
    case RankSecond: return tr("rank B");
    case ErrorFirst: return tr("error A");
    case ErrorSecond: return tr("error B");
    case Change: return tr("change");
    default: return {};
    }
}

}  // namespace lqer
