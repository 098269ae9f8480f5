// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/controls/path_field.h"

#include <QDropEvent>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QHelpEvent>
#include <QLineEdit>
#include <QMimeData>
#include <QPainter>
#include <QStyleOptionFrame>
#include <QToolButton>
#include <QToolTip>
#include <QUrl>

namespace lqer {

namespace {

// The one local path that is dragged, or "".
QString draggedPath(const QMimeData *data)
{
    const QList<QUrl> urls = data->urls();
    return urls.size() == 1 && urls.front().isLocalFile() ? urls.front().toLocalFile() : QString();
}

// A path that does not fit and is not being edited shows its end: that is where paths differ.
class PathEdit final : public QLineEdit {
public:
    using QLineEdit::QLineEdit;

protected:
    void paintEvent(QPaintEvent *event) override
    {
        constexpr int margin = 2;  // of QLineEdit's own text
        QStyleOptionFrame option;
        initStyleOption(&option);
        const QRect room = style()->subElementRect(QStyle::SE_LineEditContents, &option, this).adjusted(margin, 0, -margin, 0);
        if (hasFocus() || fontMetrics().horizontalAdvance(text()) <= room.width()) {
            QLineEdit::paintEvent(event);
            return;
        }
        QPainter painter(this);
        style()->drawPrimitive(QStyle::PE_PanelLineEdit, &option, &painter, this);
        painter.setPen(palette().color(QPalette::Text));
        painter.drawText(room, Qt::AlignLeft | Qt::AlignVCenter, fontMetrics().elidedText(text(), Qt::ElideLeft, room.width()));
    }
};

}  // namespace

PathField::PathField(Kind kind, const QString &title, const QString &filter, QWidget *parent)
    : QWidget(parent), m_kind(kind), m_title(title), m_filter(filter), m_edit(new PathEdit(this)), m_browse(new QToolButton(this))
{
    auto *layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(2);
    layout->addWidget(m_edit, 1);
    layout->addWidget(m_browse);
    m_edit->setAccessibleName(title);
    m_browse->setText(QStringLiteral("..."));
    m_browse->setAccessibleName(tr("Choose: %1").arg(title));
    m_browse->setToolTip(kind == Kind::File ? tr("Choose a file") : tr("Choose a folder"));
    setFocusProxy(m_edit);
    m_edit->installEventFilter(this);
    connect(m_browse, &QToolButton::clicked, this, &PathField::choose);
    connect(m_edit, &QLineEdit::textEdited, this, &PathField::pathEdited);
    connect(m_edit, &QLineEdit::editingFinished, this, [this] { emit pathChosen(path()); });
}

QString PathField::path() const
{
    return m_edit->text();
}

void PathField::setPath(const QString &path)
{
    if (path != m_edit->text())
        m_edit->setText(path);
}

void PathField::setPlaceholder(const QString &text)
{
    m_edit->setPlaceholderText(text);
}

void PathField::take(const QString &path)
{
    if (path.isEmpty())
        return;
    setPath(path);
    emit pathChosen(path);
}

void PathField::choose()
{
    take(m_kind == Kind::File ? QFileDialog::getOpenFileName(this, m_title, path(), m_filter) : QFileDialog::getExistingDirectory(this, m_title, path()));
}

bool PathField::eventFilter(QObject *watched, QEvent *event)
{
    if (event->type() == QEvent::ToolTip && !path().isEmpty()) {
        // A path may look like markup.
        const QString tip = QStringLiteral("<p>%1</p><p>%2</p>").arg(path().toHtmlEscaped(), toolTip().toHtmlEscaped());
        QToolTip::showText(static_cast<QHelpEvent *>(event)->globalPos(), tip, m_edit);
        return true;
    }
    // A line edit would take the text of a dropped file's address.
    if (event->type() == QEvent::DragEnter || event->type() == QEvent::DragMove || event->type() == QEvent::Drop) {
        auto *drop = static_cast<QDropEvent *>(event);
        const QString dropped = draggedPath(drop->mimeData());
        if (dropped.isEmpty())
            return QWidget::eventFilter(watched, event);
        drop->acceptProposedAction();
        if (event->type() == QEvent::Drop)
            take(dropped);
        return true;
    }
    return QWidget::eventFilter(watched, event);
}

}  // namespace lqer
