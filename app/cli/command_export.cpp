// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/cli/parameter_text.h"
#include "app/cli/recipe_options.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/quant/quantizer.h"

namespace lqer::cli {

namespace {

struct ExportCommand {
    std::string project;
    std::string recipe;
    std::string calibration;
    std::string base;
    ExportRequest request;
    std::map<std::string, std::string> options;  // as written, by name
    bool list = false;
    std::string verify;  // an export to be checked
};

// "--dtype" of target option "dtype", "--shard-size" of "shard_size".
std::string optionFlag(const std::string &name)
{
    std::string flag = "--" + name;
    std::ranges::replace(flag, '_', '-');
    return flag;
}

int listTargets(Session &session)
{
    std::string text;
    Json targets = Json::array();
    for (const Exporter &exporter : exporters()) {
        const ExporterInfo &info = exporter.info;
        text += fmt::format("{}{}: {}\n  {}\n", text.empty() ? "" : "\n", info.name, info.title, info.meaning);
        Json options = Json::array();
        for (const ExportOption &option : info.options) {
            text += fmt::format("    {}  {} (default: {})\n        {}\n", optionFlag(option.name), valuesText(option),
                                valueText(option.fallback), option.meaning);
            options.append(Json::object().set("name", option.name).set("values", valuesText(option))
                               .set("default", valueText(option.fallback)).set("meaning", option.meaning));
        }
        targets.append(Json::object().set("name", info.name).set("title", info.title).set("meaning", info.meaning)
                           .set("file", info.singleFile).set("options", std::move(options)));
    }
    session.console().print(text);
    session.console().result("export", Json::object().set("targets", std::move(targets)));
    return exitOk;
}

// A recipe of the project: by number of the report that measured it, by name, else from a file or a preset. Without a choice,
// that of the newest report with one.
struct ChosenRecipe {
    QuantizationRecipe recipe;
    std::optional<ReportedBase> base;  // of the report, if W_q came from an existing quantization
};

ChosenRecipe chosenRecipe(Session &session, const Project &project, const LoadedModel &model, const std::string &choice)
{
    const auto reports = session.engine().reports(project);
    if (choice.empty()) {
        for (auto report = reports.rbegin(); report != reports.rend(); ++report)
            if ((*report)->recipe)
                return {*(*report)->recipe, (*report)->base};
        throw Error(ErrorCode::Argument, project.folder(), "", "has no report with a recipe: say one with --recipe");
    }
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(choice.data(), choice.data() + choice.size(), number);
    if (error == std::errc() && end == choice.data() + choice.size()) {
        if (number < 1 || number > reports.size())
            throw Error(ErrorCode::Argument, project.folder(), "",
                        fmt::format("has reports 1 to {}, not {}", reports.size(), number));
        if (!reports[number - 1]->recipe)
            throw Error(ErrorCode::Argument, project.folder(), "",
                        fmt::format("report {} is of the original model: it has no recipe", number));
        return {*reports[number - 1]->recipe, reports[number - 1]->base};
    }
    if (const auto stored = project.recipe(choice))
        return {*stored, {}};
    if (isRecipeFile(choice))
        return {findRecipe(choice), {}};
    return {withSensibleRanks(findRecipe(choice), model.transformer().linearSites()), {}};
}

int verifyFolder(Session &session, const std::string &folder)
{
    const std::vector<std::string> differences = verifyExport(folder, session.context());
    Json found = Json::array();
    for (const std::string &difference : differences) {
        session.console().print(difference + '\n');
        found.append(difference);
    }
    session.console().result("export", Json::object().set("path", folder).set("differences", std::move(found)));
    if (!differences.empty())
        throw Error(ErrorCode::Format, folder, "", fmt::format("is not as it was exported: {} differences", differences.size()));
    session.console().print(fmt::format("{}: every file is as it was exported\n", escaped(folder)));
    return exitOk;
}

int exportProject(Session &session, ExportCommand command)
{
    if (command.list)
        return listTargets(session);
    if (!command.verify.empty())
        return verifyFolder(session, command.verify);
    const Exporter &exporter = findExporter(command.request.target);
    for (const auto &[name, text] : command.options) {
        const bool known = std::ranges::find(exporter.info.options, name, &ExportOption::name) != exporter.info.options.end();
        if (!known)
            throw Error(ErrorCode::Argument, fmt::format("target {} has no option {} (`lqer export --list` shows them)",
                                                         exporter.info.name, optionFlag(name)));
        command.request.options[name] = parseFormatValue(text);
    }
    withDefaults(exporter, command.request.options);

    Engine &engine = session.engine();
    const std::shared_ptr<Project> project = engine.openProject(command.project);
    for (const std::string &note : project->notes())
        session.console().note(fmt::format("{}: {}", project->folder(), note));
    auto model = engine.loadFor(*project, session.context());
    const auto [recipe, reported] = chosenRecipe(session, *project, *model, command.recipe);
    if (!command.base.empty() || reported)
        model = engine.withBase(*model, command.base.empty() ? reported->path : command.base, session.context());
    if (reported && command.base.empty() && model->base()->fingerprint() != reported->fingerprint)
        throw Error(ErrorCode::Conflict, reported->path, "",
                    "has changed since the report was made: say which quantization with --base");
    // Errors among them end exportModel() with the first.
    const ExportForecast forecast = engine.forecastExport(*model, *project, recipe, command.request, command.calibration);
    for (const ExportProblem &problem : forecast.problems)
        if (problem.severity == ExportProblem::Severity::Warning)
            session.console().note(fmt::format("Note: {}: {}", problem.place, problem.message));
    const auto result = engine.exportModel(*model, *project, recipe, command.request, session.context(), command.calibration);

    TextTable table({{"file", TextTable::Align::Left}, {"size"}});
    Json files = Json::array();
    for (const ExportedFile &file : result->files) {
        table.addRow({escaped(file.name), formatBytes(static_cast<double>(file.bytes))});
        files.append(Json::object().set("name", file.name).set("bytes", file.bytes).set("xxh3_128", file.hash));
    }
    session.console().print(table.toString()
                            + fmt::format("\n{}: {} as {}, {} in {} files, {}\n", escaped(result->path), escaped(recipe.name),
                                          exporter.info.name, formatBytes(static_cast<double>(result->bytes)),
                                          result->files.size(), formatSeconds(result->seconds)));
    Json warnings = Json::array();
    for (const ExportProblem &warning : result->warnings)
        warnings.append(Json::object().set("place", warning.place).set("message", warning.message));
    session.console().result("export", Json::object().set("target", exporter.info.name).set("path", result->path)
                                           .set("recipe", recipe.name).set("bytes", result->bytes).set("files", std::move(files))
                                           .set("warnings", std::move(warnings)).set("seconds", result->seconds));
    return exitOk;
}

}  // namespace

void addExportCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("export", "Write the quantized, corrected model for other programs");
    command->footer("The project says which checkpoint and holds the corrections; layers that are not decomposed yet are "
                    "decomposed first. The export is written\n"
                    "beside DIR, read back, and named at the end: whatever happens, DIR is the whole new export or what it was "
                    "before.\n\n"
                    "Examples:\n  lqer export --list\n  lqer export demo.lqer --to merged --out demo-merged --dtype bf16\n"
                    "  lqer export demo.lqer --to peft --out demo-peft --recipe 5\n  lqer export --verify demo-peft");
    const auto options = std::make_shared<ExportCommand>();
    CLI::Option *project =
        command->add_option("project", options->project, "The project's folder (NAME.lqer)")->type_name("PROJECT");
    CLI::Option *target = command->add_option("--to", options->request.target, "Target; --list shows them")->type_name("TARGET");
    CLI::Option *out = command->add_option("--out,-o", options->request.path, "Folder (or file) to be made")->type_name("DIR");
    command->add_option("--recipe,-r", options->recipe,
                        "Number of a report, name of a recipe in the project, recipe file or preset (default: the newest "
                        "report's)")
        ->type_name("RECIPE");
    command->add_option("--base", options->base,
                        "The existing quantization that W_q comes from (default: the report's, if it had one)")
        ->type_name("QUANTIZED");
    command->add_option("--calibration", options->calibration, "Key of the statistics to use (default: the latest)")
        ->type_name("KEY");
    command->add_flag("--overwrite", options->request.overwrite,
                      "Replace an earlier export at DIR, or the file where a target is one file (nothing else is ever replaced)");
    CLI::Option *list = command->add_flag("--list", options->list, "The targets with their options");
    CLI::Option *verify =
        command->add_option("--verify", options->verify, "Compare every file of an export with its manifest")->type_name("DIR");
    // Every option of every target once, with the choices it has in any of them; its help says which targets take it.
    std::vector<std::string> added;
    for (const Exporter &exporter : exporters()) {
        for (const ExportOption &option : exporter.info.options) {
            if (std::ranges::find(added, option.name) != added.end())
                continue;
            added.push_back(option.name);
            std::vector<std::string> targets, choices;
            for (const Exporter &other : exporters()) {
                const auto same = std::ranges::find(other.info.options, option.name, &ExportOption::name);
                if (same == other.info.options.end())
                    continue;
                targets.push_back(other.info.name);
                std::ranges::copy_if(same->choices, std::back_inserter(choices), [&](const std::string &choice) {
                    return std::ranges::find(choices, choice) == choices.end();
                });
            }
            command->add_option_function<std::string>(
                       optionFlag(option.name),
                       [options, name = option.name](const std::string &text) { options->options[name] = text; },
                       fmt::format("{} ({})", option.meaning, fmt::join(targets, ", ")))
                ->type_name(choices.empty() ? "VALUE" : fmt::format("{}", fmt::join(choices, "|")))
                ->group("Options of targets");
        }
    }
    command->callback([options, project, target, out, list, verify, &invocation] {
        if (!*list && !*verify)
            for (const CLI::Option *needed : {project, target, out})
                if (!*needed)
                    throw CLI::RequiredError(needed->get_name());
        invocation.work = [options](Session &session) { return exportProject(session, *options); };
    });
}

}  // namespace lqer::cli
