// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/session.h"
#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer::cli {

namespace {

constexpr const char *description =
    "lqer quantizes language models and repairs what that costs with a low-rank correction (LQER, QERA).\n\n"
    "Each linear layer y = x W^T becomes y = x (W_q^T + A B): W_q has few bits a weight, A and B are narrow. Where A and B come from the\n"
    "singular vectors of the error W - W_q, weighted by what calibration saw of x, a few columns restore most of the model's quality.";

constexpr const char *epilogue =
    "Start here:\n"
    "  lqer run MODEL                   all of it: calibrate, decompose, evaluate; a table at the end\n"
    "  lqer inspect MODEL               what a checkpoint holds\n"
    "  lqer formats                     the number formats\n"
    "  lqer run --help                  every option of a command, with examples\n\n"
    "MODEL is a folder as Hugging Face lays it out (config.json, *.safetensors, tokenizer files).\n"
    "Exit status: 0 done, 2 error (one line on standard error), 130 interrupted. Ctrl-C stops at the next block; what is done stays in the\n"
    "project, and the same command carries on from there.";

void addCommonOptions(CLI::App &app, Invocation &invocation)
{
    app.add_option("--threads", invocation.engine.threads, "Threads to compute with (0: all processors this process may use)")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
    app.add_option("--memory", invocation.engine.memoryLimit, "Memory the work may take, e.g. 8GB (0: nine tenths of what is free)")
        ->transform(CLI::AsSizeValue(true))
        ->type_name("SIZE");
    CLI::Option *json = app.add_flag("--json", invocation.json, "JSON lines on standard output: progress, log, result, error events");
    app.add_flag("--quiet,-q", invocation.quiet, "Results and errors only")->excludes(json);
    app.add_flag("--verbose,-v", invocation.verbose, "Also say what is reused and decided");
    app.set_version_flag("--version", "lqer " LQER_VERSION);
}

int parseError(const CLI::App &app, const CLI::ParseError &error, bool json)
{
    const std::vector<CLI::App *> chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "lqer" : "lqer " + chosen.front()->get_name();
    Console(json ? ConsoleMode::Json : ConsoleMode::Quiet)
        .error("argument", fmt::format("{} (see {} --help)", escaped(error.what(), 1000), command));
    return exitError;
}

// Runs the chosen command and turns what it throws into one line and an exit status.
int execute(Console &console, const Invocation &invocation, const Interrupt &interrupt)
{
    try {
        Session session(invocation.engine, console, interrupt);
        const int status = invocation.work(session);
        console.finish();
        return status;
    } catch (const Cancelled &) {
        console.error("cancelled", "interrupted");
        return exitInterrupted;
    } catch (const Error &error) {
        console.error(std::string(toString(error.code())), error.what());
    } catch (const std::bad_alloc &) {
        console.error(std::string(toString(ErrorCode::Memory)), "out of memory; --memory sets a limit that is kept to");
    } catch (const std::exception &error) {
        console.error("unexpected", error.what());
    }
    return exitError;
}

int run(int argc, char **argv)
{
    Invocation invocation;
    CLI::App app(description, "lqer");
    app.footer(epilogue);
    app.require_subcommand(1);
    app.fallthrough();
    app.get_formatter()->column_width(34);
    addCommonOptions(app, invocation);
    addRunCommand(app, invocation);
    addInspectCommand(app, invocation);
    addFormatsCommand(app, invocation);
    addRecipesCommand(app, invocation);
    addCheckCommand(app, invocation);
    addTokenizeCommand(app, invocation);
    addCalibrateCommand(app, invocation);
    addDecomposeCommand(app, invocation);
    addEvaluateCommand(app, invocation);
    addExportCommand(app, invocation);
    addReportCommand(app, invocation);
    addAdaptCommand(app, invocation);
    addPtqCommands(app, invocation);
    addPipelineCommand(app, invocation);
    addRecipeCommand(app, invocation);
    addProjectCommand(app, invocation);
    addSweepCommand(app, invocation);
    for (CLI::App *command : app.get_subcommands({}))
        command->fallthrough();

    // The flag of the papers' scripts that looks like two short ones.
    std::vector<char *> arguments(argv, argv + argc);
    std::string overwrite = "--overwrite-output-dir";
    for (char *&argument : arguments)
        if (std::string_view(argument) == "-ow")
            argument = overwrite.data();
    app.allow_extras();
    try {
        app.parse(argc, arguments.data());
        invocation.overrides = app.remaining();
        const std::vector<CLI::App *> chosen = app.get_subcommands();
        if (!invocation.overrides.empty() && !invocation.takesOverrides.contains(chosen.front()))
            throw CLI::ExtrasError(invocation.overrides);
    } catch (const CLI::ParseError &error) {
        if (error.get_exit_code() == 0)  // --help, --version
            return app.exit(error);
        return parseError(app, error, invocation.json);
    }
    Interrupt interrupt;
    Console console(invocation.json    ? ConsoleMode::Json
                    : invocation.quiet ? ConsoleMode::Quiet
                                       : ConsoleMode::Text,
                    invocation.verbose ? LogLevel::Debug : LogLevel::Warning);
    return execute(console, invocation, interrupt);
}

}  // namespace

}  // namespace lqer::cli

int main(int argc, char **argv)
{
    try {
        return lqer::cli::run(argc, argv);
    } catch (const std::exception &error) {
        fmt::print(stderr, "lqer: {}\n", lqer::escaped(error.what(), 1000));
        return lqer::cli::exitError;
    }
}
