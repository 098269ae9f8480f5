// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <memory>

#include "widgets/session/recipe_edit.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QScrollArea;

namespace lqer {

class FormatEditor;
class RankControl;
class Session;
struct HardwareCost;
struct LayerFootprint;
struct LayerRow;
struct LayerTable;

// One layer's choices and what they cost: predicted at every mouse move from stored singular values, measured a moment later.
class InspectorPanel final : public QWidget {
    Q_OBJECT

public:
    explicit InspectorPanel(Session &session, QWidget *parent = nullptr);
    ~InspectorPanel() override;

private:
    void refresh();
    void showNumbers(int rank);
    void showCost(int rank, const LayerFootprint &cost);
    void showRealised();
    // With the current layer, if there is one, at another rank: what it would cost and what would be left of its error.
    void showWhole(int rank, const LayerFootprint &cost, double left);
    RecipeTarget target() const;
    void apply(const LayerSettings &settings, const QString &what);

    Session &m_session;
    std::shared_ptr<const LayerTable> m_costed;  // the table that the costs are of
    std::unique_ptr<const HardwareCost> m_cost, m_originalCost;
    QScrollArea *m_scroll;
    QWidget *m_form;
    QLabel *m_name;
    QLabel *m_about;
    QCheckBox *m_quantize;
    FormatEditor *m_weight;
    QComboBox *m_scaling;
    RankControl *m_rank;
    FormatEditor *m_factor;
    FormatEditor *m_activation;
    QComboBox *m_target;
    QLineEdit *m_pattern;
    QLabel *m_plainError;
    QLabel *m_predictedError;
    QLabel *m_realisedError;
    QLabel *m_bits;
    QLabel *m_bytes;
    QLabel *m_wholeError;
    QLabel *m_wholeBits;
    QLabel *m_wholeBytes;
    QLabel *m_moved;
    QLabel *m_macs;
    QLabel *m_area;
    QLabel *m_wholeMoved;
    QLabel *m_wholeMacs;
    QLabel *m_wholeArea;
};

}  // namespace lqer
