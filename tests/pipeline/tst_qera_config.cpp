// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/io/yaml.h"
#include "core/pipeline/qera_recipe.h"
#include "core/quant/quantizer.h"
#include "core/recipe/check.h"
#include "tests/pipeline/qera_sample.h"
#include "tests/recipe/recipe_sites.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using test::qeraSample;
using test::replaced;

namespace {

QeraConfig read(const std::string &text)
{
    return qeraConfigFrom(parseYaml(text, "a.yaml"), "a.yaml");
}

QuantizationRecipe recipeOf(const std::string &text, std::span<const LinearSite> sites, std::vector<std::string> *notes = nullptr)
{
    return qeraRecipe(read(text), sites, notes);
}

const LinearSite &find(std::span<const LinearSite> sites, std::string_view end)
{
    return *std::ranges::find_if(sites, [&](const LinearSite &site) { return site.name.ends_with(end); });
}

// OPT-350m has layers outside its blocks.
std::vector<LinearSite> optSites()
{
    std::vector<LinearSite> sites;
    const auto add = [&](const std::string &name, std::int64_t layer, LinearRole role, std::int64_t in, std::int64_t out,
                         const std::string &input) {
        LinearSite site;
        site.name = name;
        site.layer = layer;
        site.role = role;
        site.in = in;
        site.out = out;
        site.activationSite = input;
        sites.push_back(site);
    };
    add("model.decoder.project_in", -1, LinearRole::ProjectIn, 32, 64, "model.decoder.project_in");
    const std::string block = "model.decoder.layers.0.";
    for (const auto &[name, role] :
         {std::pair("q_proj", LinearRole::Query), std::pair("k_proj", LinearRole::Key), std::pair("v_proj", LinearRole::Value)})
        add(block + "self_attn." + name, 0, role, 64, 64, block + "self_attn.k_proj");
    add(block + "self_attn.out_proj", 0, LinearRole::Output, 64, 64, block + "self_attn.out_proj");
    add(block + "fc1", 0, LinearRole::Fc1, 64, 256, block + "fc1");
    add(block + "fc2", 0, LinearRole::Fc2, 256, 64, block + "fc2");
    return sites;
}

bool mentions(const std::vector<std::string> &lines, std::string_view text)
{
    return std::ranges::any_of(lines, [&](const std::string &line) { return line.find(text) != std::string::npos; });
}

}  // namespace

class TestQeraConfig : public QObject {
    Q_OBJECT
private slots:
    void everyKeyIsRead()
    {
        const QeraConfig config = read(qeraSample());
        QCOMPARE(config.modelName, std::string("somebody/some-model"));
        QCOMPARE(config.workers, 2);
        QVERIFY(config.outputDir.empty() && config.abDict.empty());
        QCOMPARE(config.calibrationSet, std::string("slim_pajama_6b"));
        QCOMPARE(config.calibrationSamples, 8);
        QCOMPARE(config.batch, 2);
        QCOMPARE(config.maxLength, 32);
        QCOMPARE(config.tasks, (std::vector<std::string>{"arc_easy", "boolq"}));
        QVERIFY(config.fewShot == 0);
        QVERIFY(!config.disableQera && !config.disablePerplexity && config.disableTasks && !config.overwrite);
        QVERIFY(config.scaling == ScalingKind::Exact);
        QCOMPARE(config.layersPerChunk, 8);
        QVERIFY(!config.chunkId);
        QVERIFY(mentions(config.notes, "device_map, lm_eval_batch_size, qera_sqrtm_num_iters: no meaning here"));
        QVERIFY(mentions(config.notes, "eval_dtype: bfloat16"));
        QVERIFY(mentions(config.notes, "qera_scaling_mode_map: not read"));
        QVERIFY(!mentions(config.notes, "max_position_embeddings"));
    }

