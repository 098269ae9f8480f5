// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/layer_model.h"

#include <QCoreApplication>
#include <QFont>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "widgets/controls/format_editor.h"
#include "widgets/delegates/bar_delegate.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

const LayerError *errorOf(const LayerRow &row)
{
    return row.measured ? &*row.measured : row.error ? &*row.error : nullptr;
}

// Squared output error that is left in a layer.
double remaining(const LayerRow &row)
{
    if (!row.plan.quantize)
        return 0;
    const LayerError *error = errorOf(row);
    return error && error->outputKnown && row.ready ? error->correctedOutputError : unknown;
}

std::optional<LayerMetric> metricOf(int column)
{
    switch (column) {
    case LayerModel::Bits: return LayerMetric::BitsPerWeight;
    case LayerModel::WeightError: return LayerMetric::WeightError;
    case LayerModel::OutputPlain: return LayerMetric::OutputErrorPlain;
    case LayerModel::OutputCorrected: return LayerMetric::OutputErrorCorrected;
    case LayerModel::Share: return LayerMetric::ErrorShare;
    default: return std::nullopt;
    }
}

Term termOf(int column)
{
    switch (column) {
    case LayerModel::Role: return Term::Role;
    case LayerModel::Format: return Term::Format;
    case LayerModel::Scaling: return Term::Scaling;
    case LayerModel::Rank: return Term::Rank;
    case LayerModel::Bits: return Term::BitsPerWeight;
    case LayerModel::WeightError: return Term::WeightError;
    case LayerModel::OutputPlain: return Term::OutputErrorPlain;
    case LayerModel::OutputCorrected: return Term::OutputErrorCorrected;
    case LayerModel::Share: return Term::ErrorShare;
    default: return Term::Block;
    }
}

QString roleText(const LinearSite &site)
{
    return QString::fromStdString(std::string(toString(site.role)));
}

}  // namespace

QString titleOf(LayerMetric metric)
{
    switch (metric) {
    case LayerMetric::BitsPerWeight: return titleOf(Term::BitsPerWeight);
    case LayerMetric::WeightError: return titleOf(Term::WeightError);
    case LayerMetric::OutputErrorPlain: return titleOf(Term::OutputErrorPlain);
    case LayerMetric::OutputErrorCorrected: return titleOf(Term::OutputErrorCorrected);
    case LayerMetric::ErrorShare: return titleOf(Term::ErrorShare);
    case LayerMetric::Rank: return titleOf(Term::Rank);
    case LayerMetric::CapturedEnergy: return titleOf(Term::CapturedEnergy);
    }
    return {};
}

QString meaningOf(LayerMetric metric)
{
    switch (metric) {
    case LayerMetric::BitsPerWeight: return meaningOf(Term::BitsPerWeight);
    case LayerMetric::WeightError: return meaningOf(Term::WeightError);
    case LayerMetric::OutputErrorPlain: return meaningOf(Term::OutputErrorPlain);
    case LayerMetric::OutputErrorCorrected: return meaningOf(Term::OutputErrorCorrected);
    case LayerMetric::ErrorShare: return meaningOf(Term::ErrorShare);
    case LayerMetric::Rank: return meaningOf(Term::Rank);
    case LayerMetric::CapturedEnergy: return meaningOf(Term::CapturedEnergy);
    }
    return {};
}

QString textOf(LayerMetric metric, double value)
{
    switch (metric) {
    case LayerMetric::BitsPerWeight: return bitsNumber(value);
    case LayerMetric::Rank: return std::isfinite(value) ? QString::number(static_cast<int>(value)) : numberText(value);
    case LayerMetric::ErrorShare: return value > 0 && value < 1e-4 ? QStringLiteral("<\u00a00.01\u00a0%") : percentText(value);
    default: return percentText(value);
    }
}

bool isLogarithmic(LayerMetric metric)
{
    return metric == LayerMetric::WeightError || metric == LayerMetric::OutputErrorPlain || metric == LayerMetric::OutputErrorCorrected;
}

