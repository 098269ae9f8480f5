// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/cli/session.h"

namespace lqer::cli {

// Which recipe: a file or a preset, with a few of its defaults replaced.
class RecipeOptions {
public:
    // severalWeights: --weights takes a list, one recipe each.
    void add(CLI::App &command, bool severalWeights);
    // True if anything was stated on the command line.
    bool isStated() const;
    // At least one. A preset's rank is lowered where a layer is too small for it (a note says so); a rank that the command line or
    // a file states stays. Throws Error(Argument) if one of them cannot be used on the model.
    std::vector<QuantizationRecipe> recipes(Session &session, const LoadedModel &model) const;
    QuantizationRecipe recipe(Session &session, const LoadedModel &model) const { return recipes(session, model).front(); }

private:
    std::string m_recipe;
    std::vector<std::string> m_weights;
    std::string m_activations;
    std::string m_scaling;
    std::optional<Index> m_rank;
};

// A recipe from a file if `name` is one, else the preset of that name.
QuantizationRecipe findRecipe(const std::string &name);
bool isRecipeFile(const std::string &name);

}  // namespace lqer::cli
