// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/recipe/quantization_recipe.h"

namespace lqer {

// True if calibration knows what `kind` needs of this activation site.
using HasStatistics = std::function<bool(std::string_view activationSite, ScalingKind kind)>;

// Everything wrong with using the recipe on a model with these layers, errors first, then warnings, each in the recipe's order.
// Errors: bad pattern; unknown layer (with the nearest); negative rank; rank above min(in, out) of a layer (layers are listed);
// unknown format or parameter, value out of range; a format that has no code for the shape it would be used on; statistics that
// are missing. Warnings: a rule that matches nothing or can never take effect; a block that does not divide the dimension it runs
// along (the last block is padded with zeros); a scaling that has no effect because the rank is 0; nothing quantized at all.
// hasStatistics: empty if not known yet, then statistics are not checked.
std::vector<RecipeProblem> check(const QuantizationRecipe &recipe, std::span<const LinearSite> sites,
                                 const HasStatistics &hasStatistics = {});

// True if none of them is an error.
bool isUsable(std::span<const RecipeProblem> problems);

// Throws Error(Argument) with the first error and the number of others.
void requireUsable(std::span<const RecipeProblem> problems, const std::string &file = {});

}  // namespace lqer