double valueOf(LayerMetric metric, const LayerRow &row, double all)
{
    const LayerError *error = errorOf(row);
    switch (metric) {
    case LayerMetric::BitsPerWeight: return row.footprint.stored.withCorrection;
    case LayerMetric::Rank: return static_cast<double>(row.plan.quantize ? row.plan.rank : 0);
    case LayerMetric::WeightError: return !row.plan.quantize ? 0 : error ? error->relativeWeightError() : unknown;
    case LayerMetric::OutputErrorPlain: return !row.plan.quantize ? 0 : error && error->outputKnown ? error->relativeOutputError() : unknown;
    case LayerMetric::OutputErrorCorrected: return !row.plan.quantize ? 0 : error && error->outputKnown && row.ready ? error->relativeCorrectedOutputError() : unknown;
    case LayerMetric::ErrorShare: return all > 0 ? remaining(row) / all : unknown;
    case LayerMetric::CapturedEnergy: {
        if (!row.decomposition || !row.ready || row.decomposition->totalEnergy <= 0)
            return unknown;
        return 1 - row.decomposition->residualEnergy(row.plan.rank) / row.decomposition->totalEnergy;
    }
    }
    return unknown;
}

double remainingError(const LayerTable &table)
{
    double sum = 0;
    for (const LayerRow &row : table.rows)
        if (const double part = remaining(row); std::isfinite(part))
            sum += part;
    return sum;
}

LayerModel::LayerModel(QObject *parent) : QAbstractItemModel(parent) {}

void LayerModel::setTable(std::shared_ptr<const LayerTable> table)
{
    const bool same = table && m_table && table->rows.size() == m_table->rows.size()
        && std::equal(table->rows.begin(), table->rows.end(), m_table->rows.begin(), [](const LayerRow &a, const LayerRow &b) { return a.site.name == b.site.name; });
    if (!same)
        beginResetModel();
    m_table = std::move(table);
    m_remaining = m_table ? remainingError(*m_table) : 0;
    m_highest.assign(ColumnCount, 0.0);
    if (m_table)
        for (int column = 0; column < ColumnCount; ++column)
            if (const auto metric = metricOf(column))
                for (const LayerRow &row : m_table->rows)
                    if (const double value = valueOf(*metric, row, m_remaining); std::isfinite(value))
                        m_highest[static_cast<std::size_t>(column)] = std::max(m_highest[static_cast<std::size_t>(column)], value);
    if (!same) {
        regroup();
        endResetModel();
        return;
    }
    if (m_grouping == Grouping::None) {
        emit dataChanged(index(0, 0), index(rowCount() - 1, ColumnCount - 1));
        return;
    }
    for (int group = 0; group < rowCount(); ++group) {
        const QModelIndex top = index(group, 0);
        emit dataChanged(index(0, 0, top), index(rowCount(top) - 1, ColumnCount - 1, top));
    }
    emit dataChanged(index(0, 0), index(rowCount() - 1, ColumnCount - 1));
}

void LayerModel::setGrouping(Grouping grouping)
{
    if (grouping == m_grouping)
        return;
    beginResetModel();
    m_grouping = grouping;
    regroup();
    endResetModel();
}

void LayerModel::regroup()
{
    m_groups.clear();
    if (!m_table)
        return;
    std::map<std::int64_t, std::size_t> known;
    for (std::size_t i = 0; i < m_table->rows.size(); ++i) {
        const LinearSite &site = m_table->rows[i].site;
        const std::int64_t key = m_grouping == Grouping::Block ? site.layer : m_grouping == Grouping::Role ? static_cast<std::int64_t>(site.role) : 0;
        const auto [place, fresh] = known.try_emplace(key, m_groups.size());
        if (fresh) {
            QString title;
            if (m_grouping == Grouping::Block)
                title = site.layer >= 0 ? tr("block %1").arg(site.layer) : tr("outside the blocks");
            else if (m_grouping == Grouping::Role)
                title = roleText(site);
            m_groups.push_back({title, {}});
        }
        m_groups[place->second].rows.push_back(static_cast<int>(i));
    }
}

QModelIndex LayerModel::index(int row, int column, const QModelIndex &parent) const
{
    if (row < 0 || column < 0 || column >= ColumnCount || row >= rowCount(parent))
        return {};
    // 0 for top rows, group + 1 for the layers in a group.
    return createIndex(row, column, parent.isValid() ? static_cast<quintptr>(parent.row()) + 1 : quintptr(0));
}

