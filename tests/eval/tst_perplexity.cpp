// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <QtTest>

#include "core/eval/perplexity.h"
#include "core/io/npy.h"
#include "tests/eval/scored_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

// Windows of the given lengths (all ids 5) and their log-probabilities.
TokenWindows windowsOf(std::initializer_list<std::size_t> lengths)
{
    TokenWindows windows;
    windows.source = "text";
    for (const std::size_t length : lengths)
        windows.windows.push_back({std::vector<TokenId>(length, 5), 1});
    return windows;
}

bool near(double found, double expected, double relative = 1e-12)
{
    return std::abs(found - expected) <= relative * std::abs(expected);
}

PerplexityReport withoutTime(PerplexityReport report)
{
    report.seconds = 0;
    return report;
}

}  // namespace

class TestPerplexity : public QObject {
    Q_OBJECT

private slots:
    // Window sums 3 over 2 tokens, 3 over 1, 6 over 3: mean 12 / 6 = 2. Residuals S - 2 n: -1, 1, 0, so the error of the mean is
    // sqrt(3 / 2 * 2) / 6 = 0.288675.
    void tokensCountTheSame()
    {
        const std::vector<std::vector<float>> logs = {{-1, -2}, {-3}, {-1, -2, -3}};
        const PerplexityReport report = summarizeLogProbabilities(windowsOf({3, 2, 4}), logs, {});
        QCOMPARE(report.tokens, std::int64_t(6));
        QCOMPARE(report.windows, std::int64_t(3));
        QCOMPARE(report.meanNll, 2.0);
        QVERIFY(near(report.perplexity, std::exp(2.0)));
        QVERIFY(near(report.standardError, std::exp(2.0) * std::sqrt(3.0) / 6.0));
        QCOMPARE(report.totalNll, 12.0);
        QVERIFY(near(report.bitsPerToken, 2.0 / std::log(2.0)));
        QCOMPARE(report.windowNll, (std::vector<double>{1.5, 3.0, 2.0}));
        QCOMPARE(report.windowTokens, (std::vector<std::int64_t>{2, 1, 3}));
        QVERIFY(report.words == 0 && report.wordPerplexity == 0 && report.bitsPerByte == 0 && report.batch == 0);
    }

    // Means 1, 2, 4, 5 of equal windows: standard deviation sqrt(10 / 3), error of the mean half of it.
    void equalWindowsGiveTheErrorOfAMean()
    {
        const std::vector<std::vector<float>> logs = {{-1, -1}, {-2, -2}, {-4, -4}, {-5, -5}};
        const PerplexityReport report = summarizeLogProbabilities(windowsOf({3, 3, 3, 3}), logs, {});
        QCOMPARE(report.meanNll, 3.0);
        QVERIFY(near(report.standardError, std::exp(3.0) * std::sqrt(10.0 / 3.0) / 2.0));
    }

    void oneWindowHasNoError()
    {
        QCOMPARE(summarizeLogProbabilities(windowsOf({3}), std::vector<std::vector<float>>{{-1, -2}}, {}).standardError, 0.0);
    }

    // Batches of two windows: (1 + 1 + 2 + 2) / 4 = 1.5 and, alone in its batch, 4: mean 2.75, where tokens would give 2.
    void batchesCountTheSameHoweverSmall()
    {
        const std::vector<std::vector<float>> logs = {{-1, -1}, {-2, -2}, {-4, -4}};
        PerplexityOptions options;
        options.weighting = LossWeighting::Batch;
        options.batch = 2;
        const TokenWindows windows = windowsOf({3, 3, 3});
        const PerplexityReport report = summarizeLogProbabilities(windows, logs, options);
        QCOMPARE(report.meanNll, 2.75);
        QVERIFY(near(report.perplexity, std::exp(2.75)));
        QVERIFY(near(report.standardError, std::exp(2.75) * 1.25));  // two draws 1.5 and 4
        QCOMPARE(report.totalNll, 14.0);
        QCOMPARE(report.batch, std::int64_t(2));
        options.samples = 3;  // one whole batch
        const PerplexityReport first = summarizeLogProbabilities(windows, logs, options);
        QCOMPARE(first.meanNll, 1.5);
        QCOMPARE(first.windows, std::int64_t(2));
        options.batch = 3;
        QVERIFY(near(summarizeLogProbabilities(windows, logs, options).meanNll, 14.0 / 6.0));
    }

