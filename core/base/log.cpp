// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <memory>
#include <mutex>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "core/base/text.h"

namespace lqer {

namespace {

spdlog::logger &logger()
{
    static const std::shared_ptr<spdlog::logger> instance = [] {
        auto made = std::make_shared<spdlog::logger>("lqer", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        made->set_pattern("%^%l%$: %v");
        made->set_level(spdlog::level::info);
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum spdlogLevel(LogLevel level)
{
    switch (level) {
    case LogLevel::Debug: return spdlog::level::debug;
    case LogLevel::Info: return spdlog::level::info;
    case LogLevel::Warning: return spdlog::level::warn;
    }
    return spdlog::level::info;
}

std::mutex sinkMutex;
std::function<void(LogLevel, const std::string &)> currentSink;

}  // namespace

void log(LogLevel level, const std::string &message)
{
    const std::string safe = escaped(message, 4000);
    const std::lock_guard lock(sinkMutex);
    if (currentSink)
        currentSink(level, safe);
    else
        logger().log(spdlogLevel(level), "{}", safe);
}

void setLogLevel(LogLevel level)
{
    logger().set_level(spdlogLevel(level));
}

void setLogSink(std::function<void(LogLevel, const std::string &)> sink)
{
    const std::lock_guard lock(sinkMutex);
    currentSink = std::move(sink);
}

}  // namespace lqer
