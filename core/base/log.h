// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace lqer {

enum class LogLevel { Debug, Info, Warning };

// Messages for people: what the program noticed and decided. Thread-safe. Goes to spdlog (stderr unless a sink is set).
void log(LogLevel level, const std::string &message);
inline void logInfo(const std::string &message) { log(LogLevel::Info, message); }
inline void logWarning(const std::string &message) { log(LogLevel::Warning, message); }
inline void logDebug(const std::string &message) { log(LogLevel::Debug, message); }

// Least level that is shown where no sink is set.
void setLogLevel(LogLevel level);
// Hands every message, of whatever level, to `sink` and to nobody else (called under a lock, from any thread): a front end draws its
// own lines. An empty function removes it.
void setLogSink(std::function<void(LogLevel, const std::string &)> sink);

}  // namespace lqer
