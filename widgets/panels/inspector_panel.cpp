// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/inspector_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFormLayout>
#include <QGroupBox>
#include <QLabel>
#include <QLineEdit>
#include <QScrollArea>
#include <QSignalBlocker>
#include <QStyle>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/eval/hardware_cost.h"
#include "widgets/controls/format_editor.h"
#include "widgets/controls/rank_control.h"
#include "widgets/models/error_curve.h"
#include "widgets/models/layer_model.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

struct ScalingChoice {
    ScalingKind kind;
    Term term;
};
constexpr ScalingChoice scalingChoices[] = {{ScalingKind::Identity, Term::ScalingIdentity}, {ScalingKind::MeanAbs, Term::ScalingMeanAbs},
                                            {ScalingKind::Diagonal, Term::ScalingDiagonal}, {ScalingKind::Exact, Term::ScalingExact}};

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

enum TargetIndex { Selection, SameRole, SameBlock, Everything, Pattern };

QLabel *valueLabel(QWidget *parent, const QString &name)
{
    auto *label = new QLabel(parent);
    label->setTextFormat(Qt::PlainText);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    label->setAccessibleName(name);
    label->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    return label;
}

void addRow(QFormLayout *form, const QString &title, QWidget *field, const QString &tip)
{
    form->addRow(title, field);
    field->setToolTip(tip);
    if (QWidget *label = form->labelForField(field))
        label->setToolTip(tip);
}

}  // namespace

