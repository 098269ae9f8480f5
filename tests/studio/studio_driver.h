// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QComboBox>
#include <QEventLoop>
#include <QPushButton>
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
    // The demo, with short runs, calibrated and decomposed.
    bool openCalibrated();
    // Until no job is queued or running.
    bool idle();

    // By mouse: a folder dropped onto the window, a button of the tool bar by the beginning of its words.
    void dropOnWindow(const QString &path);
    bool clickTool(const QString &words);

    QTemporaryDir folder;
    std::shared_ptr<Engine> engine;
    std::unique_ptr<MainWindow> window;
};

// The demo checkpoint's folder.
QString demo();
// Few windows: the numbers do not matter then, what happens does.
void shortRuns(Session &session);
// The button below `parent` with this text, '&' included; null if there is none.
QPushButton *button(const QWidget *parent, const QString &text);
// The visible widget below `parent` that assistive technology calls `name`; null if there is none.
template <typename Widget>
Widget *named(const QWidget *parent, const QString &name)
{
    for (Widget *widget : parent->findChildren<Widget *>())
        if (widget->accessibleName() == name && widget->isVisible())
            return widget;
    return nullptr;
}
// A file dragged from elsewhere and dropped on the middle of the widget.
void drop(QWidget *widget, const QString &path);
// Opens the list with a click and clicks the entry. False if there is no such entry or the list does not close.
bool chooseByMouse(QComboBox *box, const QString &entry);

}  // namespace lqer::test
