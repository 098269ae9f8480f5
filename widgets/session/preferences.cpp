// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/session/preferences.h"

#include <QCoreApplication>
#include <QSettings>
#include <QStandardPaths>

#include <signal.h>

#include <cerrno>

namespace lqer::preferences {

namespace {

constexpr int mostRecent = 10;

QVariant read(const char *key, const QVariant &fallback = {})
{
    return QSettings().value(QLatin1String(key), fallback);
}

void write(const char *key, const QVariant &value)
{
    QSettings().setValue(QLatin1String(key), value);
}

}  // namespace

ThemeMode themeMode() { return themeModeFromString(read("appearance/theme").toString()); }
void setThemeMode(ThemeMode mode) { write("appearance/theme", toString(mode)); }
int threads() { return qBound(0, read("engine/threads", 0).toInt(), 1024); }
void setThreads(int threads) { write("engine/threads", threads); }
double memoryLimitGigabytes() { return qBound(0.0, read("engine/memoryLimit", 0.0).toDouble(), 1e6); }
void setMemoryLimitGigabytes(double gigabytes) { write("engine/memoryLimit", gigabytes); }

QString workFolder()
{
    const QString fallback = QStandardPaths::writableLocation(QStandardPaths::AppDataLocation) + QStringLiteral("/projects");
    const QString chosen = read("engine/workFolder").toString();
    return chosen.isEmpty() ? fallback : chosen;
}

void setWorkFolder(const QString &folder) { write("engine/workFolder", folder); }
QStringList recent() { return read("recent").toStringList(); }

void addRecent(const QString &folder)
{
    QStringList list = recent();
    list.removeAll(folder);
    list.prepend(folder);
    write("recent", QStringList(list.mid(0, mostRecent)));
}

void removeRecent(const QString &folder)
{
    QStringList list = recent();
    list.removeAll(folder);
    write("recent", list);
}

QString exportFolder() { return read("export/folder").toString(); }
void setExportFolder(const QString &folder) { write("export/folder", folder); }
QByteArray geometry() { return read("window/geometry").toByteArray(); }
QByteArray windowState() { return read("window/state").toByteArray(); }

void setWindow(const QByteArray &geometry, const QByteArray &state)
{
    write("window/geometry", geometry);
    write("window/state", state);
}

void setOpenProject(const QString &folder)
{
    write("session/open", folder);
    write("session/process", QCoreApplication::applicationPid());
}

QString abandonedProject()
{
    const auto process = static_cast<pid_t>(read("session/process").toLongLong());
    const bool lives = process > 0 && process != QCoreApplication::applicationPid() && (kill(process, 0) == 0 || errno == EPERM);
    return lives ? QString() : read("session/open").toString();
}

}  // namespace lqer::preferences
