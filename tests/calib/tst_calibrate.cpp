// SPDX-License-Identifier: Apache-2.0
#include "core/calib/calibration_stats.h"

#include <QtTest>

#include <map>

#include <Eigen/Eigenvalues>

#include "core/io/checkpoint.h"
#include "core/linalg/bf16_weight.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

Transformer modelOf(const std::string &name)
{
    return Transformer(std::make_shared<const Checkpoint>(sharedFolder() + "/models/" + name));
}

TokenWindows windowsFor(const Transformer &model, std::size_t count, std::size_t length)
{
    TokenWindows windows;
    for (std::size_t w = 0; w < count; ++w) {
        TokenWindow window;
        for (std::size_t i = 0; i < length - w % 2; ++i)  // windows of two lengths
            window.ids.push_back(
                static_cast<TokenId>((w * 31 + i * 17 + i * i) % static_cast<std::size_t>(model.config().vocabulary)));
        windows.windows.push_back(window);
    }
    return windows;
}

std::map<std::string, SiteStats> statisticsOf(const Transformer &model, const TokenWindows &windows,
                                              const CalibrationOptions &options, const TaskContext &context,
                                              std::vector<std::string> *order = nullptr)
{
    std::map<std::string, SiteStats> sites;
    calibrate(
        model, windows, options,
        [&](const ActivationSite &site, SiteStats stats) {
            if (order)
                order->push_back(site.name);
            QVERIFY(!sites.contains(site.name));
            sites.emplace(site.name, std::move(stats));
        },
        context);
    return sites;
}

// The inputs themselves, kept by a hook of the test.
class KeepInputs final : public ForwardHooks {
public:
    bool observes(const ActivationSite &) const override { return true; }
    void observe(const ActivationSite &site, std::size_t, const ConstMatrixRef &x) override { inputs[site.name].push_back(x); }
    std::map<std::string, std::vector<Matrix>> inputs;
};

bool same(const std::map<std::string, SiteStats> &a, const std::map<std::string, SiteStats> &b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto &x, const auto &y) {
        return x.first == y.first && x.second.tokens == y.second.tokens && x.second.maxMeanAbs == y.second.maxMeanAbs
               && x.second.sumSquares == y.second.sumSquares && x.second.maxAbs == y.second.maxAbs
               && x.second.autocorrelation == y.second.autocorrelation;
    });
}

}  // namespace

