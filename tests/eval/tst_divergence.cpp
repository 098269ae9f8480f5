// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include <QtTest>

#include "core/eval/divergence.h"
#include "core/eval/perplexity.h"
#include "core/eval/quantized_forward.h"
#include "core/recipe/quantization_recipe.h"
#include "tests/eval/scored_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

QuantizedForward quantizedTo(const Transformer &model, const std::string &format)
{
    QuantizationRecipe recipe;
    recipe.defaults.weight = FormatSpec::parse(format);
    return QuantizedForward(recipe.planFor(model.linearSites()), {}, {});
}

// All scores of all windows, in double.
std::vector<MatrixF64> scoresOf(const Transformer &model, const TokenWindows &windows, ForwardHooks &hooks)
{
    std::vector<MatrixF64> scores(windows.windows.size());
    model.forward(windows.windows, hooks, {},
                  [&](std::size_t w, Index row, const ConstMatrixRef &logits) {
                      scores[w].conservativeResize(row + logits.rows(), logits.cols());
                      scores[w].middleRows(row, logits.rows()) = logits.cast<double>();
                  },
                  {});
    return scores;
}

VectorF64 probabilities(const MatrixF64 &scores, Index row)
{
    const VectorF64 shifted = (scores.row(row).array() - scores.row(row).maxCoeff()).exp().matrix().transpose();
    return shifted / shifted.sum();
}

bool near(double found, double expected, double relative, double absolute = 0)
{
    return std::abs(found - expected) <= relative * std::abs(expected) + absolute;
}

DivergenceReport withoutTime(DivergenceReport report)
{
    report.seconds = 0;
    return report;
}

}  // namespace

class TestDivergence : public QObject {
    Q_OBJECT

private slots:
    void theSameModelDoesNotDiverge()
    {
        const test::ScoredModel small;
        ForwardHooks hooks;
        const DivergenceReport report = evaluateDivergence(small.model(), test::randomWindows(3, 16), hooks, {}, {});
        QCOMPARE(report.tokens, std::int64_t(45));
        QCOMPARE(report.kl.mean, 0.0);
        QCOMPARE(report.maxKl, 0.0);
        QCOMPARE(report.topAgreement.mean, 1.0);
        QCOMPARE(report.topAgreement.standardError, 0.0);
        QCOMPARE(report.rmsDeltaP.mean, 0.0);
        QCOMPARE(report.ratio.mean, 1.0);
        QVERIFY(near(report.logProbabilityCorrelation, 1.0, 1e-12));
    }

    // Every figure again from the scores of two ordinary forward passes, by the textbook formulas in double.
    void agreesWithBruteForce()
    {
        const test::ScoredModel small;
        const Transformer &model = small.model();
        TokenWindows windows = test::randomWindows(4, 90);  // more than one block of rows
        windows.windows[1].firstScored = 70;
        windows.windows[2].ids.resize(1);  // nothing to score
        ForwardHooks plain;
        QuantizedForward quantized = quantizedTo(model, "mxint:width=3,block_size=16");
        const auto original = scoresOf(model, windows, plain);
        const auto changed = scoresOf(model, windows, quantized);

        std::vector<double> kl, delta, pLogs, qLogs;
        double agree = 0;
        for (std::size_t w = 0; w < windows.windows.size(); ++w) {
            const TokenWindow &window = windows.windows[w];
            for (std::size_t t = static_cast<std::size_t>(window.firstScored); t < window.ids.size(); ++t) {
                const auto row = static_cast<Index>(t) - 1;
                const VectorF64 p = probabilities(original[w], row);
                const VectorF64 q = probabilities(changed[w], row);
                kl.push_back((p.array() * (p.array() / q.array()).log()).sum());
                delta.push_back(q[window.ids[t]] - p[window.ids[t]]);
                pLogs.push_back(std::log(p[window.ids[t]]));
                qLogs.push_back(std::log(q[window.ids[t]]));
                Index pTop = 0, qTop = 0;
                p.maxCoeff(&pTop);
                q.maxCoeff(&qTop);
                agree += pTop == qTop;
            }
        }
        const auto n = static_cast<double>(kl.size());
        const auto mean = [&](const std::vector<double> &values) {
            return std::accumulate(values.begin(), values.end(), 0.0) / n;
        };
        const auto error = [&](const std::vector<double> &values) {
            double squares = 0;
            for (const double value : values)
                squares += (value - mean(values)) * (value - mean(values));
            return std::sqrt(squares / n / (n - 1));
        };
        std::vector<double> ratio, squares;
        for (std::size_t i = 0; i < kl.size(); ++i) {
            ratio.push_back(pLogs[i] - qLogs[i]);
            squares.push_back(delta[i] * delta[i]);
        }

        const DivergenceReport report = evaluateDivergence(model, windows, quantized, {}, {});
        QCOMPARE(report.tokens, std::int64_t(kl.size()));
        QCOMPARE(report.tokens, std::int64_t(89 + 20 + 89));
        // Scores of both runs are float32; the products may round differently where blocks of rows differ: 1e-5 of a divergence.
        QVERIFY(report.kl.mean > 0.01);
        QVERIFY(near(report.kl.mean, mean(kl), 1e-5));
        QVERIFY(near(report.kl.standardError, error(kl), 1e-4));
        std::sort(kl.begin(), kl.end());
        QVERIFY(near(report.maxKl, kl.back(), 1e-4));
        QVERIFY(near(report.minKl, kl.front(), 1e-3));
        QVERIFY(near(report.medianKl, (kl[98] + kl[99]) / 2, 1e-4));             // 198 values: places 98.5, ...
        QVERIFY(near(report.kl99, kl[195] + 0.03 * (kl[196] - kl[195]), 1e-4));  // 0.99 * 197 = 195.03
        QVERIFY(near(report.topAgreement.mean, agree / n, 1e-12));
        QVERIFY(near(report.topAgreement.standardError, std::sqrt(agree / n * (1 - agree / n) / (n - 1)), 1e-9));
        QVERIFY(report.topAgreement.mean < 1);
        QVERIFY(near(report.deltaP.mean, mean(delta), 1e-5, 1e-7));
        QVERIFY(near(report.deltaP.standardError, error(delta), 1e-4));
        QVERIFY(near(report.rmsDeltaP.mean, std::sqrt(mean(squares)), 1e-4));
        QVERIFY(near(report.rmsDeltaP.standardError, error(squares) / 2 / std::sqrt(mean(squares)), 1e-3));
        QVERIFY(near(report.logRatio.mean, mean(ratio), 1e-4));
        QVERIFY(near(report.logRatio.standardError, error(ratio), 1e-4));
        QVERIFY(near(report.originalPerplexity, std::exp(-mean(pLogs)), 1e-5));
        QVERIFY(near(report.perplexity, std::exp(-mean(qLogs)), 1e-5));
        QVERIFY(near(report.ratio.mean, report.perplexity / report.originalPerplexity, 1e-9));
        QVERIFY(near(report.ratio.standardError, report.ratio.mean * report.logRatio.standardError, 1e-12));
        QVERIFY(report.logProbabilityCorrelation > 0 && report.logProbabilityCorrelation < 1);
    }