    void flagsReplaceKeys()
    {
        const QTemporaryDir folder;
        const std::string path = folder.filePath("c.yaml").toStdString();
        std::ofstream(path) << qeraSample();
        Json flags = Json::object();
        flags.set("num_workers", 4)
            .set("output_dir", "out")
            .set("disable_qera", true)
            .set("lm_eval_tasks", Json(Json::Array{"piqa"}))
            .set("chunk_id", 3);
        const QeraConfig config = readQeraConfig(path, flags);
        QCOMPARE(config.workers, 4);
        QCOMPARE(config.outputDir, std::string("out"));
        QVERIFY(config.disableQera);
        QCOMPARE(config.tasks, std::vector<std::string>{"piqa"});
        QVERIFY(config.chunkId == 3);
        QCOMPARE(*config.json.find("num_workers"), Json(4));
        for (const QeraFlag &flag : qeraFlags())
            QVERIFY2(flag.option().starts_with("--") && flag.option().find('_') == std::string::npos, flag.option().c_str());
    }

    void whatTheOfficialCodeFailsOnIsSaid()
    {
        QVERIFY(mentions(read(replaced(qeraSample(), "max_position_embeddings: null\n", "")).notes,
                         "max_position_embeddings: is missing"));
        QVERIFY(mentions(read(replaced(qeraSample(), "implementation: blocked", "implementation: iterative")).notes,
                         "the official code refuses iterative"));
        QVERIFY(mentions(read(replaced(qeraSample(), "calibration_set: slim_pajama_6b", "calibration_set: gsm8k")).notes,
                         "fails on gsm8k"));
        QVERIFY(mentions(read(qeraSample() + "fine_tuning: true\nfine_tuning_config: {rank: 3}\n").notes,
                         "fine_tuning, fine_tuning_config: not read"));
    }

