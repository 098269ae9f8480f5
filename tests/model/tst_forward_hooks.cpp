// SPDX-License-Identifier: Apache-2.0
// What a caller can put into the forward pass, and how the pass behaves around it.
#include <QtTest>

#include <cmath>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "core/linalg/bf16_weight.h"
#include "core/model/transformer.h"
#include "tests/model/small_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using lqer::test::errorOf;
using lqer::test::SmallModel;

namespace {

std::vector<TokenWindow> randomWindows(std::size_t count, std::size_t longest)
{
    std::mt19937_64 engine(5);
    std::vector<TokenWindow> windows(count);
    for (std::size_t w = 0; w < count; ++w)
        for (std::size_t i = 0; i < longest - w % 3; ++i)
            windows[w].ids.push_back(static_cast<TokenId>(engine() % 50));
    return windows;
}

// A model on disk for the life of the object.
struct Opened {
    explicit Opened(const SmallModel &model) : transformer(lqer::test::openModel(model, folder.path().toStdString())) {}
    QTemporaryDir folder;
    Transformer transformer;
};

// Plain loops in place of a product, and a record of what was asked for.
class LoopLinear final : public LinearOperator {
public:
    LoopLinear(Matrix weight, Vector bias, float scale) : m_weight(std::move(weight)), m_bias(std::move(bias)), m_scale(scale) {}
    void apply(const LinearInput &input, MatrixRef y, const TaskContext &) const override
    {
        const ConstMatrixRef &x = input.x();
        for (Index t = 0; t < x.rows(); ++t)
            for (Index o = 0; o < m_weight.rows(); ++o) {
                double sum = m_bias.size() ? static_cast<double>(m_bias[o]) : 0.0;
                for (Index i = 0; i < x.cols(); ++i)
                    sum += static_cast<double>(x(t, i)) * static_cast<double>(m_weight(o, i));
                y(t, o) = m_scale * static_cast<float>(sum);
            }
    }

private:
    Matrix m_weight;
    Vector m_bias;
    float m_scale;
};

class ReplacingHooks final : public ForwardHooks {
public:
    std::vector<std::string> made;
    float scale = 1;
    std::unique_ptr<LinearOperator> makeLinear(const LinearSite &site, const Matrix &weight, const Vector &bias) override
    {
        made.push_back(site.name);
        if (weight.rows() != site.out || weight.cols() != site.in || (bias.size() == site.out) != site.hasBias)
            throw std::logic_error("wrong shapes");
        return std::make_unique<LoopLinear>(weight, bias, scale);
    }
};

class ObservingHooks final : public ForwardHooks {
public:
    std::vector<std::pair<std::size_t, std::string>> calls;
    std::map<std::pair<std::string, std::size_t>, Matrix> inputs;
    std::thread::id thread = std::this_thread::get_id();
    std::string only;
    bool observes(const ActivationSite &site) const override { return only.empty() || site.name == only; }
    void observe(const ActivationSite &site, std::size_t window, const ConstMatrixRef &x) override
    {
        if (std::this_thread::get_id() != thread)
            throw std::logic_error("observed on another thread");
        if (x.cols() != site.features)
            throw std::logic_error("wrong width");
        calls.emplace_back(window, site.name);
        inputs[{site.name, window}] = x;
    }
};

// Records the four operands; multiplies the values by `valueScale`.
class AttentionHooks final : public ForwardHooks {
public:
    mutable std::map<AttentionOperand, std::pair<Shape, std::vector<float>>> seen;
    mutable std::mutex mutex;
    std::int64_t layer = 0;
    float valueScale = 1;
    bool changesAttention(std::int64_t asked) const override { return asked == layer; }
    void attentionOperand(std::int64_t asked, AttentionOperand operand, const Shape &shape,
                          std::span<float> values) const override
    {
        const std::lock_guard lock(mutex);
        if (asked != layer || static_cast<std::int64_t>(values.size()) != elementCount(shape))
            throw std::logic_error("wrong layer or size");
        seen[operand] = {shape, {values.begin(), values.end()}};
        if (operand == AttentionOperand::Value)
            for (float &value : values)
                value *= valueScale;
    }
};

double largestDifference(const std::vector<std::vector<float>> &a, const std::vector<std::vector<float>> &b)
{
    double worst = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t w = 0; w < a.size() && w < b.size(); ++w)
        for (std::size_t i = 0; i < a[w].size(); ++i)
            worst = std::max(worst, std::abs(static_cast<double>(a[w][i]) - static_cast<double>(b[w].at(i))));
    return worst;
}

