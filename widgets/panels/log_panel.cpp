// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/log_panel.h"

#include <QStringList>
#include <QTime>

#include <mutex>

#include "core/base/log.h"
#include "widgets/text/number_text.h"

namespace lqer {

namespace {

constexpr int mostLines = 5000;

// Filled by any thread, emptied by the GUI thread.
std::mutex lettersMutex;
QStringList letters;

}  // namespace

LogPanel::LogPanel(QWidget *parent) : QPlainTextEdit(parent)
{
    setReadOnly(true);
    setMaximumBlockCount(mostLines);
    setAccessibleName(tr("Log"));
    setTabChangesFocus(true);
    setPlaceholderText(tr("Messages of the program appear here"));
    setLogSink([this](LogLevel level, const std::string &text) {
        {
            const std::lock_guard lock(lettersMutex);
            letters << (level == LogLevel::Warning ? tr("warning: ") : QString()) + safeText(text);
        }
        QMetaObject::invokeMethod(this, "drain", Qt::QueuedConnection);
    });
}

LogPanel::~LogPanel()
{
    setLogSink({});
}

void LogPanel::drain()
{
    QStringList mine;
    {
        const std::lock_guard lock(lettersMutex);
        mine.swap(letters);
    }
    for (const QString &text : mine)
        add(text);
}

void LogPanel::add(const QString &text)
{
    appendPlainText(QTime::currentTime().toString(QStringLiteral("hh:mm:ss  ")) + text);
}

}  // namespace lqer
