// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/eval/quantized_forward.h"
#include "core/eval/report.h"
#include "tests/eval/scored_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

EvaluationReport measured()
{
    const test::ScoredModel small;
    const TokenWindows windows = test::randomWindows(3, 12);
    EvaluationReport report;
    report.title = "exact, \"rank\" 4";
    report.model = "small";
    report.fingerprint = "0123";
    report.created = "2026-01-02T03:04:05Z";
    report.recipe = defaultRecipe();
    const ModelPlan plan = report.recipe->planFor(small.model().linearSites());
    ForwardHooks plain;
    QuantizedForward quantized(plan, {}, {});
    report.original = evaluatePerplexity(small.model(), windows, plain, {}, {});
    report.perplexity = evaluatePerplexity(small.model(), windows, quantized, {}, {});
    report.divergence = evaluateDivergence(small.model(), windows, quantized, {}, {});
    report.tasks.emplace();
    report.tasks->tasks = {{"arc_easy", 5, 100, "data/arc_easy.jsonl", "test", "data/arc_easy.train.jsonl", {{"acc", 1.0 / 3.0, 0.1}}, {}, {}}};
    report.tasks->requests = 400;
    report.footprint = footprint(small.model(), plan);
    LayerError layer;
    layer.layer = "l";
    layer.weightEnergy = 1.0 / 3.0;
    layer.outputKnown = true;
    layer.correctedOutputError = 1e-300;
    report.layers = {layer, {}};
    return report;
}

}  // namespace

class TestReport : public QObject {
    Q_OBJECT

private slots:
    void readsWhatItWroteToTheLastBit()
    {
        const EvaluationReport report = measured();
        const std::string text = report.toJson().dump(1);
        QVERIFY(EvaluationReport::fromJson(parseJson(text, "r"), "r") == report);
    }

    void partsMayBeMissing()
    {
        EvaluationReport report;
        report.title = "nothing measured";
        QVERIFY(EvaluationReport::fromJson(report.toJson(), "r") == report);
        report.original = measured().original;
        QVERIFY(EvaluationReport::fromJson(report.toJson(), "r") == report);
    }

    void anInfinitePerplexitySurvives()
    {
        EvaluationReport report;
        report.perplexity = PerplexityReport();
        report.perplexity->perplexity = std::numeric_limits<double>::infinity();
        QVERIFY(EvaluationReport::fromJson(parseJson(report.toJson().dump(), "r"), "r") == report);
    }

    void everyMissingOrBrokenFieldIsNamed()
    {
        const Json whole = measured().toJson();
        for (const auto &[key, value] : whole.asObject()) {
            Json broken = Json::object();
            for (const auto &[name, member] : whole.asObject())
                broken.set(name, name == key ? Json(true) : member);
            const std::string message = test::errorOf([&] { EvaluationReport::fromJson(broken, "r.json"); });
            QVERIFY2(message.starts_with("r.json") && message.find(key) != std::string::npos, message.c_str());
        }
        Json newer = whole;
        newer.set("version", 2);
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { EvaluationReport::fromJson(newer, "r.json"); }, &code).empty());
        QVERIFY(code == ErrorCode::Unsupported);
    }

    void unknownNamesInsideAreFormatErrors()
    {
        Json json = measured().toJson();
        Json part = *json.find("perplexity");
        part.set("weighting", "words");
        json.set("perplexity", part);
        ErrorCode code{};
        std::string message = test::errorOf([&] { EvaluationReport::fromJson(json, "r.json"); }, &code);
        QVERIFY2(message.find("perplexity.weighting") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Format);
        part.set("weighting", "token");
        part.set("window_options", Json(*part.find("window_options")).set("convention", "nosuch"));
        json.set("perplexity", part);
        message = test::errorOf([&] { EvaluationReport::fromJson(json, "r.json"); }, &code);
        QVERIFY2(message.find("convention") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Format);
    }
};

QTEST_GUILESS_MAIN(TestReport)
#include "tst_report.moc"
