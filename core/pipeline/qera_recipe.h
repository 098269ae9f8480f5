// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model/sites.h"
#include "core/pipeline/qera_config.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// What QERA's qera_config and scaling modes say about each layer, as rules of a recipe: patterns match whole module names, at
// most one matches; B has the format of the activations, A none; the scaling is that of the layer whose input is measured
// (numerics.md C.2, C.3). Throws Error(Format) naming file and key.
//
// With `sites` for that model: also throws Error(Argument) if two patterns match a layer or attention product of a block, or none
// does; ranks above min(in, out) are cut. Without, patterns of attention products must end in the names of these. Appends a line
// to `notes` for what the official code gets wrong and is done as it is meant.
QuantizationRecipe qeraRecipe(const QeraConfig &config, std::span<const LinearSite> sites = {},
                              std::vector<std::string> *notes = nullptr);

// A complete configuration with the recipe's plan for these layers; pipeline keys as in the files that come with QERA. What QERA
// cannot hold gets a line in `lost`; a number format that it does not have throws Error(Unsupported), no layers Error(Argument).
Json qeraConfigOf(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost);

}  // namespace lqer
