// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "app/cli/console.h"
#include "app/cli/interrupt.h"
#include "core/engine/engine.h"

namespace CLI {
class App;
}

namespace lqer::cli {

enum ExitStatus { exitOk = 0, exitError = 2, exitInterrupted = 130 };

// Engine, console and stop request of one run of the program.
class Session {
public:
    Session(const EngineOptions &options, Console &console, const Interrupt &interrupt)
        : m_engine(options), m_console(console), m_interrupt(interrupt)
    {
    }

    Engine &engine() { return m_engine; }
    Console &console() { return m_console; }
    TaskContext context() { return m_engine.context(&m_console.progress(), m_interrupt.token()); }

private:
    Engine m_engine;
    Console &m_console;
    const Interrupt &m_interrupt;
};

// What the command line asked for: options of every command, and the work of the chosen one, which returns the exit status.
struct Invocation {
    EngineOptions engine;
    bool json = false;
    bool quiet = false;
    bool verbose = false;
    // Commands that take options with names of their own ("--a:b=value"), and what of that kind was given.
    std::set<const CLI::App *> takesOverrides;
    std::vector<std::string> overrides;
    std::function<int(Session &)> work;
};

// Each adds its command, with options and help, and fills in invocation.work when it is chosen.
void addInspectCommand(CLI::App &app, Invocation &invocation);
void addFormatsCommand(CLI::App &app, Invocation &invocation);
void addRecipesCommand(CLI::App &app, Invocation &invocation);
void addCheckCommand(CLI::App &app, Invocation &invocation);
void addTokenizeCommand(CLI::App &app, Invocation &invocation);
void addCalibrateCommand(CLI::App &app, Invocation &invocation);
void addDecomposeCommand(CLI::App &app, Invocation &invocation);
void addEvaluateCommand(CLI::App &app, Invocation &invocation);
void addRunCommand(CLI::App &app, Invocation &invocation);
void addExportCommand(CLI::App &app, Invocation &invocation);
void addReportCommand(CLI::App &app, Invocation &invocation);
void addAdaptCommand(CLI::App &app, Invocation &invocation);
void addPtqCommands(CLI::App &app, Invocation &invocation);  // ptq, ptq-chunked, chunks
void addPipelineCommand(CLI::App &app, Invocation &invocation);
void addRecipeCommand(CLI::App &app, Invocation &invocation);
void addProjectCommand(CLI::App &app, Invocation &invocation);
void addSweepCommand(CLI::App &app, Invocation &invocation);

}  // namespace lqer::cli