QModelIndex LayerModel::parent(const QModelIndex &child) const
{
    if (!child.isValid() || child.internalId() == 0)
        return {};
    return createIndex(static_cast<int>(child.internalId()) - 1, 0, quintptr(0));
}

int LayerModel::rowCount(const QModelIndex &parent) const
{
    if (!m_table || parent.column() > 0)
        return 0;
    if (m_grouping == Grouping::None)
        return parent.isValid() ? 0 : static_cast<int>(m_table->rows.size());
    if (!parent.isValid())
        return static_cast<int>(m_groups.size());
    return parent.internalId() == 0 ? static_cast<int>(m_groups[static_cast<std::size_t>(parent.row())].rows.size()) : 0;
}

int LayerModel::columnCount(const QModelIndex &) const
{
    return ColumnCount;
}

const LayerRow *LayerModel::rowAt(const QModelIndex &index) const
{
    if (!m_table || !index.isValid())
        return nullptr;
    if (m_grouping == Grouping::None)
        return &m_table->rows[static_cast<std::size_t>(index.row())];
    if (index.internalId() == 0)
        return nullptr;
    const Group &group = m_groups[index.internalId() - 1];
    return &m_table->rows[static_cast<std::size_t>(group.rows[static_cast<std::size_t>(index.row())])];
}

QModelIndex LayerModel::indexOf(const std::string &layer) const
{
    if (!m_table)
        return {};
    for (std::size_t i = 0; i < m_table->rows.size(); ++i) {
        if (m_table->rows[i].site.name != layer)
            continue;
        if (m_grouping == Grouping::None)
            return index(static_cast<int>(i), 0);
        for (std::size_t group = 0; group < m_groups.size(); ++group) {
            const auto &rows = m_groups[group].rows;
            const auto found = std::find(rows.begin(), rows.end(), static_cast<int>(i));
            if (found != rows.end())
                return index(static_cast<int>(found - rows.begin()), 0, index(static_cast<int>(group), 0));
        }
    }
    return {};
}

QVariant LayerModel::data(const QModelIndex &index, int role) const
{
    if (!index.isValid() || !m_table)
        return {};
    if (const LayerRow *row = rowAt(index))
        return layerData(*row, index.column(), role);
    return groupData(m_groups[static_cast<std::size_t>(index.row())], index.column(), role);
}

QVariant LayerModel::layerData(const LayerRow &row, int column, int role) const
{
    if (role == NameRole)
        return QString::fromStdString(row.site.name);
    if (role == LinearRoleRole)
        return roleText(row.site);
    if (role == Qt::TextAlignmentRole)
        return column >= Rank ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant();
    const auto metric = metricOf(column);
    const double value = metric ? valueOf(*metric, row, m_remaining) : unknown;
    if (role == BarDelegate::BarRole) {
        const double highest = metric ? m_highest[static_cast<std::size_t>(column)] : 0;
        return metric && highest > 0 && std::isfinite(value) ? QVariant(value / highest) : QVariant();
    }
    if (role == Qt::ToolTipRole) {
        QString tip = safeText(row.site.name) + QLatin1Char('\n') + shapeText(row.site.out, row.site.in);
        if (!row.plan.quantize)
            tip += QLatin1Char('\n') + tr("not quantized");
        else if (!row.ready)
            tip += QLatin1Char('\n') + tr("not decomposed yet under this format and scaling");
        return tip;
    }
    if (role != Qt::DisplayRole && role != SortRole && role != Qt::AccessibleTextRole)
        return {};
    const bool sort = role == SortRole;
    switch (column) {
    case Layer: {
        if (sort)
            return static_cast<qlonglong>(&row - m_table->rows.data());
        // Under its block a layer needs no more than what follows the block's number.
        const QString name = safeText(row.site.name);
        const QString number = QStringLiteral(".%1.").arg(row.site.layer);
        const qsizetype place = m_grouping == Grouping::Block && row.site.layer >= 0 ? name.indexOf(number) : -1;
        return place >= 0 ? name.mid(place + number.size()) : name;
    }
    case Role: return roleText(row.site);
    case Shape: return sort ? QVariant(static_cast<qlonglong>(row.site.in * row.site.out)) : QVariant(shapeText(row.site.out, row.site.in));
    case Format: return row.plan.quantize ? formatText(row.plan.formats.weight) : tr("not quantized");
    case Scaling: return row.plan.quantize && row.plan.rank > 0 ? QString::fromStdString(std::string(toString(row.plan.scaling))) : QStringLiteral("\u2013");
    case Rank: return sort ? QVariant(static_cast<qlonglong>(row.plan.rank)) : QVariant(row.plan.quantize ? QString::number(row.plan.rank) : QStringLiteral("\u2013"));
    default: break;
    }
    if (!metric)
        return {};
    return sort ? QVariant(std::isfinite(value) ? value : -1.0) : QVariant(textOf(*metric, value));
}

