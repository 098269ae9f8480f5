// SPDX-License-Identifier: Apache-2.0
#include "app/cli/console.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto pollInterval = std::chrono::milliseconds(100);
constexpr auto eventInterval = std::chrono::milliseconds(500);  // between progress events in Json mode
constexpr auto lineInterval = std::chrono::seconds(10);         // between progress lines where nobody watches a bar
constexpr auto firstEstimate = std::chrono::milliseconds(500);  // a rate needs some time to be one

std::size_t terminalWidth()
{
    struct winsize size = {};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return 80;
}

// Cut to at most `columns` characters, never inside one.
std::string shortened(const std::string &text, std::size_t columns)
{
    std::size_t seen = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if ((text[i] & 0xC0) != 0x80 && seen++ == columns)
            return text.substr(0, i);
    }
    return text;
}

std::optional<double> secondsLeft(std::uint64_t done, std::uint64_t total, Clock::duration elapsed)
{
    if (done == 0 || total == 0 || elapsed < firstEstimate)
        return std::nullopt;
    const double seconds = std::chrono::duration<double>(elapsed).count();
    return seconds * static_cast<double>(total - done) / static_cast<double>(done);
}

std::string bar(double fraction, std::size_t columns)
{
    const auto filled = static_cast<std::size_t>(fraction * static_cast<double>(columns) + 0.5);
    std::string text;
    for (std::size_t i = 0; i < columns; ++i)
        text += i < filled ? "█" : "░";
    return text;
}

}  // namespace

Console::Console(ConsoleMode mode, LogLevel leastLevel)
    : m_mode(mode), m_leastLevel(leastLevel), m_terminal(::isatty(STDERR_FILENO) == 1)
{
    setLogSink([this](LogLevel level, const std::string &message) { logged(level, message); });
    if (m_mode != ConsoleMode::Quiet)
        m_watcher = std::thread([this] { watch(); });
}

Console::~Console()
{
    {
        const std::lock_guard lock(m_mutex);
        m_quit = true;
    }
    m_wake.notify_all();
    if (m_watcher.joinable())
        m_watcher.join();
    setLogSink({});
    const std::lock_guard lock(m_output);
    clearBar();
}

void Console::print(const std::string &text)
{
    if (m_mode == ConsoleMode::Json)
        return;
    const std::lock_guard lock(m_output);
    clearBar();
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

void Console::note(const std::string &text)
{
    if (m_mode == ConsoleMode::Quiet)
        return;
    const std::lock_guard lock(m_output);
    if (m_mode == ConsoleMode::Json) {
        writeEvent("log", Json::object().set("level", "info").set("message", text));
        return;
    }
    clearBar();
    fmt::print(stderr, "{}\n", text);
}

void Console::logged(LogLevel level, const std::string &message)
{
    if (level < m_leastLevel)
        return;
    const char *name = level == LogLevel::Warning ? "warning" : level == LogLevel::Info ? "info" : "debug";
    const std::lock_guard lock(m_output);
    if (m_mode == ConsoleMode::Json) {
        writeEvent("log", Json::object().set("level", name).set("message", message));
    } else {
        clearBar();
        fmt::print(stderr, "{}: {}\n", name, message);
    }
}

void Console::result(const std::string &command, const Json &fields)
{
    if (m_mode != ConsoleMode::Json)
        return;
    Json event = Json::object().set("command", command);
    for (const auto &[key, value] : fields.asObject())
        event.set(key, value);
    const std::lock_guard lock(m_output);
    writeEvent("result", std::move(event));
}

void Console::error(const std::string &code, const std::string &message)
{
    const std::string line = escaped(message, 4000);
    const std::lock_guard lock(m_output);
    if (m_mode == ConsoleMode::Json)
        writeEvent("error", Json::object().set("code", code).set("message", line));
    clearBar();
    fmt::print(stderr, "lqer: {}\n", line);
}

void Console::finish()
{
    const std::lock_guard lock(m_output);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        throw Error(ErrorCode::Io, fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

void Console::writeEvent(const std::string &event, Json fields)
{
    Json line = Json::object().set("event", event);
    for (auto &[key, value] : fields.asObject())
        line.set(key, std::move(value));
    const std::string text = line.dump() + '\n';
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

void Console::clearBar()
{
    if (!m_barShown)
        return;
    std::fputs("\r\033[K", stderr);
    m_barShown = false;
}

void Console::watch()
{
    std::unique_lock lock(m_mutex);
    while (!m_quit) {
        m_wake.wait_for(lock, pollInterval, [this] { return m_quit; });
        if (!m_quit)
            showProgress(Clock::now());
    }
}

void Console::showProgress(Clock::time_point now)
{
    const std::string stage = m_progress.stage();
    if (stage.empty())
        return;
    const std::uint64_t total = m_progress.total();
    const std::uint64_t done = std::min(m_progress.done(), total);
    if (stage != m_stage || done < m_lastDone) {
        m_stage = stage;
        m_stageBegin = now;
        m_lastWritten = false;
    }
    m_lastDone = done;

    const auto interval = m_mode == ConsoleMode::Json ? Clock::duration(eventInterval)
                          : m_terminal                ? Clock::duration::zero()
                                                      : Clock::duration(lineInterval);
    if (now - m_lastShown < interval && !(m_mode == ConsoleMode::Json && !m_lastWritten))
        return;
    m_lastShown = now;
    m_lastWritten = true;

    const auto left = secondsLeft(done, total, now - m_stageBegin);
    const std::string detail = escaped(m_progress.detail(), 120);
    const std::lock_guard lock(m_output);
    if (m_mode == ConsoleMode::Json) {
        Json event = Json::object().set("stage", stage).set("done", done).set("total", total);
        event.set("seconds", std::chrono::duration<double>(now - m_stageBegin).count());
        event.set("eta", left ? Json(*left) : Json());
        event.set("detail", detail);
        writeEvent("progress", std::move(event));
        return;
    }
    const double fraction = total ? static_cast<double>(done) / static_cast<double>(total) : 0;
    std::string text = m_terminal ? fmt::format("{} {} {:3.0f} %", escaped(stage, 60), bar(fraction, 20), fraction * 100)
                                  : fmt::format("{}: {} of {}", escaped(stage, 60), done, total);
    if (left)
        text += fmt::format("  ETA {}", formatSeconds(*left));
    if (!detail.empty())
        text += "  " + detail;
    if (m_terminal) {
        fmt::print(stderr, "\r\033[K{}", shortened(text, terminalWidth() - 1));
        std::fflush(stderr);
        m_barShown = true;
    } else {
        fmt::print(stderr, "{}\n", text);
    }
}

}  // namespace lqer::cli
