// SPDX-License-Identifier: GPL-3.0-or-later
#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QProgressBar>
#include <QPushButton>
#include <QTest>
#include <QTextBrowser>
#include <QTreeWidget>

#include <algorithm>

#include "core/quant/quantizer.h"
#include "tests/studio/studio_driver.h"
#include "widgets/dialogs/export_dialog.h"
#include "widgets/dialogs/tasks_dialog.h"
#include "widgets/models/report_model.h"
#include "widgets/session/preferences.h"
#include "widgets/text/number_text.h"
#include "widgets/theme/theme.h"

using namespace lqer;
using namespace lqer::test;

namespace {

// The target that every recipe can be exported to.
void chooseMerged(const ExportDialog *dialog)
{
    auto *targets = test::named<QListWidget>(dialog, QStringLiteral("Target"));
    const auto merged = std::find_if(exporters().begin(), exporters().end(), [](const Exporter &one) { return one.info.name == "merged"; });
    QTest::mouseClick(targets->viewport(), Qt::LeftButton, Qt::NoModifier, targets->visualItemRect(targets->item(static_cast<int>(merged - exporters().begin()))).center());
}

QCheckBox *check(const QWidget *parent, const QString &text)
{
    for (QCheckBox *one : parent->findChildren<QCheckBox *>())
        if (one->text() == text)
            return one;
    return nullptr;
}

// arc_easy.jsonl with so many questions of two choices.
void writeQuestions(const QTemporaryDir &folder, int count)
{
    QFile file(folder.filePath(QStringLiteral("arc_easy.jsonl")));
    QVERIFY(file.open(QIODevice::WriteOnly));
    for (int i = 0; i < count; ++i)
        file.write(QStringLiteral("{\"question\":\"What is %1 and a few words more?\",\"choices\":[\"the tree\",\"a %1\"],\"label\":%2}\n").arg(i).arg(i % 2).toUtf8());
}

// By its key, from the main window.
TasksDialog *openTasks(test::Studio &studio)
{
    studio.window->activateWindow();
    if (!QTest::qWaitForWindowActive(studio.window.get()))
        return nullptr;
    QTest::keyClick(studio.window.get(), Qt::Key_T, Qt::ControlModifier);
    auto *dialog = studio.window->findChild<TasksDialog *>();
    return dialog && dialog->isVisible() ? dialog : nullptr;
}

// The box in front of a task, by mouse.
void checkTask(QListWidget *tasks, const QString &name)
{
    for (int i = 0; i < tasks->count(); ++i)
        if (tasks->item(i)->data(Qt::UserRole).toString() == name) {
            tasks->scrollToItem(tasks->item(i));
            const QRect row = tasks->visualItemRect(tasks->item(i));
            QTest::mouseClick(tasks->viewport(), Qt::LeftButton, Qt::NoModifier, QPoint(row.left() + 12, row.center().y()));
        }
}

}  // namespace

// The dialogs of the main window, driven as in tst_studio.
class TestStudioDialogs : public QObject {
    Q_OBJECT

private slots:
    void exportIsCheckedWrittenAndShown();
    void anExportThatIsStoppedLeavesNothing();
    void tasksAreChosenRunAndCompared();
    void tasksThatAreStoppedLeaveNothing();
};

