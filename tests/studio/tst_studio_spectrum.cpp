// SPDX-License-Identifier: GPL-3.0-or-later
#include <QApplication>
#include <QComboBox>
#include <QDockWidget>
#include <QTemporaryDir>
#include <QTest>
#include <qcustomplot.h>

#include <cmath>

#include "tests/studio/studio_driver.h"
#include "tests/support/random_llama.h"
#include "widgets/panels/inspector_panel.h"
#include "widgets/panels/spectrum_panel.h"
#include "widgets/plots/spectrum_plot.h"
#include "widgets/theme/theme.h"

using namespace lqer;
using namespace lqer::test;

// The spectrum of layers that are large enough for their tails to be estimated.
class TestStudioSpectrum : public QObject {
    Q_OBJECT

private slots:
    void howMuchOfItIsChosenWithTheMouse();
};

namespace {

QStringList spectra(const Session &session)
{
    QStringList found;
    for (const LayerRow &row : session.table()->rows)
        found << (row.decomposition ? QString::fromStdString(std::string(toString(row.decomposition->spectrum()))) : QStringLiteral("none"));
    found.removeDuplicates();
    return found;
}

bool legendNames(SpectrumPlot &plot, const QString &words)
{
    for (int i = 0; i < plot.canvas()->legend->itemCount(); ++i)
        if (auto *item = qobject_cast<QCPPlottableLegendItem *>(plot.canvas()->legend->item(i)); item && item->plottable()->name() == words)
            return true;
    return false;
}

}  // namespace

void TestStudioSpectrum::howMuchOfItIsChosenWithTheMouse()
{
    QTemporaryDir folder;
    RandomLlama shape;
    shape.layers = 1;
    shape.hidden = 1024;
    shape.intermediate = 1040;
    shape.heads = shape.kvHeads = 4;
    const QString wide = folder.filePath(QStringLiteral("wide"));
    writeRandomLlama(wide.toStdString(), shape);

    Studio studio(demo(), 2);
    MainWindow &window = *studio.window;
    window.resize(1280, 900);
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));
    QVERIFY(studio.openAndWait(wide));
    Session &session = studio.session();
    auto *inspector = window.findChild<InspectorPanel *>();
    QVERIFY(chooseByMouse(named<QComboBox>(inspector, QStringLiteral("Apply to")), QStringLiteral("every layer")));
    QVERIFY(chooseByMouse(named<QComboBox>(inspector, QStringLiteral("Scaling")), QStringLiteral("identity")));
    QVERIFY(studio.idle());
    QCOMPARE(spectra(session), QStringList{QStringLiteral("estimated")});

    SpectrumPlot &plot = window.findChild<SpectrumPanel *>()->spectrum();
    QVERIFY(legendNames(plot, QStringLiteral("estimated")));
    QVERIFY(plot.toolTip().contains(QStringLiteral("The dotted part is estimated")));
    const LayerRow *row = session.currentRow();
    QVERIFY(!plot.isEstimated(static_cast<int>(row->decomposition->maxRank)) && plot.isEstimated(static_cast<int>(row->decomposition->maxRank) + 1));
    QVERIFY(std::abs(plot.capturedEnergy(1024) - 1) < 1e-9);

    auto *dock = window.findChild<QDockWidget *>(QStringLiteral("runs"));
    dock->raise();
    QVERIFY(Studio::until([&] { return named<QComboBox>(&window, QStringLiteral("Spectrum of large layers")) != nullptr; }));
    QVERIFY(chooseByMouse(named<QComboBox>(&window, QStringLiteral("Spectrum of large layers")), QStringLiteral("whole curve, computed")));
    QVERIFY(session.runSettings().spectrum == SpectrumExtent::Whole);
    QTest::keyClick(&window, Qt::Key_F6);
    QVERIFY(studio.idle());
    QCOMPARE(spectra(session), QStringList{QStringLiteral("whole")});
    QVERIFY(!legendNames(plot, QStringLiteral("estimated")));
    QVERIFY(!plot.toolTip().contains(QStringLiteral("estimated")));

    // The choice belongs to the project.
    const QString project = session.projectFolder();
    session.close();
    QVERIFY(studio.openAndWait(project));
    QVERIFY(session.runSettings().spectrum == SpectrumExtent::Whole);
    QCOMPARE(named<QComboBox>(&window, QStringLiteral("Spectrum of large layers"))->currentText(), QStringLiteral("whole curve, computed"));
}

int main(int argc, char **argv)
{
    QApplication application(argc, argv);
    applyTheme(application, ThemeMode::Light);
    TestStudioSpectrum test;
    return QTest::qExec(&test, argc, argv);
}
#include "tst_studio_spectrum.moc"
