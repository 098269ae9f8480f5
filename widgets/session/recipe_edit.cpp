// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/session/recipe_edit.h"

#include <QCoreApplication>

#include <algorithm>

#include "core/base/error.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

// Removes from `held` every field that `stated` has.
void giveUp(LayerSettings &held, const LayerSettings &stated)
{
    const auto clear = [](auto &mine, const auto &theirs) {
        if (theirs)
            mine.reset();
    };
    clear(held.quantize, stated.quantize);
    clear(held.weight, stated.weight);
    clear(held.activation, stated.activation);
    clear(held.bias, stated.bias);
    clear(held.a, stated.a);
    clear(held.b, stated.b);
    clear(held.xa, stated.xa);
    clear(held.xab, stated.xab);
    clear(held.scaling, stated.scaling);
    clear(held.rank, stated.rank);
}

LayerSelector selectorOf(const RecipeTarget &target)
{
    LayerSelector selector;
    switch (target.kind) {
    case RecipeTarget::Kind::Role: selector.roles = {target.role}; break;
    case RecipeTarget::Kind::Block: selector.blocks = {{target.block, target.block}}; break;
    case RecipeTarget::Kind::Pattern: selector.pattern = NamePattern(target.pattern); break;
    case RecipeTarget::Kind::Layers:
    case RecipeTarget::Kind::All: break;
    }
    if (!selector.pattern.error().empty())
        throw Error(ErrorCode::Argument, "pattern '" + target.pattern + "': " + selector.pattern.error());
    return selector;
}

}  // namespace

bool RecipeTarget::matches(const LinearSite &site) const
{
    switch (kind) {
    case Kind::Layers: return std::find(layers.begin(), layers.end(), site.name) != layers.end();
    case Kind::All: return true;
    default: return selectorOf(*this).matches(site);
    }
}

QString RecipeTarget::describe() const
{
    switch (kind) {
    case Kind::Layers:
        return layers.size() == 1 ? safeText(layers.front()) : QCoreApplication::translate("RecipeTarget", "%1 layers").arg(layers.size());
    case Kind::Role: return QCoreApplication::translate("RecipeTarget", "%1 in every block").arg(QString::fromStdString(std::string(toString(role))));
    case Kind::Block: return QCoreApplication::translate("RecipeTarget", "block %1").arg(block);
    case Kind::Pattern: return safeText(pattern);
    case Kind::All: return QCoreApplication::translate("RecipeTarget", "every layer");
    }
    return {};
}

QuantizationRecipe withSettings(const QuantizationRecipe &recipe, const RecipeTarget &target, const LayerSettings &settings,
                                std::span<const LinearSite> sites)
{
    QuantizationRecipe after = recipe;
    if (target.kind == RecipeTarget::Kind::Layers) {
        for (const std::string &layer : target.layers)
            after.layers[layer].overlay(settings);
        return after;
    }
    for (const LinearSite &site : sites) {
        const auto own = after.layers.find(site.name);
        if (own != after.layers.end() && target.matches(site))
            giveUp(own->second, settings);
    }
    std::erase_if(after.layers, [](const auto &entry) { return entry.second.isEmpty(); });

    const LayerSelector selector = selectorOf(target);
    for (RecipeRule &rule : after.rules)
        if (target.kind == RecipeTarget::Kind::All || rule.selector == selector)
            giveUp(rule.settings, settings);
    std::erase_if(after.rules, [](const RecipeRule &rule) { return rule.settings.isEmpty() && rule.attention.isEmpty(); });
    if (target.kind == RecipeTarget::Kind::All)
        after.defaults.overlay(settings);
    else if (!after.rules.empty() && after.rules.back().selector == selector)
        after.rules.back().settings.overlay(settings);
    else
        after.rules.push_back({selector, settings, {}});
    return after;
}

RecipeEdit::RecipeEdit(const QString &text, QuantizationRecipe before, QuantizationRecipe after, Install install)
    : QUndoCommand(text), m_before(std::move(before)), m_after(std::move(after)), m_install(std::move(install))
{
}

}  // namespace lqer