SmallModel modelOf(const QString &family)
{
    return family == "opt"       ? lqer::test::smallOpt({{"do_layer_norm_before", false}, {"word_embed_proj_dim", 16}})
           : family == "gpt2"    ? lqer::test::smallGpt2()
           : family == "mistral" ? lqer::test::smallMistral()
                                 : lqer::test::smallLlama({{"attention_bias", true}});
}

void addFamilies()
{
    QTest::addColumn<QString>("family");
    for (const char *family : {"llama", "mistral", "opt", "gpt2"})
        QTest::newRow(family) << QString(family);
}

}  // namespace

class TestForwardHooks : public QObject {
    Q_OBJECT

private slots:
    void everyLinearLayerCanBeReplaced_data() { addFamilies(); }
    void everyLinearLayerCanBeReplaced()
    {
        QFETCH(QString, family);
        const Opened model(modelOf(family));
        const auto windows = randomWindows(3, 12);
        ForwardHooks plain;
        ReplacingHooks replacing;
        const auto expected = model.transformer.logProbabilities(windows, plain, {}, {});
        ThreadPool pool(3);
        const auto found = model.transformer.logProbabilities(windows, replacing, {}, TaskContext{&pool});
        QVERIFY(largestDifference(expected, found) < 3e-5);
        std::vector<std::string> order;
        for (const LinearSite &site : model.transformer.linearSites())
            order.push_back(site.name);
        QVERIFY(replacing.made == order);
        ReplacingHooks other;
        other.scale = 1.01F;
        QVERIFY(largestDifference(expected, model.transformer.logProbabilities(windows, other, {}, {})) > 1e-3);
    }

    void blocksAreLoadedOncePerGroupUnlessTheyMayStay_data()
    {
        QTest::addColumn<qulonglong>("budget");
        QTest::addColumn<qulonglong>("loads");
        QTest::addColumn<bool>("narrow");
        // Two blocks of 4 * 24 * 24 (two of them 12 wide) + 3 * 24 * 40 floats, three groups.
        const qulonglong block = 4 * (2 * 24 * 24 + 2 * 12 * 24 + 3 * 24 * 40);
        QTest::newRow("none stay") << qulonglong{0} << qulonglong{6} << false;
        QTest::newRow("almost one") << block - 1 << qulonglong{6} << false;
        QTest::newRow("one stays") << block << qulonglong{4} << false;
        QTest::newRow("all stay") << qulonglong{1} << qulonglong{2} << false;
        QTest::newRow("what is put in the layers' place is not narrow") << block / 2 << qulonglong{6} << true;
    }
    void blocksAreLoadedOncePerGroupUnlessTheyMayStay()
    {
        QFETCH(qulonglong, budget);
        QFETCH(qulonglong, loads);
        QFETCH(bool, narrow);
        if (narrow && !Bf16Weight::isSupported())
            QSKIP("this processor does not multiply bfloat16");
        const Opened model(lqer::test::smallLlama());
        ReplacingHooks hooks;
        Transformer::ForwardOptions options;
        options.precision = narrow ? Precision::BFloat16 : Precision::Float32;
        options.weightBudget = budget == 1 ? std::uint64_t{1} << 40 : budget;
        options.group = 2;
        model.transformer.logProbabilities(randomWindows(5, 6), hooks, options, {});
        QCOMPARE(hooks.made.size(), static_cast<std::size_t>(loads * 7));
    }

