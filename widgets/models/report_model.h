// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAbstractTableModel>

#include <memory>
#include <vector>

#include "core/eval/report.h"

namespace lqer {

class Session;

// Measurements of a project, one a row; rows of another recipe than the present one are marked stale.
class ReportModel final : public QAbstractTableModel {
    Q_OBJECT

public:
    enum Column { Title, Perplexity, Tasks, Kl, Agreement, Bits, Size, Seconds, Original, Created, ColumnCount };
    static constexpr int SortRole = Qt::UserRole + 1;

    explicit ReportModel(Session &session, QObject *parent = nullptr);
    std::shared_ptr<const EvaluationReport> report(int row) const;

    int rowCount(const QModelIndex &parent = {}) const override;
    int columnCount(const QModelIndex &parent = {}) const override;
    QVariant data(const QModelIndex &index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    Session &m_session;
    std::vector<std::shared_ptr<const EvaluationReport>> m_reports;
};

// Two reports layer by layer.
class CompareModel final : public QAbstractTableModel {
    Q_OBJECT

public:
    enum Column { Layer, FormatFirst, FormatSecond, RankFirst, RankSecond, ErrorFirst, ErrorSecond, Change, ColumnCount };
    static constexpr int SortRole = Qt::UserRole + 1;

    explicit CompareModel(QObject *parent = nullptr) : QAbstractTableModel(parent) {}
    void setReports(std::shared_ptr<const EvaluationReport> first, std::shared_ptr<const EvaluationReport> second);

    int rowCount(const QModelIndex &parent = {}) const override;
    int columnCount(const QModelIndex &parent = {}) const override;
    QVariant data(const QModelIndex &index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    struct Row {
        QString layer;
        const LayerError *errors[2] = {nullptr, nullptr};
        const LayerFootprint *costs[2] = {nullptr, nullptr};
    };
    std::shared_ptr<const EvaluationReport> m_reports[2];
    std::vector<Row> m_rows;
};

}  // namespace lqer
