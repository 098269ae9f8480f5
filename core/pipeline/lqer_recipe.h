// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model/sites.h"
#include "core/pipeline/lqer_config.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// What LQER's [approximate.approximator], [q_config] and [l_config] say about each layer (numerics.md C.3, F.1). The
// approximator's patterns are about parameter names, ours about module names; [q_config] and [l_config] are about blocks
// ("model_layer_3") or everything.
enum class LqerStage {
    Approximate,  // A and B of every layer that a pattern matches
    Evaluate,  // the model as it is measured: without A and B under disable_lqer, with W_q as [q_config] says it then
};

// With `sites` for that model: also throws Error(Argument) if two patterns match one layer or none matches any; a pattern that
// cannot be said about module names goes layer by layer, ranks above min(in, out) are cut. Without, such patterns throw
// Error(Unsupported). Throws Error(Format) naming file and key. Appends a line to `notes` for what the official code or template
// gets wrong and is done as it is meant: [q_config] or [l_config] at odds with the approximator, whose values count.
QuantizationRecipe lqerRecipe(
    const LqerConfig &config, LqerStage stage, std::span<const LinearSite> sites = {}, std::vector<std::string> *notes = nullptr);

// The layers that the approximator's patterns match, in the order of the official state_dict, which its chunks are slices of.
std::vector<const LinearSite *> lqerLayers(const LqerConfig &config, std::span<const LinearSite> sites);

// A complete configuration (null for "NA") with the recipe's plan for these layers, stages and data sets as in the templates.
// What LQER cannot hold gets a line in `lost`; lqerRecipe() of the result still has every layer's plan but for the scaling, of
// which LQER has one for all layers.
Json lqerConfigOf(const QuantizationRecipe &recipe, std::span<const LinearSite> sites, std::vector<std::string> &lost);

}  // namespace lqer
