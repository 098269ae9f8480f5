// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "core/quant/format_spec.h"

class QComboBox;
class QToolButton;

namespace lqer {

// Picks a number format; its parameters unfold below. Built from the formats' own description, so a new format appears by itself.
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

    FormatSpec m_spec;
    QComboBox *m_picker;
    QToolButton *m_details;      // folds the parameters
    QWidget *m_parameters = nullptr;
};

// The preset's name ("mxint4"), or that of the nearest one of the same format ("bfp8, changed"): short enough for a table cell.
QString formatText(const FormatSpec &spec);

}  // namespace lqer
