// SPDX-License-Identifier: Apache-2.0
#include "core/recipe/quantization_recipe.h"

#include <algorithm>

#include "core/recipe/settings_fields.h"

namespace lqer {

LayerPlan QuantizationRecipe::planFor(const LinearSite &site) const
{
    LayerSettings settings = defaults;
    for (const RecipeRule &rule : rules) {
        if (rule.selector.matches(site))
            settings.overlay(rule.settings);
    }
    if (const auto own = layers.find(site.name); own != layers.end())
        settings.overlay(own->second);

    LayerPlan plan;
    for (const FormatField &field : formatFields)
        plan.formats.*field.planned = (settings.*field.stated).value_or(FormatSpec());
    if (!settings.xa)
        plan.formats.xa = plan.formats.activation;
    if (!settings.xab)
        plan.formats.xab = plan.formats.activation;
    plan.formats.flatActivations = site.role == LinearRole::Fc1 || site.role == LinearRole::Fc2;
    plan.quantize = settings.quantize.value_or(plan.quantize);
    plan.scaling = settings.scaling.value_or(plan.scaling);
    plan.rank = settings.rank.value_or(plan.rank);
    return plan;
}

AttentionPlan QuantizationRecipe::attentionFor(std::int64_t layer, std::string_view module) const
{
    AttentionSettings settings = attention;
    for (const RecipeRule &rule : rules) {
        if (rule.selector.matchesAttention(layer, module))
            settings.overlay(rule.attention);
    }
    AttentionPlan plan;
    for (const AttentionField &field : attentionFields)
        plan.*field.planned = (settings.*field.stated).value_or(FormatSpec());
    return plan;
}

ModelPlan QuantizationRecipe::planFor(std::span<const LinearSite> sites) const
{
    ModelPlan plan;
    for (const LinearSite &site : sites) {
        plan.layers.emplace(site.name, planFor(site));
        if (site.layer < 0 || plan.attention.contains(site.layer))
            continue;
        if (const std::string module = attentionModule(sites, site.layer); !module.empty())
            plan.attention.emplace(site.layer, attentionFor(site.layer, module));
    }
    return plan;
}

Index sensibleRank(Index wanted, Index in, Index out)
{
    const Index half = in * out / (2 * (in + out));
    return std::min(wanted, std::max<Index>(half, 1));
}

QuantizationRecipe withSensibleRanks(const QuantizationRecipe &recipe, std::span<const LinearSite> sites)
{
    QuantizationRecipe adapted = recipe;
    for (const LinearSite &site : sites) {
        const LayerPlan plan = recipe.planFor(site);
        const Index rank = sensibleRank(plan.rank, site.in, site.out);
        if (plan.quantize && rank != plan.rank)
            adapted.layers[site.name].rank = rank;
    }
    return adapted;
}

}  // namespace lqer
