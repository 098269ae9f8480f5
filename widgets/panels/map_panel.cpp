// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/map_panel.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QScopedValueRollback>
#include <QVBoxLayout>

#include <algorithm>
#include <map>

#include "widgets/plots/model_map.h"
#include "widgets/session/session.h"
#include "widgets/text/model_text.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr LayerMetric metrics[] = {LayerMetric::OutputErrorCorrected, LayerMetric::OutputErrorPlain, LayerMetric::ErrorShare,
                                   LayerMetric::WeightError,          LayerMetric::BitsPerWeight,    LayerMetric::Rank,
                                   LayerMetric::CapturedEnergy};

}  // namespace

MapPanel::MapPanel(Session &session, QWidget *parent) : QWidget(parent), m_session(session), m_metric(new QComboBox(this)), m_map(new ModelMap(this)),
      m_summary(new QLabel(this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    auto *bar = new QHBoxLayout;
    auto *label = new QLabel(tr("&Colour by"), this);
    label->setBuddy(m_metric);
    bar->addWidget(label);
    bar->addWidget(m_metric, 1);
    layout->addLayout(bar);
    layout->addWidget(m_map, 1);
    m_summary->setTextFormat(Qt::PlainText);
    m_summary->setWordWrap(true);
    m_summary->setAccessibleName(tr("Checkpoint"));
    m_summary->setTextInteractionFlags(Qt::TextSelectableByMouse);
    layout->insertWidget(0, m_summary);
    for (const LayerMetric metric : metrics) {
        m_metric->addItem(titleOf(metric));
        m_metric->setItemData(m_metric->count() - 1, meaningOf(metric), Qt::ToolTipRole);
    }
    m_metric->setAccessibleName(tr("Metric of the model map"));
    connect(m_metric, &QComboBox::currentIndexChanged, this, &MapPanel::refresh);
    connect(m_map, &ModelMap::selectionChanged, this, [this](const std::vector<int> &cells) {
        const QScopedValueRollback guard(m_selecting, true);
        std::vector<std::string> layers;
        for (const int cell : cells)
            layers.push_back(m_layers[static_cast<std::size_t>(cell)]);
        m_session.select(std::move(layers));
    });
    connect(&m_session, &Session::opened, this, &MapPanel::rebuild);
    connect(&m_session, &Session::closed, this, &MapPanel::rebuild);
    connect(&m_session, &Session::tableChanged, this, &MapPanel::refresh);
    connect(&m_session, &Session::selectionChanged, this, &MapPanel::showSelection);
    rebuild();
}

LayerMetric MapPanel::metric() const
{
    return metrics[static_cast<std::size_t>(std::max(0, m_metric->currentIndex()))];
}

void MapPanel::setMetric(LayerMetric metric)
{
    m_metric->setCurrentIndex(static_cast<int>(std::find(std::begin(metrics), std::end(metrics), metric) - std::begin(metrics)));
}

void MapPanel::rebuild()
{
    m_layers.clear();
    m_places.clear();
    QStringList rows;
    QStringList columns;
    if (m_session.isOpen()) {
        std::map<std::int64_t, int> rowOf;
        std::map<LinearRole, int> columnOf;
        for (const LayerRow &row : m_session.table()->rows) {
            const auto [rowPlace, newRow] = rowOf.try_emplace(row.site.layer, static_cast<int>(rows.size()));
            if (newRow)
                rows << (row.site.layer >= 0 ? QString::number(row.site.layer) : tr("other"));
            const auto [columnPlace, newColumn] = columnOf.try_emplace(row.site.role, static_cast<int>(columns.size()));
            if (newColumn)
                columns << QString::fromStdString(std::string(toString(row.site.role)));
            m_layers.push_back(row.site.name);
            m_places.emplace_back(rowPlace->second, columnPlace->second);
        }
    }
    m_map->setAxes(rows, columns);
    m_summary->setText(m_session.isOpen() ? summaryText(m_session.model()->summary()) : QString());
    m_summary->setToolTip(m_session.isOpen() ? plainHtml(detailsText(m_session.model()->summary())) : QString());
    refresh();
    showSelection();
}

void MapPanel::refresh()
{
    if (!m_session.isOpen() || m_session.table()->rows.size() != m_layers.size())
        return;
    const LayerTable &table = *m_session.table();
    const LayerMetric chosen = metric();
    const double all = remainingError(table);
    std::vector<ModelMap::Cell> cells;
    for (std::size_t i = 0; i < m_layers.size(); ++i) {
        const LayerRow &row = table.rows[i];
        const double value = valueOf(chosen, row, all);
        const QString text = textOf(chosen, value);
        // The unit stands at the scale.
        cells.push_back({m_places[i].first, m_places[i].second, value, QString(text).remove(QStringLiteral("\u00a0%")), safeText(m_layers[i]) + QLatin1Char('\n') + titleOf(chosen) + QStringLiteral(": ") + text});
    }
    m_map->setMetric(titleOf(chosen), isLogarithmic(chosen), [chosen](double value) { return textOf(chosen, value); });
    m_map->setCells(std::move(cells));
    m_metric->setToolTip(meaningOf(chosen));
}

void MapPanel::showSelection()
{
    if (m_selecting)
        return;
    std::vector<int> cells;
    for (const std::string &layer : m_session.selection()) {
        const auto found = std::find(m_layers.begin(), m_layers.end(), layer);
        if (found != m_layers.end())
            cells.push_back(static_cast<int>(found - m_layers.begin()));
    }
    m_map->setSelection(cells);
}

}  // namespace lqer
