// SPDX-License-Identifier: Apache-2.0
// Real models against the results of an independent float64 forward pass (shared data: models/<name>/reference).
#include <QtTest>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/io/checkpoint.h"
#include "core/io/npy.h"
#include "core/linalg/bf16_weight.h"
#include "core/model/transformer.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

std::string modelFolder(const std::string &name)
{
    return lqer::test::sharedFolder() + "/models/" + name;
}

Transformer openModel(const std::string &name)
{
    return Transformer(std::make_shared<const Checkpoint>(modelFolder(name)));
}

MatrixF64 readMatrix(const std::string &path)
{
    return readNpy(path).toMatrixF64();
}

// One row a window; where lengths are given only that many ids of each row belong to it.
std::vector<TokenWindow> readWindows(const std::string &stem)
{
    const MatrixF64 ids = readMatrix(stem + ".windows.npy");
    const bool ragged = fs::exists(stem + ".lengths.npy");
    const MatrixF64 lengths = ragged ? readMatrix(stem + ".lengths.npy") : MatrixF64();
    std::vector<TokenWindow> windows;
    for (Index row = 0; row < ids.rows(); ++row) {
        const Index length = ragged ? static_cast<Index>(lengths(0, row)) : ids.cols();
        TokenWindow window;
        for (Index i = 0; i < length; ++i)
            window.ids.push_back(static_cast<TokenId>(ids(row, i)));
        windows.push_back(std::move(window));
    }
    return windows;
}

std::vector<std::vector<float>> score(const Transformer &model, const std::vector<TokenWindow> &windows,
                                      const Transformer::ForwardOptions &options = {}, const TaskContext &context = {})
{
    ForwardHooks plain;
    return model.logProbabilities(windows, plain, options, context);
}

// Log-probabilities on a pool of this machine's processors.
std::vector<std::vector<float>> scoreInParallel(const Transformer &model, const std::vector<TokenWindow> &windows)
{
    ThreadPool pool;
    return score(model, windows, {}, TaskContext{&pool});
}

void addModelsAndSets()
{
    QTest::addColumn<QString>("model");
    QTest::addColumn<QString>("set");
    if (lqer::test::sharedFolder().empty())
        return;
    std::vector<std::string> rows;
    for (const auto &model : fs::directory_iterator(lqer::test::sharedFolder() + "/models"))
        for (const auto &file : fs::directory_iterator(model.path() / "reference"))
            if (file.path().string().ends_with(".windows.npy"))
                rows.push_back(model.path().filename().string() + " " + file.path().stem().stem().string());
    std::sort(rows.begin(), rows.end());
    for (const std::string &row : rows) {
        const QString text = QString::fromStdString(row);
        QTest::newRow(row.c_str()) << text.section(' ', 0, 0) << text.section(' ', 1, 1);
    }
}

}  // namespace

class TestReferenceModels : public QObject {
    Q_OBJECT

private slots:
    void initTestCase() { LQER_NEED_SHARED(); }

    void everyLogProbabilityAndThePerplexityAgree_data() { addModelsAndSets(); }
    void everyLogProbabilityAndThePerplexityAgree()
    {
        QFETCH(QString, model);
        QFETCH(QString, set);
        const std::string stem = modelFolder(model.toStdString()) + "/reference/" + set.toStdString();
        const std::vector<TokenWindow> windows = readWindows(stem);
        const MatrixF64 expected = readMatrix(stem + ".logprob_f64.npy");
        const Transformer transformer = openModel(model.toStdString());
        const auto found = scoreInParallel(transformer, windows);
        QCOMPARE(found.size(), static_cast<std::size_t>(expected.rows()));
        double sum = 0;
        double expectedSum = 0;
        double worst = 0;
        std::size_t tokens = 0;
        for (std::size_t w = 0; w < found.size(); ++w) {
            QCOMPARE(found[w].size(), windows[w].ids.size() - 1);
            for (std::size_t i = 0; i < found[w].size(); ++i) {
                const double reference = expected(static_cast<Index>(w), static_cast<Index>(i));
                worst = std::max(worst, std::abs(reference - static_cast<double>(found[w][i])));
                sum += static_cast<double>(found[w][i]);
                expectedSum += reference;
            }
            tokens += found[w].size();
        }
        const auto perplexity = [&](double logs) { return std::exp(-logs / static_cast<double>(tokens)); };
        const double drift = std::abs(perplexity(sum) / perplexity(expectedSum) - 1);
        qInfo("%zu tokens, largest difference %.2e, perplexity off by %.1e", tokens, worst, drift);
        // The reference's own float32 run differs by up to 2e-5; the shared data allow 2e-4 and 1e-5.
        QVERIFY(worst < 2e-4);
        QVERIFY(drift < 1e-5);
    }

