// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/studio/studio_driver.h"

#include <QCoreApplication>
#include <QSettings>

#include "widgets/session/preferences.h"

namespace lqer::test {

namespace {

constexpr int patienceMilliseconds = 120000;

}  // namespace

Studio::Studio(const QString &demo, std::size_t threads)
{
    QSettings::setDefaultFormat(QSettings::IniFormat);
    QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, folder.path() + QStringLiteral("/settings"));
    QCoreApplication::setOrganizationName(QStringLiteral("lqer-studio-test"));
    QCoreApplication::setApplicationName(QStringLiteral("test"));
    EngineOptions options;
    options.threads = threads;
    options.niceness = preferences::niceness;
    engine = std::make_shared<Engine>(options);
    window = std::make_unique<MainWindow>(engine, folder.path() + QStringLiteral("/work"), demo);
}

bool Studio::until(const std::function<bool()> &condition)
{
    return QTest::qWaitFor(condition, patienceMilliseconds);
}

bool Studio::openAndWait(const QString &path)
{
    window->open(path);
    return until([this] { return session().isOpen() && !session().isOpening(); }) && idle();
}

bool Studio::idle()
{
    return until([this] { return session().jobs().active().empty(); });
}

}  // namespace lqer::test
