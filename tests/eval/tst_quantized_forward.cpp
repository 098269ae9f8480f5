// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <random>
#include <set>

#include <QtTest>

#include "core/eval/perplexity.h"
#include "core/eval/quantized_forward.h"
#include "core/recipe/quantization_recipe.h"
#include "tests/eval/scored_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

Matrix randomMatrix(Index rows, Index cols, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    return Matrix::NullaryExpr(rows, cols, [&] { return normal(random); });
}

QuantizationRecipe weightRecipe(const std::string &format)
{
    QuantizationRecipe recipe;
    recipe.defaults.weight = FormatSpec::parse(format);
    return recipe;
}

std::vector<std::vector<float>> logProbabilities(const Transformer &model, const QuantizationRecipe &recipe,
                                                 const CorrectionSource &corrections = {}, const TaskContext &context = {})
{
    QuantizedForward hooks(recipe.planFor(model.linearSites()), corrections, context);
    return model.logProbabilities(test::randomWindows(3, 20).windows, hooks, {}, context);
}

double largestDifference(const std::vector<std::vector<float>> &x, const std::vector<std::vector<float>> &y)
{
    double largest = 0;
    for (std::size_t w = 0; w < x.size(); ++w)
        for (std::size_t i = 0; i < x[w].size(); ++i)
            largest = std::max(largest, static_cast<double>(std::abs(x[w][i] - y[w][i])));
    return largest;
}

}  // namespace

class TestQuantizedForward : public QObject {
    Q_OBJECT

private slots:
    void rowsOnSeveralThreadsGiveTheSameWeight_data()
    {
        QTest::addColumn<QString>("format");
        for (const char *format :
             {"mxint:width=4,block_size=32", "mxint:width=4,block_size=32,block_axis=0", "block_fp:width=4,block_size=1x16",
              "block_fp:width=4,block_size=48x8", "block_fp:width=4,block_size=-1x-1", "nf4", "integer:n_bits=4,scope=tensor",
              "integer:n_bits=4,group_size=32", "nvfp4", "passthrough"})
            QTest::newRow(format) << format;
    }
    void rowsOnSeveralThreadsGiveTheSameWeight()
    {
        QFETCH(QString, format);
        const auto quantizer = makeQuantizer(FormatSpec::parse(format.toStdString()));
        const Matrix weight = randomMatrix(333, 75, 4);
        Matrix whole(333, 75);
        quantizer->quantize({weight.data(), 333 * 75}, {333, 75}, {whole.data(), 333 * 75});
        ThreadPool pool(3);
        TaskContext context;
        context.pool = &pool;
        QCOMPARE(quantizeWeight(*quantizer, weight, "w", context), whole);
        QCOMPARE(quantizeWeight(*quantizer, weight, "w", {}), whole);
    }

    void aWeightThatCannotBeQuantizedIsNamedWithItsPlace()
    {
        Matrix weight = randomMatrix(200, 32, 4);
        weight(150, 3) = NAN;
        const auto quantizer = makeQuantizer(FormatSpec::parse("mxint:width=4,block_size=32"));
        ErrorCode code{};
        const std::string message = test::errorOf([&] { quantizeWeight(*quantizer, weight, "a.weight", {}); }, &code);
        QVERIFY(code == ErrorCode::Numeric);
        QVERIFY2(message.find("tensor 'a.weight'") != std::string::npos, message.c_str());
        QVERIFY2(message.find(std::to_string(150 * 32 + 3)) != std::string::npos, message.c_str());
    }

    void nothingToChangeChangesNothing()
    {
        const test::ScoredModel small;
        ForwardHooks plain;
        const auto expected = small.model().logProbabilities(test::randomWindows(3, 20).windows, plain, {}, {});
        QuantizationRecipe recipe;
        recipe.defaults.quantize = false;
        QCOMPARE(logProbabilities(small.model(), recipe), expected);
        QuantizedForward empty({}, {}, {});
        QCOMPARE(small.model().logProbabilities(test::randomWindows(3, 20).windows, empty, {}, {}), expected);
        QVERIFY(!empty.changesAttention(0));
        // Passthrough everywhere goes another way to the same products.
        QVERIFY(largestDifference(logProbabilities(small.model(), {}), expected) < 1e-5);
    }

    void weightsAreQuantizedAsPlanned()
    {
        const test::ScoredModel small;
        const QuantizationRecipe recipe = weightRecipe("mxint:width=3,block_size=16");
        QuantizedForward hooks(recipe.planFor(small.model().linearSites()), {}, {});
        const LinearSite &site = small.model().linearSites()[3];
        const Matrix weight = small.model().readWeight(site);
        const auto linear = hooks.makeLinear(site, weight, {});
        QVERIFY(linear != nullptr);
        const Matrix quantized = dynamic_cast<const CorrectedLinear &>(*linear).quantizedWeight();
        QCOMPARE(quantized, quantizeWeight(*makeQuantizer(*recipe.defaults.weight), weight, "w", {}));
        QVERIFY(quantized != weight);
        LinearSite unknown = site;
        unknown.name = "other";
        QVERIFY(hooks.makeLinear(unknown, weight, {}) == nullptr);
    }

