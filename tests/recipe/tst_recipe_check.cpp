// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/recipe/check.h"
#include "tests/recipe/recipe_sites.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using Severity = RecipeProblem::Severity;

namespace {

QuantizationRecipe parsed(const std::string &text)
{
    return QuantizationRecipe::fromJson(parseJson(text, "r"), "r");
}

}  // namespace

class TestRecipeCheck : public QObject {
    Q_OBJECT

private slots:
    void cleanRecipeHasNoProblem()
    {
        const auto recipe =
            parsed(R"({"version": 1, "defaults": {"weight": "mxint:width=4,block_size=4", "rank": 8, "scaling": "exact"},
            "rules": [{"pattern": ".*\\.mlp\\..*", "rank": 16}], "layers": {"model.layers.0.mlp.up_proj": {"rank": 20}}})");
        const auto problems = check(recipe, test::llamaSites(), [](std::string_view, ScalingKind) { return true; });
        QVERIFY2(problems.empty(), problems.empty() ? "" : problems.front().message.c_str());
        QVERIFY(isUsable(problems));
        requireUsable(problems);
    }

    // One fault each, so one problem each.
    void everyProblemHasItsPlace_data()
    {
        QTest::addColumn<QString>("json");
        QTest::addColumn<bool>("isError");
        QTest::addColumn<QString>("place");
        QTest::addColumn<QStringList>("parts");
        const QString base = R"("defaults": {"weight": "mxint:width=4,block_size=4", "rank": 8%1})";
        const auto json = [&](const QString &defaults, const QString &more = {}) {
            return "{\"version\": 1, " + base.arg(defaults.isEmpty() ? "" : ", " + defaults) + (more.isEmpty() ? "" : ", " + more)
                + "}";
        };
        QTest::newRow("bad pattern") << json(
            "", R"("rules": [{"pattern": "a", "blocks": [[9,9]], "rank": 1}, {"pattern": "*", "rank": 1}])")
                                     << true << "rules[1].pattern" << QStringList{"no argument for repetition"};
        QTest::newRow("rule matches nothing") << json("", R"("rules": [{"pattern": "nothing", "rank": 1}])") << false
                                              << "rules[0]" << QStringList{"'nothing'", "matches nothing"};
        QTest::newRow("rule states nothing")
            << json("", R"("rules": [{"pattern": ".*"}])") << false << "rules[0]" << QStringList{"states nothing"};
        QTest::newRow("rule overruled") << json("",
                                                R"("rules": [{"roles": ["q"], "rank": 1}, {"pattern": ".*q_proj", "rank": 2}])")
                                        << false << "rules[0]" << QStringList{"later rules"};
        QTest::newRow("layer settings on attention") << json("", R"("rules": [{"pattern": ".*self_attn", "rank": 1}])") << false
                                                     << "rules[0]" << QStringList{"matches none"};
        QTest::newRow("attention on layers") << json("", R"("rules": [{"roles": ["q"], "attention": {"query": "mxint8"}}])")
                                             << false << "rules[0].attention" << QStringList{"no attention module"};
        QTest::newRow("unknown layer") << json("", R"("layers": {"model.layers.0.mlp.up_prj": {"rank": 1}})") << true
                                       << "layers['model.layers.0.mlp.up_prj']"
                                       << QStringList{"did you mean 'model.layers.0.mlp.up_proj'"};
        QTest::newRow("rank too high") << json("", R"("rules": [{"roles": ["k", "v"], "rank": 33}])") << true << "rules[0].rank"
                                       << QStringList{"rank 33", "model.layers.0.self_attn.k_proj (32x64: at most 32)",
                                                      "model.layers.1.self_attn.v_proj"};
        QTest::newRow("rank too high, own") << json("", R"("layers": {"model.layers.0.mlp.up_proj": {"rank": 65}})") << true
                                            << "layers['model.layers.0.mlp.up_proj'].rank" << QStringList{"65", "at most 64"};
        QTest::newRow("block does not divide")
            << json("", R"("rules": [{"roles": ["down"], "weight": "mxint:width=4,block_size=32"}])") << false
            << "rules[0].weight" << QStringList{"32 does not divide 172", "holds 12", "padded with zeros"};
        QTest::newRow("nothing to correct") << json("", R"("rules": [{"roles": ["q"], "weight": "passthrough"}])") << false
                                            << "rules[0].weight" << QStringList{"no error to correct"};
        QTest::newRow("scaling without rank") << json("\"scaling\": \"exact\"", R"("rules": [{"pattern": ".*", "rank": 0}])")
                                              << false << "defaults.scaling" << QStringList{"no effect"};
        QTest::newRow("nothing quantized") << json("\"quantize\": false") << false << "defaults.quantize"
                                           << QStringList{"quantizes no layer"};
    }
    void everyProblemHasItsPlace()
    {
        QFETCH(QString, json);
        QFETCH(bool, isError);
        QFETCH(QString, place);
        QFETCH(QStringList, parts);
        auto problems = check(parsed(json.toStdString()), test::llamaSites());
        if (QTest::currentDataTag() == std::string("bad pattern"))
            problems.pop_back();  // the other rule, which matches nothing
        QCOMPARE(problems.size(), std::size_t(1));
        const RecipeProblem &problem = problems.front();
        QCOMPARE(QString::fromStdString(problem.place), place);
        QCOMPARE(problem.severity == Severity::Error, isError);
        QCOMPARE(isUsable(problems), !isError);
        for (const QString &part : parts)
            QVERIFY2(problem.message.find(part.toStdString()) != std::string::npos, problem.message.c_str());
    }

    // 172 inputs: 10 blocks of 16 and 12 over, 5 of 32 and 12 over; 43 of 4. Blocks that run on from row to row leave nothing
    // over.
    void raggedBlocksAreFoundInEveryFormat_data()
    {
        QTest::addColumn<QString>("format");
        QTest::addColumn<int>("block");  // 0: no warning
        QTest::newRow("block_fp") << "block_fp:width=4,block_size=1x16" << 16;
        QTest::newRow("block_fp that divides") << "block_fp:width=4,block_size=1x4" << 0;
        QTest::newRow("block_fp by row") << "block_fp:width=4,block_size=1x-1" << 0;
        QTest::newRow("block_fp along rows") << "block_fp:width=4,block_size=16x1" << 0;
        QTest::newRow("mxint") << "mxint:width=4,block_size=32" << 32;
        QTest::newRow("mxint longer than a row") << "mxint:width=4,block_size=256" << 0;
        QTest::newRow("mxfp4, whose block is fixed") << "mxfp4" << 32;
        QTest::newRow("nvfp4") << "nvfp4" << 16;
        QTest::newRow("integer groups") << "integer:n_bits=4,group_size=128" << 128;
        QTest::newRow("integer per channel") << "integer:n_bits=4,scope=channel" << 0;
        QTest::newRow("nf4, which is flattened") << "nf4" << 0;
        QTest::newRow("minifloat, which has no block") << "minifloat:width=8" << 0;
        QTest::newRow("passthrough") << "passthrough" << 0;
    }
    void raggedBlocksAreFoundInEveryFormat()
    {
        QFETCH(QString, format);
        QFETCH(int, block);
        QuantizationRecipe recipe;
        recipe.rules.push_back({{NamePattern(".*"), {LinearRole::Down}, {}}, {}, {}});
        recipe.rules.back().settings.weight = FormatSpec::parse(format.toStdString());
        const auto problems = check(recipe, test::llamaSites());
        QCOMPARE(problems.size(), std::size_t(block ? 1 : 0));
        if (block) {
            const std::string expected = "a block of " + std::to_string(block) + " does not divide 172";
            QVERIFY2(problems.front().message.starts_with(expected), problems.front().message.c_str());
            QVERIFY(isUsable(problems));
        }
    }

    void formatsMadeByHandAreChecked()
    {
        QuantizationRecipe recipe;
        recipe.defaults.weight = FormatSpec{"mxint", {{"width", std::int64_t(99)}}};
        recipe.defaults.activation = FormatSpec{"mxin", {}};
        recipe.defaults.rank = -1;
        recipe.attention.value = FormatSpec{"mxint", {{"widt", std::int64_t(4)}}};
        const auto problems = check(recipe, test::llamaSites(1));
        std::vector<std::string> places;
        for (const RecipeProblem &problem : problems)
            places.push_back(problem.place);
        const std::vector<std::string> expected = {"defaults.weight", "defaults.activation", "defaults.rank",
                                                   "defaults.attention.value"};
        QCOMPARE(places, expected);
        QVERIFY2(problems[1].message.find("mxint") != std::string::npos, problems[1].message.c_str());
        QVERIFY2(problems[3].message.find("width") != std::string::npos, problems[3].message.c_str());
    }

    // Activations and attention operands have a batch or head axis in front, which no block may cross.
    void formatsThatCannotHoldTheShapeAreErrors()
    {
        QuantizationRecipe recipe;
        recipe.defaults.activation = FormatSpec::parse("mxint:width=8,block_axis=0");
        recipe.attention.key = FormatSpec::parse("mxint:width=8,block_axis=-3");
        const auto problems = check(recipe, test::llamaSites(1));
        QVERIFY(problems.size() >= 2);  // one for the activations of each number of inputs
        QCOMPARE(problems[0].place, std::string("defaults.attention.key"));
        for (const RecipeProblem &problem : problems)
            QVERIFY(problem.severity == Severity::Error);
        QCOMPARE(problems[1].place, std::string("defaults.activation"));
        QVERIFY2(problems[1].message.find("model.layers.0.self_attn.q_proj") != std::string::npos, problems[1].message.c_str());
    }

    void missingStatisticsAreListed()
    {
        const auto recipe =
            parsed(R"({"version": 1, "defaults": {"weight": "mxint:width=4,block_size=4", "rank": 8, "scaling": "exact"},
            "rules": [{"roles": ["o"], "scaling": "diag"}, {"roles": ["down"], "scaling": "identity"}]})");
        const auto onlyVectors = [](std::string_view site, ScalingKind kind) {
            return kind == ScalingKind::Diagonal && site != "model.layers.1.self_attn.o_proj";
        };
        const auto problems = check(recipe, test::llamaSites(), onlyVectors);
        QCOMPARE(problems.size(), std::size_t(2));
        QCOMPARE(problems[0].place, std::string("defaults.scaling"));
        QVERIFY2(problems[0].message.find("and 2 more") != std::string::npos,
                 problems[0].message.c_str());  // 10 layers, 8 are listed
        QCOMPARE(problems[1].place, std::string("rules[0].scaling"));
        QVERIFY2(problems[1].message.ends_with("model.layers.1.self_attn.o_proj"), problems[1].message.c_str());
    }

    void layersThatAreNotQuantizedAreNotChecked()
    {
        const auto recipe = parsed(R"({"version": 1, "defaults": {"weight": "mxint:width=4,block_size=4", "rank": 40},
            "rules": [{"roles": ["k", "v"], "quantize": false}]})");
        QVERIFY(check(recipe, test::llamaSites()).empty());
    }

    void errorsComeFirstAndAreCounted()
    {
        const auto recipe = parsed(R"({"version": 1, "defaults": {"weight": "mxint:width=4,block_size=32", "rank": 100},
            "layers": {"nosuch": {"rank": 1}}})");
        const auto problems = check(recipe, test::llamaSites());
        QCOMPARE(problems.size(), std::size_t(3));
        QVERIFY(problems[0].severity == Severity::Error && problems[1].severity == Severity::Error);
        QVERIFY(problems[2].severity == Severity::Warning);
        ErrorCode code{};
        const std::string message = test::errorOf([&] { requireUsable(problems, "my.json"); }, &code);
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY2(message.starts_with("my.json, layers['nosuch']: ") && message.find("and 1 more") != std::string::npos,
                 message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestRecipeCheck)
#include "tst_recipe_check.moc"
