// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "core/quant/format_spec.h"

class QComboBox;
class QToolButton;

namespace lqer {

// What a format is for. The first dimension of activations is a batch that no block crosses: formats that can be told so are.
enum class FormatUse { Weight, Activation };

// Picks a number format; its parameters unfold below. Built from the formats' own description, so a new format appears by itself.
class FormatEditor final : public QWidget {
    Q_OBJECT

public:
    explicit FormatEditor(FormatUse use, QWidget *parent = nullptr);

    FormatSpec format() const { return m_spec; }
    void setFormat(const FormatSpec &spec);  // does not emit
    // What assistive technology calls the picker: "Weight format".
    void setTitle(const QString &title);

signals:
    void formatChosen(const FormatSpec &spec);

private:
    void rebuildParameters();
    void choose(const FormatSpec &spec);

    const FormatUse m_use;
    FormatSpec m_spec;
    QComboBox *m_picker;
    QToolButton *m_details;      // folds the parameters
    QWidget *m_parameters = nullptr;
    bool m_editing = false;      // the change comes from m_parameters itself
};

// The preset's name ("mxint4"), or that of the nearest one of the same format and what differs ("mxint4, block size 64"): short enough
// for a table cell.
QString formatText(const FormatSpec &spec, FormatUse use = FormatUse::Weight);

}  // namespace lqer
