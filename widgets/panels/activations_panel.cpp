// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/activations_panel.h"

#include <QCheckBox>
#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QVBoxLayout>

#include "widgets/plots/channel_plot.h"
#include "widgets/session/session.h"
#include "widgets/text/glossary.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

enum Quantity { RootMeanSquare, MeanMagnitude, Largest, LqerScale };

// Which of the statistics the layer's correction is weighted by.
QString usedBy(ScalingKind kind)
{
    switch (kind) {
    case ScalingKind::Identity: return ActivationsPanel::tr("identity uses none of this");
    case ScalingKind::MeanAbs: return ActivationsPanel::tr("lqer uses its scale S");
    case ScalingKind::Diagonal: return ActivationsPanel::tr("diag uses the root mean square");
    case ScalingKind::Exact: return ActivationsPanel::tr("exact uses these and how channels go together");
    }
    return {};
}

}  // namespace

ActivationsPanel::ActivationsPanel(Session &session, QWidget *parent)
    : QWidget(parent), m_session(session), m_quantity(new QComboBox(this)), m_sorted(new QCheckBox(tr("Largest &first"), this)),
      m_summary(new QLabel(this)), m_plot(new ChannelPlot(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    layout->setSpacing(4);
    auto *bar = new QHBoxLayout;
    m_quantity->addItems({tr("root mean square (scale S of diag)"), tr("largest mean magnitude of a batch"), tr("largest magnitude"), tr("scale S of lqer")});
    m_quantity->setAccessibleName(tr("Statistic"));
    m_quantity->setToolTip(meaningOf(Term::ChannelMagnitude));
    m_sorted->setChecked(true);
    m_summary->setTextFormat(Qt::PlainText);
    bar->addWidget(m_quantity);
    bar->addWidget(m_sorted);
    bar->addStretch(1);
    layout->addLayout(bar);
    m_summary->setWordWrap(true);
    layout->addWidget(m_summary);
    layout->addWidget(m_plot, 1);
    m_plot->setToolTip(meaningOf(Term::Outlier));
    connect(m_quantity, &QComboBox::currentIndexChanged, this, &ActivationsPanel::refresh);
    connect(m_sorted, &QCheckBox::toggled, m_plot, &ChannelPlot::setSorted);
    for (const auto changed : {&Session::statisticsChanged, &Session::selectionChanged, &Session::recipeChanged, &Session::closed})
        connect(&m_session, changed, this, &ActivationsPanel::refresh);
    refresh();
}

void ActivationsPanel::refresh()
{
    const LayerRow *row = m_session.currentRow();
    const SiteStats *stats = nullptr;
    if (row && m_session.statistics()) {
        const auto found = m_session.statistics()->sites.find(row->site.activationSite);
        if (found != m_session.statistics()->sites.end())
            stats = &found->second;
    }
    if (!stats) {
        m_plot->clear();
        m_summary->clear();
        m_plot->setMessage(!m_session.isOpen() ? QString() : m_session.calibration().isEmpty() ? tr("Calibrate first (F5): nothing is known of the activations yet") : tr("Select a layer"));
        return;
    }
    VectorF64 shown;
    switch (m_quantity->currentIndex()) {
    case MeanMagnitude: shown = stats->maxMeanAbs; break;
    case Largest: shown = stats->maxAbs; break;
    case LqerScale: shown = stats->lqerScale(); break;
    default: shown = stats->diagonalScale(); break;
    }
    m_plot->setMessage({});
    m_plot->setChannels({shown.data(), shown.data() + shown.size()}, m_quantity->currentText());
    m_summary->setText(tr("%1 tokens, %2 channels, %3 outliers; %4")
                           .arg(countText(stats->tokens), countText(stats->features()), countText(static_cast<qint64>(m_plot->outliers().size())), usedBy(row->plan.scaling)));
    m_summary->setToolTip(meaningOf(Term::Outlier));
}

}  // namespace lqer
