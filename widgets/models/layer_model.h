// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractItemModel>
#include <QSortFilterProxyModel>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/layer_table.h"

namespace lqer {

// What is known of a layer, as numbers. Energies of the corrected layer are predicted from the spectrum, or measured where a
// report of this recipe is there.
enum class LayerMetric { BitsPerWeight, WeightError, OutputErrorPlain, OutputErrorCorrected, ErrorShare, Rank, CapturedEnergy };
QString titleOf(LayerMetric metric);
QString meaningOf(LayerMetric metric);
QString textOf(LayerMetric metric, double value);
// NaN if it is not known. all: remainingError() of the table, for shares of the whole.
double valueOf(LayerMetric metric, const LayerRow &row, double all = 0);
// Sum of the squared output errors that are left in the layers where they are known.
double remainingError(const LayerTable &table);
// True for metrics that span decades.
bool isLogarithmic(LayerMetric metric);

// Blocks and linear layers of a model under its recipe: a tree of groups (blocks or roles), or a flat list.
class LayerModel final : public QAbstractItemModel {
    Q_OBJECT

public:
    enum Column { Layer, Role, Shape, Format, Scaling, Rank, Bits, WeightError, OutputPlain, OutputCorrected, Share, ColumnCount };
    enum class Grouping { None, Block, Role };
    static constexpr int SortRole = Qt::UserRole + 1;    // number or text to sort by
    static constexpr int NameRole = Qt::UserRole + 2;    // module name; "" for groups
    static constexpr int LinearRoleRole = Qt::UserRole + 3;  // role as text

    explicit LayerModel(QObject *parent = nullptr);

    // Null empties the model. Rows are updated in place while the layers stay the same.
    void setTable(std::shared_ptr<const LayerTable> table);
    void setGrouping(Grouping grouping);
    Grouping grouping() const { return m_grouping; }
    QModelIndex indexOf(const std::string &layer) const;
    const LayerRow *rowAt(const QModelIndex &index) const;

    QModelIndex index(int row, int column, const QModelIndex &parent = {}) const override;
    QModelIndex parent(const QModelIndex &child) const override;
    int rowCount(const QModelIndex &parent = {}) const override;
    int columnCount(const QModelIndex &parent = {}) const override;
    QVariant data(const QModelIndex &index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    struct Group {
        QString title;
        std::vector<int> rows;
    };
    void regroup();
    QVariant layerData(const LayerRow &row, int column, int role) const;
    QVariant groupData(const Group &group, int column, int role) const;

    std::shared_ptr<const LayerTable> m_table;
    Grouping m_grouping = Grouping::Block;
    std::vector<Group> m_groups;  // one with every row if there is no grouping
    std::vector<double> m_highest;  // per metric, for the bars
    double m_remaining = 0;         // of all layers, for shares
};

// Filters by text (name, format, scaling) and role, sorts by number, keeps groups that have a match.
class LayerFilter final : public QSortFilterProxyModel {
    Q_OBJECT

public:
    explicit LayerFilter(QObject *parent = nullptr);
    void setText(const QString &text);
    void setRole(const QString &role);  // "" for all

protected:
    bool filterAcceptsRow(int row, const QModelIndex &parent) const override;

private:
    QString m_text;
    QString m_role;
};

}  // namespace lqer
