// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include "widgets/models/layer_model.h"

class QComboBox;
class QLabel;

namespace lqer {

class ModelMap;
class Session;

// The model map with a choice of what colours it; clicking selects layers.
class MapPanel final : public QWidget {
    Q_OBJECT

public:
    explicit MapPanel(Session &session, QWidget *parent = nullptr);
    void setMetric(LayerMetric metric);
    LayerMetric metric() const;

private:
    void rebuild();
    void refresh();
    void showSelection();

    Session &m_session;
    QComboBox *m_metric;
    ModelMap *m_map;
    QLabel *m_summary;  // what the checkpoint is
    std::vector<std::string> m_layers;  // by cell
    std::vector<std::pair<int, int>> m_places;
    bool m_selecting = false;
};

}  // namespace lqer