    void badConfigurationsAreRefused_data()
    {
        QTest::addColumn<QByteArray>("from");
        QTest::addColumn<QByteArray>("to");
        QTest::addColumn<QByteArray>("expected");
        const auto row = [](const char *name, const char *from, const char *to, const char *expected) {
            QTest::newRow(name) << QByteArray(from) << QByteArray(to) << QByteArray(expected);
        };
        row("unknown key", "num_workers", "num_worker", "a.yaml: unknown key 'num_worker'; did you mean 'num_workers'?");
        row("wrong type", "num_workers: 2", "num_workers: two",
            "a.yaml, key 'num_workers': must be a whole number, found the string \"two\"");
        row("no worker", "num_workers: 2", "num_workers: 0", "key 'num_workers': must be at least 1, found 0");
        row("unknown type", "qera_dtype: float32", "qera_dtype: float8",
            "key 'qera_dtype': must be float32, float16, bfloat16 or float64, found 'float8'");
        row("unknown mode", "mode: rxx", "mode: rxy",
            "key 'qera_scaling_mode': must be diagonal, diag, rxx, identity, lqer or mixed, found 'rxy'");
        row("unknown root", "implementation: blocked", "implementation: fast",
            "key 'qera_sqrtm_implementation': must be blocked or iterative, found 'fast'");
        row("text for a switch", "disable_qera: false", "disable_qera: never", "key 'disable_qera': must be true or false");
        row("unknown entry", "fc2)': default-1", "fc2)': default-2", "there is no entry 'default-2'; did you mean 'default-1'?");
        row("unknown key of an entry", "is_ptq: true\n", "is_ptk: true\n",
            "key 'qera_config.default-1': unknown key 'is_ptk'; did you mean 'is_ptq'?");
        row("unknown kind of an entry", "name: qera\n", "name: kera\n",
            "key 'qera_config.default-1.name': must be qera (linear layers) or flexible (attention products), found 'kera'");
        row("no rank", "    rank: 8\n", "", "key 'qera_config.default-1': lacks 'rank'");
        row("negative rank", "rank: 8", "rank: -1", "key 'qera_config.default-1.rank': must be at least 0, found -1");
        row("unknown quantizer", "{name: mxint, width: 3", "{name: mxent, width: 3",
            "key 'qera_config.default-1.w_quantizer': unknown number format 'mxent' (did you mean mxint?)");
        row("unknown parameter", "width: 3, block_size", "width: 3, blok: 1, block_size",
            "key 'qera_config.default-1.w_quantizer': mxint has no parameter 'blok'");
        row("parameter that is needed", "width: 3, block_size: 16, block_axis: -1", "width: 3",
            "key 'qera_config.default-1.w_quantizer': mxint needs block_size");
        row("no pattern", "(gate|down|up)_proj", "(gate|down|up_proj", "is no pattern: invalid pattern at character 1: missing )");
        row("two patterns match", "(gate|down|up)_proj': default-1", "(gate|down|up)_proj': default-1\n  '.*up_proj': default-1",
            "key 'qera_config': ");
        row("no pattern matches", "(gate|down|up)_proj", "(gate|down)_proj",
            "key 'qera_config': no pattern matches the layer 'model.layers.0.mlp.up_proj'");
        row("no pattern for products", "(matmul_0|matmul_1)", "(matmul_0)",
            "no pattern matches the attention product 'model.layers.0.self_attn.matmul_1' or 'bmm_1'");
        row("products for layers", "up)_proj': default-1", "up)_proj': default-matmul",
            "matches the linear layer 'model.layers.0.mlp.gate_proj' but is about attention products");
        row("layers for products", "matmul_1)': default-matmul", "matmul_1)': default-1",
            "matches attention products of 'model.layers.0.self_attn' but is about linear layers");
        row("measured layer without mode", "mode: rxx\n", "mode: mixed\n", "");
    }
    void badConfigurationsAreRefused()
    {
        QFETCH(QByteArray, from);
        QFETCH(QByteArray, to);
        QFETCH(QByteArray, expected);
        const std::string text = replaced(qeraSample(), from.toStdString(), to.toStdString());
        const std::string error = test::errorOf([&] { recipeOf(text, test::llamaSites()); });
        if (expected.isEmpty()) {
            QVERIFY2(error.empty(), error.c_str());
            return;
        }
        QVERIFY2(error.find(expected.toStdString()) != std::string::npos, error.c_str());
        QVERIFY2(error.starts_with("a.yaml"), error.c_str());
    }

