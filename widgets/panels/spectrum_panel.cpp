// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/spectrum_panel.h"

#include <QAction>
#include <QCheckBox>
#include <QHBoxLayout>
#include <QMenu>
#include <QSplitter>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>

#include "core/quant/quantizer.h"
#include "core/recon/noise_edge.h"
#include "widgets/controls/elided_label.h"
#include "widgets/controls/format_editor.h"
#include "widgets/models/error_curve.h"
#include "widgets/plots/residual_plot.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr std::size_t mostLayers = 6;
constexpr int mostCurves = 7;  // as many as there are colours
constexpr ScalingKind scalings[] = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact};

std::vector<double> values(const VectorF64 &vector)
{
    return {vector.data(), vector.data() + vector.size()};
}

QString scalingText(ScalingKind kind)
{
    return QString::fromStdString(std::string(toString(kind)));
}

// "3.q" in "model.layers.3.self_attn.q_proj": enough for a legend.
QString shortName(const LinearSite &site)
{
    const QString role = QString::fromStdString(std::string(toString(site.role)));
    return site.layer >= 0 ? QStringLiteral("%1.%2").arg(site.layer).arg(role) : role;
}

}  // namespace

SpectrumPanel::SpectrumPanel(Session &session, QWidget *parent)
    : QWidget(parent), m_session(session), m_title(new ElidedLabel(this)), m_normalised(new QCheckBox(tr("&Normalised"), this)),
      m_unshaped(new QCheckBox(tr("&Before shaping"), this)), m_normalisedAction(new QAction(tr("&Normalised spectrum"), this)),
      m_unshapedAction(new QAction(tr("Spectrum &before shaping"), this)), m_compare(new QToolButton(this)), m_comparisons(new QMenu(tr("&Compare with"), this)),
      m_spectrum(new SpectrumPlot(this)), m_residual(new ResidualPlot(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    layout->setSpacing(4);
    QFont bold = m_title->font();
    bold.setBold(true);
    m_title->setFont(bold);
    m_normalised->setToolTip(tr("Divide each curve by its largest singular value, so that their shapes compare."));
    m_unshaped->setToolTip(tr("Also show the error before it is weighted by the activations (dashed)."));
    for (const auto &[box, action] : {std::pair{m_normalised, m_normalisedAction}, std::pair{m_unshaped, m_unshapedAction}}) {
        action->setCheckable(true);
        action->setToolTip(box->toolTip());
        action->setStatusTip(box->toolTip());
        connect(box, &QCheckBox::toggled, action, &QAction::setChecked);
        connect(action, &QAction::toggled, box, &QCheckBox::setChecked);
    }
    m_unshaped->setChecked(true);
    makeComparisons();
    m_compare->setMenu(m_comparisons);
    m_compare->setPopupMode(QToolButton::InstantPopup);
    m_compare->setToolButtonStyle(Qt::ToolButtonTextOnly);
    m_compare->setAccessibleName(tr("Compare with other formats and scalings"));
    m_compare->setToolTip(tr("Lay the curves of the same layer under other scalings or number formats over its own."));
    auto *bar = new QHBoxLayout;
    bar->addWidget(m_title, 1);
    bar->addWidget(m_unshaped);
    bar->addWidget(m_normalised);
    bar->addWidget(m_compare);
    layout->addLayout(bar);
    auto *splitter = new QSplitter(Qt::Vertical, this);
    splitter->addWidget(m_spectrum);
    splitter->addWidget(m_residual);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setChildrenCollapsible(false);
    layout->addWidget(splitter, 1);
    m_residual->setToolTip(meaningOf(Term::OutputErrorCorrected));
    m_spectrum->shareRanksWith(*m_residual);

    connect(m_normalised, &QCheckBox::toggled, m_spectrum, &SpectrumPlot::setNormalised);
    connect(m_unshaped, &QCheckBox::toggled, this, &SpectrumPanel::refresh);
    for (RankPlot *plot : {static_cast<RankPlot *>(m_spectrum), static_cast<RankPlot *>(m_residual)}) {
        connect(plot, &RankPlot::rankMoved, &m_session, &Session::previewRank);
        connect(plot, &RankPlot::rankChosen, &m_session, &Session::chooseRank);
    }
    connect(&m_session, &Session::rankPreviewed, this, &SpectrumPanel::showRank);
    for (const auto changed : {&Session::tableChanged, &Session::selectionChanged, &Session::overlayReady, &Session::closed})
        connect(&m_session, changed, this, &SpectrumPanel::refresh);
    refresh();
}

void SpectrumPanel::makeComparisons()
{
    m_comparisons->setToolTipsVisible(true);
    const auto add = [this](QMenu *menu, const QString &text, const QString &tip, std::optional<FormatSpec> format, std::optional<ScalingKind> scaling) {
        QAction *action = menu->addAction(text);
        action->setCheckable(true);
        action->setToolTip(tip);
        connect(action, &QAction::toggled, this, [this] {
            showComparisons();
            refresh();
        });
        m_comparisonList.push_back({action, std::move(format), scaling});
    };
    constexpr Term meanings[] = {Term::ScalingIdentity, Term::ScalingMeanAbs, Term::ScalingDiagonal, Term::ScalingExact};
    for (std::size_t i = 0; i < std::size(scalings); ++i)
        add(m_comparisons, tr("scaling %1").arg(scalingText(scalings[i])), meaningOf(meanings[i]), std::nullopt, scalings[i]);
    QMenu *formatMenu = m_comparisons->addMenu(tr("number &format"));
    formatMenu->setToolTipsVisible(true);
    for (const FormatInfo &info : formats())
        for (const auto &[name, spec] : info.presets)
            if (!spec.isPassthrough())
                add(formatMenu, QString::fromStdString(name), QString::fromStdString(info.title), spec, std::nullopt);
    m_comparisons->addSeparator();
    m_comparisons->addAction(tr("Compare with &nothing"), this, [this] {
        for (const Comparison &one : m_comparisonList)
            one.action->setChecked(false);
    });
    showComparisons();
}

void SpectrumPanel::showComparisons()
{
    QStringList chosen;
    for (const Comparison &one : m_comparisonList)
        if (one.action->isChecked())
            chosen << (one.scaling ? scalingText(*one.scaling) : one.action->text());
    const QString words = chosen.isEmpty() ? tr("Compare with...") : tr("Compared with %1").arg(chosen.size() <= 2 ? chosen.join(QStringLiteral(", ")) : tr("%1 others").arg(chosen.size()));
    m_compare->setText(words);
}

void SpectrumPanel::showRank(int rank)
{
    m_spectrum->setRank(rank);
    m_residual->setRank(rank);
}

void SpectrumPanel::refresh()
{
    const LayerRow *row = m_session.currentRow();
    if (!row) {
        m_title->setText(m_session.isOpen() ? tr("No layer selected") : QString());
        m_spectrum->setMessage(m_session.isOpen() ? tr("Select a layer in the map or the list") : QString());
        m_spectrum->setCurves({});
        m_spectrum->setMaximumRank(0);
        m_residual->clear();
        return;
    }
    const int most = static_cast<int>(std::min(row->site.in, row->site.out));
    const std::size_t others = std::min(m_session.selection().size(), mostLayers) - 1;
    m_title->setText(safeText(row->site.name) + (others > 0 ? tr("  and %1 more").arg(others) : QString()));

    const auto record = row->decomposition;
    if (!record) {
        const bool needsStatistics = row->plan.scaling != ScalingKind::Identity && m_session.calibration().isEmpty();
        m_spectrum->setCurves({});
        m_spectrum->setMaximumRank(0);
        m_residual->clear();
        m_spectrum->setMessage(!row->plan.quantize ? tr("This layer is not quantized")
                               : needsStatistics   ? tr("Calibrate first (F5): %1 needs to know the activations").arg(scalingText(row->plan.scaling))
                               : m_session.jobs().isBusy(JobLane::Batch) || m_session.jobs().isBusy(JobLane::Interactive) ? tr("Decomposing...")
                                                                                                                           : tr("Not decomposed yet: press F6"));
        return;
    }
    m_spectrum->setMessage({});

    QVector<SpectrumCurve> curves;
    QVector<ResidualPlot::Curve> errors;
    const QString own = others > 0 ? shortName(row->site) : tr("%1, %2").arg(formatText(record->key.format), scalingText(record->key.scaling));
    const auto add = [&](const QString &label, const DecompositionRecord &one) {
        curves.append({label, values(one.sigma), one.totalEnergy, true, static_cast<std::size_t>(one.sigmaExact)});
        errors.append({label, errorCurve(one)});
    };
    add(own, *record);
    if (m_unshaped->isChecked() && record->key.scaling != ScalingKind::Identity)
        curves.append({tr("%1, before shaping").arg(own), values(record->sigmaUnscaled), record->weightError, false, static_cast<std::size_t>(record->sigmaUnscaledExact)});
    for (std::size_t i = 1; i <= others; ++i)
        if (const LayerRow *other = m_session.row(m_session.selection()[i]); other && other->decomposition)
            add(shortName(other->site), *other->decomposition);
    for (const Comparison &one : m_comparisonList) {
        const FormatSpec format = one.format.value_or(record->key.format);
        const ScalingKind scaling = one.scaling.value_or(record->key.scaling);
        if (!one.action->isChecked() || errors.size() >= mostCurves)
            continue;
        if (scaling == record->key.scaling && formatText(format) == formatText(record->key.format))
            continue;  // the layer's own
        const QString label = tr("%1, %2").arg(formatText(format), scalingText(scaling));
        if (const auto overlay = m_session.overlay(row->site.name, format, scaling)) {
            add(label, *overlay);
        } else {
            const QString why = scaling != ScalingKind::Identity && m_session.calibration().isEmpty() ? tr("%1: calibrate first") : tr("%1: computing...");
            curves.append({why.arg(label), {}, 0, true});
            errors.append({label, {}});
        }
    }
    m_spectrum->setMaximumRank(most);
    m_spectrum->setNoiseEdge(record->spectrum() == SpectrumExtent::Leading ? 0 : noiseLevel(record->sigma, record->in, record->out).edge,
                             record->spectrum() == SpectrumExtent::Estimated);
    const bool estimated = std::any_of(curves.begin(), curves.end(), [](const SpectrumCurve &curve) { return curve.computed < curve.sigma.size(); });
    m_spectrum->setToolTip(plainHtml(estimated ? meaningOf(Term::Spectrum) + QLatin1Char('\n') + meaningOf(Term::EstimatedSpectrum) : meaningOf(Term::Spectrum)));
    m_spectrum->setCurves(std::move(curves));
    m_residual->setMaximumRank(most);

    LayerPlan plan = row->plan;
    const auto bitsAt = [&](Index rank) {
        plan.rank = rank;
        return layerFootprint(row->site, plan, row->footprint.originalBytes, 0).stored.withCorrection;
    };
    const double bitsAtZero = bitsAt(0);
    m_residual->setCurves(std::move(errors), bitsAtZero, most > 0 ? (bitsAt(most) - bitsAtZero) / most : 0);
    showRank(m_session.shownRank());
}

}  // namespace lqer
