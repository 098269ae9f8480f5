// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "core/quant/format_spec.h"

class QComboBox;
class QFormLayout;

namespace lqer {

// Picks a number format and its parameters. Built from the formats' own description, so a new format appears by itself.
class FormatEditor final : public QWidget {
    Q_OBJECT

public:
    explicit FormatEditor(QWidget *parent = nullptr);

    FormatSpec format() const { return m_spec; }
    void setFormat(const FormatSpec &spec);  // does not emit
    // What assistive technology calls the picker: "Weight format".
    void setTitle(const QString &title);

signals:
    void formatChosen(const FormatSpec &spec);

private:
    void rebuildParameters();
    void choose(const FormatSpec &spec);
    QString currentLabel() const;

    FormatSpec m_spec;
    QComboBox *m_picker;
    QWidget *m_parameters = nullptr;
};

// "mxint 4 bit, blocks of 32": short enough for a table cell.
QString formatText(const FormatSpec &spec);

}  // namespace lqer
