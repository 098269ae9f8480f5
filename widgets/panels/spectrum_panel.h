// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <optional>
#include <vector>

#include "core/recipe/layer_plan.h"

class QAction;
class QCheckBox;
class QMenu;
class QToolButton;

namespace lqer {

class ElidedLabel;
class ResidualPlot;
class Session;
class SpectrumPlot;

// Singular values of the chosen layers' quantization error, and what rank buys; other formats or scalings laid over it.
class SpectrumPanel final : public QWidget {
    Q_OBJECT

public:
    explicit SpectrumPanel(Session &session, QWidget *parent = nullptr);
    SpectrumPlot &spectrum() { return *m_spectrum; }
    ResidualPlot &residual() { return *m_residual; }
    // Actions for the main menu; the check boxes follow them.
    QAction *normalisedAction() const { return m_normalisedAction; }
    QAction *unshapedAction() const { return m_unshapedAction; }
    QMenu *comparisons() const { return m_comparisons; }

private:
    // Another way to quantize the same layer, laid over its curves.
    struct Comparison {
        QAction *action;
        std::optional<FormatSpec> format;      // none: the layer's own
        std::optional<ScalingKind> scaling;
    };
    void makeComparisons();
    void refresh();
    void showRank(int rank);
    void showComparisons();

    Session &m_session;
    ElidedLabel *m_title;
    QCheckBox *m_normalised;
    QCheckBox *m_unshaped;
    QAction *m_normalisedAction;
    QAction *m_unshapedAction;
    QToolButton *m_compare;
    QMenu *m_comparisons;
    std::vector<Comparison> m_comparisonList;
    SpectrumPlot *m_spectrum;
    ResidualPlot *m_residual;
};

}  // namespace lqer
