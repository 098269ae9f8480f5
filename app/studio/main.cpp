// SPDX-License-Identifier: GPL-3.0-or-later
#include <QApplication>
#include <QCommandLineParser>
#include <QDir>
#include <QFileInfo>

#include <cstdio>
#include <exception>

#include "app/studio/main_window.h"
#include "widgets/session/preferences.h"
#include "widgets/session/session.h"
#include "widgets/theme/system_theme.h"

namespace {

// Where the demo checkpoint lies: beside an installed program, or in the source tree it was built from.
QString demoFolder()
{
    for (const QString &candidate : {QCoreApplication::applicationDirPath() + QStringLiteral("/../share/lqer-studio/demo"), QStringLiteral(LQER_SOURCE_DIR "/resources/demo")})
        if (QFileInfo::exists(candidate + QStringLiteral("/config.json")))
            return QDir(candidate).canonicalPath();
    return {};
}

}  // namespace

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    QCoreApplication::setApplicationName(QStringLiteral("LQER Studio"));
    QCoreApplication::setOrganizationName(QStringLiteral("lqer-studio"));
    QCoreApplication::setApplicationVersion(QStringLiteral(LQER_VERSION));

    QCommandLineParser parser;
    parser.setApplicationDescription(QStringLiteral("Quantize a language model and win the loss back with a low-rank correction."));
    parser.addHelpOption();
    parser.addVersionOption();
    const QCommandLineOption demo(QStringLiteral("demo"), QStringLiteral("Open the demo checkpoint; calibrate, decompose and evaluate it on first start."));
    parser.addOption(demo);
    parser.addPositionalArgument(QStringLiteral("folder"), QStringLiteral("Checkpoint or project to open."), QStringLiteral("[folder]"));
    parser.process(application);

    lqer::applyTheme(application, lqer::preferences::themeMode());
    lqer::SystemTheme system(QDBusConnection::sessionBus());
    QObject::connect(&system, &lqer::SystemTheme::changed, &application, [&] {
        lqer::followSystem(system.dark());
        lqer::applyTheme(application, lqer::preferences::themeMode());
    });
    lqer::EngineOptions options;
    options.niceness = lqer::preferences::niceness;
    options.threads = static_cast<std::size_t>(lqer::preferences::threads());
    options.memoryLimit = static_cast<std::uint64_t>(lqer::preferences::memoryLimitGigabytes() * 1e9);
    try {
        lqer::MainWindow window(std::make_shared<lqer::Engine>(options), lqer::preferences::workFolder(), demoFolder());
        window.show();
        if (parser.isSet(demo))
            window.openDemo();
        else if (!parser.positionalArguments().isEmpty())
            window.open(parser.positionalArguments().front());
        else
            window.offerRecovery();
        return QApplication::exec();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "lqer-studio: %s\n", error.what());
        return 2;
    }
}
