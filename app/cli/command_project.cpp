// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/session.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/quant/quantizer.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

struct ProjectCommand {
    std::string project;
    std::string relocate;
    bool verify = false;
};

int showProject(Session &session, const ProjectCommand &command)
{
    const std::shared_ptr<Project> project = session.engine().openProject(command.project);
    Console &console = session.console();
    if (!command.relocate.empty()) {
        if (project->isReadOnly())
            throw Error(ErrorCode::Conflict, command.project, "", fmt::format("cannot be written: {}", project->readOnlyReason()));
        session.engine().relocate(*project, *session.engine().load(command.relocate, session.context()));
        project->save();
    }
    std::vector<std::string> faults;
    if (command.verify)
        faults = project->verify(session.context());

    const CheckpointIdentity checkpoint = project->checkpoint();
    std::string text = fmt::format("checkpoint   {} ({}, fingerprint {})\n", escaped(checkpoint.folder), escaped(checkpoint.architecture), checkpoint.fingerprint);
    Json calibrations = Json::array();
    for (const std::string &key : project->calibrationKeys()) {
        const std::shared_ptr<const CalibrationStats> stats = project->calibration(key);
        const bool complete = project->isCalibrationComplete(key);
        text += fmt::format("calibration  {}: {} windows of {} tokens from {}, {} sites{}\n", key, stats->windows, stats->windowLength, escaped(stats->data),
                            stats->sites.size(), complete ? "" : ", not finished");
        calibrations.append(Json::object().set("key", key).set("data", stats->data).set("windows", stats->windows).set("complete", complete));
    }
    std::map<std::pair<std::string, std::string>, std::int64_t> counts;
    for (const auto &record : project->decompositions())
        ++counts[{shortName(record->key.format), std::string(toString(record->key.scaling))}];
    Json decompositions = Json::array();
    if (!counts.empty()) {
        TextTable table({{"decomposed as", Align::Left}, {"scaling", Align::Left}, {"layers"}});
        for (const auto &[key, count] : counts) {
            table.addRow({escaped(key.first), key.second, std::to_string(count)});
            decompositions.append(Json::object().set("format", key.first).set("scaling", key.second).set("layers", count));
        }
        text += '\n' + table.toString();
    }
    text += fmt::format("\n{} recipes, {} reports{}\n", project->recipes().size(), project->reports().size(),
                        project->isReadOnly() ? fmt::format(" (read-only: {})", escaped(project->readOnlyReason())) : "");
    for (const std::string &note : project->notes())
        text += fmt::format("note: {}\n", escaped(note, 1000));
    if (command.verify && faults.empty())
        text += "Every file of the project is whole.\n";
    Json faultList = Json::array();
    for (const std::string &fault : faults) {
        text += fmt::format("damaged: {}\n", escaped(fault, 1000));
        faultList.append(fault);
    }
    console.print(text);
    console.result("project", Json::object().set("project", command.project).set("checkpoint", checkpoint.folder).set("fingerprint", checkpoint.fingerprint)
                                  .set("calibrations", std::move(calibrations)).set("decompositions", std::move(decompositions))
                                  .set("reports", static_cast<std::int64_t>(project->reports().size())).set("damaged", std::move(faultList)));
    if (faults.empty())
        return exitOk;
    console.error(std::string(toString(ErrorCode::Format)), fmt::format("{}: {} damaged parts must be computed again", escaped(command.project), faults.size()));
    return exitError;
}

}  // namespace

void addProjectCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("project", "What a project holds; check its files, or tell it where its checkpoint lies now");
    const auto options = std::make_shared<ProjectCommand>();
    command->add_option("project", options->project, "The project's folder")->required()->type_name("PROJECT");
    command->add_flag("--verify", options->verify, "Read everything and compare checksums; exit status 2 if something is damaged");
    command->add_option("--relocate", options->relocate, "The checkpoint was moved to this folder")->type_name("MODEL");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return showProject(session, *options); }; });
}

}  // namespace lqer::cli