QVariant LayerModel::groupData(const Group &group, int column, int role) const
{
    if (role == NameRole)
        return QString();
    if (role == Qt::FontRole) {
        QFont font;
        font.setBold(true);
        return font;
    }
    if (role == Qt::TextAlignmentRole)
        return column >= Rank ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant();
    if (role != Qt::DisplayRole && role != SortRole)
        return {};
    const bool sort = role == SortRole;
    if (column == Layer)
        return sort ? QVariant(static_cast<qlonglong>(&group - m_groups.data())) : QVariant(group.title);
    // Sums of shares and averages of bits are what a group can honestly show.
    double weights = 0;
    double sum = 0;
    for (const int i : group.rows) {
        const LayerRow &row = m_table->rows[static_cast<std::size_t>(i)];
        if (column == Bits) {
            const auto elements = static_cast<double>(row.site.in) * static_cast<double>(row.site.out);
            weights += elements;
            sum += elements * row.footprint.stored.withCorrection;
        } else if (column == Share) {
            const double share = valueOf(LayerMetric::ErrorShare, row, m_remaining);
            sum += std::isfinite(share) ? share : 0;
            weights = 1;
        }
    }
    if (weights <= 0)
        return sort ? QVariant(-1.0) : QVariant();
    const double value = sum / weights;
    return sort ? QVariant(value) : QVariant(column == Bits ? bitsNumber(value) : value > 0 ? textOf(LayerMetric::ErrorShare, value) : QString());
}

QVariant LayerModel::headerData(int section, Qt::Orientation orientation, int role) const
{
    if (orientation != Qt::Horizontal)
        return {};
    if (role == Qt::ToolTipRole)
        return section == Layer || section == Shape ? QVariant(section == Shape ? tr("Outputs × inputs of the weight") : tr("Module name in the checkpoint")) : QVariant(meaningOf(termOf(section)));
    if (role == Qt::TextAlignmentRole)
        return section >= Rank ? QVariant(Qt::AlignRight | Qt::AlignVCenter) : QVariant(Qt::AlignLeft | Qt::AlignVCenter);
    if (role != Qt::DisplayRole)
        return {};
    switch (section) {
    case Layer: return tr("layer");
    case Role: return tr("role");
    case Shape: return tr("shape");
    case Format: return tr("format");
    case Scaling: return tr("scaling");
    case Rank: return tr("rank");
    case Bits: return tr("bits");
    case WeightError: return tr("weight error");
    case OutputPlain: return tr("output error");
    case OutputCorrected: return tr("corrected");
    case Share: return tr("share");
    default: return {};
    }
}

LayerFilter::LayerFilter(QObject *parent) : QSortFilterProxyModel(parent)
{
    setSortRole(LayerModel::SortRole);
    setRecursiveFilteringEnabled(true);
}

void LayerFilter::setText(const QString &text)
{
    m_text = text.trimmed();
    invalidateFilter();
}

void LayerFilter::setRole(const QString &role)
{
    m_role = role;
    invalidateFilter();
}

bool LayerFilter::filterAcceptsRow(int row, const QModelIndex &parent) const
{
    const QModelIndex first = sourceModel()->index(row, LayerModel::Layer, parent);
    const QString name = first.data(LayerModel::NameRole).toString();
    if (name.isEmpty())
        return false;  // a group stays if one of its layers does
    if (!m_role.isEmpty() && first.data(LayerModel::LinearRoleRole).toString() != m_role)
        return false;
    if (m_text.isEmpty() || name.contains(m_text, Qt::CaseInsensitive))
        return true;
    for (const int column : {LayerModel::Format, LayerModel::Scaling})
        if (first.siblingAtColumn(column).data().toString().contains(m_text, Qt::CaseInsensitive))
            return true;
    return false;
}

}  // namespace lqer
