// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/delegates/bar_delegate.h"

#include <QApplication>
#include <QPainter>

#include <algorithm>
#include <cmath>

#include "widgets/theme/theme.h"

namespace lqer {

void BarDelegate::paint(QPainter *painter, const QStyleOptionViewItem &option, const QModelIndex &index) const
{
    const QVariant share = index.data(BarRole);
    if (!share.isValid() || !std::isfinite(share.toDouble())) {
        QStyledItemDelegate::paint(painter, option, index);
        return;
    }
    QStyleOptionViewItem item = option;
    initStyleOption(&item, index);
    const QString text = std::exchange(item.text, QString());
    const QStyle *style = item.widget ? item.widget->style() : QApplication::style();
    style->drawControl(QStyle::CE_ItemViewItem, &item, painter, item.widget);

    QRectF bar = QRectF(option.rect).adjusted(2, 3, -2, -3);
    bar.setWidth(bar.width() * std::clamp(share.toDouble(), 0.0, 1.0));
    const bool selected = item.state.testFlag(QStyle::State_Selected);
    QColor color = selected ? theme().accentText : theme().series[0];
    color.setAlpha(selected ? 70 : 80);
    painter->fillRect(bar, color);
    painter->save();
    painter->setFont(item.font);
    painter->setPen(item.palette.color(selected ? QPalette::HighlightedText : QPalette::Text));
    painter->drawText(option.rect.adjusted(4, 0, -6, 0), static_cast<int>(Qt::AlignVCenter | Qt::AlignRight), text);
    painter->restore();
}

QSize BarDelegate::sizeHint(const QStyleOptionViewItem &option, const QModelIndex &index) const
{
    QSize size = QStyledItemDelegate::sizeHint(option, index);
    size.setHeight(rowHeight(option.fontMetrics));
    return size;
}

int rowHeight(const QFontMetrics &metrics)
{
    return metrics.height() + 6;
}

}  // namespace lqer