    void inputsAreObservedInWindowOrderWithTheSameBits_data() { addFamilies(); }
    void inputsAreObservedInWindowOrderWithTheSameBits()
    {
        QFETCH(QString, family);
        const Opened model(modelOf(family));
        const auto windows = randomWindows(7, 11);
        ForwardHooks plain;
        ObservingHooks alone, together;
        const auto expected = model.transformer.logProbabilities(windows, plain, {}, {});
        QVERIFY(model.transformer.logProbabilities(windows, alone, {}, {}) == expected);
        ThreadPool pool(3);
        QVERIFY(model.transformer.logProbabilities(windows, together, {}, TaskContext{&pool}) == expected);
        QCOMPARE(alone.inputs.size(), windows.size() * model.transformer.activationSites().size());
        QVERIFY(alone.calls == together.calls);
        QVERIFY(alone.inputs == together.inputs);
        std::map<std::string, std::size_t> next;
        for (const auto &[window, site] : alone.calls)
            QCOMPARE(window, next[site]++);
        // Groups change the order of sites only: a site still sees its windows ascending, with the same values.
        ObservingHooks grouped;
        model.transformer.forward(windows, grouped, {.group = 2}, {}, TaskContext{&pool});
        QVERIFY(grouped.inputs == alone.inputs);
    }

    void anObservedInputIsWhatTheLayerMultiplies()
    {
        const Opened model(lqer::test::smallGpt2({{"n_layer", 1}}));
        const auto windows = randomWindows(1, 9);
        ObservingHooks hooks;
        model.transformer.forward(windows, hooks, {}, {}, {});
        const auto input = [&](const char *name) { return hooks.inputs.at({name, 0}); };
        const LinearSite *site = model.transformer.findLinear("transformer.h.0.mlp.c_fc");
        Matrix inner = input("transformer.h.0.mlp.c_fc") * model.transformer.readWeight(*site).transpose();
        inner.rowwise() += model.transformer.readBias(*site).transpose();
        const Matrix activated = inner.unaryExpr([](float v) {
            return 0.5F * v * (1 + std::tanh(std::sqrt(2 / 3.14159265F) * (v + 0.044715F * v * v * v)));
        });
        QVERIFY((activated - input("transformer.h.0.mlp.c_proj")).cwiseAbs().maxCoeff() < 1e-5F);
        // The first token sees only itself: its attention output is its value.
        const LinearSite *qkv = model.transformer.findLinear("transformer.h.0.attn.c_attn");
        const Matrix all = input("transformer.h.0.attn.c_attn") * model.transformer.readWeight(*qkv).transpose();
        const Matrix value = all.row(0).tail(24) + model.transformer.readBias(*qkv).tail(24).transpose();
        QVERIFY((value - input("transformer.h.0.attn.c_proj").row(0)).cwiseAbs().maxCoeff() < 1e-5F);
    }

    void onlyWantedSitesAreObservedAndTheRunCanEndEarly()
    {
        const Opened model(modelOf("opt"));
        const auto windows = randomWindows(3, 8);
        ObservingHooks hooks;
        hooks.only = "model.decoder.layers.0.fc2";
        const auto noLogits = [](std::size_t, Index, const ConstMatrixRef &) { throw std::logic_error("logits of a part"); };
        model.transformer.forward(windows, hooks, {.blocks = 1}, noLogits, {});
        QCOMPARE(hooks.calls.size(), 3U);
        ObservingHooks all;
        model.transformer.forward(windows, all, {.blocks = 1}, noLogits, {});
        QCOMPARE(all.calls.size(), 3U * 5U);  // project_in and four sites of the first block
        ObservingHooks none;
        model.transformer.forward(windows, none, {.blocks = 0}, noLogits, {});
        QCOMPARE(none.calls.size(), 3U);
    }

