// SPDX-License-Identifier: Apache-2.0
// What a stage is predicted to need against what it takes. In a process of its own: the peak is the process's.
#include <QtTest>
#include <QTemporaryDir>

#include "tests/engine/sample_work.h"
#include "tests/support/process_memory.h"
#include "tests/support/scratch.h"

using namespace lqer;

class TestEngineMemory : public QObject {
    Q_OBJECT
private:
    // Compares the peak of `work` with what `estimate` says beforehand; the part that was held before counts on both sides.
    template <typename Estimate, typename Work>
    static void compare(const char *stage, const Estimate &estimate, const Work &work)
    {
        const MemoryEstimate predicted = estimate();
        const std::uint64_t before = residentMemory();
        QVERIFY(test::resetPeak());
        work();
        const double peak = static_cast<double>(test::peakMemory());
        const double expected = static_cast<double>(before + predicted.bytes);
        qInfo("%s: peak %.1f MB, predicted %.1f MB, held before %.1f MB", stage, peak / 1e6, expected / 1e6, static_cast<double>(before) / 1e6);
        QVERIFY2(peak <= 1.1 * expected, "more than a tenth above the prediction");
        QVERIFY2(peak >= 0.7 * expected, "the prediction is padded");
    }

private slots:
    void initTestCase()
    {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        QSKIP("a sanitizer's own memory counts");
#endif
        test::returnFreedBlocks();
        if (!test::resetPeak())
            QSKIP("the kernel does not let a process count its peak anew (/proc/self/clear_refs)");
    }

    void stagesTakeWhatWasPredicted_data()
    {
        QTest::addColumn<int>("hidden");
        QTest::addColumn<int>("intermediate");
        QTest::addColumn<int>("threads");
        QTest::addColumn<SpectrumExtent>("spectrum");
        // Up to an order of 1024 by LAPACK, above by iteration.
        QTest::newRow("whole spectra") << 512 << 1408 << 1 << SpectrumExtent::Whole;
        QTest::newRow("whole spectra, layers side by side") << 512 << 1408 << 2 << SpectrumExtent::Whole;
        QTest::newRow("leading values by iteration") << 1056 << 2112 << 1 << SpectrumExtent::Leading;
        QTest::newRow("estimates of the others") << 1056 << 2112 << 1 << SpectrumExtent::Estimated;
    }
    void stagesTakeWhatWasPredicted()
    {
        QFETCH(int, hidden);
        QFETCH(int, intermediate);
        QFETCH(int, threads);
        QFETCH(SpectrumExtent, spectrum);
        const QTemporaryDir place(test::scratchTemplate());
        const std::string folder = place.path().toStdString();
        test::RandomLlama shape;
        shape.layers = 1;
        shape.hidden = hidden;
        shape.intermediate = intermediate;
        shape.heads = shape.kvHeads = 16;
        test::writeRandomLlama(folder + "/checkpoint", shape);

        const Engine engine(EngineOptions{static_cast<std::size_t>(threads), 0});
        const TaskContext context = engine.context();
        const auto model = engine.load(folder + "/checkpoint", context);
        const auto project = engine.createProject(folder + "/p.lqer", *model);
        const TokenWindows windows = test::randomWindows(shape, 2, 32, 1);
        compare("calibrate", [&] { return engine.estimateCalibration(*model, windows, {}); },
                [&] { engine.calibrate(*model, *project, windows, {}, context); });
        for (const ScalingKind scaling : {ScalingKind::MeanAbs, ScalingKind::Exact}) {
            const QuantizationRecipe recipe = test::sampleRecipe(scaling, 32);
            DecomposeOptions options;
            options.maxRank = 32;
            options.spectrum = spectrum;
            compare(std::string(toString(scaling)).c_str(), [&] { return engine.estimateDecomposition(*model, recipe, options); },
                    [&] { engine.decompose(*model, *project, recipe, options, context); });
        }
    }
};

QTEST_GUILESS_MAIN(TestEngineMemory)
#include "tst_engine_memory.moc"
