// SPDX-License-Identifier: Apache-2.0
#include <QDirIterator>
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/log.h"
#include "core/io/safetensors.h"
#include "core/io/toml.h"
#include "core/pipeline/config_overrides.h"
#include "core/pipeline/lqer_approximation.h"
#include "core/pipeline/lqer_pipeline.h"
#include "core/pipeline/lqer_recipe.h"
#include "core/pipeline/official_text.h"
#include "core/pipeline/scale_dictionary.h"
#include "tests/io/test_files.h"
#include "tests/pipeline/sample_config.h"
#include "tests/support/scratch.h"

using namespace lqer;
namespace fs = std::filesystem;

namespace {

const std::string demo = "resources/demo";

// A run of the demo configuration with its results in `folder`.
struct Run {
    explicit Run(const QTemporaryDir &scratch, std::vector<std::string> overrides = {})
        : folder(scratch.filePath("run").toStdString())
    {
        overrides.insert(overrides.begin(), "--checkpoint_path=" + folder);
        config = test::demoConfigWith(overrides);
        options.modelFolder = options.dataFolder = test::sourcePath(demo);
        options.say = [this](const std::string &line) { said.push_back(line); };
    }
    LqerPipelineResult start() { return runLqerPipeline(engine, config, options, engine.context()); }
    bool has(const std::string &name) const { return fs::exists(fs::path(folder) / name); }
    std::string file(const std::string &name) const { return (fs::path(folder) / name).string(); }
    bool saidSo(const std::string &part) const
    {
        return std::ranges::any_of(said, [&](const std::string &line) { return line.find(part) != std::string::npos; });
    }

    Engine engine;
    std::string folder;
    LqerConfig config;
    LqerPipelineOptions options;
    std::vector<std::string> said;
};

// Every result, by its name in the folder: what a run is compared by. The engine's project holds times.
std::map<std::string, std::string> resultsIn(const std::string &folder)
{
    std::map<std::string, std::string> files;
    for (const fs::directory_entry &entry : fs::recursive_directory_iterator(folder)) {
        const std::string name = fs::relative(entry.path(), folder).string();
        if (entry.is_regular_file() && name.find(".lqer") == std::string::npos && name.find("pipeline/") == std::string::npos
            && name.find("config/") == std::string::npos)
            files[name] = test::readRaw(entry.path().string());
    }
    return files;
}

Matrix tensor(const std::string &path, const std::string &name)
{
    const SafetensorsFile file(path);
    const TensorInfo *const info = file.find(name);
    return info ? file.read(*info).toMatrix() : Matrix();
}

}  // namespace