    void attentionOperandsHaveThePapersLayout_data() { addFamilies(); }
    void attentionOperandsHaveThePapersLayout()
    {
        QFETCH(QString, family);
        const Opened model(modelOf(family));
        const ModelConfig &config = model.transformer.config();
        const auto windows = randomWindows(1, 10);
        const std::int64_t tokens = 10;
        ForwardHooks plain;
        AttentionHooks hooks;
        hooks.layer = 1;
        const auto expected = model.transformer.logProbabilities(windows, plain, {}, {});
        QVERIFY(largestDifference(expected, model.transformer.logProbabilities(windows, hooks, {}, {})) < 1e-5);
        const auto &[queryShape, query] = hooks.seen.at(AttentionOperand::Query);
        const auto &[keyShape, key] = hooks.seen.at(AttentionOperand::KeyTransposed);
        const auto &[probabilityShape, probability] = hooks.seen.at(AttentionOperand::Probabilities);
        const auto &[valueShape, value] = hooks.seen.at(AttentionOperand::Value);
        const std::int64_t dim = config.headDim;
        QCOMPARE(queryShape, (Shape{4, tokens, dim}));
        QCOMPARE(keyShape, (Shape{4, dim, tokens}));
        QCOMPARE(probabilityShape, (Shape{4, tokens, tokens}));
        QCOMPARE(valueShape, (Shape{4, tokens, dim}));
        // OPT's queries come scaled already, the others' scores are divided by sqrt(headDim).
        const double divisor = family == "opt" ? 1 : std::sqrt(static_cast<double>(dim));
        for (std::int64_t head = 0; head < 4; ++head) {
            for (std::int64_t t = 0; t < tokens; ++t) {
                std::vector<double> weights;
                double sum = 0;
                for (std::int64_t s = 0; s < tokens; ++s) {
                    double score = 0;
                    for (std::int64_t i = 0; i < dim; ++i)
                        score += static_cast<double>(query[static_cast<std::size_t>((head * tokens + t) * dim + i)])
                                 * static_cast<double>(key[static_cast<std::size_t>((head * dim + i) * tokens + s)]);
                    const bool visible = s <= t && (config.slidingWindow == 0 || t - s < config.slidingWindow);
                    weights.push_back(visible ? std::exp(score / divisor) : 0);
                    sum += weights.back();
                }
                for (std::int64_t s = 0; s < tokens; ++s) {
                    const auto place = static_cast<std::size_t>((head * tokens + t) * tokens + s);
                    const auto found = static_cast<double>(probability[place]);
                    QVERIFY(std::abs(found - weights[static_cast<std::size_t>(s)] / sum) < 1e-6);
                    QVERIFY(weights[static_cast<std::size_t>(s)] != 0 || found == 0);
                }
            }
        }
        // Grouped heads come repeated: heads 0 and 1 share theirs, 0 and 2 do not.
        const auto headOf = [&](std::int64_t head) {
            const auto size = static_cast<std::ptrdiff_t>(tokens * dim);
            return std::vector<float>(value.begin() + head * size, value.begin() + (head + 1) * size);
        };
        QCOMPARE(headOf(0) == headOf(1), config.kvHeads == 2);
        QVERIFY(headOf(0) != headOf(2));
    }

    void changedAttentionOperandsChangeTheResult()
    {
        const Opened model(lqer::test::smallLlama());
        const auto windows = randomWindows(2, 10);
        ForwardHooks plain;
        AttentionHooks doubling;
        doubling.valueScale = 2;
        const auto expected = model.transformer.logProbabilities(windows, plain, {}, {});
        QVERIFY(largestDifference(expected, model.transformer.logProbabilities(windows, doubling, {}, {})) > 1e-3);
    }

    void logitsAreDeliveredInOrderAndAgreeWithTheLogProbabilities()
    {
        const Opened model(lqer::test::smallLlama({{"max_position_embeddings", 512}}));
        const auto windows = randomWindows(3, 300);
        ForwardHooks plain;
        ThreadPool pool(3);
        const TaskContext context{&pool};
        const auto expected = model.transformer.logProbabilities(windows, plain, {}, context);
        std::size_t window = 0;
        Index next = 0;
        double worst = 0;
        model.transformer.forward(windows, plain, {.group = 2}, [&](std::size_t w, Index row, const ConstMatrixRef &logits) {
            if (w != window) {
                QCOMPARE(next, static_cast<Index>(windows[window].ids.size()));
                QCOMPARE(w, ++window);
                next = 0;
            }
            QCOMPARE(row, next);
            QCOMPARE(logits.cols(), 50);
            QVERIFY(logits.rows() <= 128);
            next += logits.rows();
            for (Index r = 0; r < logits.rows() && row + r + 1 < static_cast<Index>(windows[w].ids.size()); ++r) {
                const Eigen::RowVectorXd scores = logits.row(r).cast<double>();
                const auto target = static_cast<std::size_t>(row + r + 1);
                const double log = scores[windows[w].ids[target]] - std::log(scores.array().exp().sum());
                worst = std::max(worst, std::abs(log - static_cast<double>(expected[w][target - 1])));
            }
        }, context);
        QCOMPARE(window, 2U);
        QCOMPARE(next, static_cast<Index>(windows[2].ids.size()));
        QVERIFY(worst < 1e-5);
    }