void TestStudioDialogs::exportIsCheckedWrittenAndShown()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openCalibrated());
    Session &session = studio.session();
    QTemporaryDir place;
    QTest::keyClick(studio.window.get(), Qt::Key_E, Qt::ControlModifier);
    auto *dialog = studio.window->findChild<ExportDialog *>();
    QVERIFY(dialog && dialog->isVisible());
    // Every target of the engine is there with its explanation.
    auto *targets = test::named<QListWidget>(dialog, QStringLiteral("Target"));
    QCOMPARE(targets->count(), static_cast<int>(exporters().size()));
    chooseMerged(dialog);
    QVERIFY(test::named<QLabel>(dialog, QStringLiteral("What the target is"))->text().contains(QStringLiteral("saves no memory")));

    QPushButton *start = button(dialog, QStringLiteral("&Export"));
    auto *folder = test::named<QLineEdit>(dialog, QStringLiteral("Destination folder"));
    auto *problems = dialog->findChild<QTreeWidget *>();
    // A folder that is not there is a problem before anything is written.
    folder->selectAll();
    QTest::keyClicks(folder, place.path() + QStringLiteral("/missing"));
    QVERIFY(studio.until([&] { return problems->topLevelItemCount() > 0 && problems->topLevelItem(0)->text(1) == QLatin1String("destination"); }));
    QVERIFY(!start->isEnabled());
    folder->selectAll();
    QTest::keyClicks(folder, place.path());
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
    QVERIFY(test::named<QLabel>(dialog, QStringLiteral("Result of the checks"))->text().contains(QStringLiteral("MB will be written")));
    // What was found is there to be read as a whole.
    for (int i = 0; i < problems->topLevelItemCount(); ++i) {
        const QRect row = problems->visualItemRect(problems->topLevelItem(i));
        const QString words = problems->topLevelItem(i)->text(2);
        const int lines = (problems->fontMetrics().horizontalAdvance(words) + problems->columnWidth(2) - 1) / problems->columnWidth(2);
        QVERIFY2(row.height() >= lines * problems->fontMetrics().height(), qPrintable(words));
    }
    QVERIFY(problems->topLevelItemCount() > 0);
    QVERIFY(test::chooseByMouse(test::named<QComboBox>(dialog, QStringLiteral("dtype")), QStringLiteral("f32")));
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
    // While a stage runs there is no export, and after it there is.
    session.evaluate();
    QVERIFY(!start->isEnabled());
    QVERIFY(studio.idle());
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
    // "The present one" is the recipe as it is when the export begins.
    LayerSettings settings;
    settings.weight = FormatSpec::parse("mxint8");
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, settings, QStringLiteral("format"));
    QVERIFY(studio.idle());
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
    QTest::mouseClick(start, Qt::LeftButton);
    QVERIFY(session.isRunning());
    auto *card = dialog->findChild<QTextBrowser *>();
    QVERIFY(studio.until([&] { return card->isVisible(); }));
    QVERIFY2(card->toPlainText().contains(QStringLiteral("vllm serve")), qPrintable(card->toPlainText()));
    QVERIFY2(card->toPlainText().contains(QStringLiteral("mxint8")), qPrintable(card->toPlainText()));
    QVERIFY(QFileInfo::exists(dialog->destination() + QStringLiteral("/config.json")));
    QVERIFY(QFileInfo::exists(dialog->destination() + QStringLiteral("/README.md")));
    QTest::keyClick(dialog, Qt::Key_Escape);
    QVERIFY(!dialog->isVisible());
    QCoreApplication::sendPostedEvents(nullptr, QEvent::DeferredDelete);

    // The same once more: it is there, unless it may be replaced.
    studio.window->activateWindow();
    QVERIFY(QTest::qWaitForWindowActive(studio.window.get()));
    QTest::keyClick(studio.window.get(), Qt::Key_E, Qt::ControlModifier);
    dialog = studio.window->findChild<ExportDialog *>();
    QVERIFY(dialog);
    chooseMerged(dialog);
    problems = dialog->findChild<QTreeWidget *>();
    QVERIFY(studio.until([&] { return problems->topLevelItemCount() > 0 && problems->topLevelItem(0)->text(1) == QLatin1String("destination"); }));
    QVERIFY(problems->topLevelItem(0)->text(2).contains(QStringLiteral("is there already")));
    auto *replace = dialog->findChild<QCheckBox *>();
    QTest::mouseClick(replace, Qt::LeftButton, Qt::NoModifier, QPoint(8, replace->height() / 2));
    start = button(dialog, QStringLiteral("&Export"));
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
}

void TestStudioDialogs::anExportThatIsStoppedLeavesNothing()
{
    test::Studio studio(demo(), 2);
    studio.window->show();
    QVERIFY(studio.openAndWait(demo()));
    QTemporaryDir place;
    preferences::setExportFolder(place.path());
    // Without statistics a scaled recipe cannot be decomposed: this one needs none.
    LayerSettings settings;
    settings.scaling = ScalingKind::Identity;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    studio.session().apply(all, settings, QStringLiteral("identity"));
    QTest::keyClick(studio.window.get(), Qt::Key_E, Qt::ControlModifier);
    auto *dialog = studio.window->findChild<ExportDialog *>();
    chooseMerged(dialog);
    QPushButton *start = button(dialog, QStringLiteral("&Export"));
    QPushButton *cancel = button(dialog, QStringLiteral("&Cancel export"));
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
    QTest::mouseClick(start, Qt::LeftButton);
    QVERIFY(studio.until([&] { return cancel->isVisible(); }));
    QTest::mouseClick(cancel, Qt::LeftButton);
    QVERIFY(studio.until([&] { return !studio.session().isRunning(); }));
    QVERIFY(test::named<QLabel>(dialog, QStringLiteral("State of the export"))->text().contains(QStringLiteral("stopped")));
    QVERIFY(QDir(place.path()).isEmpty());
    QVERIFY(studio.idle());
    QVERIFY(studio.until([&] { return start->isEnabled(); }));
}

