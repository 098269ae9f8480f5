// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/controls/parameter_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QSpinBox>

#include <algorithm>
#include <utility>

namespace lqer {

namespace {

constexpr double unlimited = 1e9;

double most(const FormatParameter &parameter)
{
    return parameter.most > parameter.least ? std::min(parameter.most, unlimited) : unlimited;
}

}  // namespace

QString parameterTitle(const FormatParameter &parameter)
{
    return QString::fromStdString(parameter.name).replace(QLatin1Char('_'), QLatin1Char(' '));
}

ParameterForm::ParameterForm(std::span<const FormatParameter> parameters, const std::map<std::string, FormatValue> &values, QWidget *parent) : QWidget(parent)
{
    auto *form = new QFormLayout(this);
    form->setContentsMargins(0, 0, 0, 0);
    form->setSpacing(4);
    for (const FormatParameter &parameter : parameters) {
        const auto stated = values.find(parameter.name);
        QWidget *field = fieldFor(parameter, stated == values.end() ? parameter.fallback : stated->second);
        const QString title = parameterTitle(parameter);
        field->setAccessibleName(title);
        field->setToolTip(QString::fromStdString(parameter.meaning));
        form->addRow(title, field);
        form->labelForField(field)->setToolTip(field->toolTip());
    }
}

QWidget *ParameterForm::fieldFor(const FormatParameter &parameter, const FormatValue &value)
{
    const auto choose = [this, name = parameter.name](FormatValue chosen) { emit valueChosen(name, chosen); };
    if (const auto *flag = std::get_if<bool>(&value)) {
        auto *box = new QCheckBox(this);
        box->setChecked(*flag);
        connect(box, &QCheckBox::toggled, this, [choose](bool on) { choose(on); });
        return box;
    }
    if (const auto *whole = std::get_if<std::int64_t>(&value)) {
        auto *spin = new QSpinBox(this);
        spin->setRange(static_cast<int>(std::max(parameter.least, -unlimited)), static_cast<int>(most(parameter)));
        spin->setValue(static_cast<int>(*whole));
        spin->setKeyboardTracking(false);
        connect(spin, &QSpinBox::valueChanged, this, [choose](int chosen) { choose(static_cast<std::int64_t>(chosen)); });
        return spin;
    }
    if (const auto *real = std::get_if<double>(&value)) {
        auto *spin = new QDoubleSpinBox(this);
        spin->setDecimals(6);
        spin->setRange(parameter.least, most(parameter));
        spin->setValue(*real);
        spin->setKeyboardTracking(false);
        connect(spin, &QDoubleSpinBox::valueChanged, this, [choose](double chosen) { choose(chosen); });
        return spin;
    }
    if (const auto *word = std::get_if<std::string>(&value); word && !parameter.choices.empty()) {
        auto *box = new QComboBox(this);
        for (const std::string &choice : parameter.choices)
            box->addItem(QString::fromStdString(choice));
        box->setCurrentText(QString::fromStdString(*word));
        connect(box, &QComboBox::textActivated, this, [choose](const QString &chosen) { choose(chosen.toStdString()); });
        return box;
    }
    // A list of extents ("1x16"), or a number that may also be "none": read as the command line reads it.
    auto *edit = new QLineEdit(QString::fromStdString(valueText(value)), this);
    connect(edit, &QLineEdit::editingFinished, this, [edit, choose, kind = parameter.kind, before = value]() mutable {
        const FormatValue read = parseFormatValue(edit->text().remove(QLatin1Char(' ')).toStdString());
        const auto *number = std::get_if<std::int64_t>(&read);
        const FormatValue chosen = kind == FormatParameterKind::Extents && number ? FormatValue(std::vector<std::int64_t>{*number}) : read;
        if (kind == FormatParameterKind::Extents && !std::holds_alternative<std::vector<std::int64_t>>(chosen))
            edit->setText(QString::fromStdString(valueText(before)));
        else if (std::exchange(before, chosen) != chosen)
            choose(chosen);
    });
    return edit;
}

}  // namespace lqer