    void scoresAndHiddenStatesComeWindowByWindowAsGroupsFinish()
    {
        const Opened model(modelOf("opt"));
        const Transformer &transformer = model.transformer;
        const auto windows = randomWindows(5, 9);
        ForwardHooks plain;
        ThreadPool pool(3);
        const auto expected = transformer.logProbabilities(windows, plain, {}, {});
        std::vector<std::vector<float>> scores;
        transformer.logProbabilities(windows, plain, {.group = 2}, [&](std::size_t window, std::vector<float> some) {
            QCOMPARE(window, scores.size());
            scores.push_back(std::move(some));
        }, TaskContext{&pool});
        QVERIFY(scores == expected);

        const Matrix head = transformer.readHead();
        QCOMPARE(head.rows(), 50);
        QCOMPARE(head.cols(), 16);
        std::size_t next = 0;
        transformer.finalHidden(windows, plain, {.group = 2}, [&](std::size_t window, const Matrix &hidden) {
            QCOMPARE(window, next++);
            QCOMPARE(hidden.rows(), static_cast<Index>(windows[window].ids.size()));
            const Eigen::RowVectorXd row = (hidden * head.transpose()).row(3).cast<double>();
            const double log = row[windows[window].ids[4]] - std::log(row.array().exp().sum());
            QVERIFY(std::abs(log - static_cast<double>(expected[window][3])) < 1e-5);
        }, TaskContext{&pool});
        QCOMPARE(next, windows.size());
    }

    void progressCountsEachWindowInEachBlock()
    {
        const Opened model(lqer::test::smallGpt2());
        const auto windows = randomWindows(5, 7);
        ForwardHooks plain;
        Progress progress;
        const TaskContext context{nullptr, &progress, {}, nullptr};
        const auto sink = [](std::size_t, Index, const ConstMatrixRef &) {};
        progress.beginStage("test", model.transformer.forwardSteps(5, {.group = 2}, true));
        QCOMPARE(progress.total(), 5U * 4U);
        model.transformer.forward(windows, plain, {.group = 2}, sink, context);
        QCOMPARE(progress.done(), progress.total());
        progress.beginStage("test", 0);
        model.transformer.logProbabilities(windows, plain, {.group = 3}, context);
        QCOMPARE(progress.done(), 20U);
        progress.beginStage("test", 0);
        model.transformer.forward(windows, plain, {}, {}, context);
        QCOMPARE(progress.done(), model.transformer.forwardSteps(5, {}, false));
        progress.beginStage("test", 0);
        model.transformer.forward(windows, plain, {.blocks = 2}, {}, context);
        QCOMPARE(progress.done(), 10U);
        QCOMPARE(model.transformer.forwardSteps(5, {.blocks = 2}, true), 10U);
    }

    void aRequestedStopEndsTheRun()
    {
        const Opened model(lqer::test::smallLlama());
        ForwardHooks plain;
        std::stop_source source;
        source.request_stop();
        const TaskContext context{nullptr, nullptr, source.get_token(), nullptr};
        QVERIFY_EXCEPTION_THROWN(model.transformer.logProbabilities(randomWindows(2, 5), plain, {}, context), Cancelled);
    }

    void aHooksExceptionLeavesTheRun()
    {
        class Failing final : public ForwardHooks {
        public:
            bool observes(const ActivationSite &) const override { return true; }
            void observe(const ActivationSite &, std::size_t window, const ConstMatrixRef &) override
            {
                if (window == 1)
                    throw Error(ErrorCode::DiskFull, "no room");
            }
        } hooks;
        const Opened model(lqer::test::smallLlama());
        ThreadPool pool(2);
        QCOMPARE(errorOf([&] { model.transformer.forward(randomWindows(4, 5), hooks, {}, {}, TaskContext{&pool}); }), "no room");
    }

