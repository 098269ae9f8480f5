// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <algorithm>

#include "core/base/error.h"
#include "core/engine/loaded_model.h"
#include "core/io/toml.h"
#include "core/pipeline/config_overrides.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/quant/quantizer.h"
#include "tests/pipeline/effective_plan.h"
#include "tests/pipeline/sample_config.h"
#include "tests/recipe/recipe_sites.h"

using namespace lqer;
using test::complete;
using test::effective;

namespace {

std::vector<LinearSite> optSites()
{
    std::vector<LinearSite> sites;
    for (std::int64_t block = 0; block < 2; ++block)
        for (const auto &[module, role] :
            {std::pair("self_attn.q_proj", LinearRole::Query), std::pair("self_attn.k_proj", LinearRole::Key),
                std::pair("self_attn.v_proj", LinearRole::Value), std::pair("self_attn.out_proj", LinearRole::Output),
                std::pair("fc1", LinearRole::Fc1), std::pair("fc2", LinearRole::Fc2)}) {
            LinearSite site;
            site.name = "model.decoder.layers." + std::to_string(block) + '.' + module;
            site.layer = block;
            site.role = role;
            site.in = site.out = 64;
            sites.push_back(site);
        }
    return sites;
}

}  // namespace

class TestLqerRecipe : public QObject {
    Q_OBJECT
private slots:
    void everyLayerGetsWhatItsTablesSay()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const QuantizationRecipe recipe = lqerRecipe(test::demoConfigWith({}), LqerStage::Evaluate, sites);
        for (const auto &[name, plan] : recipe.planFor(sites).layers) {
            QVERIFY(plan.quantize);
            QCOMPARE(plan.rank, 8);
            QVERIFY(plan.scaling == ScalingKind::MeanAbs);
            QCOMPARE(complete(plan.formats.weight), complete(FormatSpec::parse("block_fp:width=3,block_size=1x16")));
            QCOMPARE(complete(plan.formats.activation),
                complete(FormatSpec::parse("block_fp:width=8,block_size=1x16,skip_first_dim=true")));
            QCOMPARE(complete(plan.formats.a), complete(FormatSpec::parse("block_fp:width=8,block_size=16x1")));
            QCOMPARE(complete(plan.formats.bias), complete(FormatSpec::parse("block_fp:width=8,block_size=-1")));
            QCOMPARE(plan.formats.xa, plan.formats.activation);
        }
        QVERIFY(recipe.planFor(sites).attention.at(0).changesAnything());
        // The same without knowing the model.
        QCOMPARE(effective(lqerRecipe(test::demoConfigWith({}), LqerStage::Evaluate).planFor(sites)),
            effective(recipe.planFor(sites)));
    }

    void optTakesItsProductsFromBmm()
    {
        const std::vector<LinearSite> sites = optSites();
        LqerConfig config = test::demoConfigWith(
            {"--approximate:approximator=:ast:{'.*\\.(k|q|v|out)_proj\\.weight': 'default', "
             "'.*\\.fc(1|2)\\.weight': 'default', 'default': {'rank': 4, 'W_quantizer': {'name': 'block_fp', 'width': 4}, "
             "'A_quantizer': {'name': 'passthrough'}, 'B_quantizer': {'name': 'passthrough'}}}"});
        const QuantizationRecipe recipe = lqerRecipe(config, LqerStage::Evaluate, sites);
        QVERIFY(!recipe.planFor(sites).attention.at(1).changesAnything());
        QVERIFY(!lqerRecipe(config, LqerStage::Evaluate).planFor(sites).attention.at(1).changesAnything());
        // LQER's own defaults where the table says nothing: one block of 16 along the last axis for each row.
        QCOMPARE(
            recipe.planFor(sites[0]).formats.weight, FormatSpec::parse("block_fp:width=4,block_size=16,skip_first_dim=true"));
        // Chunks are slices in the order in which the official model defines its modules.
        std::vector<std::string> order;
        for (const LinearSite *site : lqerLayers(config, sites))
            order.push_back(site->name.substr(site->name.find("layers.") + 7));
        QCOMPARE(order,
            (std::vector<std::string>{"0.self_attn.k_proj", "0.self_attn.v_proj", "0.self_attn.q_proj", "0.self_attn.out_proj",
                "0.fc1", "0.fc2", "1.self_attn.k_proj", "1.self_attn.v_proj", "1.self_attn.q_proj", "1.self_attn.out_proj",
                "1.fc1", "1.fc2"}));
    }

    void layersThatNoPatternMatchesAreQuantizedOnly()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        Json json = test::demoConfigWith({}).json;
        Json approximator = *findConfigValue(json, "approximate:approximator");
        approximator.asObject().erase(approximator.asObject().begin());
        setConfigValue(json, "approximate:approximator", approximator, false);
        const LqerConfig config = lqerConfigFrom(json, "x.toml");
        for (const auto &[name, plan] : lqerRecipe(config, LqerStage::Evaluate, sites).planFor(sites).layers) {
            QCOMPARE(plan.rank, name.find("mlp") != std::string::npos ? 8 : 0);
            QVERIFY(plan.quantize && !plan.formats.weight.isPassthrough());
        }
        QCOMPARE(lqerLayers(config, sites).size(), std::size_t{6});
    }

    void withoutLqerTheWeightsAreAsQConfigSays()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const LqerConfig config
            = test::demoConfigWith({"--evaluate:disable_lqer=:ast:1", "--q_config:linear:w_quantizer:width=6"});
        for (const auto &[name, plan] : lqerRecipe(config, LqerStage::Evaluate, sites).planFor(sites).layers) {
            QCOMPARE(plan.rank, 0);
            QCOMPARE(plan.formats.weight.parameters.at("width"), FormatValue(std::int64_t{6}));
        }
        for (const auto &[name, plan] : lqerRecipe(config, LqerStage::Approximate, sites).planFor(sites).layers) {
            QCOMPARE(plan.rank, 8);
            QCOMPARE(plan.formats.weight.parameters.at("width"), FormatValue(std::int64_t{3}));
        }
    }

    void valuesThatShouldAgreeAndDoNotAreTheApproximators()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const LqerConfig config
            = test::demoConfigWith({"--l_config:linear:rank=32", "--q_config:linear:w_quantizer:block_size=[-1, -1]"});
        for (const std::vector<LinearSite> &known : {sites, std::vector<LinearSite>()}) {
            std::vector<std::string> notes;
            const QuantizationRecipe recipe = lqerRecipe(config, LqerStage::Evaluate, known, &notes);
            QCOMPARE(recipe.planFor(sites[0]).rank, 8);
            QCOMPARE(complete(recipe.planFor(sites[0]).formats.weight),
                complete(FormatSpec::parse("block_fp:width=3,block_size=1x16")));
            QCOMPARE(notes.size(), std::size_t{2});
            QVERIFY2(
                notes[0].find("rank 8, not 32") != std::string::npos && notes[0].find("for every layer") != std::string::npos,
                notes[0].c_str());
            QVERIFY2(notes[1].find("w_quantizer") != std::string::npos, notes[1].c_str());
        }
        std::vector<std::string> notes;
        lqerRecipe(test::demoConfigWith({}), LqerStage::Evaluate, sites, &notes);
        QCOMPARE(notes.size(), std::size_t{0});
    }

    void ranksAboveALayersAreCut()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        std::vector<std::string> notes;
        const LqerConfig config
            = test::demoConfigWith({"--approximate:approximator:default:rank=48", "--l_config:linear:rank=48"});
        const ModelPlan plan = lqerRecipe(config, LqerStage::Evaluate, sites, &notes).planFor(sites);
        QCOMPARE(plan.layers.at("model.layers.0.self_attn.k_proj").rank, 32);
        QCOMPARE(plan.layers.at("model.layers.0.self_attn.q_proj").rank, 48);
        QCOMPARE(notes.size(), std::size_t{1});
        QVERIFY2(notes[0].find("for 4 layers") != std::string::npos, notes[0].c_str());
    }

    void tablesOfOneBlockReplaceTheGeneralOnes()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const LqerConfig config = test::demoConfigWith({
            "--q_config:model_layer_1:self_attn:q_proj=:ast:{'name': 'flexible', 'x_quantizer': {'name': 'passthrough'}, "
            "'w_quantizer': {'name': 'passthrough'}}",
            "--q_config:model_layer_1:self_attn:matmul_1=:ast:{'name': 'flexible', 'x_quantizer': {'name': 'passthrough'}, "
            "'w_quantizer': {'name': 'block_fp', 'width': 5}}",
            "--l_config:model_layer_1:self_attn:k_proj:rank=:ast:16",
        });
        std::vector<std::string> notes;
        const ModelPlan plan = lqerRecipe(config, LqerStage::Evaluate, sites, &notes).planFor(sites);
        const LayerPlan &q0 = plan.layers.at("model.layers.0.self_attn.q_proj"),
                        &q1 = plan.layers.at("model.layers.1.self_attn.q_proj");
        QCOMPARE(q0.rank, 8);
        QCOMPARE(q1.rank, 0);  // "flexible" has no A and B
        QVERIFY(q1.formats.activation.isPassthrough());
        QVERIFY(plan.attention.at(1).probabilities.isPassthrough() && !plan.attention.at(0).probabilities.isPassthrough());
        QCOMPARE(plan.attention.at(1).value.parameters.at("width"), FormatValue(std::int64_t{5}));
        QCOMPARE(plan.attention.at(1).query, plan.attention.at(0).query);
        QCOMPARE(std::ranges::count_if(
                     notes, [](const std::string &note) { return note.find("rank 8, not 16 as") != std::string::npos; }),
            1);
    }

    void patternsOfPartsOfNamesGoLayerByLayer()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        Json json = test::demoConfigWith({}).json;
        Json approximator = *findConfigValue(json, "approximate:approximator");
        approximator.asObject()[0].first = ".*q_proj.*";
        setConfigValue(json, "approximate:approximator", approximator, false);
        const LqerConfig config = lqerConfigFrom(json, "x.toml");
        const ModelPlan plan = lqerRecipe(config, LqerStage::Evaluate, sites).planFor(sites);
        QCOMPARE(plan.layers.at("model.layers.1.self_attn.q_proj").rank, 8);
        QCOMPARE(plan.layers.at("model.layers.1.self_attn.k_proj").rank, 0);
        const std::string message = test::errorOf([&] { lqerRecipe(config, LqerStage::Evaluate); });
        QVERIFY2(message.find("must end with \\.weight") != std::string::npos, message.c_str());
    }

    void brokenTablesNameTheKey_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("part");
        const auto row
            = [](const char *argument, const char *part) { QTest::newRow(argument) << QString(argument) << QString(part); };
        row("--approximate:approximator:default:rank=0", "key 'approximate.approximator.default.rank': must be at least 1");
        row("--approximate:approximator:default:rank=:ast:'32'", "must be a whole number");
        row("--approximate:approximator:default:rank=:ast:1.5", "must be a whole number");
        row("--approximate:approximator:default:ranks=:ast:1", "unknown key 'ranks'; did you mean 'rank'?");
        row("--approximate:approximator:default:W_quantizer:name=block_pf",
            "unknown number format 'block_pf' (did you mean block_fp?)");
        row("--approximate:approximator:default:W_quantizer:exponent_width=16", "exponent_width is 16, expected 1 to 12");
        row("--approximate:approximator:default:W_quantizer=:ast:None", "lacks 'W_quantizer'");
        row("--approximate:approximator:x=:ast:'nothing'", "there is no entry 'nothing'");
        row("--approximate:approximator:(a=:ast:'default'", "invalid pattern");
        row("--approximate:approximator:.*q_proj\\.weight=:ast:'default'", "is matched by two patterns");
        row("--approximate:approximator=:ast:{}", "no pattern matches a layer of this model");
        row("--q_config:linear:name=flexible_lqr", "must be flexible or flexible_lqer");
        row("--q_config:linear:x_quantizer=:ast:None", "lacks 'x_quantizer'");
        row("--q_config:linear:z_quantizer=:ast:{}", "unknown key 'z_quantizer'");
        row("--q_config:matmul:name=plain", "must be flexible");
        row("--q_config:linaer=:ast:{}", "unknown key 'linaer'; did you mean 'linear'?");
        row("--q_config:model_layer_x=:ast:{}", "unknown key 'model_layer_x'");
        row("--q_config=:ast:None", "lacks 'q_config'");
        row("--l_config:linear:rank=:ast:-1", "key 'l_config.linear.rank': must be at least 0");
    }
    void brokenTablesNameTheKey()
    {
        QFETCH(QString, argument);
        QFETCH(QString, part);
        const std::vector<LinearSite> sites = test::llamaSites();
        std::vector<std::string> notes;
        const QString message = QString::fromStdString(test::errorOf(
            [&] { lqerRecipe(test::demoConfigWith({argument.toStdString()}), LqerStage::Evaluate, sites, &notes); }));
        QVERIFY2(message.contains(part), qPrintable(message));
    }

    void aRecipeComesBackFromTomlWithEveryLayersPlan_data()
    {
        QTest::addColumn<QString>("model");
        for (const char *model : {"demo", "stories260k", "shakespeare-opt", "shakespeare-gpt2"})
            QTest::newRow(model) << QString(model);
    }
    void aRecipeComesBackFromTomlWithEveryLayersPlan()
    {
        QFETCH(QString, model);
        if (model != "demo")
            LQER_NEED_SHARED();
        const LoadedModel loaded(
            model == "demo" ? test::sourcePath("resources/demo") : test::sharedFolder() + "/models/" + model.toStdString());
        const std::vector<LinearSite> &sites = loaded.transformer().linearSites();

        std::vector<QuantizationRecipe> recipes;
        for (const RecipePreset &preset : recipePresets())
            if (preset.recipe.defaults.scaling == ScalingKind::MeanAbs || preset.recipe.defaults.scaling == ScalingKind::Identity)
                recipes.push_back(withSensibleRanks(preset.recipe, sites));
        // One that needs everything: rules on roles and blocks, exceptions, attention by block, formats LQER does not have.
        QuantizationRecipe rich = recipes.front();
        rich.name = "rich";
        RecipeRule rule;
        rule.selector.roles = {LinearRole::Output, LinearRole::Fc2, LinearRole::Down};
        rule.settings.weight = FormatSpec::parse("mxint:width=3,block_size=16");
        rule.settings.xa = FormatSpec::parse("minifloat:width=8,exponent_width=4");
        rich.rules.push_back(rule);
        rule = RecipeRule();
        rule.selector.blocks = {{1, 2}};
        rule.settings.rank = 3;
        rule.settings.a = FormatSpec::parse("fixed:width=12,frac_width=8");
        rule.attention.key = FormatSpec::parse("block_fp:width=4,block_size=1x8,skip_first_dim=true,arithmetic=float16");
        rich.rules.push_back(rule);
        rich.layers[sites.back().name].quantize = false;
        rich.layers[sites[1].name].rank = 0;
        recipes.push_back(rich);

        for (const QuantizationRecipe &recipe : recipes) {
            std::vector<std::string> lost;
            const Json config = lqerConfigOf(recipe, sites, lost);
            const std::string text = toToml(naFromNulls(config));
            const LqerConfig back = lqerConfigFrom(nullsFromNa(parseToml(text, "x.toml")), "x.toml");
            std::vector<std::string> notes;
            const bool corrects
                = std::ranges::any_of(recipe.planFor(sites).layers, [](const auto &layer) { return layer.second.rank > 0; });
            QCOMPARE(back.disableLqer, !corrects);
            const ModelPlan plan = effective(lqerRecipe(back, LqerStage::Evaluate, sites, &notes).planFor(sites)),
                            expected = effective(recipe.planFor(sites));
            for (const auto &[name, layer] : expected.layers)
                QVERIFY2(plan.layers.at(name) == layer, (recipe.name + ": " + name + "\n" + text).c_str());
            QVERIFY2(plan == expected, recipe.name.c_str());
            QVERIFY2(notes.empty(), notes.empty() ? "" : notes[0].c_str());
            const bool foreign = &recipe == &recipes.back() || recipe.defaults.weight->name == "mxint";
            QCOMPARE(std::ranges::count_if(
                         lost, [](const std::string &line) { return line.find("no number format mxint") != std::string::npos; }),
                foreign ? 1 : 0);
            QCOMPARE(lost.size(),
                std::size_t(foreign ? 1 : 0) + (model == "shakespeare-gpt2" ? 1 : 0));  // a family LQER does not have
        }
    }

    void withoutAModelARecipeWithoutRulesIsWrittenForLqersFamilies()
    {
        std::vector<std::string> lost;
        const Json config = lqerConfigOf(defaultRecipe(), {}, lost);
        QVERIFY(lost.empty());
        for (const std::vector<LinearSite> &sites : {test::llamaSites(), optSites()}) {
            const QuantizationRecipe back = lqerRecipe(lqerConfigFrom(config, "x.toml"), LqerStage::Evaluate, sites);
            QCOMPARE(effective(back.planFor(sites)), effective(defaultRecipe().planFor(sites)));
        }
        QuantizationRecipe ruled = defaultRecipe();
        ruled.rules.emplace_back();
        QVERIFY(test::errorOf([&] { lqerConfigOf(ruled, {}, lost); }).find("needs a model") != std::string::npos);
        QuantizationRecipe exact = defaultRecipe();
        exact.defaults.scaling = ScalingKind::Exact;
        lqerConfigOf(exact, {}, lost);
        QVERIFY2(lost.size() == 1 && lost[0].find("scaling exact") != std::string::npos, "");
    }
};

QTEST_GUILESS_MAIN(TestLqerRecipe)
#include "tst_lqer_recipe.moc"