InspectorPanel::InspectorPanel(Session &session, QWidget *parent) : QWidget(parent), m_session(session)
{
    auto *outer = new QVBoxLayout(this);
    outer->setContentsMargins(0, 0, 0, 0);
    m_scroll = new QScrollArea(this);
    QScrollArea *scroll = m_scroll;
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    outer->addWidget(scroll);
    m_form = new QWidget(scroll);
    scroll->setWidget(m_form);
    auto *layout = new QVBoxLayout(m_form);
    layout->setContentsMargins(8, 8, 8, 8);

    m_name = new QLabel(m_form);
    m_name->setTextFormat(Qt::PlainText);
    m_name->setWordWrap(true);
    QFont bold = m_name->font();
    bold.setBold(true);
    m_name->setFont(bold);
    m_about = new QLabel(m_form);
    m_about->setTextFormat(Qt::PlainText);
    m_about->setWordWrap(true);
    layout->addWidget(m_name);
    layout->addWidget(m_about);

    auto *numbers = new QGroupBox(tr("This layer"), m_form);
    auto *grid = new QFormLayout(numbers);
    m_plainError = valueLabel(numbers, titleOf(Term::OutputErrorPlain));
    m_predictedError = valueLabel(numbers, titleOf(Term::OutputErrorCorrected));
    m_realisedError = valueLabel(numbers, tr("Measured output error"));
    m_bits = valueLabel(numbers, titleOf(Term::BitsPerWeight));
    m_bytes = valueLabel(numbers, titleOf(Term::Footprint));
    addRow(grid, tr("Output error"), m_plainError, meaningOf(Term::OutputErrorPlain));
    addRow(grid, tr("with correction"), m_predictedError, tr("From the stored spectrum, before A and B are rounded to their format."));
    addRow(grid, tr("the same, measured"), m_realisedError, tr("With A and B as they will be stored; follows a moment after a change."));
    addRow(grid, tr("Bits per weight"), m_bits, meaningOf(Term::BitsPerWeight));
    addRow(grid, tr("Bytes"), m_bytes, tr("Quantized weight, bias and factors as stored."));
    layout->addWidget(numbers);
    auto *choices = new QGroupBox(tr("Choices"), m_form);
    auto *form = new QFormLayout(choices);
    form->setRowWrapPolicy(QFormLayout::WrapLongRows);
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    m_target = new QComboBox(choices);
    m_target->setAccessibleName(tr("Apply to"));
    m_target->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_target->setMinimumContentsLength(8);
    m_pattern = new QLineEdit(choices);
    m_pattern->setAccessibleName(tr("Name pattern"));
    m_pattern->setPlaceholderText(QStringLiteral(".*mlp\\.(up|gate)_proj"));
    m_quantize = new QCheckBox(tr("Quantize this layer"), choices);
    m_weight = new FormatEditor(FormatUse::Weight, choices);
    m_weight->setTitle(tr("Weight format"));
    m_scaling = new QComboBox(choices);
    m_scaling->setAccessibleName(titleOf(Term::Scaling));
    for (const ScalingChoice &choice : scalingChoices) {
        m_scaling->addItem(QString::fromStdString(std::string(toString(choice.kind))));
        m_scaling->setItemData(m_scaling->count() - 1, meaningOf(choice.term), Qt::ToolTipRole);
    }
    m_rank = new RankControl(choices);
    m_factor = new FormatEditor(FormatUse::Weight, choices);
    m_factor->setTitle(tr("Format of A and B"));
    m_activation = new FormatEditor(FormatUse::Activation, choices);
    m_activation->setTitle(titleOf(Term::ActivationFormat));
    addRow(form, tr("Apply &to"), m_target, tr("Which layers a change below is made for."));
    form->addRow(tr("&Pattern"), m_pattern);
    m_pattern->setToolTip(tr("Regular expression; it must match the whole module name."));
    form->addRow(m_quantize);
    addRow(form, tr("&Weight"), m_weight, meaningOf(Term::Format));
    addRow(form, tr("&Scaling"), m_scaling, meaningOf(Term::Scaling));
    addRow(form, tr("&Rank"), m_rank, meaningOf(Term::Rank));
    addRow(form, tr("A and &B"), m_factor, meaningOf(Term::FactorFormat));
    addRow(form, tr("Ac&tivation"), m_activation, meaningOf(Term::ActivationFormat));
    layout->addWidget(choices);

    auto *whole = new QGroupBox(tr("Whole recipe"), m_form);
    auto *sums = new QFormLayout(whole);
    m_wholeError = valueLabel(whole, tr("Output error of all layers"));
    m_wholeBits = valueLabel(whole, tr("Bits per weight of all layers"));
    m_wholeBytes = valueLabel(whole, tr("Size of the whole model"));
    addRow(sums, tr("Output error"), m_wholeError, tr("Root mean square of the layers' output errors, each relative to its own output. Distributing rank lowers it."));
    addRow(sums, tr("Bits per weight"), m_wholeBits, meaningOf(Term::BitsPerWeight));
    addRow(sums, tr("Size"), m_wholeBytes, meaningOf(Term::Footprint));
    layout->addWidget(whole);

    auto *hardware = new QGroupBox(tr("Hardware cost of a token"), m_form);
    auto *costs = new QFormLayout(hardware);
    m_moved = valueLabel(hardware, tr("Bits moved by this layer"));
    m_macs = valueLabel(hardware, tr("Multiply-accumulates of this layer"));
    m_area = valueLabel(hardware, tr("Relative area of this layer"));
    m_wholeMoved = valueLabel(hardware, tr("Bits moved by all layers and attention"));
    m_wholeMacs = valueLabel(hardware, tr("Multiply-accumulates of all layers and attention"));
    m_wholeArea = valueLabel(hardware, tr("Relative area of all layers and attention"));
    addRow(costs, tr("Bits moved"), m_moved, meaningOf(Term::MovedBits));
    addRow(costs, tr("Products"), m_macs, meaningOf(Term::MultiplyAccumulates));
    addRow(costs, tr("Area"), m_area, meaningOf(Term::RelativeArea));
    addRow(costs, tr("all layers, bits"), m_wholeMoved, tr("All linear layers and attention, keys and values of the whole context included. ") + meaningOf(Term::MovedBits));
    addRow(costs, tr("all layers, products"), m_wholeMacs, meaningOf(Term::MultiplyAccumulates));
    addRow(costs, tr("all layers, area"), m_wholeArea, meaningOf(Term::RelativeArea));
    layout->addWidget(hardware);

    layout->addStretch(1);

    connect(m_target, &QComboBox::currentIndexChanged, this, [this, form](int index) {
        m_pattern->setVisible(index == Pattern);
        if (QWidget *label = form->labelForField(m_pattern))
            label->setVisible(index == Pattern);
    });
    emit m_target->currentIndexChanged(Selection);
    connect(m_quantize, &QCheckBox::clicked, this, [this](bool on) {
        LayerSettings settings;
        settings.quantize = on;
        apply(settings, on ? tr("Quantize") : tr("Do not quantize"));
    });
    connect(m_weight, &FormatEditor::formatChosen, this, [this](const FormatSpec &spec) {
        LayerSettings settings;
        settings.weight = spec;
        apply(settings, tr("Format %1").arg(formatText(spec)));
    });
    connect(m_scaling, &QComboBox::activated, this, [this](int index) {
        LayerSettings settings;
        settings.scaling = scalingChoices[index].kind;
        apply(settings, tr("Scaling %1").arg(m_scaling->itemText(index)));
    });
    connect(m_factor, &FormatEditor::formatChosen, this, [this](const FormatSpec &spec) {
        LayerSettings settings;
        settings.a = spec;
        settings.b = spec;
        apply(settings, tr("A and B in %1").arg(formatText(spec)));
    });
    connect(m_activation, &FormatEditor::formatChosen, this, [this](const FormatSpec &spec) {
        LayerSettings settings;
        settings.activation = spec;
        apply(settings, tr("Activation format %1").arg(formatText(spec, FormatUse::Activation)));
    });
    connect(m_rank, &RankControl::rankMoved, &m_session, &Session::previewRank);
    connect(m_rank, &RankControl::rankChosen, this, [this](int rank) {
        if (m_target->currentIndex() == Selection) {
            m_session.chooseRank(rank);
            return;
        }
        LayerSettings settings;
        settings.rank = rank;
        apply(settings, tr("Rank %1").arg(rank));
    });
    connect(&m_session, &Session::rankPreviewed, this, [this](int rank) {
        m_rank->setRank(rank);
        showNumbers(rank);
    });
    for (const auto changed : {&Session::tableChanged, &Session::selectionChanged, &Session::closed})
        connect(&m_session, changed, this, &InspectorPanel::refresh);
    connect(&m_session, &Session::realisedChanged, this, &InspectorPanel::showRealised);
    refresh();
}