    void layersGetWhatTheirPatternSays()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const QuantizationRecipe recipe = recipeOf(qeraSample(), sites);
        QCOMPARE(recipe.name, std::string("a"));
        const LayerPlan up = recipe.planFor(find(sites, "1.mlp.up_proj"));
        QVERIFY(up.quantize);
        QCOMPARE(up.rank, Index(8));
        QVERIFY(up.scaling == ScalingKind::Exact);
        const FormatSpec x = FormatSpec::parse("mxint:width=8,block_size=16,block_axis=-1");
        QVERIFY(up.formats.weight == FormatSpec::parse("mxint:width=3,block_size=16,block_axis=-1"));
        QVERIFY(up.formats.activation == x && up.formats.b == x && up.formats.xa == x && up.formats.xab == x);
        QVERIFY(up.formats.a.isPassthrough() && up.formats.bias.isPassthrough());
        const LayerPlan query = recipe.planFor(find(sites, "q_proj"));
        QCOMPARE(query.rank, Index(6));
        QVERIFY(query.formats.bias == x);  // b_quantizer is not there
        QVERIFY(query.formats.xa.isPassthrough() && query.formats.xab == x);
        const AttentionPlan attention = recipe.attentionFor(1, "model.layers.1.self_attn");
        QVERIFY(attention.query == x && attention.probabilities == x && attention.key.isPassthrough()
                && attention.value.isPassthrough());
        for (const RecipeProblem &problem : check(recipe, sites))
            QVERIFY2(problem.severity != RecipeProblem::Severity::Error, problem.message.c_str());
        // Without the model the same rules, for both families.
        const QuantizationRecipe general = recipeOf(qeraSample(), {});
        QVERIFY(general.planFor(sites) == recipe.planFor(sites));
        QVERIFY(general.planFor(optSites()).layers.at("model.decoder.layers.0.fc1").quantize);
    }

    void entriesInPlaceOfNamesAreTaken()
    {
        const std::string entry
            = "{rank: 2, name: qera, x_quantizer: {name: bypass}, w_quantizer: {name: normalfloat, num_bits: 4, block_size: 64}}";
        std::vector<std::string> notes;
        const QuantizationRecipe recipe
            = recipeOf(replaced(qeraSample(), "up)_proj': default-1", "up)_proj': " + entry), test::llamaSites(), &notes);
        QCOMPARE(recipe.planFor(find(test::llamaSites(), "down_proj")).rank, Index(2));
        QVERIFY(mentions(notes, "is an entry itself, where the official code wants the name of one"));
    }

    void bypassedLayersStayAsTheyAre()
    {
        const QuantizationRecipe recipe
            = recipeOf(replaced(qeraSample(), "    rank: 8\n", "    rank: 8\n    bypass: true\n"), test::llamaSites());
        QVERIFY(!recipe.planFor(find(test::llamaSites(), "up_proj")).quantize);
        QVERIFY(recipe.planFor(find(test::llamaSites(), "q_proj")).quantize);
    }

    void ranksBeyondALayerAreCut()
    {
        std::vector<std::string> notes;
        const QuantizationRecipe recipe = recipeOf(replaced(qeraSample(), "rank: 6", "rank: 50"), test::llamaSites(), &notes);
        QCOMPARE(recipe.planFor(find(test::llamaSites(), "q_proj")).rank, Index(50));
        QCOMPARE(recipe.planFor(find(test::llamaSites(), "k_proj")).rank, Index(32));
        QVERIFY(mentions(notes, "the rank is above min(in, out) of 4 layers"));
    }

    void mixedScalingIsThatOfTheMeasuredLayer()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        const QuantizationRecipe recipe = recipeOf(replaced(qeraSample(), "mode: rxx", "mode: mixed"), sites);
        for (const LinearSite &site : sites)
            QVERIFY(recipe.planFor(site).scaling
                    == (site.name.find("self_attn") != std::string::npos ? ScalingKind::Exact : ScalingKind::Diagonal));
        const std::string lacking
            = replaced(replaced(qeraSample(), "mode: rxx", "mode: mixed"), "(gate|down)_proj", "(up|down)_proj");
        QVERIFY(
            test::errorOf([&] { recipeOf(lacking, sites); }).find("no pattern matches the layer 'model.layers.0.mlp.gate_proj'")
            != std::string::npos);
    }

    void withoutQeraNothingIsCorrected()
    {
        const QuantizationRecipe recipe
            = recipeOf(replaced(qeraSample(), "disable_qera: false", "disable_qera: true"), test::llamaSites());
        for (const LinearSite &site : test::llamaSites())
            QVERIFY(recipe.planFor(site).quantize && recipe.planFor(site).rank == 0);
    }

    void layersOutsideTheBlocksStayAsTheyAre()
    {
        std::vector<std::string> notes;
        const QuantizationRecipe recipe = recipeOf(qeraSample(), optSites(), &notes);
        QVERIFY(!recipe.planFor(optSites().front()).quantize);
        QVERIFY(recipe.planFor(find(optSites(), "fc2")).quantize);
        QVERIFY(recipe.attentionFor(0, "model.decoder.layers.0.self_attn").query.name == "mxint");
        QVERIFY(mentions(notes, "no pattern matches 'model.decoder.project_in', on which the official code fails"));
    }

    void patternsOfProductsOfAnyFormAreHeldAgainstTheBlocks()
    {
        const std::string text = replaced(qeraSample(), R"(self_attn\.(matmul_0|matmul_1))", "self_attn.m[a-z]+_.");
        QVERIFY(test::errorOf([&] { recipeOf(text, {}); }).find("the model is needed") != std::string::npos);
        const QuantizationRecipe recipe = recipeOf(text, test::llamaSites());
        QVERIFY(recipe.attentionFor(1, "model.layers.1.self_attn").query.name == "mxint");
    }

    void recipesSurviveTheRoundTrip()
    {
        const std::vector<LinearSite> sites = test::llamaSites();
        std::size_t exact = 0;
        for (const RecipePreset &preset : recipePresets()) {
            QuantizationRecipe recipe = withSensibleRanks(preset.recipe, sites);
            recipe.layers["model.layers.1.mlp.up_proj"].rank = 3;
            if (preset.name == "qera-exact-nf4")
                recipe.layers["model.layers.0.self_attn.o_proj"].scaling = ScalingKind::Diagonal;
            if (preset.name == "plain-mxint4")
                recipe.layers["model.layers.0.self_attn.o_proj"].quantize = false;
            std::vector<std::string> lost;
            const Json json = qeraConfigOf(recipe, sites, lost);
            const Json again = parseYaml(toYaml(json), "b.yaml");
            QCOMPARE(again, json);
            const ModelPlan plan = qeraRecipe(qeraConfigFrom(again, "b.yaml"), sites).planFor(sites);
            if (!lost.empty()) {
                QVERIFY2(mentions(lost, "QERA"), lost.front().c_str());
                continue;
            }
            ++exact;
            for (const auto &[name, expected] : recipe.planFor(sites).layers) {
                const LayerPlan &found = plan.layers.at(name);
                QCOMPARE(found.quantize, expected.quantize);
                if (!expected.quantize)
                    continue;
                QCOMPARE(found.rank, expected.rank);
                QVERIFY(found.rank == 0 || found.scaling == expected.scaling);
                QVERIFY(withDefaults(found.formats.weight) == withDefaults(expected.formats.weight));
                QVERIFY(withDefaults(found.formats.b) == withDefaults(expected.formats.b));
            }
        }
        QVERIFY2(exact >= 6, "most weight-only presets are QERA's own");
    }

    void formatsThatQeraDoesNotHaveAreRefused()
    {
        QuantizationRecipe recipe = recipePresets().front().recipe;
        recipe.defaults.weight = FormatSpec::parse("mxfp4");
        std::vector<std::string> lost;
        QVERIFY(test::errorOf([&] { qeraConfigOf(recipe, test::llamaSites(), lost); }).find("QERA has no number format 'mxfp4'")
                != std::string::npos);
    }

    // The files that come with QERA, which are not ours to keep: LQER_OFFICIAL names a folder with them.
    void officialConfigurationsAreRead()
    {
        const QByteArray folder = qgetenv("LQER_OFFICIAL");
        if (folder.isEmpty())
            QSKIP("the official configurations are not here: set LQER_OFFICIAL to a folder with them");
        std::size_t read = 0;
        for (const auto &entry : std::filesystem::recursive_directory_iterator(folder.toStdString())) {
            if (entry.path().extension() != ".yaml" || !readYamlFile(entry.path()).find("qera_config"))
                continue;
            ++read;
            for (const std::vector<LinearSite> &sites : {test::llamaSites(), optSites()}) {
                const QuantizationRecipe recipe = qeraRecipe(readQeraConfig(entry.path()), sites);
                QVERIFY2(recipe.planFor(find(sites, "q_proj")).rank >= 32, entry.path().c_str());
            }
        }
        if (read == 0)
            QSKIP("there is no configuration of QERA in LQER_OFFICIAL");
    }
};

QTEST_GUILESS_MAIN(TestQeraConfig)
#include "tst_qera_config.moc"
