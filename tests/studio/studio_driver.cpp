// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/studio/studio_driver.h"

#include <QAbstractItemView>
#include <QAction>
#include <QCoreApplication>
#include <QDropEvent>
#include <QMimeData>
#include <QScrollArea>
#include <QSettings>
#include <QToolBar>
#include <QUrl>

#include "tests/support/shared_data.h"
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

bool Studio::openCalibrated()
{
    if (!openAndWait(test::demo()))
        return false;
    shortRuns(session());
    session().calibrate();
    return idle();
}

bool Studio::idle()
{
    return until([this] { return session().jobs().active().empty(); });
}

void Studio::dropOnWindow(const QString &path)
{
    drop(window.get(), path);
}

bool Studio::clickTool(const QString &words)
{
    auto *bar = window->findChild<QToolBar *>(QStringLiteral("tools"));
    for (QAction *action : bar->actions()) {
        QWidget *button = bar->widgetForAction(action);
        if (!action->iconText().startsWith(words) || !button || !button->isVisible() || !button->isEnabled())
            continue;
        QTest::mouseClick(button, Qt::LeftButton);
        return true;
    }
    return false;
}

void drop(QWidget *widget, const QString &path)
{
    QMimeData data;
    data.setUrls({QUrl::fromLocalFile(path)});
    const QPoint middle = widget->rect().center();
    QDragEnterEvent enter(middle, Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QCoreApplication::sendEvent(widget, &enter);
    if (!enter.isAccepted())
        return;
    QDropEvent dropped(middle, Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QCoreApplication::sendEvent(widget, &dropped);
}

bool chooseByMouse(QComboBox *box, const QString &entry)
{
    const int row = box->findText(entry);
    if (row < 0 || !box->isEnabled())
        return false;
    for (QWidget *parent = box->parentWidget(); parent; parent = parent->parentWidget())
        if (auto *area = qobject_cast<QScrollArea *>(parent))
            area->ensureWidgetVisible(box);
    QTest::mouseClick(box, Qt::LeftButton);
    const QAbstractItemView *list = box->view();
    if (!Studio::until([&] { return list->isVisible(); }))
        return false;
    box->view()->scrollTo(box->model()->index(row, 0));
    const QPoint place = list->visualRect(box->model()->index(row, 0)).center();
    // A click that opened the list is not taken for one on an entry: the mouse has to have moved.
    QTest::mouseMove(list->viewport(), place - QPoint(0, 1));
    QTest::mouseMove(list->viewport(), place);
    QTest::mouseClick(list->viewport(), Qt::LeftButton, Qt::NoModifier, place);
    return Studio::until([&] { return !list->isVisible(); });
}

QString demo()
{
    return QString::fromStdString(sourcePath("resources/demo"));
}

QPushButton *button(const QWidget *parent, const QString &text)
{
    for (QPushButton *one : parent->findChildren<QPushButton *>())
        if (one->text() == text)
            return one;
    return nullptr;
}

void shortRuns(Session &session)
{
    RunSettings settings = session.runSettings();
    settings.windowLength = 64;
    settings.calibrationWindows = 8;
    settings.evaluationWindows = 8;
    session.setRunSettings(settings);
}

}  // namespace lqer::test