InspectorPanel::~InspectorPanel() = default;

RecipeTarget InspectorPanel::target() const
{
    RecipeTarget target;
    target.layers = m_session.selection();
    const LayerRow *row = m_session.currentRow();
    switch (m_target->currentIndex()) {
    case SameRole:
        target.kind = RecipeTarget::Kind::Role;
        target.role = row ? row->site.role : LinearRole::Query;
        break;
    case SameBlock:
        target.kind = RecipeTarget::Kind::Block;
        target.block = row ? row->site.layer : 0;
        break;
    case Everything: target.kind = RecipeTarget::Kind::All; break;
    case Pattern:
        target.kind = RecipeTarget::Kind::Pattern;
        target.pattern = m_pattern->text().toStdString();
        break;
    default: break;
    }
    return target;
}

void InspectorPanel::apply(const LayerSettings &settings, const QString &what)
{
    try {
        m_session.apply(target(), settings, what);
    } catch (const Error &error) {
        emit m_session.message(safeText(error.what()));
    }
    refresh();
}

void InspectorPanel::refresh()
{
    const LayerRow *row = m_session.currentRow();
    m_form->setEnabled(row != nullptr);
    if (!row) {
        m_name->setText(tr("No layer selected"));
        m_about->setText({});
        for (QLabel *label : {m_plainError, m_predictedError, m_realisedError, m_bits, m_bytes, m_wholeError, m_wholeBits, m_wholeBytes, m_moved, m_macs, m_area, m_wholeMoved, m_wholeMacs, m_wholeArea})
            label->setText(QStringLiteral("\u2013"));
        if (m_session.table())
            showWhole(0, {}, unknown);
        return;
    }
    const std::size_t others = m_session.selection().size() - 1;
    m_name->setText(moduleText(row->site.name));
    m_about->setText(tr("%1, %2 weights").arg(shapeText(row->site.out, row->site.in), shortCountText(static_cast<double>(row->site.in * row->site.out)))
                     + (others > 0 ? tr(" \u2013 and %1 more selected").arg(others) : QString()));
    {
        const QSignalBlocker blocker(m_target);
        const int kept = std::max(0, m_target->currentIndex());
        m_target->clear();
        m_target->addItem(others > 0 ? tr("the %1 selected layers").arg(others + 1) : tr("this layer"));
        m_target->addItem(tr("%1 in every block").arg(QString::fromStdString(std::string(toString(row->site.role)))));
        m_target->addItem(row->site.layer >= 0 ? tr("all of block %1").arg(row->site.layer) : tr("all outside the blocks"));
        m_target->addItem(tr("every layer"));
        m_target->addItem(tr("names that match..."));
        m_target->setCurrentIndex(kept);
    }
    emit m_target->currentIndexChanged(m_target->currentIndex());
    m_quantize->setChecked(row->plan.quantize);
    m_weight->setFormat(row->plan.formats.weight);
    for (std::size_t i = 0; i < std::size(scalingChoices); ++i)
        if (scalingChoices[i].kind == row->plan.scaling)
            m_scaling->setCurrentIndex(static_cast<int>(i));
    m_factor->setFormat(row->plan.formats.a);
    m_activation->setFormat(row->plan.formats.activation);
    m_rank->setMaximum(static_cast<int>(std::min(row->site.in, row->site.out)));
    m_rank->setRank(m_session.shownRank());
    for (QWidget *field : {static_cast<QWidget *>(m_weight), static_cast<QWidget *>(m_scaling), static_cast<QWidget *>(m_rank), static_cast<QWidget *>(m_factor), static_cast<QWidget *>(m_activation)})
        field->setEnabled(row->plan.quantize);
    showNumbers(m_session.shownRank());
    showRealised();
    // Never narrower than what it says.
    m_scroll->setMinimumWidth(m_form->minimumSizeHint().width() + style()->pixelMetric(QStyle::PM_ScrollBarExtent));
}

