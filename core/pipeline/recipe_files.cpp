// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/recipe_files.h"

#include <filesystem>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/toml.h"
#include "core/io/yaml.h"
#include "core/pipeline/config_overrides.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/pipeline/qera_recipe.h"

namespace lqer {

namespace {

enum class RecipeForm { Ours, Lqer, Qera, None };

RecipeForm formOf(const std::string &path)
{
    const std::string extension = std::filesystem::path(path).extension().string();
    return extension == ".json"                       ? RecipeForm::Ours
        : extension == ".toml"                        ? RecipeForm::Lqer
        : extension == ".yaml" || extension == ".yml" ? RecipeForm::Qera
                                                      : RecipeForm::None;
}

[[noreturn]] void refuse(const std::string &path)
{
    throw Error(ErrorCode::Unsupported, path, {},
        "a recipe is a .json file of this program, a .toml configuration of LQER or a .yaml configuration of QERA");
}

}  // namespace

bool hasRecipeExtension(const std::string &path)
{
    return formOf(path) != RecipeForm::None;
}

QuantizationRecipe readRecipeFile(const std::string &path, std::span<const LinearSite> sites, std::vector<std::string> &notes,
    std::span<const std::string> overrides)
{
    if (!overrides.empty() && formOf(path) != RecipeForm::Lqer)
        throw Error(
            ErrorCode::Argument, path, {}, fmt::format("'{}' changes keys of LQER's .toml only", escaped(overrides.front())));
    switch (formOf(path)) {
    case RecipeForm::Ours:
        return QuantizationRecipe::read(path);
    case RecipeForm::Lqer:
        return lqerRecipe(readLqerConfig(path, overrides), LqerStage::Evaluate, sites, &notes);
    case RecipeForm::Qera:
        return qeraRecipe(readQeraConfig(path), sites, &notes);
    case RecipeForm::None:
        break;
    }
    refuse(path);
}

std::string recipeFileText(
    const QuantizationRecipe &recipe, const std::string &path, std::span<const LinearSite> sites, std::vector<std::string> &lost)
{
    switch (formOf(path)) {
    case RecipeForm::Ours:
        return recipe.toJson().dump(2) + '\n';
    case RecipeForm::Lqer:
        return toToml(naFromNulls(lqerConfigOf(recipe, sites, lost)));
    case RecipeForm::Qera:
        return toYaml(qeraConfigOf(recipe, sites, lost));
    case RecipeForm::None:
        break;
    }
    refuse(path);
}

}  // namespace lqer
