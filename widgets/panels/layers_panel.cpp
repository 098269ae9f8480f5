// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/layers_panel.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QScopedValueRollback>
#include <QTreeView>
#include <QVBoxLayout>

#include "widgets/delegates/bar_delegate.h"
#include "widgets/models/layer_model.h"
#include "widgets/session/session.h"

namespace lqer {

LayersPanel::LayersPanel(Session &session, QWidget *parent)
    : QWidget(parent), m_session(session), m_model(new LayerModel(this)), m_filter(new LayerFilter(this)), m_text(new QLineEdit(this)),
      m_role(new QComboBox(this)), m_grouping(new QComboBox(this)), m_view(new QTreeView(this)), m_none(new QLabel(tr("No layer has this in its name, format or scaling."), this))
{
    auto *layout = new QVBoxLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    layout->setSpacing(4);
    auto *bar = new QHBoxLayout;
    m_text->setPlaceholderText(tr("Filter by name, format or scaling"));
    m_text->setClearButtonEnabled(true);
    m_text->setAccessibleName(tr("Filter layers"));
    m_role->setAccessibleName(tr("Role filter"));
    m_role->setToolTip(tr("Show one role only"));
    m_grouping->addItems({tr("By block"), tr("By role"), tr("Flat list")});
    m_grouping->setAccessibleName(tr("Grouping of layers"));
    bar->addWidget(m_text, 1);
    bar->addWidget(m_role);
    bar->addWidget(m_grouping);
    layout->addLayout(bar);
    layout->addWidget(m_view, 1);

    m_filter->setSourceModel(m_model);
    m_view->setModel(m_filter);
    m_view->setItemDelegate(new BarDelegate(this));
    m_view->setSelectionMode(QAbstractItemView::ExtendedSelection);
    m_view->setAlternatingRowColors(true);
    m_view->setUniformRowHeights(true);
    m_view->setSortingEnabled(true);
    m_view->sortByColumn(LayerModel::Layer, Qt::AscendingOrder);
    m_view->setAccessibleName(tr("Layers"));
    m_view->header()->setStretchLastSection(false);
    m_view->header()->setSectionsMovable(true);
    m_view->header()->setMinimumSectionSize(40);
    // The numbers with bars share what the words leave.
    for (int column = LayerModel::Bits; column < LayerModel::ColumnCount; ++column)
        m_view->header()->setSectionResizeMode(column, QHeaderView::Stretch);

    m_none->setVisible(false);
    m_none->setAlignment(Qt::AlignCenter);
    layout->addWidget(m_none);
    const auto showWhetherEmpty = [this] {
        m_none->setVisible(m_filter->rowCount() == 0 && m_model->rowCount() > 0);
    };
    connect(m_filter, &QAbstractItemModel::rowsInserted, this, showWhetherEmpty);
    connect(m_filter, &QAbstractItemModel::rowsRemoved, this, showWhetherEmpty);
    connect(m_filter, &QAbstractItemModel::modelReset, this, showWhetherEmpty);
    connect(m_text, &QLineEdit::textChanged, m_filter, &LayerFilter::setText);
    connect(m_text, &QLineEdit::textChanged, m_view, &QTreeView::expandAll);
    connect(m_role, &QComboBox::currentIndexChanged, this, [this](int index) {
        m_filter->setRole(index <= 0 ? QString() : m_role->currentText());
        m_view->expandAll();
    });
    connect(m_grouping, &QComboBox::currentIndexChanged, this, [this](int index) {
        const QScopedValueRollback guard(m_selecting, true);
        m_model->setGrouping(index == 0 ? LayerModel::Grouping::Block : index == 1 ? LayerModel::Grouping::Role : LayerModel::Grouping::None);
        m_view->expandAll();
        m_selecting = false;
        showSelection();
    });
    connect(m_view->selectionModel(), &QItemSelectionModel::selectionChanged, this, &LayersPanel::takeSelection);
    connect(&m_session, &Session::tableChanged, this, [this] {
        const bool first = m_model->rowCount() == 0;
        {
            const QScopedValueRollback guard(m_selecting, true);
            m_model->setTable(m_session.table());
        }
        if (first) {
            rebuildRoles();
            m_view->expandAll();
            for (int column = 0; column < LayerModel::Bits; ++column)
                m_view->resizeColumnToContents(column);
            showSelection();
        }
    });
    connect(&m_session, &Session::closed, this, [this] {
        const QScopedValueRollback guard(m_selecting, true);
        m_model->setTable(nullptr);
        m_text->clear();
    });
    connect(&m_session, &Session::selectionChanged, this, &LayersPanel::showSelection);
}

void LayersPanel::focusFilter()
{
    m_text->setFocus(Qt::ShortcutFocusReason);
    m_text->selectAll();
}

void LayersPanel::rebuildRoles()
{
    m_role->clear();
    m_role->addItem(tr("All roles"));
    for (const LayerRow &row : m_session.table()->rows) {
        const QString role = QString::fromStdString(std::string(toString(row.site.role)));
        if (m_role->findText(role) < 0)
            m_role->addItem(role);
    }
}

void LayersPanel::takeSelection()
{
    if (m_selecting)
        return;
    const QScopedValueRollback guard(m_selecting, true);
    std::vector<std::string> layers;
    const auto add = [&](const QModelIndex &source) {
        if (const LayerRow *row = m_model->rowAt(source))
            if (std::find(layers.begin(), layers.end(), row->site.name) == layers.end())
                layers.push_back(row->site.name);
    };
    // The row that has the focus comes first: the panels show it.
    const QModelIndex current = m_filter->mapToSource(m_view->currentIndex());
    if (m_view->selectionModel()->isRowSelected(m_view->currentIndex().row(), m_view->currentIndex().parent()))
        add(current);
    for (const QModelIndex &index : m_view->selectionModel()->selectedRows()) {
        const QModelIndex source = m_filter->mapToSource(index);
        add(source);
        // A group stands for its layers.
        for (int child = 0; child < m_model->rowCount(source); ++child)
            add(m_model->index(child, 0, source));
    }
    m_session.select(std::move(layers));
}

void LayersPanel::showSelection()
{
    if (m_selecting)
        return;
    const QScopedValueRollback guard(m_selecting, true);
    QItemSelection selection;
    QModelIndex first;
    for (const std::string &layer : m_session.selection()) {
        const QModelIndex index = m_filter->mapFromSource(m_model->indexOf(layer));
        if (!index.isValid())
            continue;
        if (!first.isValid())
            first = index;
        selection.select(index, index.siblingAtColumn(LayerModel::ColumnCount - 1));
    }
    if (first.isValid())
        m_view->setCurrentIndex(first);
    m_view->selectionModel()->select(selection, QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
    if (first.isValid())
        m_view->scrollTo(first);
}

}  // namespace lqer
