// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/recipe_options.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/text_file.h"
#include "core/pipeline/recipe_files.h"

namespace lqer::cli {

namespace {

struct ConvertCommand {
    std::string from;
    std::string to;
    std::string model;
    bool overwrite = false;
};

int convertRecipe(Session &session, const ConvertCommand &command, const std::vector<std::string> &overrides)
{
    std::error_code error;
    if (!command.overwrite && std::filesystem::exists(command.to, error))
        throw Error(ErrorCode::Conflict, command.to, {}, "is there already: --overwrite replaces it");
    std::shared_ptr<const LoadedModel> model;
    if (!command.model.empty())
        model = session.engine().load(command.model, session.context());
    const std::vector<LinearSite> sites = model ? model->transformer().linearSites() : std::vector<LinearSite>();

    std::vector<std::string> notes;
    const QuantizationRecipe recipe = hasRecipeExtension(command.from) || !overrides.empty()
        ? readRecipeFile(command.from, sites, notes, overrides)
        : findRecipe(command.from);
    std::vector<std::string> lost;
    const std::string text = recipeFileText(recipe, command.to, sites, lost);
    saveTextFile(command.to, text);
    Json lines = Json::array();
    for (const std::string &line : notes) {
        logWarning(fmt::format("{}: {}", escaped(command.from), line));
        lines.append(line);
    }
    for (const std::string &line : lost) {
        logWarning(fmt::format("{} cannot hold: {}", escaped(command.to), line));
        lines.append(line);
    }
    session.console().print(fmt::format("Written to {}\n", escaped(command.to, 1000)));
    session.console().result("recipe", Json::object().set("path", command.to).set("warnings", std::move(lines)));
    return exitOk;
}

}  // namespace

void addRecipeCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *recipe = app.add_subcommand("recipe", "Convert recipes: LQER's TOML, QERA's YAML, our JSON");
    recipe->require_subcommand(1);
    CLI::App *command = recipe->add_subcommand("convert", "Write a recipe in another form");
    command->footer("The extension says which form: .json is this program's, .toml LQER's configuration, .yaml or .yml QERA's. A line says what the\n"
                    "target cannot hold. Patterns of both must not overlap: QERA's form needs --model to write the layers out, LQER's if the recipe has\n"
                    "rules or exceptions.\n\n"
                    "Examples:\n"
                    "  lqer recipe convert llama-7b.toml llama-7b.json\n"
                    "  lqer recipe convert llama-7b.toml rank32.json --approximate:approximator:default:rank=32\n"
                    "  lqer recipe convert l2qer-w4a8 l2qer.toml\n"
                    "  lqer recipe convert my.json my.yaml --model MODEL");
    command->fallthrough();
    invocation.takesOverrides.insert(recipe);
    const auto options = std::make_shared<ConvertCommand>();
    command->add_option("from", options->from, "Recipe file, or a preset that `lqer recipes` lists")
        ->required()
        ->type_name("RECIPE");
    command->add_option("to", options->to, "File to write")->required()->type_name("FILE");
    command->add_option("--model", options->model, "Checkpoint whose layers the recipe is about")->type_name("DIR");
    command->add_flag("--overwrite", options->overwrite, "Replace the file if it is there");
    command->callback([options, &invocation] {
        invocation.work
            = [options, &invocation](Session &session) { return convertRecipe(session, *options, invocation.overrides); };
    });
}

}  // namespace lqer::cli
