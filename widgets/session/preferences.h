// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QString>
#include <QStringList>

#include "widgets/theme/theme.h"

namespace lqer {

// What the program remembers between starts, typed. Everything is read and written at once through the platform's settings.
namespace preferences {

ThemeMode themeMode();
void setThemeMode(ThemeMode mode);
// Of the computing threads: the window's own thread goes first even while every processor computes (reliability.md D-27).
constexpr int niceness = 10;
int threads();                        // 0: all processors
void setThreads(int threads);
double memoryLimitGigabytes();        // 0: nine tenths of what is free
void setMemoryLimitGigabytes(double gigabytes);
QString workFolder();                 // projects that were not saved elsewhere
void setWorkFolder(const QString &folder);
QStringList recent();                 // newest first
void addRecent(const QString &folder);
void removeRecent(const QString &folder);
QString exportFolder();               // where the last export went
void setExportFolder(const QString &folder);
QByteArray geometry();
QByteArray windowState();
void setWindow(const QByteArray &geometry, const QByteArray &state);
// Set while a project is open, with the process that has it.
void setOpenProject(const QString &folder);
// A project that was open when its process ended without closing it; "" if there is none.
QString abandonedProject();

}  // namespace preferences

}  // namespace lqer
