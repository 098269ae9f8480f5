// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/recipe/bundled_recipes.h"

namespace lqer {

namespace {

// LQER's W-A recipes: everything a layer computes with is block_fp in blocks of 16 along the last axis, also A and B, as the
// published sweeps override the templates (numerics.md A.2, F.1).
QuantizationRecipe blockFloat(int weightBits, int activationBits, ScalingKind scaling, Index rank)
{
    const FormatSpec weight = FormatSpec::parse(fmt::format("block_fp:width={},block_size=1x16", weightBits));
    const FormatSpec activation =
        FormatSpec::parse(fmt::format("block_fp:width={},block_size=1x16,skip_first_dim=true", activationBits));
    const FormatSpec factor = FormatSpec::parse(fmt::format("block_fp:width={},block_size=1x16", activationBits));
    QuantizationRecipe recipe;
    recipe.defaults.weight = weight;
    recipe.defaults.activation = activation;
    recipe.defaults.bias = FormatSpec::parse(fmt::format("block_fp:width={},block_size=16", activationBits));
    recipe.defaults.a = factor;
    recipe.defaults.b = factor;
    recipe.defaults.scaling = scaling;
    recipe.defaults.rank = rank;
    recipe.attention = {activation, activation, activation, activation};
    return recipe;
}

// Only the weight has a format; A and B stay as computed (numerics.md C.2, F.2).
QuantizationRecipe weightOnly(std::string_view weight, ScalingKind scaling, Index rank)
{
    QuantizationRecipe recipe;
    recipe.defaults.weight = FormatSpec::parse(weight);
    recipe.defaults.scaling = scaling;
    recipe.defaults.rank = rank;
    return recipe;
}

std::vector<RecipePreset> makePresets()
{
    constexpr const char *mxint4 = "mxint:width=4,block_size=32";
    std::vector<RecipePreset> presets = {
        {"l2qer-w4a8", "L2QER W4A8",
         "The LQER paper's main result: 4-bit weights, 8-bit activations and factors, blocks of 16, rank 32.",
         blockFloat(4, 8, ScalingKind::MeanAbs, 32)},
        {"l2qer-w4a6", "L2QER W4A6", "As L2QER W4A8 with activations and factors of 6 bits.",
         blockFloat(4, 6, ScalingKind::MeanAbs, 32)},
        {"l2qer-w3a8", "L2QER W3A8", "As L2QER W4A8 with weights of 3 bits.", blockFloat(3, 8, ScalingKind::MeanAbs, 32)},
        {"l2qer-w2a8", "L2QER W2A8", "2-bit weights need a high rank: the LQER paper uses 256 and more.",
         blockFloat(2, 8, ScalingKind::MeanAbs, 256)},
        {"lqer-w4a8", "LQER W4A8 (plain SVD)", "As L2QER W4A8, the error not weighted by activations.",
         blockFloat(4, 8, ScalingKind::Identity, 32)},
        {"qera-w4a8", "QERA-exact W4A8", "The formats of L2QER W4A8 with the scaling that minimises the expected output error.",
         blockFloat(4, 8, ScalingKind::Exact, 32)},
        {"plain-w4a8", "W4A8, no correction", "The formats of L2QER W4A8 without A and B.",
         blockFloat(4, 8, ScalingKind::Identity, 0)},
        {"l2qer-int-w4", "L2QER-INT W4 g128",
         "What the LQER paper calls INT: block_fp of 4 bits with one power-of-two scale per 128 weights, nothing else "
         "quantized.",
         weightOnly("block_fp:width=4,block_size=1x128", ScalingKind::MeanAbs, 32)},
        {"qera-approx-mxint4", "QERA-approx MXINT4",
         "The QERA paper's weight-only setting: MXINT4 in blocks of 32, rank 32, diagonal scaling.",
         weightOnly(mxint4, ScalingKind::Diagonal, 32)},
        {"qera-exact-mxint4", "QERA-exact MXINT4", "MXINT4 in blocks of 32, rank 32, the whole autocorrelation.",
         weightOnly(mxint4, ScalingKind::Exact, 32)},
        {"qera-exact-mxint3", "QERA-exact MXINT3", "MXINT3 in blocks of 32 with rank 64, the QERA paper's 3.25-bit setting.",
         weightOnly("mxint:width=3,block_size=32", ScalingKind::Exact, 64)},
        {"qera-exact-nf4", "QERA-exact NF4", "4-bit normal float in blocks of 64, rank 32, the whole autocorrelation.",
         weightOnly("nf4", ScalingKind::Exact, 32)},
        {"plain-mxint4", "MXINT4, no correction", "Weights in MXINT4, blocks of 32, without A and B.",
         weightOnly(mxint4, ScalingKind::Identity, 0)},
    };
    for (RecipePreset &preset : presets)
        preset.recipe.name = preset.title;
    return presets;
}

}  // namespace

const std::vector<RecipePreset> &recipePresets()
{
    static const std::vector<RecipePreset> presets = makePresets();
    return presets;
}

const QuantizationRecipe &findRecipePreset(std::string_view name)
{
    std::vector<std::string> names;
    for (const std::vector<RecipePreset> *list : {&recipePresets(), &bundledRecipes()}) {
        for (const RecipePreset &preset : *list) {
            if (preset.name == name)
                return preset.recipe;
            names.push_back(preset.name);
        }
    }
    const std::string near = nearest(name, names);
    throw Error(ErrorCode::Argument,
                near.empty() ? fmt::format("unknown recipe '{}'; known are: {}", escaped(name), fmt::join(names, ", "))
                             : fmt::format("unknown recipe '{}'; did you mean '{}'?", escaped(name), near));
}

const QuantizationRecipe &defaultRecipe()
{
    return findRecipePreset("l2qer-w4a8");
}

}  // namespace lqer
