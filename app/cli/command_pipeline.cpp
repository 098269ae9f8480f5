// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/session.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/pipeline/lqer_pipeline.h"

namespace lqer::cli {

namespace {

struct PipelineCommand {
    std::string config;
    LqerPipelineOptions options;
    bool noErrors = false;
    bool chunk = false;
    bool merge = false;
    std::string debugger;
};

int mergeChunks(Session &session, const PipelineCommand &command, const std::vector<std::string> &overrides)
{
    // merge_chunks.py is given the folder, not the configuration.
    std::error_code error;
    const std::string folder = std::filesystem::is_directory(command.config, error)
        ? command.config
        : lqerCheckpointPath(readLqerConfig(command.config, overrides), command.options.tags);
    const std::string config = mergeLqerChunks(folder);
    session.console().print(
        fmt::format("Merged; go on with: lqer pipeline {} --overwrite_checkpoint=:ast:True\n", escaped(config, 1000)));
    session.console().result("pipeline", Json::object().set("config", config));
    return exitOk;
}

int runPipeline(Session &session, PipelineCommand command, const std::vector<std::string> &overrides)
{
    Console &console = session.console();
    if (command.merge)
        return mergeChunks(session, command, overrides);
    const LqerConfig config = readLqerConfig(command.config, overrides);
    command.options.keepErrors = !command.noErrors;
    command.options.say = [&](const std::string &line) { console.note(line); };
    if (command.chunk) {
        const std::string label = runLqerChunk(session.engine(), config, command.options, session.context());
        console.result("pipeline", Json::object().set("chunk", label));
        return exitOk;
    }
    const LqerPipelineResult result = runLqerPipeline(session.engine(), config, command.options, session.context());
    Json fields = Json::object().set("folder", result.folder);
    if (result.perplexity) {
        console.print(fmt::format("Perplexity {} on {}\n", formatPerplexity(result.perplexity->find("perplexity")->asNumber()),
            escaped(config.perplexity.dataSet)));
        fields.set("perplexity", *result.perplexity);
    }
    if (result.tasks) {
        console.print(result.taskTable);
        fields.set("tasks", *result.tasks);
    }
    console.print(fmt::format("Written to {}\n", escaped(result.folder, 1000)));
    console.result("pipeline", fields);
    return exitOk;
}

}  // namespace

void addPipelineCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand(
        "pipeline", "Run a configuration of LQER's pipeline.py (TOML): profile, approximate, perplexity, tasks");
    command->footer(
        "Any key can be overridden as LQER's scripts do it: --path:of:keys=value takes the type of the value that is there,\n"
        "--path:of:keys=:ast:LITERAL takes a Python literal and may make new keys.\n"
        "Results lie under the configuration's checkpoint_path, with the official names and columns (tensors as safetensors). A "
        "run that was\n"
        "stopped carries on with the same command; a finished one is replaced with --overwrite_checkpoint=:ast:True.\n"
        "Data sets by name are looked for in --data DIR, else in $LQER_DATA, else here.\n\n"
        "Examples:\n"
        "  lqer pipeline llama-7b.toml --model ~/models/llama-7b --data ~/data\n"
        "  lqer pipeline opt-125m.toml sweep --model opt-125m --data data --approximate:approximator:default:rank=32 "
        "--l_config:linear:rank=32 \\\n"
        "       --enable_harness_downstream_evaluation=:ast:0 --checkpoint_path=runs/rank32\n"
        "In chunks, each perhaps on another machine, once profiling is done (chunk_size and chunk_idx of [approximate]):\n"
        "  lqer pipeline CONFIG.toml --model DIR --chunk --approximate:chunk_idx=0\n"
        "  lqer pipeline CONFIG.toml --merge");
    const auto options = std::make_shared<PipelineCommand>();
    command->add_option("config", options->config, "The TOML file; with --merge also the folder of the results")
        ->required()
        ->type_name("CONFIG");
    command->add_option("tags", options->options.tags, "Tags in front of the configuration's")->type_name("TAGS");
    command->add_option("--model", options->options.modelFolder, "Folder of the model that model_name means")->type_name("DIR");
    command->add_option("--data", options->options.dataFolder, "Folder of data sets by name")->type_name("DIR");
    command->add_flag("--no-errors", options->noErrors, "Without error_T_dict, which is as large as the weights");
    CLI::Option *chunk = command->add_flag(
        "--chunk", options->chunk, "Approximate only chunk approximate.chunk_idx of approximate.chunk_size layers");
    command->add_option("--debug", options->debugger, "The official script's; without meaning here")->type_name("NAME");
    command->add_flag("--merge", options->merge, "Bring the results of all chunks together")->excludes(chunk);
    invocation.takesOverrides.insert(command);
    command->callback([options, &invocation] {
        invocation.work
            = [options, &invocation](Session &session) { return runPipeline(session, *options, invocation.overrides); };
    });
}

}  // namespace lqer::cli