    void bfloat16ProductsKeepThePerplexity_data() { addModelsAndSets(); }
    void bfloat16ProductsKeepThePerplexity()
    {
        if (!Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
        QFETCH(QString, model);
        QFETCH(QString, set);
        const std::vector<TokenWindow> windows = readWindows(modelFolder(model.toStdString()) + "/reference/" + set.toStdString());
        const Transformer transformer = openModel(model.toStdString());
        Transformer::ForwardOptions narrow;
        narrow.precision = Precision::BFloat16;
        const auto meanLoss = [](const std::vector<std::vector<float>> &scores) {
            double sum = 0;
            std::size_t tokens = 0;
            for (const std::vector<float> &window : scores)
                for (const float score : window) {
                    sum -= static_cast<double>(score);
                    ++tokens;
                }
            return sum / static_cast<double>(tokens);
        };
        ForwardHooks plain;
        const double found = meanLoss(transformer.logProbabilities(windows, plain, narrow, {}));
        const double exact = meanLoss(score(transformer, windows));
        const double drift = std::abs(std::exp(found - exact) - 1);
        qInfo("perplexity %.4f, off by %.1e", std::exp(exact), drift);
        QVERIFY(drift > 0);
        // Four digits, with the narrowest models there are (64 channels, where roundings average out least); on a text that the model
        // knows nothing of, three.
        QVERIFY(drift < (set.startsWith("wikitext2raw") ? 1.5e-3 : 3e-4));
    }

    void theLogitsOfTheFirstPositionsAgree_data() { addModelsAndSets(); }
    void theLogitsOfTheFirstPositionsAgree()
    {
        QFETCH(QString, model);
        QFETCH(QString, set);
        const std::string stem = modelFolder(model.toStdString()) + "/reference/" + set.toStdString();
        if (!fs::exists(stem + ".logits_w0_first16_f64.npy"))
            QSKIP("no logits stored for this set");
        const MatrixF64 expected = readMatrix(stem + ".logits_w0_first16_f64.npy");
        const std::vector<TokenWindow> windows = {readWindows(stem).front()};
        const Transformer transformer = openModel(model.toStdString());
        ForwardHooks plain;
        MatrixF64 found(static_cast<Index>(windows[0].ids.size()), transformer.config().vocabulary);
        Index next = 0;
        transformer.forward(windows, plain, {}, [&](std::size_t window, Index row, const ConstMatrixRef &logits) {
            QCOMPARE(window, 0U);
            QCOMPARE(row, next);
            found.middleRows(row, logits.rows()) = logits.cast<double>();
            next += logits.rows();
        }, {});
        QCOMPARE(next, found.rows());
        QVERIFY((found.topRows(expected.rows()) - expected).cwiseAbs().maxCoeff() < 2e-4);
    }

    void greedyContinuationsAreTheSame_data()
    {
        QTest::addColumn<QString>("model");
        for (const char *model : {"shakespeare-gpt2", "shakespeare-opt", "stories260k", "tinystories-656k"})
            QTest::newRow(model) << QString(model);
    }
    void greedyContinuationsAreTheSame()
    {
        QFETCH(QString, model);
        const Transformer transformer = openModel(model.toStdString());
        const std::string path = modelFolder(model.toStdString()) + "/reference/greedy.json";
        const Json file = readJsonFile(path);
        const JsonReader items = JsonReader(file, path)["items"];
        QVERIFY(items.size() > 0);
        ForwardHooks plain;
        for (std::size_t i = 0; i < items.size(); ++i) {
            std::vector<TokenId> ids;
            for (const Json &id : items.at(i)["prompt_ids"].value().asArray())
                ids.push_back(static_cast<TokenId>(id.asInteger()));
            for (const Json &id : items.at(i)["greedy_ids"].value().asArray()) {
                TokenWindow window;
                const auto most = static_cast<std::size_t>(transformer.config().maxPositions);
                window.ids.assign(ids.size() > most ? ids.end() - static_cast<std::ptrdiff_t>(most) : ids.begin(), ids.end());
                Index best = -1;
                transformer.forward(std::vector{window}, plain, {}, [&](std::size_t, Index, const ConstMatrixRef &logits) {
                    logits.row(logits.rows() - 1).maxCoeff(&best);
                }, {});
                QCOMPARE(static_cast<std::int64_t>(best), id.asInteger());
                ids.push_back(static_cast<TokenId>(best));
            }
        }
    }

    void copiesScoreTheSame_data()
    {
        QTest::addColumn<QString>("copy");
        QTest::addColumn<QString>("original");
        // The weights of this model fit both 16-bit types exactly, so the bits must be the same.
        QTest::newRow("shards") << "tinystories-656k-sharded" << "tinystories-656k";
        QTest::newRow("bf16") << "tinystories-656k-bf16" << "tinystories-656k";
        QTest::newRow("f16") << "tinystories-656k-f16" << "tinystories-656k";
    }
    void copiesScoreTheSame()
    {
        QFETCH(QString, copy);
        QFETCH(QString, original);
        const std::vector<TokenWindow> windows =
            readWindows(modelFolder(original.toStdString()) + "/reference/tinystories.A");
        const auto some = std::vector<TokenWindow>(windows.begin(), windows.begin() + 4);
        QVERIFY(score(openModel(copy.toStdString()), some) == score(openModel(original.toStdString()), some));
        QCOMPARE(openModel(copy.toStdString()).parameters(), openModel(original.toStdString()).parameters());
    }

    void threadsGroupsAndBudgetsChangeNoBit_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("set");
        QTest::newRow("llama") << "tinystories-656k" << "wikitext2raw.A";
        QTest::newRow("opt") << "shakespeare-opt" << "shakespeare.A";
        QTest::newRow("gpt2, ragged") << "capp-gpt2" << "parts.G";
    }
    void threadsGroupsAndBudgetsChangeNoBit()
    {
        QFETCH(QString, model);
        QFETCH(QString, set);
        const std::string stem = modelFolder(model.toStdString()) + "/reference/" + set.toStdString();
        std::vector<TokenWindow> windows = readWindows(stem);
        windows.resize(7);
        const Transformer transformer = openModel(model.toStdString());
        const auto alone = score(transformer, windows);
        ThreadPool three(3);
        const TaskContext threaded{&three};
        QVERIFY(score(transformer, windows, {}, threaded) == alone);
        for (const std::size_t group : {1, 2, 3, 7, 50}) {
            for (const std::uint64_t budget : {std::uint64_t{0}, std::uint64_t{300'000}, std::uint64_t{1} << 40}) {
                QVERIFY(score(transformer, windows, {.weightBudget = budget, .group = group}) == alone);
                QVERIFY(score(transformer, windows, {.weightBudget = budget, .group = group}, threaded) == alone);
            }
        }
    }

    void onlyTheScoredTargetsAreReturned()
    {
        const Transformer transformer = openModel("stories260k");
        std::vector<TokenWindow> windows = readWindows(modelFolder("stories260k") + "/reference/tinystories.A");
        windows.resize(2);
        const auto all = score(transformer, windows);
        windows[1].firstScored = 130;
        const auto some = score(transformer, windows);
        QVERIFY(some[0] == all[0]);
        QCOMPARE(some[1].size(), windows[1].ids.size() - 130);
        // Other rows lie in one product of the head, so the last bits may differ.
        for (std::size_t i = 0; i < some[1].size(); ++i)
            QVERIFY(std::abs(some[1][i] - all[1][i + 129]) < 1e-5F);
    }
};

QTEST_GUILESS_MAIN(TestReferenceModels)
#include "tst_reference_models.moc"
