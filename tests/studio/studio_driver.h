// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QEventLoop>
#include <QTemporaryDir>
#include <QTest>

#include <functional>
#include <memory>

#include "app/studio/main_window.h"
#include "widgets/session/session.h"

namespace lqer::test {

// The real main window over a work folder of its own, for tests and for the screenshots.
struct Studio {
    explicit Studio(const QString &demo, std::size_t threads = 0);

    Session &session() { return window->session(); }
    // Runs the event loop until the condition holds; false after two minutes.
    static bool until(const std::function<bool()> &condition);
    bool openAndWait(const QString &folder);
    // Until no job is queued or running.
    bool idle();

    QTemporaryDir folder;
    std::shared_ptr<Engine> engine;
    std::unique_ptr<MainWindow> window;
};

}  // namespace lqer::test