    void badWindowsAreRefused_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<int>("length");
        QTest::addColumn<int>("id");
        QTest::addColumn<int>("firstScored");
        QTest::addColumn<QString>("expected");
        QTest::newRow("id beyond the vocabulary") << "llama" << 5 << 50 << 1
            << "window 1: token id 50 at position 4 is outside the vocabulary of 50";
        QTest::newRow("negative id") << "llama" << 5 << -1 << 1 << "window 1: token id -1 at position 4 is outside";
        QTest::newRow("empty") << "llama" << 0 << 0 << 1 << "window 1: holds no token ids";
        QTest::newRow("too long for learned positions") << "gpt2" << 34 << 1 << 1
            << "window 1: 34 tokens are more than the 32 positions";
        QTest::newRow("too long for OPT") << "opt" << 34 << 1 << 1 << "window 1: 34 tokens are more than the 32 positions";
        QTest::newRow("id of a target that is not run") << "opt" << 33 << 50 << 1
            << "window 1: token id 50 at position 32 is outside the vocabulary of 50";
        QTest::newRow("first token scored") << "llama" << 5 << 1 << 0 << "window 1: the first token has nothing before it";
    }
    void badWindowsAreRefused()
    {
        QFETCH(QString, family);
        QFETCH(int, length);
        QFETCH(int, id);
        QFETCH(int, firstScored);
        QFETCH(QString, expected);
        const Opened model(modelOf(family));
        std::vector<TokenWindow> windows(2);
        windows[0].ids = {1, 2, 3};
        windows[1].ids.assign(static_cast<std::size_t>(length), 2);
        if (length > 0)
            windows[1].ids.back() = id;
        windows[1].firstScored = firstScored;
        ForwardHooks plain;
        ErrorCode code{};
        const std::string message = errorOf([&] { model.transformer.logProbabilities(windows, plain, {}, {}); }, &code);
        QVERIFY2(message.starts_with(expected.toStdString()), message.c_str());
        QVERIFY(code == ErrorCode::Argument);
    }

    // A context of all positions and one more token, as lm-eval scores it: the last id is only a target.
    void theLastTargetNeedsNoPosition()
    {
        const Opened model(modelOf("gpt2"));
        const std::vector<TokenWindow> windows = randomWindows(2, 33);  // of 33 and 32 ids; there are 32 positions
        ForwardHooks plain;
        const auto found = model.transformer.logProbabilities(windows, plain, {}, {});
        QCOMPARE(found[0].size(), std::size_t(32));
        std::vector<TokenWindow> shorter = windows;
        for (TokenWindow &window : shorter)
            window.ids.pop_back();
        const auto expected = model.transformer.logProbabilities(shorter, plain, {}, {});
        for (std::size_t i = 0; i < 31; ++i)
            QVERIFY(std::abs(found[0][i] - expected[0][i]) < 1e-5F);
        QVERIFY(found[0][31] < 0);
        QCOMPARE(found[1].size(), std::size_t(31));
        std::size_t rows = 0;
        model.transformer.finalHidden(windows, plain, {}, [&](std::size_t, const Matrix &hidden) { rows += hidden.rows(); }, {});
        QCOMPARE(rows, std::size_t(2 * 32));
    }

    void windowsWithNothingToScoreGiveNothing()
    {
        const Opened model(lqer::test::smallLlama());
        std::vector<TokenWindow> windows = randomWindows(3, 6);
        windows[0].ids = {4};
        windows[2].firstScored = 100;
        ForwardHooks plain;
        const auto found = model.transformer.logProbabilities(windows, plain, {}, {});
        QVERIFY(found[0].empty());
        QCOMPARE(found[1].size(), windows[1].ids.size() - 1);
        QVERIFY(found[2].empty());
        QVERIFY(model.transformer.logProbabilities({}, plain, {}, {}).empty());
    }

    void overflowIsAnErrorNotANumber()
    {
        SmallModel source = lqer::test::smallLlama();
        // Finite weights whose gate times up is beyond float32.
        for (const char *name : {"model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"})
            source.tensors.at(name) = lqer::test::randomTensor(name, {40, 24}, 1e30);
        const Opened model(source);
        ForwardHooks plain;
        ErrorCode code{};
        const std::string message =
            errorOf([&] { model.transformer.logProbabilities(randomWindows(1, 6), plain, {}, {}); }, &code);
        QVERIFY(code == ErrorCode::Numeric);
        QVERIFY2(message.find("scores are not finite") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestForwardHooks)
#include "tst_forward_hooks.moc"
