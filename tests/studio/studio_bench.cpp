// SPDX-License-Identifier: GPL-3.0-or-later
// studio_bench DEMO: how long a move of the rank marker takes until it is painted, and the longest time the window does not react
// while a perplexity job uses every core. Prints numbers; run it on an idle machine.
#include <QApplication>
#include <QElapsedTimer>
#include <QTimer>
#include <qcustomplot.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tests/studio/studio_driver.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/theme/theme.h"

using namespace lqer;

namespace {

void markerMoves()
{
    constexpr int points = 4096;
    constexpr int moves = 500;
    SpectrumPlot plot;
    plot.resize(900, 520);
    std::vector<double> shaped;
    std::vector<double> plain;
    double shapedEnergy = 0;
    double plainEnergy = 0;
    for (int i = 0; i < points; ++i) {
        shaped.push_back(3.0 / std::pow(i + 1.0, 0.7) + 0.05 * (1 - i / 4200.0));
        plain.push_back(0.6 * (1 - i / 4500.0) + 0.1 / (i + 1));
        shapedEnergy += shaped.back() * shaped.back();
        plainEnergy += plain.back() * plain.back();
    }
    plot.setMaximumRank(points);
    plot.setCurves({{QStringLiteral("after"), shaped, shapedEnergy, true}, {QStringLiteral("before"), plain, plainEnergy, false}});
    plot.setNoiseEdge(0.2);
    plot.setRank(32);
    plot.show();
    (void)QTest::qWaitForWindowExposed(&plot);
    plot.canvas()->replot();
    QCoreApplication::processEvents();
    const int y = plot.canvas()->axisRect()->center().y();
    const auto pixel = [&](int rank) { return QPoint(static_cast<int>(std::lround(plot.canvas()->xAxis->coordToPixel(rank + 0.5))), y); };
    QTest::mousePress(plot.canvas(), Qt::LeftButton, Qt::NoModifier, pixel(32));
    std::vector<double> milliseconds;
    for (int i = 0; i < moves; ++i) {
        // Back and forth over the whole axis, so that every move changes the rank.
        const double phase = std::abs(2.0 * i / moves * 3 - 2 * std::floor(i / static_cast<double>(moves) * 3 + 0.5));
        const QPoint target = pixel(static_cast<int>(std::pow(points - 1.0, phase)));
        QElapsedTimer timer;
        timer.start();
        QTest::mouseMove(plot.canvas(), target);
        QCoreApplication::processEvents();  // the paint event of the move
        milliseconds.push_back(static_cast<double>(timer.nsecsElapsed()) / 1e6);
    }
    QTest::mouseRelease(plot.canvas(), Qt::LeftButton, Qt::NoModifier, pixel(32));
    std::sort(milliseconds.begin(), milliseconds.end());
    std::printf("marker move to finished repaint, 2 x %d points, %d moves: median %.2f ms, 95%% %.2f ms, worst %.2f ms (goal 8 / 16)\n", points, moves,
                milliseconds[moves / 2], milliseconds[moves * 95 / 100], milliseconds.back());
}

void eventLoopGap(const QString &demo)
{
    test::Studio studio(demo);
    studio.window->resize(1280, 800);
    studio.window->show();
    if (!studio.openAndWait(demo))
        return;
    Session &session = studio.session();
    session.runAll();
    studio.idle();
    QuantizationRecipe recipe = session.recipe();
    recipe.name = "bench";
    session.setRecipe(recipe, QStringLiteral("bench"));
    studio.idle();
    // Of the longest gap and altogether: what this thread computed itself, and how long it could have run but another thread did.
    struct Moment {
        qint64 wall = 0;     // all in nanoseconds
        qint64 cpu = 0;
        qint64 waiting = 0;
    };
    QElapsedTimer clock;
    clock.start();
    const auto now = [&] {
        timespec cpu{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
        Moment moment{clock.nsecsElapsed(), cpu.tv_sec * 1000000000LL + cpu.tv_nsec, 0};
        if (std::FILE *file = std::fopen("/proc/thread-self/schedstat", "r")) {
            long long running = 0;
            long long waiting = 0;
            if (std::fscanf(file, "%lld %lld", &running, &waiting) == 2)
                moment.waiting = waiting;
            std::fclose(file);
        }
        return moment;
    };
    Moment last;
    Moment longest;
    Moment busiest;
    std::vector<double> gaps;
    QTimer tick;
    tick.setTimerType(Qt::PreciseTimer);
    QObject::connect(&tick, &QTimer::timeout, [&] {
        const Moment at = now();
        const Moment gap{at.wall - last.wall, at.cpu - last.cpu, at.waiting - last.waiting};
        gaps.push_back(static_cast<double>(gap.wall) / 1e6);
        if (gap.wall > longest.wall)
            longest = gap;
        if (gap.cpu > busiest.cpu)
            busiest = gap;
        last = at;
    });
    session.evaluate();
    last = now();
    tick.start(1);
    studio.idle();
    tick.stop();
    std::sort(gaps.begin(), gaps.end());
    const auto milliseconds = [](qint64 nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; };
    std::printf("gaps of the event loop during a perplexity job on every core, %.1f s: median %.2f ms, 99.9%% %.1f ms, longest %.1f ms (goal 50)\n"
                "  of the longest: %.1f ms computing in this thread, %.1f ms runnable while others ran; most computing in one gap: %.1f ms\n",
                static_cast<double>(clock.nsecsElapsed()) / 1e9, gaps[gaps.size() / 2], gaps[gaps.size() * 999 / 1000], milliseconds(longest.wall),
                milliseconds(longest.cpu), milliseconds(longest.waiting), milliseconds(busiest.cpu));
}

}  // namespace

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    if (argc != 2) {
        std::fprintf(stderr, "usage: studio_bench DEMO\n");
        return 2;
    }
    applyTheme(application, ThemeMode::Light);
    markerMoves();
    eventLoopGap(QString::fromLocal8Bit(argv[1]));
    return 0;
}
