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

// Least level that is shown.
void setLogLevel(LogLevel level);
// Also hands every message to `sink` (called under a lock, from any thread); an empty function removes it.
void setLogSink(std::function<void(LogLevel, const std::string &)> sink);

}  // namespace lqer