void InspectorPanel::showNumbers(int rank)
{
    const LayerRow *row = m_session.currentRow();
    if (!row)
        return;
    LayerPlan plan = row->plan;
    plan.rank = rank;
    const LayerFootprint cost = layerFootprint(row->site, plan, row->footprint.originalBytes, 0);
    m_bits->setText(bitsText(cost.stored.withCorrection));
    m_bytes->setText(tr("%1 (was %2)").arg(bytesText(static_cast<double>(cost.bytes())), bytesText(static_cast<double>(row->footprint.originalBytes))));
    const ErrorCurve curve = row->decomposition && row->plan.quantize ? errorCurve(*row->decomposition) : ErrorCurve{};
    m_plainError->setText(percentText(curve.output ? curve.at(0) : unknown));
    const double left = curve.output ? curve.at(rank) : unknown;
    m_predictedError->setText(percentText(left));
    if (rank != static_cast<int>(row->plan.rank))
        m_realisedError->setText(QStringLiteral("..."));
    showWhole(rank, cost, left);
    showCost(rank, cost);
}

void InspectorPanel::showCost(int rank, const LayerFootprint &size)
{
    const LayerRow *row = m_session.currentRow();
    const std::shared_ptr<const LayerTable> table = m_session.table();
    if (table != m_costed) {
        const LoadedModel &model = *m_session.model();
        const Transformer &transformer = model.transformer();
        const ModelPlan all = m_session.recipe().planFor(transformer.linearSites());
        m_cost = std::make_unique<HardwareCost>(hardwareCost(transformer, all, table->footprint, {}, model.base() ? model.base()->description() : std::string()));
        m_originalCost = std::make_unique<HardwareCost>(hardwareCost(transformer, {}, footprint(transformer, {}), {}));
        m_costed = table;
    }
    const auto place = static_cast<std::size_t>(row - table->rows.data());
    LayerPlan plan = row->plan;
    plan.rank = rank;
    const LayerCost &planned = m_cost->layers[place], &original = m_originalCost->layers[place];
    const LayerCost cost = rank == static_cast<int>(row->plan.rank) ? planned : layerCost(row->site, plan, size, 1);
    const auto was = [](const QString &now, const QString &before) { return tr("%1 (was %2)").arg(now, before); };
    const auto area = [](std::optional<double> value, AreaBasis basis) {
        return value ? tr("%1, %2").arg(numberText(*value), basis == AreaBasis::Published ? tr("published") : tr("derived")) : QStringLiteral("\u2013");
    };
    m_moved->setText(was(quantityText(cost.movedBits(1), "bit"), quantityText(original.movedBits(1), "bit")));
    m_macs->setText(was(quantityText(cost.macs(), ""), quantityText(original.macs(), "")));
    m_area->setText(area(cost.area(), cost.basis()));
    const LayerCost &whole = m_cost->total, &wholeOriginal = m_originalCost->total;
    m_wholeMoved->setText(was(quantityText(whole.movedBits(1) + cost.movedBits(1) - planned.movedBits(1), "bit"), quantityText(wholeOriginal.movedBits(1), "bit")));
    m_wholeMacs->setText(was(quantityText(whole.macs() + cost.macs() - planned.macs(), ""), quantityText(wholeOriginal.macs(), "")));
    std::optional<double> wholeArea = whole.area();
    if (wholeArea && cost.area())
        *wholeArea += (*cost.area() - planned.area().value_or(0)) * original.reference / wholeOriginal.reference;
    m_wholeArea->setText(area(wholeArea, whole.basis()));
}