void TestStudioDialogs::tasksAreChosenRunAndCompared()
{
    test::Studio studio(demo(), 2);
    studio.window->resize(1280, 800);
    studio.window->show();
    QVERIFY(studio.openCalibrated());
    Session &session = studio.session();
    QTemporaryDir data;
    writeQuestions(data, 6);
    TasksDialog *dialog = openTasks(studio);
    QVERIFY(dialog);
    QPushButton *start = button(dialog, QStringLiteral("&Start"));
    const auto *state = test::named<QLabel>(dialog, QStringLiteral("State of the tasks"));
    auto *tasks = test::named<QListWidget>(dialog, QStringLiteral("Tasks"));
    QCOMPARE(tasks->count(), static_cast<int>(taskDefinitions().size()));
    QVERIFY(!start->isEnabled());

    // A folder by key, a task and the original by mouse.
    auto *folder = test::named<QLineEdit>(dialog, QStringLiteral("Folder with the tasks' data"));
    folder->setFocus();
    folder->selectAll();
    QTest::keyClicks(folder, data.path());
    QVERIFY(!start->isEnabled());
    checkTask(tasks, QStringLiteral("arc_easy"));
    QCOMPARE(session.taskSettings().tasks, QStringList{QStringLiteral("arc_easy")});
    QVERIFY(start->isEnabled());
    QVERIFY2(state->text().contains(QStringLiteral("1 task")), qPrintable(state->text()));
    auto *original = check(dialog, QStringLiteral("Also the &original model"));
    QTest::mouseClick(original, Qt::LeftButton, Qt::NoModifier, QPoint(8, original->height() / 2));
    QVERIFY(session.taskSettings().original);
    QTest::mouseClick(start, Qt::LeftButton);
    QVERIFY(session.isRunning() && !start->isEnabled());
    QVERIFY(studio.idle());
    QVERIFY2(state->text().startsWith(QStringLiteral("Done")), qPrintable(state->text()));

    // Both are in the project, the original without a recipe; the table and the comparison show them.
    QCOMPARE(session.reports().size(), std::size_t{2});
    QVERIFY(!session.reports()[0]->recipe && session.reports()[1]->recipe);
    for (const auto &report : session.reports()) {
        QCOMPARE(report->tasks->tasks[0].task, std::string("arc_easy"));
        QCOMPARE(report->tasks->tasks[0].items, std::int64_t{6});
    }
    const QAbstractItemModel *runs = studio.window->findChild<ReportModel *>();
    QVERIFY(runs);
    const QString cell = runs->index(0, ReportModel::Tasks).data().toString();
    QVERIFY2(cell.startsWith(QStringLiteral("arc_easy ")) && cell.contains(QLatin1Char('%')), qPrintable(cell));
    QVERIFY(!runs->index(0, ReportModel::Title).data().toString().contains(QStringLiteral("stale")));
    QTest::keyClick(dialog, Qt::Key_Escape);
    QCoreApplication::sendPostedEvents(nullptr, QEvent::DeferredDelete);
    studio.window->activateWindow();
    QVERIFY(QTest::qWaitForWindowActive(studio.window.get()));
    QTest::keyClick(studio.window.get(), Qt::Key_M, Qt::ControlModifier);
    bool compared = false;
    for (const QLabel *label : studio.window->findChildren<QLabel *>())
        compared = compared || (label->isVisible() && label->text().contains(QStringLiteral("B against A")) && label->text().contains(QStringLiteral("arc_easy")));
    QVERIFY(compared);

    // A file that lacks a field is named with its line.
    QFile broken(data.filePath(QStringLiteral("arc_easy.jsonl")));
    QVERIFY(broken.open(QIODevice::WriteOnly));
    broken.write("{\"question\":\"q\"}\n");
    broken.close();
    dialog = openTasks(studio);
    QVERIFY(dialog);
    QTest::mouseClick(button(dialog, QStringLiteral("&Start")), Qt::LeftButton);
    QVERIFY(studio.idle());
    const QString said = test::named<QLabel>(dialog, QStringLiteral("State of the tasks"))->text();
    QVERIFY2(said.contains(QStringLiteral("arc_easy.jsonl, line 1: lacks 'choices'")), qPrintable(said));
    QCOMPARE(session.reports().size(), std::size_t{2});
}

void TestStudioDialogs::tasksThatAreStoppedLeaveNothing()
{
    test::Studio studio(demo(), 1);
    studio.window->show();
    QVERIFY(studio.openCalibrated());
    Session &session = studio.session();
    QTemporaryDir data;
    writeQuestions(data, 4000);  // seconds of work at least: it cannot end by itself before the click
    session.setTaskSettings({.folder = data.path(), .tasks = {QStringLiteral("arc_easy")}});
    TasksDialog *dialog = openTasks(studio);
    QVERIFY(dialog);
    QTest::mouseClick(button(dialog, QStringLiteral("&Start")), Qt::LeftButton);
    const auto *bar = test::named<QProgressBar>(dialog, QStringLiteral("Progress of the tasks"));
    QVERIFY(bar);
    QVERIFY(studio.until([&] { return !session.isRunning() || session.runningJob()->progress().stage() == "evaluating tasks"; }));
    QVERIFY(session.isRunning());
    QTest::mouseClick(button(dialog, QStringLiteral("&Cancel run")), Qt::LeftButton);
    QVERIFY(studio.idle());
    QVERIFY(session.reports().empty());
    QVERIFY(test::named<QLabel>(dialog, QStringLiteral("State of the tasks"))->text().startsWith(QStringLiteral("Stopped")));
    QVERIFY(!bar->isVisible());
}

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    applyTheme(application, ThemeMode::Light);
    TestStudioDialogs test;
    return QTest::qExec(&test, argc, argv);
}
#include "tst_studio_dialogs.moc"
