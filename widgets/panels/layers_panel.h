// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

class QComboBox;
class QLabel;
class QLineEdit;
class QTreeView;

namespace lqer {

class LayerFilter;
class LayerModel;
class Session;

// Every linear layer with what it costs and what it loses; filter, group, sort, select several.
class LayersPanel final : public QWidget {
    Q_OBJECT

public:
    explicit LayersPanel(Session &session, QWidget *parent = nullptr);
    LayerModel &model() { return *m_model; }
    QTreeView &view() { return *m_view; }
    void focusFilter();

private:
    void rebuildRoles();
    void takeSelection();
    void showSelection();

    Session &m_session;
    LayerModel *m_model;
    LayerFilter *m_filter;
    QLineEdit *m_text;
    QComboBox *m_role;
    QComboBox *m_grouping;
    QTreeView *m_view;
    QLabel *m_none;  // in place of rows when nothing matches
    bool m_selecting = false;
};

}  // namespace lqer
