// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>
#include <QUndoCommand>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/model/sites.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// Which layers an edit is about.
struct RecipeTarget {
    enum class Kind { Layers, Role, Block, Pattern, All } kind = Kind::Layers;
    std::vector<std::string> layers;   // Layers
    LinearRole role = LinearRole::Query;  // Role: in every block
    std::int64_t block = 0;            // Block
    std::string pattern;               // Pattern: regular expression on the whole module name

    bool matches(const LinearSite &site) const;
    // "q in every block", "block 3", "2 layers": for menus and the undo history.
    QString describe() const;
};

// The recipe after `settings` are applied to the target, such that they win over whatever was stated for those layers before:
// overrides of single layers give up the fields, and a rule comes last (see QuantizationRecipe's precedence).
// Throws Error(Argument) on a pattern that is no regular expression.
QuantizationRecipe withSettings(const QuantizationRecipe &recipe, const RecipeTarget &target, const LayerSettings &settings,
                                std::span<const LinearSite> sites);

// One step of undo: the whole recipe before and after.
class RecipeEdit final : public QUndoCommand {
public:
    using Install = std::function<void(const QuantizationRecipe &)>;
    RecipeEdit(const QString &text, QuantizationRecipe before, QuantizationRecipe after, Install install);
    void undo() override { m_install(m_before); }
    void redo() override { m_install(m_after); }

private:
    QuantizationRecipe m_before;
    QuantizationRecipe m_after;
    Install m_install;
};

}  // namespace lqer