class TestCalibrate : public QObject {
    Q_OBJECT

private slots:
    void everySiteIsDeliveredOnceWithItsInputs_data()
    {
        QTest::addColumn<QString>("name");
        for (const char *name : {"stories260k", "shakespeare-opt", "shakespeare-gpt2"})
            QTest::newRow(name) << name;
    }
    void everySiteIsDeliveredOnceWithItsInputs()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, name);
        const Transformer model = modelOf(name.toStdString());
        const TokenWindows windows = windowsFor(model, 5, 24);
        CalibrationOptions options;
        options.batch = 2;
        const auto sites = statisticsOf(model, windows, options, {});
        QCOMPARE(sites.size(), model.activationSites().size());

        KeepInputs keep;
        model.forward(windows.windows, keep, {}, {}, {});
        for (const ActivationSite &site : model.activationSites()) {
            const SiteStats &stats = sites.at(site.name);
            const std::vector<Matrix> &inputs = keep.inputs.at(site.name);
            QCOMPARE(inputs.size(), std::size_t(5));
            VectorF64 squares = VectorF64::Zero(site.features), means = squares, batch = squares;
            MatrixF64 r = MatrixF64::Zero(site.features, site.features);
            std::int64_t tokens = 0, batchTokens = 0;
            for (std::size_t w = 0; w < 5; ++w) {
                const MatrixF64 x = inputs[w].cast<double>();
                tokens += x.rows();
                squares += x.cwiseAbs2().colwise().sum().transpose();
                r += x.transpose() * x;
                batch += x.cwiseAbs().colwise().sum().transpose();
                batchTokens += x.rows();
                if (w % 2 == 1 || w == 4) {
                    means = means.cwiseMax(batch / static_cast<double>(batchTokens));
                    batch.setZero();
                    batchTokens = 0;
                }
            }
            QCOMPARE(stats.tokens, tokens);
            QVERIFY((stats.sumSquares - squares).cwiseAbs().maxCoeff() <= 1e-12 * squares.maxCoeff());
            QVERIFY((stats.maxMeanAbs - means).cwiseAbs().maxCoeff() <= 1e-12 * means.maxCoeff());
            QVERIFY((stats.autocorrelation - r).cwiseAbs().maxCoeff() <= 1e-5 * r.cwiseAbs().maxCoeff());
        }
    }

    void memoryLimitsAndThreadsChangeNoBit()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        const TokenWindows windows = windowsFor(model, 7, 20);
        const auto expected = statisticsOf(model, windows, {}, {});
        ThreadPool three(3);
        QVERIFY(same(expected, statisticsOf(model, windows, {}, {&three})));
        // One block's matrices here: 3 of 64 and one of 172 channels, 0.33 MB; groups of one window, several passes.
        CalibrationOptions limited;
        for (const std::uint64_t limit : {std::uint64_t(400'000), std::uint64_t(900'000)}) {
            limited.memoryLimit = limit;
            std::vector<std::string> order;
            QVERIFY(same(expected, statisticsOf(model, windows, limited, {}, &order)));
            QCOMPARE(order.size(), expected.size());
        }
        limited.memoryLimit = 600'000;
        QVERIFY(same(expected, statisticsOf(model, windows, limited, {&three})));
    }

    void aLimitBelowOneBlockIsRefused()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        CalibrationOptions options;
        options.memoryLimit = 50'000;
        ErrorCode code{};
        const std::string message = errorOf([&] { statisticsOf(model, windowsFor(model, 40, 20), options, {}); }, &code);
        QVERIFY2(message.find("the limit is 50.0 kB") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Memory);
    }

    void blocksAreFinishedOneAfterTheOther()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        std::vector<std::string> order;
        statisticsOf(model, windowsFor(model, 3, 12), {}, {}, &order);
        std::int64_t layer = 0;
        for (const std::string &name : order) {
            QVERIFY(model.findActivation(name)->layer >= layer);
            layer = model.findActivation(name)->layer;
        }
    }

    void progressCountsWindowsAndBlocks()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        for (const std::uint64_t limit : {std::uint64_t(0), std::uint64_t(400'000)}) {
            Progress progress;
            CalibrationOptions options;
            options.memoryLimit = limit;
            statisticsOf(model, windowsFor(model, 6, 20), options, {nullptr, &progress});
            QCOMPARE(progress.stage(), std::string("calibrating"));
            QVERIFY(progress.total() > 0);
            QCOMPARE(progress.done(), progress.total());
        }
    }

    void aStopEndsThePass()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        std::stop_source source;
        int delivered = 0;
        QVERIFY_EXCEPTION_THROWN(calibrate(model, windowsFor(model, 3, 12), {},
                                           [&](const ActivationSite &, SiteStats) {
                                               ++delivered;
                                               source.request_stop();
                                           },
                                           {nullptr, nullptr, source.get_token()}),
                                 Cancelled);
        QVERIFY(delivered >= 1 && delivered < static_cast<int>(model.activationSites().size()));
    }

    void nothingToCalibrateOnIsAnError()
    {
        LQER_NEED_SHARED();
        const Transformer model = modelOf("stories260k");
        ErrorCode code{};
        QVERIFY(!errorOf([&] { statisticsOf(model, {}, {}, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        CalibrationOptions options;
        options.batch = 0;
        QVERIFY(!errorOf([&] { statisticsOf(model, windowsFor(model, 1, 4), options, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }

    // R of bfloat16 products is R but for roundings that average out, and so are the directions that a correction takes from it.
    void bfloat16ProductsKeepTheStatistics()
    {
        LQER_NEED_SHARED();
        if (!Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
        const Transformer model = modelOf("stories260k");
        const TokenWindows windows = windowsFor(model, 6, 128);
        CalibrationOptions wide, narrow;
        narrow.precision = Precision::BFloat16;
        CalibrationStats a, b;
        a.options = wide;
        b.options = narrow;
        QVERIFY(a.key() != b.key());
        const auto exact = statisticsOf(model, windows, wide, {}), rounded = statisticsOf(model, windows, narrow, {});
        QCOMPARE(exact.size(), rounded.size());
        double worstR = 0, worstScale = 0, worstEnergy = 0;
        for (const LinearSite &site : model.linearSites()) {
            const SiteStats &one = exact.at(site.activationSite), &other = rounded.at(site.activationSite);
            QVERIFY(other.autocorrelation != one.autocorrelation);
            worstR = std::max(worstR, (other.autocorrelation - one.autocorrelation).norm() / one.autocorrelation.norm());
            worstScale = std::max(worstScale, (other.lqerScale() - one.lqerScale()).norm() / one.lqerScale().norm());
            // E^T R E of an error like a quantizer's: the energy that the rounded R's leading directions take from the exact one.
            const MatrixF64 weight = model.readWeight(site).cast<double>();
            const double step = weight.cwiseAbs().maxCoeff() / 8;
            const MatrixF64 error = (weight - (weight / step).array().round().matrix() * step).transpose();
            const auto leading = [&](const SiteStats &stats, Index rank) {
                const Eigen::SelfAdjointEigenSolver<MatrixF64> solver(error.transpose() * stats.autocorrelation * error);
                return MatrixF64(solver.eigenvectors().rightCols(rank));
            };
            const auto energy = [&](const MatrixF64 &directions) {
                return (directions.transpose() * error.transpose() * one.autocorrelation * error * directions).trace();
            };
            for (const Index rank : {Index(4), Index(16)})
                worstEnergy = std::max(worstEnergy, 1 - energy(leading(other, rank)) / energy(leading(one, rank)));
        }
        qInfo("R off by %.1e, scales by %.1e, captured energy by %.1e", worstR, worstScale, worstEnergy);
        // A rounding is 2^-9 at most, and an input brings along what the layers before it rounded; 64 channels average little of it out.
        QVERIFY(worstR < 2e-2);
        QVERIFY(worstScale < 1e-2);
        QVERIFY(worstEnergy < 1e-4);
    }
};

QTEST_GUILESS_MAIN(TestCalibrate)
#include "tst_calibrate.moc"
