// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "app/cli/recipe_options.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/pipeline/recipe_files.h"
#include "core/recipe/bundled_recipes.h"
#include "core/recipe/check.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

int listRecipes(Session &session)
{
    TextTable table({{"recipe", Align::Left}, {"what it is", Align::Left}});
    Json all = Json::array();
    std::vector<RecipePreset> presets = recipePresets();
    presets.insert(presets.end(), bundledRecipes().begin(), bundledRecipes().end());
    for (const RecipePreset &preset : presets) {
        table.addRow({preset.name, preset.meaning});
        all.append(Json::object().set("name", preset.name).set("title", preset.title).set("meaning", preset.meaning).set("recipe", preset.recipe.toJson()));
    }
    session.console().print(table.toString() + "\n`lqer recipes NAME > my.json` gives a file to begin with; `lqer check my.json MODEL` finds what is wrong in it.\n");
    session.console().result("recipes", Json::object().set("recipes", std::move(all)));
    return exitOk;
}

int showRecipe(Session &session, const std::string &name)
{
    const QuantizationRecipe recipe = findRecipe(name);
    session.console().print(recipe.toJson().dump(2) + '\n');
    session.console().result("recipes", Json::object().set("recipe", recipe.toJson()));
    return exitOk;
}

struct CheckOptions {
    std::string recipe;
    std::string model;
};

int checkRecipe(Session &session, const CheckOptions &options)
{
    std::vector<RecipeProblem> problems;
    const bool ours = isRecipeFile(options.recipe) && (options.recipe.ends_with(".json") || !hasRecipeExtension(options.recipe));
    const QuantizationRecipe recipe = ours ? QuantizationRecipe::read(options.recipe, &problems) : findRecipe(options.recipe);
    if (!options.model.empty()) {
        std::shared_ptr<Project> project;
        std::shared_ptr<const LoadedModel> model;
        if (Project::isProject(options.model)) {
            project = session.engine().openProject(options.model);
            model = session.engine().loadFor(*project, session.context());
        } else {
            model = session.engine().load(options.model, session.context());
        }
        const std::vector<RecipeProblem> found = session.engine().check(recipe, *model, project.get());
        problems.insert(problems.end(), found.begin(), found.end());
    }
    std::string text;
    Json list = Json::array();
    std::size_t errors = 0;
    for (const RecipeProblem &problem : problems) {
        const char *severity = problem.severity == RecipeProblem::Severity::Error ? "error" : "warning";
        errors += problem.severity == RecipeProblem::Severity::Error;
        text += fmt::format("{}: {}: {}\n", severity, escaped(problem.place), escaped(problem.message, 1000));
        list.append(Json::object().set("severity", severity).set("place", problem.place).set("message", problem.message));
    }
    if (problems.empty())
        text = options.model.empty() ? "No problems (without a model, only the file itself was looked at)\n" : "No problems\n";
    session.console().print(text);
    session.console().result("check", Json::object().set("usable", errors == 0).set("problems", std::move(list)));
    if (errors == 0)
        return exitOk;
    session.console().error(std::string(toString(ErrorCode::Argument)),
                            fmt::format("{}: cannot be used: {} {}", escaped(options.recipe), errors, errors == 1 ? "error" : "errors"));
    return exitError;
}

}  // namespace

void addRecipesCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("recipes", "The recipes that come with the program, as a list or as JSON to start from");
    command->footer("A recipe says which format every weight, activation, A and B gets, which scaling and which rank. A layer's own entry under\n"
                    "\"layers\" counts first, then the last rule that matches its name, then \"defaults\".");
    const auto name = std::make_shared<std::string>();
    command->add_option("recipe", *name, "Print this one (a preset or a file) as JSON")->type_name("RECIPE");
    command->callback([name, &invocation] {
        invocation.work = [name](Session &session) { return name->empty() ? listRecipes(session) : showRecipe(session, *name); };
    });
}

void addCheckCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("check", "List everything that is wrong with a recipe, with the places");
    command->footer("With a model also: layers that do not exist, ranks that do not fit, rules that match nothing. With a project also: statistics that\n"
                    "are missing. Exit status 2 if the recipe cannot be used.");
    const auto options = std::make_shared<CheckOptions>();
    command->add_option("recipe", options->recipe, "Recipe file or preset")->required()->type_name("RECIPE");
    command->add_option("model", options->model, "Checkpoint or project to use it on")->type_name("MODEL");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return checkRecipe(session, *options); }; });
}

}  // namespace lqer::cli
