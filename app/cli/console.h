// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/log.h"
#include "core/io/json.h"
#include "core/task/progress.h"

namespace lqer::cli {

enum class ConsoleMode {
    Text,   // tables on standard output; a progress bar on standard error if that is a terminal, else now and then a line
    Json,   // JSON lines on standard output: {"event": "progress" | "log" | "result" | "error", ...}
    Quiet,  // as Text, without progress and without notes
};

// What the program says. Thread-safe. Polls the progress of the work while it runs; the work never waits for the terminal.
class Console {
public:
    // leastLevel: of log messages that are shown.
    explicit Console(ConsoleMode mode, LogLevel leastLevel = LogLevel::Warning);
    // Ends the progress display.
    ~Console();
    Console(const Console &) = delete;
    Console &operator=(const Console &) = delete;

    ConsoleMode mode() const { return m_mode; }
    Progress &progress() { return m_progress; }

    // Text for people, on standard output as it is; nothing in Json mode.
    void print(const std::string &text);
    // A remark beside the result, on standard error; nothing in Quiet mode. A log event in Json mode.
    void note(const std::string &text);
    // The machine-readable result: `fields` is an object. Only in Json mode.
    void result(const std::string &command, const Json &fields);
    // The one line that says why the program ends with status 2 or 130. code: "format", "cancelled", ...
    void error(const std::string &code, const std::string &message);
    // Throws Error(Io) if something that was printed did not get out (standard output on a full disk).
    void finish();

private:
    void watch();
    void showProgress(std::chrono::steady_clock::time_point now);
    void clearBar();
    void writeEvent(const std::string &event, Json fields);
    void logged(LogLevel level, const std::string &message);

    const ConsoleMode m_mode;
    const LogLevel m_leastLevel;
    const bool m_terminal;  // standard error
    Progress m_progress;

    std::mutex m_output;  // one line at a time
    bool m_barShown = false;

    // What the watcher saw last.
    std::string m_stage;
    std::chrono::steady_clock::time_point m_stageBegin, m_lastShown;
    std::uint64_t m_lastDone = 0;
    bool m_lastWritten = false;

    std::mutex m_mutex;
    std::condition_variable m_wake;
    bool m_quit = false;
    std::thread m_watcher;
};

}  // namespace lqer::cli
