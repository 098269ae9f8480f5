// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include <span>

#include "core/recipe/quantization_recipe.h"

namespace lqer {

// A recipe on a model in a few words, for the name of a run: "bfp4, exact, rank 8-64"; formats and scalings in the order of how many
// layers have them.
QString recipeText(const QuantizationRecipe &recipe, std::span<const LinearSite> sites);

}  // namespace lqer
