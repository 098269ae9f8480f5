// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/pipeline/sweep_plan.h"
#include "core/pipeline/sweep_presets.h"
#include "core/quant/quantizer.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

std::vector<LinearSite> sites()
{
    std::vector<LinearSite> all;
    for (const auto &[name, in, out] : {std::tuple{"model.layers.0.self_attn.q_proj", 64, 64}, std::tuple{"model.layers.0.mlp.up_proj", 64, 96}}) {
        LinearSite site;
        site.name = name;
        site.layer = 0;
        site.in = in;
        site.out = out;
        all.push_back(site);
    }
    all.back().role = LinearRole::Up;
    return all;
}

QuantizationRecipe find(const std::string &name)
{
    return findRecipePreset(name);
}

SweepPlan planOf(const std::vector<std::string> &over, const std::string &base = "l2qer-w4a8")
{
    SweepPlan plan;
    plan.name = "test";
    plan.base = findRecipePreset(base);
    for (const std::string &text : over)
        plan.axes.push_back(parseSweepAxis(text));
    return plan;
}

std::vector<SweepPoint> pointsOf(const SweepPlan &plan)
{
    return sweepPoints(plan, sites(), find);
}

}  // namespace

class TestSweepPlan : public QObject {
    Q_OBJECT

private slots:
    void everyCombinationInOrder()
    {
        const auto points = pointsOf(planOf({"rank=4,8", "scaling=identity,exact", "samples=16,32"}));
        QCOMPARE(points.size(), std::size_t(8));
        QVERIFY(points.front().labels == (std::vector<std::string>{"4", "identity", "16"}));
        QVERIFY(points[1].labels == (std::vector<std::string>{"4", "identity", "32"}));
        QVERIFY(points.back().labels == (std::vector<std::string>{"8", "exact", "32"}));
        QCOMPARE(points.back().recipe.name, std::string("rank 8, scaling exact, samples 32"));
        QCOMPARE(points.back().recipe.defaults.rank.value(), Index(8));
        QVERIFY(points.back().recipe.defaults.scaling == ScalingKind::Exact);
        QCOMPARE(points.back().data.calibration.windows.value(), std::int64_t(32));
        QVERIFY(!points.back().data.evaluation.windows);
        // What is not varied stays the base's.
        QVERIFY(points.back().recipe.defaults.weight == findRecipePreset("l2qer-w4a8").defaults.weight);
    }

    void keysReachWhatTheyName_data()
    {
        QTest::addColumn<QString>("over");
        QTest::addColumn<QString>("place");
        QTest::addColumn<QString>("value");
        QTest::newRow("a format") << "weight=mxint:width=3,block_size=16" << "defaults weight" << "mxint:block_size=16,width=3";
        QTest::newRow("a format's parameter") << "weight.width=3" << "defaults weight" << "block_fp:block_size=1x16,width=3";
        QTest::newRow("activations") << "activation=mxint8" << "defaults activation" << "mxint8";
        QTest::newRow("both factors") << "factors=bfp6" << "defaults b" << "bfp6";
        QTest::newRow("a parameter of both factors") << "factors.width=6" << "defaults a" << "block_fp:block_size=1x16,width=6";
        QTest::newRow("attention") << "attention.width=6" << "attention value" << "block_fp:block_size=1x16,skip_first_dim=true,width=6";
        QTest::newRow("a path") << "recipe:defaults:xa=mxint8" << "defaults xa" << "mxint8";
    }
    void keysReachWhatTheyName()
    {
        QFETCH(QString, over);
        QFETCH(QString, place);
        QFETCH(QString, value);
        const QuantizationRecipe recipe = pointsOf(planOf({over.toStdString()})).front().recipe;
        FormatSpec found;
        if (place == "defaults weight")
            found = *recipe.defaults.weight;
        else if (place == "defaults activation")
            found = *recipe.defaults.activation;
        else if (place == "defaults a")
            found = *recipe.defaults.a;
        else if (place == "defaults b")
            found = *recipe.defaults.b;
        else if (place == "defaults xa")
            found = *recipe.defaults.xa;
        else
            found = *recipe.attention.value;
        QVERIFY2(withDefaults(found) == withDefaults(FormatSpec::parse(value.toStdString())), found.toString().c_str());
    }