    void perplexitiesAreThoseOfThePerplexityReport()
    {
        const test::ScoredModel small;
        const TokenWindows windows = test::randomWindows(3, 30);
        ForwardHooks plain;
        QuantizedForward quantized = quantizedTo(small.model(), "mxint:width=2,block_size=16");
        const DivergenceReport report = evaluateDivergence(small.model(), windows, quantized, {}, {});
        QVERIFY(near(report.originalPerplexity, evaluatePerplexity(small.model(), windows, plain, {}, {}).perplexity, 1e-5));
        QVERIFY(near(report.perplexity, evaluatePerplexity(small.model(), windows, quantized, {}, {}).perplexity, 1e-5));
    }

    void fewerBitsDivergeMore()
    {
        const test::ScoredModel small;
        const TokenWindows windows = test::randomWindows(3, 30);
        double last = 0;
        for (const char *format : {"mxint:width=8,block_size=16", "mxint:width=4,block_size=16", "mxint:width=2,block_size=16"}) {
            QuantizedForward quantized = quantizedTo(small.model(), format);
            const double kl = evaluateDivergence(small.model(), windows, quantized, {}, {}).kl.mean;
            QVERIFY(kl > 2 * last);
            last = kl;
        }
    }

    void groupsAndThreadsChangeNothing()
    {
        const test::ScoredModel small;
        const TokenWindows windows = test::randomWindows(5, 40);
        QuantizedForward quantized = quantizedTo(small.model(), "mxint:width=4,block_size=16");
        const DivergenceReport reference = withoutTime(evaluateDivergence(small.model(), windows, quantized, {}, {}));
        ThreadPool pool(3);
        Progress progress;
        TaskContext context;
        context.pool = &pool;
        context.progress = &progress;
        DivergenceOptions options;
        options.forward.group = 2;
        QCOMPARE(withoutTime(evaluateDivergence(small.model(), windows, quantized, options, context)), reference);
        QCOMPARE(progress.done(), progress.total());
    }

    void nothingToScoreIsRefused()
    {
        const test::ScoredModel small;
        ForwardHooks hooks;
        ErrorCode code{};
        QVERIFY(
            !test::errorOf([&] { evaluateDivergence(small.model(), test::randomWindows(2, 1), hooks, {}, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        TokenWindows windows = test::randomWindows(1, 4);
        windows.windows[0].firstScored = 0;
        QVERIFY(!test::errorOf([&] { evaluateDivergence(small.model(), windows, hooks, {}, {}); }, &code).empty());
    }
};

QTEST_GUILESS_MAIN(TestDivergence)
#include "tst_divergence.moc"
