// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/recipe/layer_plan.h"
#include "core/recipe/layer_selector.h"

namespace lqer {

// Something in a recipe that is wrong or looks wrong.
struct RecipeProblem {
    enum class Severity {
        Error,    // the recipe cannot be used
        Warning,  // it can, but probably not as it was meant
    };
    std::string place;    // "rules[2].pattern", "layers['model.layers.0.mlp.up_proj'].rank", "defaults.weight"
    std::string message;  // one line
    Severity severity = Severity::Error;
    friend bool operator==(const RecipeProblem &, const RecipeProblem &) = default;
};

struct RecipeRule {
    LayerSelector selector;
    LayerSettings settings;
    AttentionSettings attention;  // for the attention modules that the selector matches
    friend bool operator==(const RecipeRule &, const RecipeRule &) = default;
};

// How every layer of a model is to be quantized. A value without any model in it; check() (check.h) holds it against one.
//
// Precedence, field by field: the layer's own entry in `layers`; else the LAST rule in the file that matches the layer and states
// the field; else `defaults`; else what LayerPlan says (quantize, passthrough, identity, rank 0). So a file reads from general to
// special. `xa` and `xab` that nobody states are the layer's activation format.
//
// JSON (version 1; unknown keys are errors, everything but "version" may be left out):
//   {"version": 1, "name": "W4A8 L2QER",
//    "defaults": {"weight": {"name": "block_fp", "width": 4, "block_size": [1, 16]}, "activation": "block_fp:width=8",
//                 "scaling": "lqer", "rank": 32, "attention": {"query": ..., "key": ..., "probabilities": ..., "value": ...}},
//    "rules": [{"pattern": "model\\.layers\\.\\d+\\.mlp\\..*", "roles": ["gate", "up"], "blocks": [[0, 3]], "rank": 64}],
//    "layers": {"model.layers.0.mlp.down_proj": {"quantize": false}}}
// The keys of settings: quantize, weight, activation, bias, a, b, xa, xab, scaling, rank, attention (not in "layers"). A format
// is an object or the text FormatSpec::parse takes. A rule without a pattern matches every name.
struct QuantizationRecipe {
    static constexpr std::int64_t currentVersion = 1;

    std::string name;
    LayerSettings defaults;
    AttentionSettings attention;
    std::vector<RecipeRule> rules;
    std::map<std::string, LayerSettings> layers;  // by module name

    friend bool operator==(const QuantizationRecipe &, const QuantizationRecipe &) = default;

    // What holds for one layer. Throws Error(Argument) on a rule whose pattern is no regular expression.
    LayerPlan planFor(const LinearSite &site) const;
    AttentionPlan attentionFor(std::int64_t layer, std::string_view module) const;
    // All layers and blocks of a model.
    ModelPlan planFor(std::span<const LinearSite> sites) const;

    Json toJson() const;
    // `file` is for messages. Without `problems` the first fault throws Error(Format) with file and key path; with it every fault
    // is appended (place = key path) and the faulty field left out.
    static QuantizationRecipe fromJson(const Json &json, const std::string &file, std::vector<RecipeProblem> *problems = nullptr);
    static QuantizationRecipe read(const std::string &path, std::vector<RecipeProblem> *problems = nullptr);
    void write(const std::string &path) const;
};

// A recipe that comes with the program.
struct RecipePreset {
    std::string name;     // for a command line: "l2qer-w4a8"
    std::string title;    // "L2QER W4A8 (LQER paper)"
    std::string meaning;  // a sentence or two with the source
    QuantizationRecipe recipe;
};

// Every preset, in the order a person wants to see them. The papers' settings: numerics.md A.0, F.1 and F.2.
const std::vector<RecipePreset> &recipePresets();
// Throws Error(Argument) naming the nearest known preset.
const QuantizationRecipe &findRecipePreset(std::string_view name);
// L2QER W4A8 as in the LQER paper: block_fp weights of 4 bits in blocks [1,16], activations, bias, A, B and attention operands
// block_fp of 8 bits, LQER's scaling, rank 32.
const QuantizationRecipe &defaultRecipe();

// The largest rank not above `wanted` at which A and B hold no more than half as many numbers as W, and at least 1: what a
// correction of a small layer can sensibly have.
Index sensibleRank(Index wanted, Index in, Index out);
// The recipe with an override for every layer whose planned rank is above its sensibleRank.
QuantizationRecipe withSensibleRanks(const QuantizationRecipe &recipe, std::span<const LinearSite> sites);

}  // namespace lqer