    // Recipes made from the papers' configurations say everything in rules and layers.
    void rulesAndLayersAreChangedWhereTheyStateIt()
    {
        SweepPlan plan = planOf({"rank=4", "scaling=diag", "weight.width=2"});
        plan.base = {};
        RecipeRule rule;
        rule.selector.pattern = NamePattern(".*mlp.*");
        rule.settings.weight = FormatSpec::parse("mxint4");
        rule.settings.rank = 32;
        rule.settings.scaling = ScalingKind::Exact;
        plan.base.rules.push_back(rule);
        plan.base.layers["model.layers.0.self_attn.q_proj"].rank = 0;
        const QuantizationRecipe recipe = pointsOf(plan).front().recipe;
        const LayerPlan up = recipe.planFor(sites().back()), q = recipe.planFor(sites().front());
        QCOMPARE(up.rank, Index(4));
        QVERIFY(up.scaling == ScalingKind::Diagonal);
        QVERIFY2(withDefaults(up.formats.weight) == withDefaults(FormatSpec::parse("mxint:width=2,block_size=32")), up.formats.weight.toString().c_str());
        // What the recipe leaves alone stays as it is.
        QCOMPARE(q.rank, Index(0));
        QVERIFY(q.formats.weight.isPassthrough() && recipe.defaults.isEmpty());
    }

    void commasInFormatsDoNotSplit()
    {
        QVERIFY(splitFormats("mxint:width=4,block_size=32,nf4,mxint3") == (std::vector<std::string>{"mxint:width=4,block_size=32", "nf4", "mxint3"}));
        QVERIFY(splitFormats("8,16") == (std::vector<std::string>{"8", "16"}));
    }

    // A sweep that states ranks gets them, up to what a layer has; else they are lowered as in `lqer run`.
    void ranksFitTheLayers()
    {
        const LinearSite q = sites().front();
        QCOMPARE(pointsOf(planOf({"rank=48"})).front().recipe.planFor(q).rank, Index(48));
        QCOMPARE(pointsOf(planOf({"rank=256"})).front().recipe.planFor(q).rank, Index(64));
        QCOMPARE(pointsOf(planOf({"scaling=exact"})).front().recipe.planFor(q).rank, sensibleRank(32, 64, 64));
        SweepPlan plan = planOf({"rank=48"});
        plan.sensibleRanks = true;
        QCOMPARE(pointsOf(plan).front().recipe.planFor(q).rank, sensibleRank(48, 64, 64));
    }

    void filesReadBack()
    {
        for (const SweepPreset &preset : sweepPresets()) {
            const SweepPlan plan = sweepPlanFromJson(parseJson(preset.json, preset.name), preset.name, find);
            QCOMPARE(plan.name, preset.name);
            const SweepPlan again = sweepPlanFromJson(plan.toJson(), preset.name, find);
            QVERIFY2(again.toJson() == plan.toJson(), preset.name.c_str());
            const auto points = pointsOf(plan), same = pointsOf(again);
            QCOMPARE(points.size(), same.size());
            for (std::size_t i = 0; i < points.size(); ++i)
                QVERIFY(points[i].recipe == same[i].recipe && points[i].data == same[i].data && points[i].labels == same[i].labels);
        }
    }

    // The formats that the official scripts come to (numerics.md F.1, A.4).
    void presetsAreThePapersSettings()
    {
        const auto only = [](const char *name) {
            const SweepPreset &preset = findSweepPreset(name);
            const auto points = pointsOf(sweepPlanFromJson(parseJson(preset.json, name), name, find));
            return points.front().recipe.planFor(sites().front());
        };
        const auto is = [](const FormatSpec &found, const char *expected) { return withDefaults(found) == withDefaults(FormatSpec::parse(expected)); };
        const LayerPlan mxint = only("l2qer-mxint");
        QVERIFY(is(mxint.formats.weight, "block_fp:width=4,block_size=1x16") && is(mxint.formats.a, "block_fp:width=8,block_size=1x16") && mxint.rank == 32);
        QVERIFY(is(mxint.formats.activation, "block_fp:width=8,block_size=1x16,skip_first_dim=true") && mxint.scaling == ScalingKind::MeanAbs);
        const LayerPlan integer = only("l2qer-int");
        QVERIFY(is(integer.formats.weight, "block_fp:width=4,block_size=1x128") && integer.formats.a.isPassthrough() && integer.formats.activation.isPassthrough());
        const LayerPlan weightOnly = only("weight-only");
        QVERIFY(is(weightOnly.formats.weight, "block_fp:width=3,block_size=1x32") && weightOnly.rank == 64);
        QVERIFY(only("lqer-svd").scaling == ScalingKind::Identity);
        const LayerPlan none = only("no-lqer");
        QVERIFY(is(none.formats.weight, "block_fp:width=8,block_size=1x-1") && none.rank == 0);
        const SweepPreset &table = findSweepPreset("papers-table");
        const auto points = pointsOf(sweepPlanFromJson(parseJson(table.json, "t"), "t", find));
        QCOMPARE(points.size(), std::size_t(20));
        QVERIFY(is(points[6].recipe.planFor(sites().front()).formats.activation, "block_fp:width=6,block_size=1x16,skip_first_dim=true"));
        QCOMPARE(points[15].recipe.planFor(sites().front()).rank, Index(0));  // plain at 2 bits
        QCOMPARE(points[19].recipe.name, std::string("W2A8, QERA-exact"));
    }

