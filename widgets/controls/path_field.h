// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QLineEdit;
class QToolButton;

namespace lqer {

// A path: typed, chosen in a dialog, or dropped onto it.
class PathField final : public QWidget {
    Q_OBJECT

public:
    enum class Kind { File, Folder };

    // title: for the dialog and for assistive technology ("Calibration text"); filter: of a file dialog.
    PathField(Kind kind, const QString &title, const QString &filter = {}, QWidget *parent = nullptr);

    QString path() const;
    void setPath(const QString &path);  // does not emit
    void setPlaceholder(const QString &text);

signals:
    // Finished: by Return, by leaving the field, by the dialog, by a drop.
    void pathChosen(const QString &path);
    // Every key.
    void pathEdited(const QString &path);

protected:
    bool eventFilter(QObject *watched, QEvent *event) override;

private:
    void choose();
    void take(const QString &path);

    const Kind m_kind;
    const QString m_title;
    const QString m_filter;
    QLineEdit *m_edit;
    QToolButton *m_browse;
};

}  // namespace lqer