    void correctionsAreAskedForWhereTheRankSaysSo()
    {
        const test::ScoredModel small;
        QuantizationRecipe recipe = weightRecipe("mxint:width=2,block_size=16");
        recipe.defaults.rank = 2;
        recipe.rules.push_back({{NamePattern(".*\\.mlp\\..*"), {}, {}}, {}, {}});
        recipe.rules.back().settings.rank = 0;
        recipe.rules.push_back({{NamePattern(".*o_proj"), {}, {}}, {}, {}});
        recipe.rules.back().settings.quantize = false;
        std::multiset<std::string> asked;
        logProbabilities(small.model(), recipe, [&](const LinearSite &site, const LayerPlan &plan) {
            asked.insert(site.name);
            return LowRankCorrection{Matrix::Zero(site.in, plan.rank), Matrix::Zero(plan.rank, site.out), {}, {}};
        });
        const std::multiset<std::string> expected = {"model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.q_proj",
                                                     "model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.k_proj",
                                                     "model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"};
        QVERIFY(asked == expected);
    }

    // The whole error as a correction of full rank gives the original model back, up to float32 rounding.
    void aFullRankCorrectionRestoresTheModel()
    {
        const test::ScoredModel small;
        const Transformer &model = small.model();
        ForwardHooks plain;
        const auto original = model.logProbabilities(test::randomWindows(3, 20).windows, plain, {}, {});
        QuantizationRecipe recipe = weightRecipe("mxint:width=2,block_size=16");
        const auto uncorrected = logProbabilities(model, recipe);
        recipe.defaults.rank = 16;  // min(in, out) of the smallest layer
        for (const LinearSite &site : model.linearSites())
            recipe.layers[site.name].rank = std::min(site.in, site.out);
        const auto exact = makeQuantizer(FormatSpec());
        const auto weightFormat = makeQuantizer(*recipe.defaults.weight);
        const auto corrected = logProbabilities(model, recipe, [&](const LinearSite &site, const LayerPlan &plan) {
            const Matrix weight = model.readWeight(site);
            const Matrix error = weight - quantizeWeight(*weightFormat, weight, site.weightTensor, {});
            return decompose(error, Scaling(ScalingKind::Identity, nullptr, site.in), {}, {}).truncate(plan.rank, *exact, *exact);
        });
        QVERIFY(largestDifference(uncorrected, original) > 0.5);
        QVERIFY(largestDifference(corrected, original) < 1e-3);
    }

    void activationsAndAttentionHaveFormatsOfTheirOwn()
    {
        const test::ScoredModel small;
        ForwardHooks plain;
        const auto original = small.model().logProbabilities(test::randomWindows(3, 20).windows, plain, {}, {});
        QuantizationRecipe recipe;
        recipe.defaults.activation = FormatSpec::parse("block_fp:width=8,block_size=1x16,skip_first_dim=true");
        const double activations = largestDifference(logProbabilities(small.model(), recipe), original);
        QVERIFY(activations > 1e-4 && activations < 1);
        const FormatSpec coarse = FormatSpec::parse("block_fp:width=4,block_size=1x16,skip_first_dim=true");
        for (auto operand :
             {&AttentionSettings::query, &AttentionSettings::key, &AttentionSettings::probabilities, &AttentionSettings::value}) {
            QuantizationRecipe attention;
            attention.attention.*operand = coarse;
            QVERIFY(largestDifference(logProbabilities(small.model(), attention), original) > 1e-3);
        }
    }

    void threadsChangeNothing()
    {
        const test::ScoredModel small;
        QuantizationRecipe recipe = defaultRecipe();
        recipe.defaults.rank = 0;
        ThreadPool pool(3);
        TaskContext context;
        context.pool = &pool;
        QCOMPARE(logProbabilities(small.model(), recipe, {}, context), logProbabilities(small.model(), recipe));
    }

    void aFormatThatIsNotKnownIsRefusedAtOnce()
    {
        ModelPlan plan;
        plan.attention[0].query = FormatSpec{"nosuch", {}};
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { QuantizedForward hooks(plan, {}, {}); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
        plan.attention.clear();
        plan.layers["l"].formats.xa = FormatSpec{"nosuch", {}};
        QVERIFY(!test::errorOf([&] { QuantizedForward hooks(plan, {}, {}); }, &code).empty());
    }

    void aCorrectionOfTheWrongShapeNamesTheLayer()
    {
        const test::ScoredModel small;
        QuantizationRecipe recipe = weightRecipe("mxint:width=4,block_size=16");
        recipe.defaults.rank = 2;
        const std::string message = test::errorOf([&] {
            logProbabilities(small.model(), recipe, [](const LinearSite &, const LayerPlan &) {
                return LowRankCorrection{Matrix::Zero(5, 2), Matrix::Zero(2, 5), {}, {}};
            });
        });
        QVERIFY2(message.find("layer 'model.layers.0.self_attn.q_proj'") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestQuantizedForward)
#include "tst_quantized_forward.moc"
