// SPDX-License-Identifier: Apache-2.0
#include "app/cli/recipe_options.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/pipeline/recipe_files.h"
#include "core/pipeline/sweep_plan.h"
#include "core/quant/quantizer.h"
#include "core/recipe/check.h"

namespace lqer::cli {

namespace {

// What an existing quantization is repaired by unless something else is said: the least output error that a rank can give, A and B in
// the type that adapters have.
QuantizationRecipe repairRecipe()
{
    QuantizationRecipe recipe = findRecipePreset("qera-exact-mxint4");
    recipe.name = "QERA-exact, rank 32";
    recipe.defaults.weight.reset();
    recipe.defaults.a = recipe.defaults.b = FormatSpec::parse("bfloat16");
    return recipe;
}

}  // namespace

bool isRecipeFile(const std::string &name)
{
    std::error_code error;
    return hasRecipeExtension(name) || name.find('/') != std::string::npos || std::filesystem::exists(name, error);
}

QuantizationRecipe findRecipe(const std::string &name)
{
    if (!isRecipeFile(name))
        return findRecipePreset(name);
    if (!hasRecipeExtension(name))
        return QuantizationRecipe::read(name);
    std::vector<std::string> notes;
    const QuantizationRecipe recipe = readRecipeFile(name, {}, notes);
    for (const std::string &note : notes)
        logWarning(fmt::format("{}: {}", escaped(name), note));
    return recipe;
}

void RecipeOptions::add(CLI::App &command, bool severalWeights)
{
    const std::string group = "Recipe";
    command.add_option("--recipe,-r", m_recipe, "Recipe file (.json, LQER's .toml, QERA's .yaml) or a preset that `lqer recipes` lists (default: l2qer-w4a8)")
        ->type_name("RECIPE")
        ->group(group);
    CLI::Option *weights = command.add_option("--weights", m_weights,
                                              severalWeights ? "Formats for the weights in place of the recipe's, one run each: mxint4,mxint3,mxint2"
                                                             : "Format for the weights in place of the recipe's (`lqer formats`)");
    weights->type_name("FORMAT")->group(group);
    if (!severalWeights)
        weights->expected(1);
    command.add_option("--activations", m_activations, "Format for the layers' inputs in place of the recipe's")->type_name("FORMAT")->group(group);
    command.add_option("--scaling", m_scaling, "identity, lqer, diag or exact in place of the recipe's")->type_name("NAME")->group(group);
    command.add_option("--rank", m_rank, "Rank of every correction in place of the recipe's")->type_name("K")->group(group);
}

bool RecipeOptions::isStated() const
{
    return !m_recipe.empty() || !m_weights.empty() || !m_activations.empty() || !m_scaling.empty() || m_rank;
}

std::vector<QuantizationRecipe> RecipeOptions::recipes(Session &session, const LoadedModel &model) const
{
    const bool preset = m_recipe.empty() || !isRecipeFile(m_recipe);
    if (model.base() && !m_weights.empty())
        throw Error(ErrorCode::Argument, fmt::format("--weights and --base exclude each other: W_q comes from {}", model.base()->path()));
    QuantizationRecipe base = !m_recipe.empty() ? findRecipe(m_recipe) : model.base() ? repairRecipe() : defaultRecipe();
    if (base.name.empty())
        base.name = std::filesystem::path(m_recipe).stem().string();
    if (!m_activations.empty()) {
        base.defaults.activation = FormatSpec::parse(m_activations);
        base.name += fmt::format(", activations {}", shortName(*base.defaults.activation));
    }
    if (!m_scaling.empty()) {
        base.defaults.scaling = scalingFromString(m_scaling);
        base.name += fmt::format(", {}", toString(*base.defaults.scaling));
    }
    if (m_rank) {
        base.defaults.rank = *m_rank;
        base.name += fmt::format(", rank {}", *m_rank);
    } else if (preset) {
        const QuantizationRecipe lowered = withSensibleRanks(base, model.transformer().linearSites());
        if (lowered != base) {
            Index least = base.defaults.rank.value_or(0);
            for (const auto &[layer, settings] : lowered.layers)
                least = std::min(least, settings.rank.value_or(least));
            session.console().note(fmt::format("Rank {} is lowered to as little as {} for {} small layers, where A and B would outweigh half of W "
                                               "(--rank sets it for all)", base.defaults.rank.value_or(0), least, lowered.layers.size() - base.layers.size()));
        }
        base = lowered;
    }

    std::vector<std::string> formats;
    for (const std::string &entry : m_weights)
        std::ranges::move(splitFormats(entry), std::back_inserter(formats));
    std::vector<QuantizationRecipe> recipes;
    if (formats.empty())
        recipes.push_back(base);
    for (const std::string &format : formats) {
        recipes.push_back(base);
        recipes.back().defaults.weight = FormatSpec::parse(format);
        recipes.back().name += fmt::format(", weights {}", shortName(*recipes.back().defaults.weight));
    }
    for (const QuantizationRecipe &recipe : recipes)
        requireUsable(session.engine().check(recipe, model), isRecipeFile(m_recipe) ? m_recipe : recipe.name);
    return recipes;
}

}  // namespace lqer::cli