class TestLqerPipeline : public QObject {
    Q_OBJECT
private slots:
    // Every run says what has no meaning here.
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
    }
    void cleanupTestCase() { setLogSink({}); }

    void aRunWritesTheOfficialFiles()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        Run run(scratch);
        const LqerPipelineResult result = run.start();
        QCOMPARE(result.folder, run.folder);

        const std::vector<LinearSite> sites = LoadedModel(test::sourcePath(demo)).transformer().linearSites();
        // scale_dict: one vector a layer, normalised.
        const SafetensorsFile scales(run.file("profile/scale_dict.safetensors"));
        QCOMPARE(scales.tensors().size(), sites.size());
        const Matrix scale = tensor(run.file("profile/scale_dict.safetensors"), sites[0].name + ".scale");
        QCOMPARE(scale.size(), sites[0].in);
        QVERIFY(std::abs(scale.minCoeff() * scale.maxCoeff() - 1) < 1e-6);

        // A, B and the scaled error they approximate, in the table's measure.
        const std::vector<ApproximationRow> rows = readApproximationTable(run.file("approximate/results.csv"));
        QCOMPARE(rows.size(), sites.size());
        QCOMPARE(rows[0].name, sites[0].name + ".weight");
        QCOMPARE(rows[0].rank, 8);
        QCOMPARE(rows[0].out, sites[0].out);
        QCOMPARE(rows[0].in, sites[0].in);
        const Matrix a = tensor(run.file("approximate/low_rank_dict.safetensors"), sites[0].name + ".A");
        const Matrix b = tensor(run.file("approximate/low_rank_dict.safetensors"), sites[0].name + ".B");
        const Matrix error = tensor(run.file("approximate/error_T_dict.safetensors"), sites[0].name + ".weight");
        QCOMPARE(a.cols(), 8);
        QCOMPARE(b.cols(), sites[0].out);
        QVERIFY(std::abs((a * b - error).cast<double>().cwiseAbs().mean() / rows[0].error - 1) < 1e-5);
        // In the metric of the scaled error, diag(s) A B is near it: the part that the leading 8 components have.
        const Matrix corrected = scale.row(0).transpose().asDiagonal() * (a * b);
        QVERIFY((error - corrected).norm() < 0.95 * error.norm());

        const Json perplexity = readJsonFile(run.file("evaluate_perplexity/evaluation.txt.json"));
        QCOMPARE(perplexity.find("num_samples")->asInteger(), 16);  // 18 samples are four batches of four
        QCOMPARE(perplexity.find("seq_len")->asInteger(), 128);
        QCOMPARE(perplexity.find("batch_size")->asInteger(), 4);
        QVERIFY(std::abs(std::exp(perplexity.find("loss")->asNumber()) - perplexity.find("perplexity")->asNumber()) < 1e-9);
        QCOMPARE(result.perplexity->dump(), perplexity.dump());

        for (const char *name : {"profiling", "approximation", "perplexity_evaluation"})
            QVERIFY(run.has(std::string("pipeline/config_after_") + name + ".toml"));
        const Json config = nullsFromNa(readTomlFile(run.file("pipeline/config.toml")));
        for (const char *flag : {"enable_profiling", "enable_approximation", "enable_perplexity_evaluation"})
            QVERIFY(!config.find(flag)->asBool());
        QCOMPARE(
            findConfigValue(config, "evaluate:low_rank_dict")->asString(), run.file("approximate/low_rank_dict.safetensors"));
        QCOMPARE(findConfigValue(config, "visualize:error_T_dict")->asString(), run.file("approximate/error_T_dict.safetensors"));
        QVERIFY(findConfigValue(config, "approximate:approximator:default:W_quantizer:exponent_bias")->isNull());
    }

    // The same recipe by the engine's own stages, decomposed the same way.
    void theNumbersAreThoseOfTheEnginesRun()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        Run run(scratch);
        const LqerPipelineResult result = run.start();

        const auto model = run.engine.load(test::sourcePath(demo), run.engine.context());
        const std::vector<LinearSite> &sites = model->transformer().linearSites();
        const auto project = run.engine.createProject(scratch.filePath("own.lqer").toStdString(), *model);
        RunRequest request;
        request.recipe = lqerRecipe(run.config, LqerStage::Evaluate, sites);
        WindowOptions windows{
            .convention = WindowConvention::Sharded, .length = 128, .maxWindows = 8, .batch = 2, .maxRows = 2000};
        request.calibrationWindows
            = run.engine.windows(*model, {test::sourcePath(demo + "/calibration.txt")}, windows, run.engine.context());
        request.calibration = {.batch = 2, .autocorrelation = false};
        request.decompose.spectrum = SpectrumExtent::Leading;
        windows.maxWindows = 16;
        windows.maxRows = 0;
        windows.batch = 4;
        request.evaluationWindows
            = run.engine.windows(*model, {test::sourcePath(demo + "/evaluation.txt")}, windows, run.engine.context());
        request.evaluate.perplexity.weighting = LossWeighting::Batch;
        request.evaluate.perplexity.batch = 4;
        request.evaluate.perplexity.unscored = paddingToken(*model->tokenizer());
        request.evaluate.originalPerplexity = request.evaluate.layerErrors = false;
        const auto own = run.engine.run(*model, *project, request, run.engine.context());
        const double perplexity = own->reports.front()->perplexity->perplexity;
        // Scales pass through float32 on the way, as in the official code: A and B differ in their last bits before they are quantized, so
        // that some numbers (two of 1,536 in one layer's A were seen) round to the neighbour, which moved these 16 windows by 1.9e-4.
        QVERIFY2(std::abs(result.perplexity->find("perplexity")->asNumber() / perplexity - 1) < 5e-4,
            qPrintable(QString("%1 %2").arg(result.perplexity->find("perplexity")->asNumber()).arg(perplexity)));
    }

    // A pipeline that is stopped behind each stage and started again writes what an uninterrupted one writes.
    void aStoppedRunCarriesOnWithTheSameResult()
    {
        const QTemporaryDir whole(test::scratchTemplate()), parts(test::scratchTemplate());
        Run uninterrupted(whole);
        uninterrupted.start();

        // Stop as soon as the next stage says what it does: everything before it is finished.
        int starts = 0;
        for (const char *stage : {"Profiling", "Approximating", "Evaluating", ""}) {
            Run run(parts);
            const auto say = run.options.say;
            std::stop_source stop;
            run.options.say = [&](const std::string &line) {
                say(line);
                if (*stage && line.starts_with(stage))
                    stop.request_stop();
            };
            try {
                runLqerPipeline(run.engine, run.config, run.options, run.engine.context(nullptr, stop.get_token()));
                QVERIFY(!*stage);
            } catch (const Cancelled &) {
                QVERIFY(*stage);
            }
            ++starts;
            // The stages before are not said again.
            QCOMPARE(run.saidSo("Profiling"), starts <= 2);
            QCOMPARE(run.saidSo("Carrying on"), starts >= 3);
        }
        QCOMPARE(resultsIn(scratchRun(parts)).size(), std::size_t{6});
        QVERIFY(resultsIn(scratchRun(parts)) == resultsIn(scratchRun(whole)));
    }

    void aFinishedRunIsReplacedOnlyOnRequest()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        const std::vector<std::string> quick{"--enable_perplexity_evaluation=:ast:0"};
        Run(scratch, quick).start();
        const std::string message = test::errorOf([&] { Run(scratch, quick).start(); });
        QVERIFY2(message.find("holds a finished run: --overwrite_checkpoint=:ast:True") != std::string::npos, message.c_str());
        std::vector<std::string> again = quick;
        again.push_back("--overwrite_checkpoint=:ast:True");
        Run(scratch, again).start();
        // The saved configuration runs too, with everything done: nothing is left to do.
        Run saved(scratch);
        saved.config
            = readLqerConfig(saved.file("pipeline/config.toml"), std::vector<std::string>{"--overwrite_checkpoint=:ast:True"});
        saved.start();
        QVERIFY(saved.said.empty());
    }

    void anotherConfigurationDoesNotCarryOn()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        Run(scratch, {"--enable_perplexity_evaluation=:ast:0"}).start();
        fs::remove(fs::path(scratchRun(scratch)) / "pipeline/config.toml");
        Run other(scratch, {"--approximate:approximator:default:rank=4"});
        const std::string message = test::errorOf([&] { other.start(); });
        QVERIFY2(message.find("another configuration") != std::string::npos, message.c_str());
    }

    void withoutLqerNothingIsCorrected()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        Run run(scratch, {"--evaluate:disable_lqer=:ast:1", "--enable_profiling=:ast:0", "--enable_approximation=:ast:0"});
        const double plain = run.start().perplexity->find("perplexity")->asNumber();
        QVERIFY(run.saidSo("without A and B"));
        const QTemporaryDir other(test::scratchTemplate());
        const double corrected = Run(other, {"--approximate:name=lqer-svd", "--enable_profiling=:ast:0"})
                                     .start()
                                     .perplexity->find("perplexity")
                                     ->asNumber();
        QVERIFY2(corrected < plain, qPrintable(QString("%1 %2").arg(corrected).arg(plain)));
    }

    void chunksTogetherAreTheWhole()
    {
        const QTemporaryDir whole(test::scratchTemplate()), parts(test::scratchTemplate());
        Run unchunked(whole);
        unchunked.start();
        Run profiled(parts, {"--enable_approximation=:ast:0", "--enable_perplexity_evaluation=:ast:0"});
        profiled.start();

        // 28 layers in chunks of 12: three of them, the second one first, and nothing to merge before the last.
        const std::string scales = "--profile:scale_dict=" + profiled.file("profile/scale_dict.safetensors");
        for (const char *chunk : {"1", "0", "2"}) {
            const std::string message = test::errorOf([&] { mergeLqerChunks(profiled.folder); });
            QVERIFY2(message.find(chunk == std::string("1") ? "no finished chunk" : "missing: chunk_") != std::string::npos,
                message.c_str());
            Run run(parts, {scales, std::string("--approximate:chunk_idx=") + chunk});
            QCOMPARE(
                runLqerChunk(run.engine, run.config, run.options, run.engine.context()), std::string("chunk_") + chunk + "_of_2");
            QVERIFY(run.saidSo("Approximating"));
            Run again(parts, {scales, std::string("--approximate:chunk_idx=") + chunk});
            runLqerChunk(again.engine, again.config, again.options, again.engine.context());
            QVERIFY(again.saidSo("is there already"));
        }
        const std::string merged = mergeLqerChunks(profiled.folder);
        QCOMPARE(
            test::readRaw(profiled.file("approximate/results.csv")), test::readRaw(unchunked.file("approximate/results.csv")));
        QCOMPARE(test::readRaw(profiled.file("approximate/results_summary.csv")),
            test::readRaw(unchunked.file("approximate/results_summary.csv")));

        Run evaluated(parts);
        evaluated.config = readLqerConfig(merged, std::vector<std::string>{"--overwrite_checkpoint=:ast:True"});
        QCOMPARE(evaluated.config.lowRankDict.size(), std::size_t{3});
        evaluated.start();
        QCOMPARE(test::readRaw(profiled.file("evaluate_perplexity/evaluation.txt.json")),
            test::readRaw(unchunked.file("evaluate_perplexity/evaluation.txt.json")));
    }

    void chunksOutsideTheLayersAreRefused_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("part");
        QTest::newRow("index") << "--approximate:chunk_idx=3"
                               << "must be 0 to 2: 28 layers in chunks of 12";
        QTest::newRow("size") << "--approximate:chunk_size=29"
                              << "is more than the 28 layers";
        QTest::newRow("no size") << "--approximate:chunk_size=:ast:None"
                                 << "is missing";
    }
    void chunksOutsideTheLayersAreRefused()
    {
        QFETCH(QString, argument);
        QFETCH(QString, part);
        const QTemporaryDir scratch(test::scratchTemplate());
        Run run(scratch, {argument.toStdString()});
        const QString message = QString::fromStdString(
            test::errorOf([&] { runLqerChunk(run.engine, run.config, run.options, run.engine.context()); }));
        QVERIFY2(message.contains(part), qPrintable(message));
        QVERIFY(!run.has("approximate"));
    }

    void whatCannotRunSaysSoBeforeAnythingIsMade_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("part");
        QTest::newRow("no such model") << "model"
                                       << "'nobody/demo' is no folder here: --model DIR";
        QTest::newRow("results in the model's folder")
            << "--checkpoint_path=" + QString::fromStdString(test::sourcePath(demo)) << "is the model's own folder";
        QTest::newRow("no such data") << "--profile:dataset=nothing"
                                      << "nothing";
        QTest::newRow("too many samples") << "--profile:num_samples=100000"
                                          << "num_samples asks for 100000 windows of 128 tokens, there are";
        QTest::newRow("no scales") << "--enable_profiling=:ast:0"
                                   << "scale_dict.pt: does not exist, nor does scale_dict.safetensors";
        QTest::newRow("no factors") << "--enable_approximation=:ast:0"
                                    << "low_rank_dict.pt: does not exist";
        QTest::newRow("another family") << "--approximate:approximator=:ast:{'a': {'rank': 1, 'W_quantizer': 'mxint4', "
                                           "'A_quantizer': 'passthrough', 'B_quantizer': 'passthrough'}}"
                                        << "no pattern matches a layer of this model";
    }
    void whatCannotRunSaysSoBeforeAnythingIsMade()
    {
        QFETCH(QString, argument);
        QFETCH(QString, part);
        const QTemporaryDir scratch(test::scratchTemplate());
        const bool noModel = argument == "model";
        Run run(scratch, noModel ? std::vector<std::string>() : std::vector<std::string>{argument.toStdString()});
        if (noModel)
            run.options.modelFolder.clear();
        const QString message = QString::fromStdString(test::errorOf([&] { run.start(); }));
        QVERIFY2(message.contains(part), qPrintable(message));
        QVERIFY(!run.has("evaluate_perplexity"));
    }

    void tasksAreWrittenAsLmEvalWritesThem()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        std::string rows;
        for (std::int64_t i = 0; i < 6; ++i)
            rows += Json::object()
                        .set("id", i)
                        .set("question", "What is it?")
                        .set("choices", Json::Array{"one thing", "two", "three of them"})
                        .set("label", i % 3)
                        .dump()
                + '\n';
        test::writeRaw(scratch.filePath("arc_easy.test.jsonl").toStdString(), rows);
        const std::vector<std::string> tasksOnly{"--enable_profiling=:ast:0", "--enable_approximation=:ast:0",
            "--enable_perplexity_evaluation=:ast:0", "--enable_harness_downstream_evaluation=:ast:1",
            "--evaluate:disable_lqer=:ast:1", "--overwrite_checkpoint=:ast:True"};
        std::string first;
        for (const char *name : {"harness_results.json", "harness_results_0.json"}) {
            Run run(scratch, tasksOnly);
            run.options.dataFolder = scratch.path().toStdString();
            const LqerPipelineResult result = run.start();
            QVERIFY(result.taskTable.find("arc_easy") != std::string::npos);
            const Json written = readJsonFile(run.file(std::string("evaluate_harness_downstream/") + name));
            const double accuracy = written.find("results")->find("arc_easy")->find("acc")->asNumber();
            QVERIFY(std::abs(accuracy * 6 - std::round(accuracy * 6)) < 1e-9);
            QVERIFY(written.find("results")->find("arc_easy")->find("acc_stderr")->isNumber());
            QCOMPARE(written.find("config")->find("num_fewshot")->asInteger(), 0);
            if (first.empty())
                first = written.dump();
            QCOMPARE(written.dump(), first);
            QVERIFY(!findConfigValue(result.config, "enable_harness_downstream_evaluation")->asBool());
        }
        // Data that is not there is found out before anything is computed.
        Run absent(scratch, {"--enable_harness_downstream_evaluation=:ast:1", "--overwrite_checkpoint=:ast:True"});
        const std::string message = test::errorOf([&] { absent.start(); });
        QVERIFY2(message.find("arc_easy") != std::string::npos && absent.said.empty(), message.c_str());
    }

    // The authors' own files, which are not part of this project, on small models of their families.
    void everyOfficialTemplateRuns()
    {
        LQER_NEED_SHARED();
        const QString official = qEnvironmentVariable("LQER_OFFICIAL");
        if (official.isEmpty())
            QSKIP("set LQER_OFFICIAL to the folder experiments/configs of LQER's repository");
        const std::string shared = test::sharedFolder();
        int runs = 0;
        for (const QString part : {"/template", "/debug"}) {
            const QDir files(official + part, "*.toml");
            for (const QString &name : files.entryList()) {
                const bool opt = name.startsWith("opt");
                const std::string length = opt ? "48" : "128";
                const QTemporaryDir scratch(test::scratchTemplate());
                Run run(scratch);
                run.config = readLqerConfig(files.filePath(name).toStdString(),
                    std::vector<std::string>{"--checkpoint_path=:ast:'" + run.folder + "'", "--profile:max_length=" + length,
                        "--evaluate:perplexity:max_length=:ast:" + length, "--evaluate:perplexity:num_samples=:ast:8",
                        "--enable_harness_downstream_evaluation=:ast:0",
                        "--profile:dataset=" + shared + "/text/c4_web_open.jsonl", "--profile:num_raw_samples=:ast:700",
                        "--evaluate:perplexity:dataset=" + shared + "/text/wikitext2_test_raw_open.txt"});
                run.options.modelFolder = shared + (opt ? "/models/shakespeare-opt" : "/models/stories260k");
                run.options.keepErrors = false;
                const LqerPipelineResult result = run.start();
                QVERIFY2(result.perplexity->find("perplexity")->asNumber() > 1, qPrintable(name));
                QVERIFY(!readApproximationTable(run.file("approximate/results.csv")).empty());
                ++runs;
            }
        }
        QCOMPARE(runs, 21);
    }

    void scalesComeBackAsTheyWereWritten()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        Run run(scratch, {"--enable_perplexity_evaluation=:ast:0", "--enable_approximation=:ast:0"});
        run.start();
        const std::string path = run.file("profile/scale_dict.safetensors");
        const auto model = run.engine.load(test::sourcePath(demo), run.engine.context());
        const auto project = run.engine.createProject(scratch.filePath("scales.lqer").toStdString(), *model);
        std::vector<const LinearSite *> layers;
        for (const LinearSite &site : model->transformer().linearSites())
            layers.push_back(&site);
        const std::string key = importScaleDictionary(*project, *model, path, layers);
        const auto stats = project->calibration(key);
        for (const LinearSite *site : layers) {
            const Matrix scale = tensor(path, site->name + ".scale");
            const VectorF64 back = stats->sites.at(site->activationSite).lqerScale();
            QVERIFY2((back.cast<float>() - scale.row(0).transpose()).cwiseAbs().maxCoeff() <= 2e-7f * scale.maxCoeff(),
                site->name.c_str());
        }
        QCOMPARE(importScaleDictionary(*project, *model, path, layers), key);

        // A file with a scale that is none.
        Tensor bad = Tensor::fromVector(std::vector<float>(static_cast<std::size_t>(layers[0]->in), 0.0f));
        const std::string broken = scratch.filePath("broken.safetensors").toStdString();
        writeSafetensors(broken, {{layers[0]->name + ".scale", bad}});
        const std::string message = test::errorOf([&] { importScaleDictionary(*project, *model, broken, layers); });
        QVERIFY2(message.find("a scale must be positive") != std::string::npos, message.c_str());
    }

    void theSummaryIsWhatPandasDescribes()
    {
        const QTemporaryDir scratch(test::scratchTemplate());
        const std::string path = scratch.filePath("summary.csv").toStdString(),
                          table = scratch.filePath("table.csv").toStdString();
        const std::vector<ApproximationRow> rows{{"a.weight", 8, 0.25, 64, 32}, {"b.weight", 8, 0.5, 64, 64},
            {"c.weight", 4, 1e-05, 172, 64}, {"d.weight", 8, 0.125, 64, 172}};
        writeApproximationTable(table, rows);
        QVERIFY(readApproximationTable(table) == rows);
        writeApproximationSummary(path, rows);
        // pandas 1.5: DataFrame(...).describe().to_csv().
        QCOMPARE(test::readRaw(path),
            std::string(",rank,l1_norm(AB-Q_error_T)/n,w_dim0,w_dim1\n"
                        "count,4.0,4.0,4.0,4.0\n"
                        "mean,7.0,0.2187525,91.0,83.0\n"
                        "std,2.0,0.2134747253384656,54.0,61.220911460055866\n"
                        "min,4.0,1e-05,64.0,32.0\n"
                        "25%,7.0,0.0937525,64.0,56.0\n"
                        "50%,8.0,0.1875,64.0,64.0\n"
                        "75%,8.0,0.3125,91.0,91.0\n"
                        "max,8.0,0.5,172.0,172.0\n"));
        test::writeRaw(table, "name,rank\n");
        QVERIFY(test::errorOf([&] { readApproximationTable(table); }).find("line 1: expected the columns") != std::string::npos);
        test::writeRaw(table, "name,rank,l1_norm(AB-Q_error_T)/n,w_dim0,w_dim1\na,x,1,2,3\n");
        QVERIFY(test::errorOf([&] { readApproximationTable(table); }).find("line 2: 'x' is no number") != std::string::npos);
    }

private:
    static std::string scratchRun(const QTemporaryDir &scratch) { return scratch.filePath("run").toStdString(); }
};

QTEST_GUILESS_MAIN(TestLqerPipeline)
#include "tst_lqer_pipeline.moc"
