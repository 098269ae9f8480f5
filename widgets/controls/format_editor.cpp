// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/controls/format_editor.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QScopedValueRollback>
#include <QSignalBlocker>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>

#include "core/base/error.h"
#include "core/quant/quantizer.h"
#include "widgets/controls/parameter_form.h"
#include "widgets/text/glossary.h"

namespace lqer {

namespace {

// The value a specification has for a parameter, its fallback included.
FormatValue valueOf(const FormatSpec &spec, const FormatParameter &parameter)
{
    const auto found = spec.parameters.find(parameter.name);
    return found == spec.parameters.end() ? parameter.fallback : found->second;
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

FormatSpec usedFor(FormatUse use, const FormatInfo &info, FormatSpec spec)
{
    constexpr const char *batch = "skip_first_dim";
    const bool known = std::any_of(info.parameters.begin(), info.parameters.end(), [](const FormatParameter &parameter) { return parameter.name == batch; });
    if (use == FormatUse::Activation && known)
        spec.parameters[batch] = true;
    return spec;
}

// Every preset, and every format that has none with its fallbacks.
struct Choice {
    QString label;
    QString tip;
    FormatSpec spec;
    FormatSpec full = comparable(spec);
};

const std::vector<Choice> &choices(FormatUse use)
{
    const auto make = [](FormatUse forUse) {
        std::vector<Choice> made;
        for (const FormatInfo &info : formats()) {
            const QString tip = QString::fromStdString(info.title + "\n" + info.meaning);
            for (const auto &[name, spec] : info.presets)
                made.push_back({QString::fromStdString(name), tip, usedFor(forUse, info, spec)});
            if (info.presets.empty())
                made.push_back({QString::fromStdString(info.name), tip, usedFor(forUse, info, {info.name, {}})});
        }
        return made;
    };
    static const std::vector<Choice> lists[] = {make(FormatUse::Weight), make(FormatUse::Activation)};
    return lists[static_cast<std::size_t>(use)];
}

}  // namespace

FormatEditor::FormatEditor(FormatUse use, QWidget *parent) : QWidget(parent), m_use(use), m_picker(new QComboBox(this)), m_details(new QToolButton(this))
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
    for (const Choice &choice : choices(m_use)) {
        m_picker->addItem(choice.label);
        m_picker->setItemData(m_picker->count() - 1, choice.tip, Qt::ToolTipRole);
    }
    m_picker->setToolTip(meaningOf(Term::Format));
    m_picker->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_picker->setMinimumContentsLength(8);
    setTitle(titleOf(Term::Format));
    setFocusProxy(m_picker);
    connect(m_picker, &QComboBox::activated, this, [this](int index) {
        if (index >= 0 && static_cast<std::size_t>(index) < choices(m_use).size())
            choose(choices(m_use)[static_cast<std::size_t>(index)].spec);
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
    for (std::size_t i = 0; i < choices(m_use).size(); ++i)
        if (choices(m_use)[i].full == wanted)
            index = static_cast<int>(i);
    // A specification that is nobody's preset shows as a last entry of its own.
    const int own = static_cast<int>(choices(m_use).size());
    if (m_picker->count() > own)
        m_picker->removeItem(own);
    if (index < 0) {
        m_picker->addItem(formatText(m_spec, m_use));
        m_picker->setItemData(own, QString::fromStdString(m_spec.toString()), Qt::ToolTipRole);
        index = own;
    }
    m_picker->setCurrentIndex(index);
    if (!sameForm && !m_editing)
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
    const FormatInfo *info = findFormat(m_spec.name);
    const std::vector<FormatParameter> none;
    auto *form = new ParameterForm(info ? info->parameters : none, m_spec.parameters, this);
    form->layout()->setContentsMargins(8, 0, 0, 0);
    connect(form, &ParameterForm::valueChosen, this, [this](const std::string &name, const FormatValue &value) {
        FormatSpec spec = m_spec;
        spec.parameters[name] = value;
        const QScopedValueRollback guard(m_editing, true);  // the field keeps the focus
        choose(spec);
    });
    m_parameters = form;
    layout()->addWidget(m_parameters);
    const bool any = info && !info->parameters.empty();
    m_details->setVisible(any);
    m_parameters->setVisible(m_details->isChecked() && any);
}

QString formatText(const FormatSpec &spec, FormatUse use)
{
    const FormatSpec wanted = comparable(spec);
    const FormatInfo *info = findFormat(spec.name);
    QString nearest;
    QStringList fewest;
    for (const Choice &choice : choices(use)) {
        if (choice.full == wanted)
            return choice.label;
        if (choice.spec.name != spec.name || !info)
            continue;
        QStringList differing;
        for (const FormatParameter &parameter : info->parameters)
            if (const FormatValue value = valueOf(spec, parameter); value != valueOf(choice.spec, parameter))
                differing << parameterTitle(parameter) + QLatin1Char(' ') + QString::fromStdString(valueText(value));
        if (nearest.isEmpty() || differing.size() < fewest.size()) {
            nearest = choice.label;
            fewest = differing;
        }
    }
    return nearest.isEmpty() ? QString::fromStdString(spec.toString()) : nearest + QStringLiteral(", ") + fewest.join(QStringLiteral(", "));
}

}  // namespace lqer
