// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/eval/perplexity.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// One value of an axis: what a table calls it and which settings it changes.
struct SweepChoice {
    std::string label;
    std::vector<std::pair<std::string, Json>> changes;  // key -> value, in order
};

// What is varied, and over what.
struct SweepAxis {
    std::string key;  // "rank", "calibration.windows", "method"
    std::vector<SweepChoice> choices;
};

// How a text becomes windows, where the sweep says so.
struct WindowChange {
    std::optional<std::int64_t> windows, length;
    std::optional<WindowConvention> convention;
    friend bool operator==(const WindowChange &, const WindowChange &) = default;
};

// Settings of a point beside its recipe. What is not stated is the caller's default.
struct SweepData {
    WindowChange calibration, evaluation;
    std::int64_t calibrationBatch = 2;
    LossWeighting weighting = LossWeighting::Token;
    std::int64_t evaluationBatch = 4;
    bool divergence = false;
    friend bool operator==(const SweepData &, const SweepData &) = default;
};

// One combination.
struct SweepPoint {
    std::vector<std::string> labels;  // one for each axis
    QuantizationRecipe recipe;        // under the name "rank 16, scaling exact"
    SweepData data;
};

// A sweep: a base and lists of changes to it, every combination of which is measured.
//
// JSON or TOML (version 1; unknown keys are errors):
//   {"version": 1, "name": "ranks", "base": "l2qer-w4a8",
//    "calibration": {"windows": 128, "length": 2048, "convention": "sharded", "batch": 2},
//    "evaluation": {"windows": 0, "length": 2048, "convention": "joined", "weighting": "token", "batch": 4, "divergence": false},
//    "over": {"rank": [8, 16, 32], "method": [{"label": "plain", "set": {"rank": 0}}, {"label": "exact", "set": {"scaling": "exact"}}]},
//    "sensible_ranks": true}
// base: a recipe's object, or the name of a preset or recipe file, which the caller resolves. Keys of "over" and "set": rank, scaling, weight, activation,
// bias, a, b, xa, xab and quantize (wherever the recipe states them, else its defaults); factors (a and b) and attention (all four operands), also with a parameter; recipe (a whole one by name); weight.width and
// the like (a format's parameter); samples (calibration.windows); calibration.*, evaluation.*; and any path of keys into the recipe, separated by ':'
// ("recipe:rules"). sensible_ranks: a rank too large for a layer is lowered for it so that A and B hold no more than half of what W holds (sensibleRank());
// false: only to what the layer has. Unless stated it holds where the ranks are the base's, and not where the sweep states one above 0.
struct SweepPlan {
    static constexpr std::int64_t currentVersion = 1;

    std::string name;
    QuantizationRecipe base;
    Json calibration = Json::object(), evaluation = Json::object();
    std::vector<SweepAxis> axes;  // the last one varies fastest
    std::optional<bool> sensibleRanks;
    std::vector<std::string> tasks;  // downstream tasks to measure
    std::int64_t taskLimit = 0;      // questions of each; 0: all
    std::optional<int> fewShot;

    Json toJson() const;
};

// The recipe of this name: preset or file.
using FindRecipe = std::function<QuantizationRecipe(const std::string &name)>;

SweepPlan sweepPlanFromJson(const Json &json, const std::string &file, const FindRecipe &findRecipe);
// "rank=8,16,32". A comma inside a format ("mxint:width=4,block_size=32") belongs to it. Throws Error(Argument).
SweepAxis parseSweepAxis(std::string_view text);
// Values separated by commas, where "mxint4,nf4" is two and "mxint:width=4,block_size=32" one: a part with '=' and without ':' continues the last.
std::vector<std::string> splitFormats(std::string_view text);

// Every combination. Ranks above what a layer has are lowered to it. Throws Error(Argument) naming axis and value on anything that cannot be set.
std::vector<SweepPoint> sweepPoints(const SweepPlan &plan, std::span<const LinearSite> sites, const FindRecipe &findRecipe);

}  // namespace lqer
