// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "core/io/atomic_file.h"
#include "core/quant/quantizer.h"
#include "core/recipe/check.h"
#include "core/recipe/quantization_recipe.h"
#include "tests/recipe/recipe_sites.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

FormatSpec mxint(int width)
{
    return FormatSpec::parse("mxint:width=" + std::to_string(width) + ",block_size=32");
}

const LinearSite &siteNamed(const std::vector<LinearSite> &sites, const std::string &name)
{
    return *std::find_if(sites.begin(), sites.end(), [&](const LinearSite &site) { return site.name == name; });
}

QuantizationRecipe everything()
{
    QuantizationRecipe recipe;
    recipe.name = "all \"fields\"";
    recipe.defaults = {true, mxint(4), mxint(8), mxint(8), mxint(6), mxint(7), mxint(5), mxint(3), ScalingKind::Exact, 32};
    recipe.attention = {mxint(8), mxint(7), mxint(6), mxint(5)};
    recipe.rules.push_back({{NamePattern(".*\\.mlp\\..*"), {LinearRole::Gate, LinearRole::Up}, {{0, 1}, {5, 5}}}, {}, {}});
    recipe.rules.back().settings.rank = 0;
    recipe.rules.push_back({{NamePattern("model\\.layers\\.0\\.self_attn"), {}, {}}, {}, {}});
    recipe.rules.back().attention.probabilities = FormatSpec();
    recipe.layers["model.layers.1.mlp.down_proj"].quantize = false;
    recipe.layers["model.layers.1.mlp.up_proj"] = {};
    return recipe;
}

std::string readError(const std::string &text)
{
    return test::errorOf([&] { QuantizationRecipe::fromJson(parseJson(text, "r.json"), "r.json"); });
}

}  // namespace

class TestQuantizationRecipe : public QObject {
    Q_OBJECT

private slots:
    void readsWhatItWrote()
    {
        const QuantizationRecipe recipe = everything();
        const std::string text = recipe.toJson().dump(2);
        QVERIFY(QuantizationRecipe::fromJson(parseJson(text, "r"), "r") == recipe);
        QVERIFY(!(QuantizationRecipe::fromJson(parseJson(text, "r"), "r") == defaultRecipe()));
        for (const RecipePreset &preset : recipePresets())
            QVERIFY2(QuantizationRecipe::fromJson(preset.recipe.toJson(), "r") == preset.recipe, preset.name.c_str());
    }

    void readsWhatItWroteFromAFile()
    {
        const QTemporaryDir folder;
        const std::string path = folder.filePath("recipe.json").toStdString();
        everything().write(path);
        QVERIFY(QuantizationRecipe::read(path) == everything());
    }

