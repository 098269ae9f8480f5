// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QStyledItemDelegate>

namespace lqer {

// A number with a bar behind it. The model gives the bar's length, 0 ... 1, under BarRole.
class BarDelegate final : public QStyledItemDelegate {
    Q_OBJECT

public:
    static constexpr int BarRole = Qt::UserRole + 100;

    using QStyledItemDelegate::QStyledItemDelegate;
    void paint(QPainter *painter, const QStyleOptionViewItem &option, const QModelIndex &index) const override;
    QSize sizeHint(const QStyleOptionViewItem &option, const QModelIndex &index) const override;
};

// Height of a row of text in every table and tree of the program, pixels.
int rowHeight(const QFontMetrics &metrics);

}  // namespace lqer