    void faultsAreNamed_data()
    {
        QTest::addColumn<QString>("json");
        QTest::addColumn<QString>("words");
        QTest::newRow("unknown key") << R"({"version":1,"base":"l2qer-w4a8","ovr":{"rank":[4]}})" << "did you mean 'over'";
        QTest::newRow("unknown setting") << R"({"version":1,"base":"l2qer-w4a8","over":{"rnk":[4]}})" << "did you mean 'rank'";
        QTest::newRow("unknown format") << R"({"version":1,"base":"l2qer-w4a8","over":{"weight":["mxitn4"]}})" << "did you mean mxint";
        QTest::newRow("unknown parameter") << R"({"version":1,"base":"l2qer-w4a8","over":{"weight.widht":[4]}})" << "no parameter 'widht'";
        QTest::newRow("unknown preset") << R"({"version":1,"base":"l2qer-w4a9","over":{"rank":[4]}})" << "did you mean";
        QTest::newRow("no table") << "[1]" << "is no table";
        QTest::newRow("no table to set") << R"({"version":1,"base":"l2qer-w4a8","over":{"m":[{"label":"x","set":4}]}})" << "over.m[0].set";
        QTest::newRow("label is no text") << R"({"version":1,"base":"l2qer-w4a8","over":{"m":[{"label":4,"set":{}}]}})" << "over.m[0].label";
        QTest::newRow("recipe is a number") << R"({"version":1,"base":"l2qer-w4a8","over":{"recipe":[4]}})" << "a name or a table";
        QTest::newRow("rules are a number") << R"({"version":1,"base":"l2qer-w4a8","over":{"recipe:rules":[4],"rank":[4]}})" << "rules";
        QTest::newRow("defaults are a number") << R"({"version":1,"base":"l2qer-w4a8","over":{"recipe:defaults":[4]}})" << "defaults";
        QTest::newRow("data is a number") << R"({"version":1,"base":"l2qer-w4a8","over":{"calibration:windows:x":[4]}})" << "windows";
        QTest::newRow("no list") << R"({"version":1,"base":"l2qer-w4a8","over":{"rank":4}})" << "over.rank";
        QTest::newRow("empty list") << R"({"version":1,"base":"l2qer-w4a8","over":{"rank":[]}})" << "nothing to vary";
        QTest::newRow("twice the same") << R"({"version":1,"base":"l2qer-w4a8","over":{"rank":[4,4]}})" << "twice";
        QTest::newRow("newer") << R"({"version":2,"base":"l2qer-w4a8","over":{"rank":[4]}})" << "version 1";
        QTest::newRow("data") << R"({"version":1,"base":"l2qer-w4a8","calibration":{"window":4},"over":{"rank":[4]}})" << "calibration.windows";
        QTest::newRow("negative") << R"({"version":1,"base":"l2qer-w4a8","calibration":{"batch":0},"over":{"rank":[4]}})" << "calibration.batch";
        QTest::newRow("too many") << R"({"version":1,"base":"l2qer-w4a8","over":{"a":[1,2,3,4,5,6,7,8,9,10],"b":[1,2,3,4,5,6,7,8,9,10],"xa":[1,2,3,4,5,6,7,8,9,10],
                                        "xab":[1,2,3,4,5,6,7,8,9,10],"bias":[1,2,3,4,5,6,7,8,9,10],"rank":[1,2]}})" << "combinations";
    }
    void faultsAreNamed()
    {
        QFETCH(QString, json);
        QFETCH(QString, words);
        const std::string message = errorOf([&] { pointsOf(sweepPlanFromJson(parseJson(json.toStdString(), "f.json"), "f.json", find)); });
        QVERIFY2(QString::fromStdString(message).contains(words), message.c_str());
    }
    void badListsOnTheCommandLine()
    {
        for (const char *text : {"rank", "=4", "rank=", "rank=4,4"})
            QVERIFY2(!errorOf([&] { parseSweepAxis(text); }).empty(), text);
    }
};

QTEST_GUILESS_MAIN(TestSweepPlan)
#include "tst_sweep_plan.moc"
