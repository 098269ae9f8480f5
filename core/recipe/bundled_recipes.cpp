// SPDX-License-Identifier: Apache-2.0
#include "core/recipe/bundled_recipes.h"

#include <string>

namespace lqer {

const std::vector<RecipePreset> &bundledRecipes()
{
    static const std::vector<RecipePreset> recipes = [] {
        std::vector<RecipePreset> all;
        for (const auto &[name, text] : bundledRecipeTexts()) {
            QuantizationRecipe recipe = QuantizationRecipe::fromJson(parseJson(text, name), std::string(name));
            all.push_back({std::string(name), recipe.name, recipe.name, std::move(recipe)});
        }
        return all;
    }();
    return recipes;
}

}  // namespace lqer