    void formatsMayBeObjectsOrText()
    {
        const auto recipe = QuantizationRecipe::fromJson(parseJson(R"({"version": 1, "defaults":
            {"weight": {"name": "mxint", "width": 4, "block_size": 32}, "activation": "mxint:width=4,block_size=32"}})",
                                                                   "r"),
                                                         "r");
        QVERIFY(recipe.defaults.weight.has_value());
        QCOMPARE(withDefaults(*recipe.defaults.weight), withDefaults(mxint(4)));
        QCOMPARE(withDefaults(*recipe.defaults.activation), withDefaults(mxint(4)));
        QVERIFY(!recipe.defaults.rank.has_value());
    }

    void badInputIsNamedWithItsPlace_data()
    {
        QTest::addColumn<QString>("json");
        QTest::addColumn<QString>("place");
        QTest::addColumn<QString>("message");
        QTest::newRow("not an object") << "[]"
                                       << "r.json"
                                       << "object";
        QTest::newRow("no version") << "{}"
                                    << "r.json"
                                    << "version";
        QTest::newRow("version as text") << R"({"version": "1"})"
                                         << "key 'version'"
                                         << "whole number";
        QTest::newRow("version 0") << R"({"version": 0})"
                                   << "key 'version'"
                                   << "at least 1";
        QTest::newRow("newer version") << R"({"version": 2})"
                                       << "key 'version'"
                                       << "newer than this program";
        QTest::newRow("unknown key") << R"({"version": 1, "default": {}})"
                                     << "key 'default'"
                                     << "did you mean 'defaults'";
        QTest::newRow("unknown setting") << R"({"version": 1, "defaults": {"wieght": "nf4"}})"
                                         << "key 'defaults.wieght'"
                                         << "did you mean 'weight'";
        QTest::newRow("unlike any key") << R"({"version": 1, "defaults": {"xyzzy": 1}})"
                                        << "key 'defaults.xyzzy'"
                                        << "known are";
        QTest::newRow("pattern in defaults") << R"({"version": 1, "defaults": {"pattern": "a"}})"
                                             << "key 'defaults.pattern'"
                                             << "unknown key";
        QTest::newRow("unknown rule key") << R"({"version": 1, "rules": [{"patern": "a"}]})"
                                          << "key 'rules[0].patern'"
                                          << "'pattern'";
        QTest::newRow("rules no list") << R"({"version": 1, "rules": {}})"
                                       << "key 'rules'"
                                       << "list";
        QTest::newRow("rule no object") << R"({"version": 1, "rules": [3]})"
                                        << "key 'rules[0]'"
                                        << "object";
        QTest::newRow("layers no object") << R"({"version": 1, "layers": []})"
                                          << "key 'layers'"
                                          << "object";
        QTest::newRow("layer no object") << R"({"version": 1, "layers": {"a.b": 1}})"
                                         << "layers['a.b']"
                                         << "object";
        QTest::newRow("attention of a layer") << R"({"version": 1, "layers": {"a": {"attention": {}}}})"
                                              << "layers['a'].attention"
                                              << "unknown key";
        QTest::newRow("rank below 0") << R"({"version": 1, "defaults": {"rank": -1}})"
                                      << "key 'defaults.rank'"
                                      << "at least 0";
        QTest::newRow("rank no number") << R"({"version": 1, "defaults": {"rank": 1.5}})"
                                        << "key 'defaults.rank'"
                                        << "whole number";
        QTest::newRow("rank too big") << R"({"version": 1, "defaults": {"rank": 9223372036854775807}})"
                                      << "key 'defaults.rank'"
                                      << "larger";
        QTest::newRow("unknown scaling") << R"({"version": 1, "defaults": {"scaling": "exakt"}})"
                                         << "key 'defaults.scaling'"
                                         << "exact";
        QTest::newRow("quantize no truth") << R"({"version": 1, "defaults": {"quantize": 1}})"
                                           << "key 'defaults.quantize'"
                                           << "true or false";
        QTest::newRow("unknown format") << R"({"version": 1, "defaults": {"weight": "mxnt4"}})"
                                        << "key 'defaults.weight'"
                                        << "mxint";
        QTest::newRow("format is a number") << R"({"version": 1, "defaults": {"weight": 4}})"
                                            << "key 'defaults.weight'"
                                            << "";
        QTest::newRow("unknown role") << R"({"version": 1, "rules": [{"roles": ["q", "qq"]}]})"
                                      << "key 'rules[0].roles[1]'"
                                      << "'qq'";
        QTest::newRow("block range") << R"({"version": 1, "rules": [{"blocks": [[3, 1]]}]})"
                                     << "key 'rules[0].blocks[0][1]'"
                                     << "at least 3";
        QTest::newRow("block range of one") << R"({"version": 1, "rules": [{"blocks": [[3]]}]})"
                                            << "key 'rules[0].blocks[0]'"
                                            << "[first, last]";
        QTest::newRow("negative block") << R"({"version": 1, "rules": [{"blocks": [[-1, 2]]}]})"
                                        << "key 'rules[0].blocks[0][0]'"
                                        << "at least 0";
        QTest::newRow("operand") << R"({"version": 1, "defaults": {"attention": {"keys": "nf4"}}})"
                                 << "key 'defaults.attention.keys'"
                                 << "'key'";
    }
    void badInputIsNamedWithItsPlace()
    {
        QFETCH(QString, json);
        QFETCH(QString, place);
        QFETCH(QString, message);
        const std::string error = readError(json.toStdString());
        QVERIFY2(error.starts_with("r.json"), error.c_str());
        QVERIFY2(error.find(place.toStdString()) != std::string::npos, error.c_str());
        QVERIFY2(error.find(message.toStdString()) != std::string::npos, error.c_str());
    }

    void everyFaultIsListedAndTheRestIsKept()
    {
        std::vector<RecipeProblem> problems;
        const auto recipe = QuantizationRecipe::fromJson(parseJson(R"({"version": 1, "nmae": "x",
            "defaults": {"rank": -4, "scaling": "exact", "weight": "nosuch", "foo": 1},
            "rules": [{"pattern": "*", "rank": 8}, {"roles": ["z"], "rank": "many"}]})",
                                                                   "r"),
                                                         "r", &problems);
        std::vector<std::string> places;
        for (const RecipeProblem &problem : problems) {
            places.push_back(problem.place);
            QVERIFY(!problem.message.empty());
            QVERIFY(problem.severity == RecipeProblem::Severity::Error);
        }
        const std::vector<std::string> expected = {"defaults.weight",   "defaults.rank", "defaults.foo",
                                                   "rules[1].roles[0]", "rules[1].rank", "nmae"};
        QCOMPARE(places, expected);
        QVERIFY(*recipe.defaults.scaling == ScalingKind::Exact);
        QCOMPARE(recipe.rules.size(), std::size_t(2));
        QCOMPARE(*recipe.rules[0].settings.rank, Index(8));
        QVERIFY(!recipe.rules[0].selector.pattern.error().empty());
        const std::string message = readError(R"({"version": 1, "defaults": {"rank": -4, "foo": 1}})");
        QVERIFY2(message.find("and 1 more") != std::string::npos, message.c_str());
    }

    // Field by field: the layer's own settings, else the last rule that matches and states it, else defaults, else LayerPlan.
    void precedenceIsFieldByField_data()
    {
        QTest::addColumn<QString>("layer");
        QTest::addColumn<int>("rank");
        QTest::addColumn<int>("weightWidth");
        QTest::addColumn<QString>("scaling");
        QTest::addColumn<bool>("quantize");
        QTest::newRow("defaults") << "model.layers.0.self_attn.q_proj" << 16 << 4 << "lqer" << true;
        QTest::newRow("one rule") << "model.layers.0.mlp.up_proj" << 24 << 4 << "lqer" << true;
        QTest::newRow("second rule wins on what both state") << "model.layers.1.mlp.up_proj" << 8 << 3 << "lqer" << true;
        QTest::newRow("own settings win") << "model.layers.1.mlp.down_proj" << 2 << 3 << "exact" << true;
        QTest::newRow("own settings only state one field") << "model.layers.0.self_attn.o_proj" << 16 << 4 << "lqer" << false;
        QTest::newRow("third rule by role") << "model.layers.1.self_attn.v_proj" << 16 << 2 << "diag" << true;
    }
    void precedenceIsFieldByField()
    {
        QFETCH(QString, layer);
        QFETCH(QString, scaling);
        const auto recipe = QuantizationRecipe::fromJson(parseJson(R"({"version": 1,
            "defaults": {"rank": 16, "weight": "mxint:width=4", "scaling": "lqer"},
            "rules": [{"pattern": ".*\\.mlp\\..*", "rank": 24},
                      {"pattern": "model\\.layers\\.1\\.mlp\\..*", "rank": 8, "weight": "mxint:width=3"},
                      {"roles": ["v"], "blocks": [[1, 9]], "weight": "mxint:width=2", "scaling": "diag"}],
            "layers": {"model.layers.1.mlp.down_proj": {"rank": 2, "scaling": "exact"},
                       "model.layers.0.self_attn.o_proj": {"quantize": false}}})",
                                                                   "r"),
                                                         "r");
        const auto sites = test::llamaSites();
        const LayerPlan plan = recipe.planFor(siteNamed(sites, layer.toStdString()));
        QTEST(static_cast<int>(plan.rank), "rank");
        QTEST(static_cast<int>(std::get<std::int64_t>(plan.formats.weight.parameters.at("width"))), "weightWidth");
        QCOMPARE(QString::fromStdString(std::string(toString(plan.scaling))), scaling);
        QTEST(plan.quantize, "quantize");
        QCOMPARE(recipe.planFor(sites).layers.at(layer.toStdString()), plan);
    }

    void unstatedFieldsChangeNothing()
    {
        const LayerPlan plan = QuantizationRecipe().planFor(test::llamaSites().front());
        QCOMPARE(plan, LayerPlan());
        QVERIFY(plan.quantize && plan.formats.weight.isPassthrough() && plan.rank == 0);
    }

    void lowRankProductsTakeTheActivationFormatUnlessStated()
    {
        QuantizationRecipe recipe;
        recipe.defaults.activation = mxint(8);
        recipe.rules.push_back({{}, {}, {}});
        recipe.rules.back().settings.activation = mxint(6);
        recipe.rules.back().settings.xab = FormatSpec();
        const LayerPlan plan = recipe.planFor(test::llamaSites().front());
        QCOMPARE(plan.formats.xa, mxint(6));
        QCOMPARE(plan.formats.xab, FormatSpec());
    }

    void twoLayerPerceptronsSeeTheirInputFlattened()
    {
        LinearSite site = test::llamaSites().front();
        QVERIFY(!defaultRecipe().planFor(site).formats.flatActivations);
        for (const LinearRole role : {LinearRole::Fc1, LinearRole::Fc2}) {  // OPT, numerics.md D
            site.role = role;
            QVERIFY(defaultRecipe().planFor(site).formats.flatActivations);
        }
    }

    void attentionFollowsRulesOnItsModule()
    {
        const QuantizationRecipe recipe = everything();
        const ModelPlan plan = recipe.planFor(test::llamaSites());
        QCOMPARE(plan.attention.size(), std::size_t(2));
        QCOMPARE(plan.attention.at(0).query, mxint(8));
        QCOMPARE(plan.attention.at(0).probabilities, FormatSpec());
        QCOMPARE(plan.attention.at(1).probabilities, mxint(6));
        QVERIFY(plan.attention.at(1).changesAnything());
        QVERIFY(!AttentionPlan().changesAnything());
    }

    void aRecipeWithABadPatternCannotPlan()
    {
        QuantizationRecipe recipe;
        recipe.rules.push_back({{NamePattern("("), {}, {}}, {}, {}});
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { recipe.planFor(test::llamaSites()); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }

    void presetsCanBeFoundAndUsed()
    {
        const auto sites = test::llamaSites();
        for (const RecipePreset &preset : recipePresets()) {
            QCOMPARE(findRecipePreset(preset.name), preset.recipe);
            QVERIFY(!preset.meaning.empty() && !preset.title.empty());
            const auto problems = check(withSensibleRanks(preset.recipe, sites), sites);
            QVERIFY2(isUsable(problems), problems.empty() ? "" : problems.front().message.c_str());
        }
        const std::string message = test::errorOf([] { findRecipePreset("l2qer-w4a9"); });
        QVERIFY2(message.find("l2qer-w4a") != std::string::npos, message.c_str());
        QCOMPARE(*defaultRecipe().defaults.rank, Index(32));
        QVERIFY(*defaultRecipe().defaults.scaling == ScalingKind::MeanAbs);
    }

    void sensibleRankHoldsAtMostHalfAsManyNumbers_data()
    {
        QTest::addColumn<int>("wanted");
        QTest::addColumn<int>("in");
        QTest::addColumn<int>("out");
        QTest::addColumn<int>("rank");
        QTest::newRow("big layer") << 32 << 4096 << 4096 << 32;
        QTest::newRow("square") << 32 << 64 << 64 << 16;
        QTest::newRow("flat") << 32 << 64 << 32 << 10;
        QTest::newRow("tiny") << 32 << 2 << 2 << 1;
        QTest::newRow("none wanted") << 0 << 64 << 64 << 0;
    }
    void sensibleRankHoldsAtMostHalfAsManyNumbers()
    {
        QFETCH(int, wanted);
        QFETCH(int, in);
        QFETCH(int, out);
        QTEST(static_cast<int>(sensibleRank(wanted, in, out)), "rank");
    }

    void sensibleRanksAreWrittenPerLayer()
    {
        const auto sites = test::llamaSites();
        const QuantizationRecipe adapted = withSensibleRanks(defaultRecipe(), sites);
        QCOMPARE(adapted.planFor(siteNamed(sites, "model.layers.0.self_attn.k_proj")).rank, Index(10));
        QCOMPARE(adapted.planFor(siteNamed(sites, "model.layers.0.mlp.up_proj")).rank, Index(23));
        QCOMPARE(withSensibleRanks(adapted, sites), adapted);
        QCOMPARE(adapted.defaults, defaultRecipe().defaults);
    }
};

QTEST_GUILESS_MAIN(TestQuantizationRecipe)
#include "tst_quantization_recipe.moc"
