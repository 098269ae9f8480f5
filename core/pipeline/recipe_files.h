// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model/sites.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// Recipes in the three forms there are, by the file's extension: .json is ours, .toml LQER's configuration, .yaml and .yml QERA's.

// True if the name has one of these extensions.
bool hasRecipeExtension(const std::string &path);

// With `sites` for that model; without, what cannot be said without one is an Error. Appends a line to `notes` for what the papers' files have that is
// done otherwise. overrides: of LQER's configurations ("--a:b=value"); for the other forms they are an Error. Throws Error naming file and key.
QuantizationRecipe readRecipeFile(const std::string &path, std::span<const LinearSite> sites, std::vector<std::string> &notes,
                                  std::span<const std::string> overrides = {});

// Appends a line to `lost` for what the form of `path` cannot hold. The text is to be written there. Throws Error(Unsupported) for another extension.
std::string recipeFileText(
    const QuantizationRecipe &recipe, const std::string &path, std::span<const LinearSite> sites, std::vector<std::string> &lost);

}  // namespace lqer
