// SPDX-License-Identifier: GPL-3.0-or-later
// take_screenshots DEMO OUT: drives the studio on the demo checkpoint and saves what it looks like.
#include <QApplication>
#include <QDockWidget>
#include <QDir>
#include <QTabWidget>

#include <cstdio>

#include "tests/studio/studio_driver.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

bool shoot(QWidget &widget, const QString &path)
{
    QTest::qWait(50);  // queued replots
    const bool saved = widget.grab().save(path);
    std::printf("%s %s\n", saved ? "saved" : "FAILED", qPrintable(path));
    return saved;
}

}  // namespace

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    if (argc != 3) {
        std::fprintf(stderr, "usage: take_screenshots DEMO OUT\n");
        return 2;
    }
    const QString demo = QDir(QString::fromLocal8Bit(argv[1])).absolutePath();
    const QDir out(QString::fromLocal8Bit(argv[2]));
    QDir().mkpath(out.path());
    applyTheme(application, ThemeMode::Light);
    test::Studio studio(demo);
    MainWindow &window = *studio.window;
    window.resize(1280, 800);
    window.show();
    bool good = QTest::qWaitForWindowExposed(&window);
    good &= shoot(window, out.filePath(QStringLiteral("welcome-light-1280x800.png")));
    good &= studio.openAndWait(demo);
    Session &session = studio.session();
    RunSettings settings = session.runSettings();
    settings.evaluationWindows = 48;
    session.setRunSettings(settings);
    session.runAll();
    good &= studio.idle();
    // A second recipe to compare with: the exact scaling everywhere.
    LayerSettings exact;
    exact.scaling = ScalingKind::Exact;
    RecipeTarget all;
    all.kind = RecipeTarget::Kind::All;
    session.apply(all, exact, QStringLiteral("Scaling exact"));
    good &= studio.idle();
    session.evaluate();
    good &= studio.idle();
    session.select({session.table()->rows[session.table()->rows.size() / 2].site.name});
    good &= studio.idle();

    auto *views = window.findChild<QTabWidget *>();
    for (const auto &[mode, name] : {std::pair{ThemeMode::Light, "light"}, std::pair{ThemeMode::Dark, "dark"}}) {
        applyTheme(application, mode);
        for (const QSize size : {QSize(1280, 800), QSize(1920, 1200)}) {
            window.resize(size);
            views->setCurrentIndex(0);
            const QString suffix = QStringLiteral("-%1-%2x%3.png").arg(QLatin1String(name)).arg(size.width()).arg(size.height());
            good &= shoot(window, out.filePath(QStringLiteral("main") + suffix));
            if (size.width() == 1280)
                continue;
            for (auto *dock : window.findChildren<QDockWidget *>())
                if (dock->objectName() == QLatin1String("runs"))
                    dock->raise();
            static const char *tabs[] = {"spectrum", "activations", "weights", "compare"};
            for (int i = 1; i < 4; ++i) {
                views->setCurrentIndex(i);
                good &= studio.idle();
                // The view alone: the dock below shows paths of this machine.
                good &= shoot(*views->currentWidget(), out.filePath(QStringLiteral("%1-%2.png").arg(QLatin1String(tabs[i]), QLatin1String(name))));
            }
            for (auto *dock : window.findChildren<QDockWidget *>())
                if (dock->objectName() == QLatin1String("layers"))
                    dock->raise();
        }
        views->setCurrentIndex(0);
        good &= shoot(*window.findChild<SpectrumPanel *>(), out.filePath(QStringLiteral("spectrum-%1.png").arg(QLatin1String(name))));
    }
    return good ? 0 : 1;
}