void InspectorPanel::showWhole(int rank, const LayerFootprint &cost, double left)
{
    const LayerRow *current = m_session.currentRow();
    const LayerTable &table = *m_session.table();
    const Footprint &whole = table.footprint;
    double squares = 0;
    for (const LayerRow &row : table.rows) {
        const bool moved = &row == current && rank != static_cast<int>(row.plan.rank);
        const double error = moved ? left : valueOf(LayerMetric::OutputErrorCorrected, row);
        squares += error * error;
    }
    m_wholeError->setText(percentText(std::sqrt(squares / static_cast<double>(table.rows.size()))));
    const double more = current ? static_cast<double>(cost.correctionBytes) - static_cast<double>(current->footprint.correctionBytes) : 0;
    m_wholeBits->setText(bitsText(whole.stored.withCorrection + 8 * more / static_cast<double>(whole.linearWeights)));
    m_wholeBytes->setText(tr("%1 (was %2)").arg(bytesText(static_cast<double>(whole.bytes) + more), bytesText(static_cast<double>(whole.originalBytes))));
}

void InspectorPanel::showRealised()
{
    const auto realised = m_session.realised();
    const LayerRow *row = m_session.currentRow();
    if (realised && realised->error.outputKnown)
        m_realisedError->setText(percentText(realised->error.relativeCorrectedOutputError()));
    else
        m_realisedError->setText(!realised && row && row->plan.quantize && row->ready ? QStringLiteral("...") : QStringLiteral("\u2013"));
}

}  // namespace lqer
