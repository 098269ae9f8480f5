// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/spectrum_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QSplitter>
#include <QVBoxLayout>

#include <algorithm>

#include "core/quant/quantizer.h"
#include "core/recon/noise_edge.h"
#include "widgets/controls/format_editor.h"
#include "widgets/plots/residual_plot.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr std::size_t mostLayers = 6;
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
    : QWidget(parent), m_session(session), m_title(new QLabel(this)), m_normalised(new QCheckBox(tr("&Normalised"), this)),
      m_unshaped(new QCheckBox(tr("&Before shaping"), this)), m_overlayFormat(new QComboBox(this)), m_overlayScaling(new QComboBox(this)),
      m_spectrum(new SpectrumPlot(this)), m_residual(new ResidualPlot(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    layout->setSpacing(4);
    auto *bar = new QHBoxLayout;
    m_title->setTextFormat(Qt::PlainText);
    m_title->setMinimumWidth(60);
    QFont bold = m_title->font();
    bold.setBold(true);
    m_title->setFont(bold);
    m_unshaped->setChecked(true);
    m_normalised->setToolTip(tr("Divide each curve by its largest singular value, so that their shapes compare."));
    m_unshaped->setToolTip(tr("Also show the error before it is weighted by the activations (dashed)."));
    m_overlayFormat->setAccessibleName(tr("Compare with another format"));
    m_overlayScaling->setAccessibleName(tr("Compare with another scaling"));
    m_overlayFormat->setToolTip(tr("Lay the curve of another number format over this one."));
    m_overlayScaling->setToolTip(tr("Lay the curve of another scaling over this one."));
    m_overlayFormat->addItem(tr("no other format"));
    for (const FormatInfo &info : formats())
        for (const auto &[name, spec] : info.presets)
            if (!spec.isPassthrough())
                m_overlayFormat->addItem(QString::fromStdString(name));
    m_overlayScaling->addItem(tr("no other scaling"));
    for (const ScalingKind kind : scalings)
        m_overlayScaling->addItem(scalingText(kind));
    auto *compare = new QLabel(tr("&Compare with"), this);
    compare->setBuddy(m_overlayFormat);
    layout->addWidget(m_title);
    bar->addWidget(m_unshaped);
    bar->addWidget(m_normalised);
    bar->addStretch(1);
    bar->addWidget(compare);
    bar->addWidget(m_overlayFormat);
    bar->addWidget(m_overlayScaling);
    layout->addLayout(bar);
    auto *splitter = new QSplitter(Qt::Vertical, this);
    splitter->addWidget(m_spectrum);
    splitter->addWidget(m_residual);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    splitter->setChildrenCollapsible(false);
    layout->addWidget(splitter, 1);
    m_spectrum->setToolTip(meaningOf(Term::Spectrum));

    connect(m_normalised, &QCheckBox::toggled, m_spectrum, &SpectrumPlot::setNormalised);
    connect(m_unshaped, &QCheckBox::toggled, this, &SpectrumPanel::refresh);
    connect(m_overlayFormat, &QComboBox::currentIndexChanged, this, &SpectrumPanel::refresh);
    connect(m_overlayScaling, &QComboBox::currentIndexChanged, this, &SpectrumPanel::refresh);
    for (RankPlot *plot : {static_cast<RankPlot *>(m_spectrum), static_cast<RankPlot *>(m_residual)}) {
        connect(plot, &RankPlot::rankMoved, &m_session, &Session::previewRank);
        connect(plot, &RankPlot::rankChosen, &m_session, &Session::chooseRank);
    }
    connect(&m_session, &Session::rankPreviewed, this, &SpectrumPanel::showRank);
    for (const auto changed : {&Session::tableChanged, &Session::selectionChanged, &Session::overlayReady, &Session::closed})
        connect(&m_session, changed, this, &SpectrumPanel::refresh);
    refresh();
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
    m_title->setText(safeText(row->site.name) + (others > 0 ? tr("  and %n more", nullptr, static_cast<int>(others)) : QString()));
    m_title->setToolTip(m_title->text());

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
    const auto add = [&](const QString &label, const DecompositionRecord &one) {
        curves.append({label, values(one.sigma), one.totalEnergy, true});
        if (m_unshaped->isChecked() && one.key.scaling != ScalingKind::Identity && curves.size() < 4)
            curves.append({tr("%1, before shaping").arg(label), values(one.sigmaUnscaled), one.weightError, false});
    };
    const QString own = others > 0 ? shortName(row->site) : tr("%1, %2").arg(formatText(record->key.format), scalingText(record->key.scaling));
    add(own, *record);
    for (std::size_t i = 1; i <= others; ++i)
        if (const LayerRow *other = m_session.row(m_session.selection()[i]); other && other->decomposition)
            curves.append({shortName(other->site), values(other->decomposition->sigma), other->decomposition->totalEnergy, true});
    if (m_overlayFormat->currentIndex() > 0 || m_overlayScaling->currentIndex() > 0) {
        FormatSpec format = record->key.format;
        if (m_overlayFormat->currentIndex() > 0)
            format = FormatSpec::parse(m_overlayFormat->currentText().toStdString());
        ScalingKind scaling = record->key.scaling;
        if (m_overlayScaling->currentIndex() > 0)
            scaling = scalings[m_overlayScaling->currentIndex() - 1];
        if (const auto overlay = m_session.overlay(row->site.name, format, scaling); overlay && !(overlay->key == record->key))
            curves.append({tr("%1, %2").arg(formatText(format), scalingText(scaling)), values(overlay->sigma), overlay->totalEnergy, true});
    }
    m_spectrum->setMaximumRank(most);
    m_spectrum->setNoiseEdge(record->spectrumComplete ? noiseLevel(record->sigma, record->in, record->out).edge : 0);
    m_spectrum->setCurves(std::move(curves));
    m_residual->setMaximumRank(most);

    LayerPlan plan = row->plan;
    const auto bitsAt = [&](Index rank) {
        plan.rank = rank;
        return layerFootprint(row->site, plan, row->footprint.originalBytes, 0).stored.withCorrection;
    };
    const double bitsAtZero = bitsAt(0);
    m_residual->setCurve(values(record->sigma), record->totalEnergy, bitsAtZero, most > 0 ? (bitsAt(most) - bitsAtZero) / most : 0);
    showRank(m_session.shownRank());
}

}  // namespace lqer
