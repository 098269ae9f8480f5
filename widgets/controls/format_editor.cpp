// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/controls/format_editor.h"

#include <QCheckBox>
#include <QComboBox>
#include <QCoreApplication>
#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>

#include <cmath>

#include "core/base/error.h"
#include "core/quant/quantizer.h"
#include "widgets/text/glossary.h"

namespace lqer {

namespace {

// The value a specification has for a parameter, its fallback included.
FormatValue valueOf(const FormatSpec &spec, const FormatParameter &parameter)
{
    const auto found = spec.parameters.find(parameter.name);
    return found == spec.parameters.end() ? parameter.fallback : found->second;
}

QString listText(const std::vector<std::int64_t> &values)
{
    QStringList parts;
    for (const std::int64_t value : values)
        parts << QString::number(value);
    return parts.join(QStringLiteral(" x "));
}

QString words(const std::string &name)
{
    QString text = QString::fromStdString(name);
    return text.replace(QLatin1Char('_'), QLatin1Char(' '));
}

// The form to compare; a specification that cannot be used (yet) stands for itself.
FormatSpec comparable(const FormatSpec &spec)
{
    try {
        return withDefaults(spec);
    } catch (const Error &) {
        return spec;
    }
}

// Presets first (the whole specification), then each format with its fallbacks.
struct Choice {
    QString label;
    QString tip;
    FormatSpec spec;
    FormatSpec full = comparable(spec);
};

const std::vector<Choice> &choices()
{
    static const std::vector<Choice> list = [] {
        std::vector<Choice> made;
        for (const FormatInfo &info : formats()) {
            for (const auto &[name, spec] : info.presets)
                made.push_back({QString::fromStdString(name), QString::fromStdString(info.title + "\n" + info.meaning), spec});
            if (info.presets.empty())
                made.push_back({QString::fromStdString(info.name), QString::fromStdString(info.title + "\n" + info.meaning), FormatSpec{info.name, {}}});
        }
        return made;
    }();
    return list;
}

}  // namespace

FormatEditor::FormatEditor(QWidget *parent) : QWidget(parent), m_picker(new QComboBox(this)), m_details(new QToolButton(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(4);
    auto *row = new QHBoxLayout;
    row->setSpacing(2);
    row->addWidget(m_picker, 1);
    row->addWidget(m_details);
    layout->addLayout(row);
    m_details->setCheckable(true);
    m_details->setAutoRaise(true);
    m_details->setArrowType(Qt::RightArrow);
    m_details->setToolTip(tr("Parameters of this format"));
    connect(m_details, &QToolButton::toggled, this, [this](bool unfolded) {
        m_details->setArrowType(unfolded ? Qt::DownArrow : Qt::RightArrow);
        m_parameters->setVisible(unfolded);
    });
    for (const Choice &choice : choices()) {
        m_picker->addItem(choice.label);
        m_picker->setItemData(m_picker->count() - 1, choice.tip, Qt::ToolTipRole);
    }
    m_picker->setToolTip(meaningOf(Term::Format));
    m_picker->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_picker->setMinimumContentsLength(8);
    setTitle(titleOf(Term::Format));
    setFocusProxy(m_picker);
    connect(m_picker, &QComboBox::activated, this, [this](int index) {
        if (index >= 0 && static_cast<std::size_t>(index) < choices().size())
            choose(choices()[static_cast<std::size_t>(index)].spec);
    });
    setFormat({});
}

void FormatEditor::setTitle(const QString &title)
{
    m_picker->setAccessibleName(title);
    m_details->setAccessibleName(tr("%1: parameters").arg(title));
}

void FormatEditor::setFormat(const FormatSpec &spec)
{
    const bool sameForm = m_parameters && m_spec.name == spec.name && comparable(m_spec) == comparable(spec);
    m_spec = spec;
    const QSignalBlocker blocker(m_picker);
    int index = -1;
    const FormatSpec wanted = comparable(spec);
    for (std::size_t i = 0; i < choices().size(); ++i)
        if (choices()[i].full == wanted)
            index = static_cast<int>(i);
    // A specification that is nobody's preset shows as a last entry of its own.
    const int own = static_cast<int>(choices().size());
    if (m_picker->count() > own)
        m_picker->removeItem(own);
    if (index < 0) {
        m_picker->addItem(formatText(m_spec));
        m_picker->setItemData(own, QString::fromStdString(m_spec.toString()), Qt::ToolTipRole);
        index = own;
    }
    m_picker->setCurrentIndex(index);
    if (!sameForm)
        rebuildParameters();
}

void FormatEditor::choose(const FormatSpec &spec)
{
    setFormat(spec);
    emit formatChosen(m_spec);
}

void FormatEditor::rebuildParameters()
{
    if (m_parameters) {
        m_parameters->hide();
        m_parameters->deleteLater();  // a field of it may be the sender
    }
    m_parameters = new QWidget(this);
    auto *form = new QFormLayout(m_parameters);
    form->setContentsMargins(8, 0, 0, 0);
    form->setSpacing(4);
    layout()->addWidget(m_parameters);
    const FormatInfo *info = findFormat(m_spec.name);
    if (!info)
        return;
    for (const FormatParameter &parameter : info->parameters) {
        const FormatValue value = valueOf(m_spec, parameter);
        const auto set = [this, name = parameter.name](FormatValue chosen) {
            FormatSpec spec = m_spec;
            spec.parameters[name] = std::move(chosen);
            choose(spec);
        };
        QWidget *field = nullptr;
        if (const auto *flag = std::get_if<bool>(&value)) {
            auto *box = new QCheckBox(m_parameters);
            box->setChecked(*flag);
            connect(box, &QCheckBox::toggled, this, [set](bool on) { set(on); });
            field = box;
        } else if (const auto *whole = std::get_if<std::int64_t>(&value)) {
            auto *spin = new QSpinBox(m_parameters);
            spin->setRange(static_cast<int>(std::max(parameter.least, -1e9)), static_cast<int>(std::min(parameter.most > parameter.least ? parameter.most : 1e9, 1e9)));
            spin->setValue(static_cast<int>(*whole));
            spin->setKeyboardTracking(false);
            connect(spin, &QSpinBox::valueChanged, this, [set](int chosen) { set(static_cast<std::int64_t>(chosen)); });
            field = spin;
        } else if (const auto *real = std::get_if<double>(&value)) {
            auto *spin = new QDoubleSpinBox(m_parameters);
            spin->setDecimals(6);
            spin->setRange(parameter.least, parameter.most > parameter.least ? parameter.most : 1e9);
            spin->setValue(*real);
            spin->setKeyboardTracking(false);
            connect(spin, &QDoubleSpinBox::valueChanged, this, [set](double chosen) { set(chosen); });
            field = spin;
        } else if (const auto *name = std::get_if<std::string>(&value); name && parameter.choices.empty()) {
            auto *edit = new QLineEdit(QString::fromStdString(*name), m_parameters);
            connect(edit, &QLineEdit::editingFinished, this, [edit, set, before = *name] {
                if (edit->text().toStdString() != before)
                    set(edit->text().toStdString());
            });
            field = edit;
        } else if (name) {
            auto *box = new QComboBox(m_parameters);
            for (const std::string &choice : parameter.choices)
                box->addItem(QString::fromStdString(choice));
            box->setCurrentText(QString::fromStdString(*name));
            connect(box, &QComboBox::textActivated, this, [set](const QString &chosen) { set(chosen.toStdString()); });
            field = box;
        } else if (const auto *list = std::get_if<std::vector<std::int64_t>>(&value)) {
            auto *edit = new QLineEdit(listText(*list), m_parameters);
            connect(edit, &QLineEdit::editingFinished, this, [edit, set, before = *list] {
                std::vector<std::int64_t> values;
                bool good = true;
                for (const QString &part : edit->text().split(QLatin1Char('x'))) {
                    bool isNumber = false;
                    values.push_back(part.trimmed().toLongLong(&isNumber));
                    good = good && isNumber;
                }
                if (good && values != before)
                    set(values);
                else if (!good)
                    edit->setText(listText(before));
            });
            field = edit;
        }
        if (!field)
            continue;
        field->setAccessibleName(words(parameter.name));
        field->setToolTip(QString::fromStdString(parameter.meaning));
        form->addRow(words(parameter.name), field);
        if (QWidget *label = form->labelForField(field))
            label->setToolTip(QString::fromStdString(parameter.meaning));
    }
    m_details->setVisible(!info->parameters.empty());
    m_parameters->setVisible(m_details->isChecked() && !info->parameters.empty());
}

QString formatText(const FormatSpec &spec)
{
    const FormatSpec wanted = comparable(spec);
    const Choice *nearest = nullptr;
    std::size_t fewest = 0;
    for (const Choice &choice : choices()) {
        if (choice.full == wanted)
            return choice.label;
        if (choice.spec.name != spec.name)
            continue;
        std::size_t differing = 0;
        if (const FormatInfo *info = findFormat(spec.name))
            for (const FormatParameter &parameter : info->parameters)
                differing += valueOf(spec, parameter) != valueOf(choice.spec, parameter);
        if (!nearest || differing < fewest) {
            nearest = &choice;
            fewest = differing;
        }
    }
    return nearest ? QCoreApplication::translate("FormatEditor", "%1, changed").arg(nearest->label) : QString::fromStdString(spec.toString());
}

}  // namespace lqer