    void batchLossIsTheOfficialOne()
    {
        const std::vector<double> means = {1.0, 2.0, 6.0};
        const BatchLoss all = batchLoss(means, 4);
        QVERIFY(all.loss == 3.0 && all.samples == 12 && near(all.perplexity, std::exp(3.0)));
        const BatchLoss two = batchLoss(means, 4, 11);
        QVERIFY(two.loss == 1.5 && two.samples == 8);
        QCOMPARE(batchLoss(means, 4, 12).samples, std::int64_t(12));
    }

    void impossibleBatchesAreRefused_data()
    {
        QTest::addColumn<int>("count");
        QTest::addColumn<int>("batch");
        QTest::addColumn<int>("samples");
        QTest::newRow("fewer than a batch") << 3 << 4 << 3;
        QTest::newRow("more than there are") << 3 << 4 << 13;
        QTest::newRow("negative") << 3 << 4 << -4;
        QTest::newRow("batch of none") << 3 << 0 << 4;
        QTest::newRow("no batches") << 0 << 4 << 4;
    }
    void impossibleBatchesAreRefused()
    {
        QFETCH(int, count);
        QFETCH(int, batch);
        QFETCH(int, samples);
        const std::vector<double> means(static_cast<std::size_t>(count), 1.0);
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { batchLoss(means, batch, samples); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        PerplexityOptions options;
        options.weighting = LossWeighting::Batch;
        options.batch = batch;
        options.samples = samples;
        TokenWindows windows = windowsOf({3, 3, 3});
        windows.windows.resize(static_cast<std::size_t>(count));
        const std::vector<std::vector<float>> logs(static_cast<std::size_t>(count), {-1, -1});
        if (samples != 13)  // three windows are one batch of four: 13 samples of 12
            QVERIFY(!test::errorOf([&] { summarizeLogProbabilities(windows, logs, options); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }

    // The official code sets the padding token to EOS and masks it, so EOS in the text is not scored (numerics.md E.1, 4).
    void theUnscoredTokenLeavesNoTrace()
    {
        TokenWindows windows = windowsOf({4, 3});
        windows.windows[0].ids[2] = 9;
        windows.windows[1].ids[0] = 9;  // no target
        PerplexityOptions options;
        options.unscored = 9;
        options.keepLogProbabilities = true;
        const std::vector<std::vector<float>> logs = {{-1, -100, -3}, {-2, -2}};
        const PerplexityReport report = summarizeLogProbabilities(windows, logs, options);
        QCOMPARE(report.tokens, std::int64_t(4));
        QCOMPARE(report.meanNll, 2.0);
        QCOMPARE(report.windowTokens, (std::vector<std::int64_t>{2, 2}));
        QCOMPARE(report.logProbabilities, logs);
        QCOMPARE(report.unscored, std::optional<TokenId>(9));
        PerplexityReport stored = report;
        stored.logProbabilities.clear();
        const Json json = report.toJson();
        QVERIFY(PerplexityReport::fromJson(JsonReader(json, "r")) == stored);
    }

    void onlyTargetsFromFirstScoredOnCount()
    {
        TokenWindows windows = windowsOf({4, 4});
        windows.windows[1].firstScored = 3;
        const PerplexityReport report =
            summarizeLogProbabilities(windows, std::vector<std::vector<float>>{{-1, -1, -1}, {-5}}, {});
        QCOMPARE(report.tokens, std::int64_t(4));
        QCOMPARE(report.meanNll, 2.0);
    }

    // lm-eval: word_perplexity = exp(-sum of log-probabilities / words), byte_perplexity likewise, bits_per_byte in base 2.
    void wordsAndBytesAreCountedOfTheWholeSource()
    {
        TokenWindows windows = windowsOf({3, 3});
        windows.options.convention = WindowConvention::WordPerplexity;
        windows.words = 3;
        windows.bytes = 20;
        const std::vector<std::vector<float>> logs = {{-1, -2}, {-2, -1}};
        const PerplexityReport report = summarizeLogProbabilities(windows, logs, {});
        QVERIFY(near(report.wordPerplexity, std::exp(2.0)));
        QVERIFY(near(report.bitsPerWord, 2.0 / std::log(2.0)));
        QVERIFY(near(report.bitsPerByte, 6.0 / 20.0 / std::log(2.0)));
        QVERIFY(near(report.perplexity, std::exp(1.5)));
        QCOMPARE(report.headline(), report.wordPerplexity);
        PerplexityOptions options;
        options.weighting = LossWeighting::Batch;
        options.batch = 1;
        options.samples = 1;  // half of the source: its words say nothing
        const PerplexityReport half = summarizeLogProbabilities(windows, logs, options);
        QVERIFY(half.words == 0 && half.bytes == 0 && half.headline() == half.perplexity);
    }

    void whatCannotBeScoredIsRefused()
    {
        ErrorCode code{};
        const auto message = [&](const TokenWindows &windows, const std::vector<std::vector<float>> &logs) {
            return test::errorOf([&] { summarizeLogProbabilities(windows, logs, {}); }, &code);
        };
        QVERIFY(message(windowsOf({1}), {{}}).find("no token to score") != std::string::npos);
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY(message(windowsOf({}), {}).find("no token to score") != std::string::npos);
        QVERIFY(message(windowsOf({3}), {{-1, -NAN}}).find("window 0, token 2") != std::string::npos);
        QVERIFY(code == ErrorCode::Numeric);
        QVERIFY(!message(windowsOf({3}), {{-1, -INFINITY}}).empty());
        QVERIFY(!message(windowsOf({3}), {{-1}}).empty());
        QVERIFY(code == ErrorCode::Shape);
        QVERIFY(!message(windowsOf({3, 3}), {{-1, -1}}).empty());
    }

    void theModelsOwnLogProbabilitiesAreUsed()
    {
        const test::ScoredModel small;
        TokenWindows windows = test::randomWindows(5, 20);
        windows.windows[3].firstScored = 11;
        ForwardHooks hooks;
        PerplexityOptions options;
        options.keepLogProbabilities = true;
        const PerplexityReport report = evaluatePerplexity(small.model(), windows, hooks, options, {});
        QCOMPARE(report.logProbabilities, small.model().logProbabilities(windows.windows, hooks, {}, {}));
        QCOMPARE(report.tokens, std::int64_t(4 * 19 + 9));
        QCOMPARE(withoutTime(report), withoutTime(summarizeLogProbabilities(windows, report.logProbabilities, options)));
        QVERIFY(report.perplexity > 5);  // random text: near the vocabulary's 61 or above, never well predicted
    }

    void groupsAndThreadsChangeNothing()
    {
        const test::ScoredModel small;
        const TokenWindows windows = test::randomWindows(7, 24);
        ForwardHooks hooks;
        PerplexityOptions options;
        options.keepLogProbabilities = true;
        const PerplexityReport reference = withoutTime(evaluatePerplexity(small.model(), windows, hooks, options, {}));
        ThreadPool pool(3);
        Progress progress;
        TaskContext context;
        context.pool = &pool;
        context.progress = &progress;
        std::vector<std::int64_t> seen;
        options.forward.group = 3;
        options.forward.weightBudget = 1 << 20;
        options.afterGroup = [&](const PerplexityReport &running) {
            seen.push_back(running.windows);
            TokenWindows part = windows;
            part.windows.resize(static_cast<std::size_t>(running.windows));
            const PerplexityReport expected = summarizeLogProbabilities(
                part, std::span(reference.logProbabilities).first(part.windows.size()), PerplexityOptions{});
            QCOMPARE(running.meanNll, expected.meanNll);
            QCOMPARE(running.standardError, expected.standardError);
        };
        const PerplexityReport grouped = withoutTime(evaluatePerplexity(small.model(), windows, hooks, options, context));
        QCOMPARE(grouped, reference);
        QCOMPARE(seen, (std::vector<std::int64_t>{3, 6}));
        QVERIFY2(progress.detail().find("after 6 of 7 windows") != std::string::npos, progress.detail().c_str());
        QCOMPARE(progress.done(), progress.total());
    }

    void runningBatchesAreWholeOnes()
    {
        const test::ScoredModel small;
        const TokenWindows windows = test::randomWindows(6, 10);
        ForwardHooks hooks;
        PerplexityOptions options;
        options.weighting = LossWeighting::Batch;
        options.batch = 4;
        options.forward.group = 2;
        std::vector<std::int64_t> seen;
        options.afterGroup = [&](const PerplexityReport &running) { seen.push_back(running.windows); };
        const PerplexityReport report = evaluatePerplexity(small.model(), windows, hooks, options, {});
        QCOMPARE(seen, (std::vector<std::int64_t>{4}));
        QCOMPARE(report.windows, std::int64_t(6));
        options.samples = 5;
        QCOMPARE(evaluatePerplexity(small.model(), windows, hooks, options, {}).windows, std::int64_t(4));
    }

    void stopsWhenAsked()
    {
        const test::ScoredModel small;
        std::stop_source source;
        TaskContext context;
        context.stop = source.get_token();
        ForwardHooks hooks;
        PerplexityOptions options;
        options.forward.group = 1;
        options.afterGroup = [&](const PerplexityReport &) { source.request_stop(); };
        QVERIFY_THROWS_EXCEPTION(Cancelled,
                                 evaluatePerplexity(small.model(), test::randomWindows(3, 8), hooks, options, context));
    }

    // Results of an independent float64 forward pass; tolerance 1e-5 relative on perplexity.
    void agreesWithTheReferenceResults_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("reference");
        QTest::newRow("LLaMA") << "stories260k"
                               << "tinystories.A";
        QTest::newRow("OPT") << "shakespeare-opt"
                             << "shakespeare.A";
        QTest::newRow("GPT-2") << "shakespeare-gpt2"
                               << "shakespeare.A";
    }
    void agreesWithTheReferenceResults()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        QFETCH(QString, reference);
        const std::string folder = test::sharedFolder() + "/models/" + model.toStdString();
        const std::string stem = folder + "/reference/" + reference.toStdString();
        const Transformer transformer(std::make_shared<const Checkpoint>(folder));
        WindowOptions windowOptions;
        windowOptions.convention = WindowConvention::Tokens;
        windowOptions.length = 1 << 20;
        const TokenWindows windows = readTokenWindows(stem + ".windows.npy", windowOptions, transformer.config().vocabulary);
        ForwardHooks hooks;
        ThreadPool pool(2);
        TaskContext context;
        context.pool = &pool;
        const PerplexityReport report = evaluatePerplexity(transformer, windows, hooks, {}, context);
        const Json json = readJsonFile(stem + ".json");
        const JsonReader expected(json, stem + ".json");
        QCOMPARE(report.tokens, expected["n_scored_tokens"].integer(1, 1LL << 40));
        QVERIFY(near(report.perplexity, expected["perplexity_f64"].number(), 1e-5));
        QVERIFY(report.standardError > 0 && report.standardError < report.perplexity);
    }

    void weightingsHaveNames()
    {
        QVERIFY(lossWeightingFromString("batch") == LossWeighting::Batch);
        QVERIFY(lossWeightingFromString(toString(LossWeighting::Token)) == LossWeighting::Token);
        QVERIFY(test::errorOf([] { lossWeightingFromString("tokens"); }).find("token, batch") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestPerplexity)
#include "tst_perplexity.moc"
