// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/recipe/quantization_recipe.h"

namespace lqer {

// The files of resources/recipes, which the build puts into the program: LQER's templates for one model each (resources/recipes/README.md).
struct BundledRecipeText {
    std::string_view name;  // the file's, without extension
    std::string_view text;  // JSON
};
std::span<const BundledRecipeText> bundledRecipeTexts();

// The same, read; in the order of their names. title and meaning are the recipe's own name.
const std::vector<RecipePreset> &bundledRecipes();

}  // namespace lqer
