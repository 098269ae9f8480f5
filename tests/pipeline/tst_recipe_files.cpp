// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <set>

#include "core/engine/loaded_model.h"
#include "core/pipeline/recipe_files.h"
#include "core/recipe/bundled_recipes.h"
#include "core/recipe/check.h"
#include "tests/io/test_files.h"
#include "tests/pipeline/effective_plan.h"
#include "tests/pipeline/sample_config.h"
#include "tests/recipe/recipe_sites.h"

using namespace lqer;

class TestRecipeFiles : public QObject {
    Q_OBJECT
private slots:
    void recipesComeBackFromEveryFormWithEveryLayersPlan_data()
    {
        QTest::addColumn<QString>("model");
        for (const char *model : {"demo", "stories260k", "shakespeare-opt"})
            QTest::newRow(model) << QString(model);
    }
    void recipesComeBackFromEveryFormWithEveryLayersPlan()
    {
        QFETCH(QString, model);
        if (model != "demo")
            LQER_NEED_SHARED();
        const LoadedModel loaded(
            model == "demo" ? test::sourcePath("resources/demo") : test::sharedFolder() + "/models/" + model.toStdString());
        const std::vector<LinearSite> &sites = loaded.transformer().linearSites();
        const QTemporaryDir folder;
        std::vector<RecipePreset> presets = recipePresets();
        presets.insert(presets.end(), bundledRecipes().begin(), bundledRecipes().end());
        std::map<std::string, int> whole;
        for (const RecipePreset &preset : presets) {
            const QuantizationRecipe recipe = withSensibleRanks(preset.recipe, sites);
            const ModelPlan expected = test::effective(recipe.planFor(sites));
            for (const std::string extension : {".json", ".toml", ".yaml"}) {
                const std::string path = folder.filePath("r").toStdString() + extension;
                std::vector<std::string> lost, notes;
                test::writeRaw(path, recipeFileText(recipe, path, sites, lost));
                ModelPlan plan = test::effective(readRecipeFile(path, sites, notes).planFor(sites));
                // What is not said to be lost is kept.
                const bool scalingLost = extension == ".toml"
                    && std::ranges::any_of(lost, [](const std::string &line) { return line.starts_with("scaling"); });
                if (extension == ".yaml" && !lost.empty())
                    continue;
                for (const auto &[name, layer] : expected.layers) {
                    if (scalingLost)
                        plan.layers.at(name).scaling = layer.scaling;
                    QVERIFY2(plan.layers.at(name) == layer, (preset.name + extension + ": " + name).c_str());
                }
                QVERIFY2(plan.attention == expected.attention, (preset.name + extension).c_str());
                ++whole[extension];
            }
        }
        QCOMPARE(whole[".json"], static_cast<int>(presets.size()));
        QCOMPARE(whole[".toml"], static_cast<int>(presets.size()));
        // QERA has no format for A: those without one, and those without a correction.
        QVERIFY2(whole[".yaml"] >= 7, qPrintable(QString::number(whole[".yaml"])));
    }

    void bundledRecipesAreTheFilesOfTheFolder()
    {
        const QDir folder(QString::fromStdString(test::sourcePath("resources/recipes")), "*.json");
        QCOMPARE(static_cast<std::size_t>(folder.entryList().size()), bundledRecipes().size());
        std::set<std::string> names;
        for (const RecipePreset &preset : bundledRecipes()) {
            QCOMPARE(preset.recipe,
                QuantizationRecipe::read(folder.filePath(QString::fromStdString(preset.name) + ".json").toStdString()));
            QVERIFY2(names.insert(preset.title).second, preset.title.c_str());
            QCOMPARE(findRecipePreset(preset.name), preset.recipe);
        }
        QVERIFY(names.size() >= 20);
    }

    // Each for its family: every layer is quantized and corrected.
    void bundledRecipesMatchEveryLayerOfTheirFamily()
    {
        LQER_NEED_SHARED();
        const LoadedModel opt(test::sharedFolder() + "/models/shakespeare-opt"), llama(test::sourcePath("resources/demo"));
        for (const RecipePreset &preset : bundledRecipes()) {
            const std::vector<LinearSite> &sites
                = (preset.name.find("opt") != std::string::npos ? opt : llama).transformer().linearSites();
            const QuantizationRecipe recipe = withSensibleRanks(preset.recipe, sites);
            QVERIFY2(isUsable(check(recipe, sites)), preset.name.c_str());
            for (const auto &[name, layer] : recipe.planFor(sites).layers)
                QVERIFY2(layer.quantize && layer.rank > 0 && layer.scaling == ScalingKind::MeanAbs
                        && layer.formats.weight.name == "block_fp",
                    (preset.name + ' ' + name).c_str());
        }
    }

    // The authors' own files, which are not part of this project.
    void bundledRecipesAreWhatTheTemplatesSay()
    {
        const QString official = qEnvironmentVariable("LQER_OFFICIAL");
        if (official.isEmpty())
            QSKIP("set LQER_OFFICIAL to the folder experiments/configs of LQER's repository");
        for (const RecipePreset &preset : bundledRecipes()) {
            const std::string file = official.toStdString() + "/template/" + preset.name.substr(5) + ".toml";
            std::vector<std::string> notes;
            std::vector<std::string> overrides;
            if (preset.recipe.name.find("sweep") == std::string::npos) {
                QuantizationRecipe recipe = readRecipeFile(file, {}, notes);
                recipe.name = preset.recipe.name;
                QCOMPARE(recipe, preset.recipe);
                QVERIFY2(notes.empty(), file.c_str());
                continue;
            }
            // The sweep changes widths, ranks and blocks, nothing else: the same layers, formats by name, A and B.
            const QuantizationRecipe recipe = readRecipeFile(file, {}, notes);
            QVERIFY2(!notes.empty() || recipe.rules.front().settings.rank == Index{1}, file.c_str());
            QCOMPARE(preset.recipe.rules.size(), recipe.rules.size());
            for (std::size_t i = 0; i < recipe.rules.size(); ++i) {
                QVERIFY(preset.recipe.rules[i].selector == recipe.rules[i].selector);
                QCOMPARE(preset.recipe.rules[i].settings.rank, std::optional<Index>(32));
                QCOMPARE(preset.recipe.rules[i].settings.a->name, recipe.rules[i].settings.a->name);
            }
        }
    }

    void otherFilesAreRefused()
    {
        std::vector<std::string> notes;
        QVERIFY(!hasRecipeExtension("recipe.txt"));
        QVERIFY(test::errorOf([&] { readRecipeFile("recipe.txt", {}, notes); }).find("a recipe is a .json file")
            != std::string::npos);
        QVERIFY(test::errorOf([&] { recipeFileText({}, "recipe.txt", {}, notes); }).find("a recipe is a .json file")
            != std::string::npos);
        const std::vector<std::string> overrides{"--a=1"};
        QVERIFY(test::errorOf([&] { readRecipeFile("recipe.json", {}, notes, overrides); }).find("LQER's .toml only")
            != std::string::npos);
        const std::vector<std::string> rank{"--approximate:approximator:default:rank=5", "--l_config:linear:rank=5"};
        QCOMPARE(readRecipeFile(test::demoConfig(), {}, notes, rank).planFor(test::llamaSites()[0]).rank, 5);
    }
};

QTEST_GUILESS_MAIN(TestRecipeFiles)
#include "tst_recipe_files.moc"
