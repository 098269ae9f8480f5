// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "core/base/error.h"
#include "core/task/job_queue.h"
#include "tests/engine/sample_work.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
namespace fs = std::filesystem;
using test::sampleRecipe;

class TestEngine : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::string m_checkpoint;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }

    struct Open {
        std::unique_ptr<Engine> engine;
        std::shared_ptr<const LoadedModel> model;
        std::shared_ptr<Project> project;
        TaskContext context;
    };
    Open open(const char *name, std::size_t threads = 2) const
    {
        Open all;
        all.engine = std::make_unique<Engine>(EngineOptions{threads, 0});
        all.context = all.engine->context();
        all.model = all.engine->load(m_checkpoint, all.context);
        all.project = Project::isProject(at(name)) ? all.engine->openProject(at(name)) : all.engine->createProject(at(name), *all.model);
        return all;
    }
    static RunRequest request()
    {
        RunRequest request;
        request.recipe = sampleRecipe();
        request.calibrationWindows = std::make_shared<TokenWindows>(test::sampleCalibration());
        request.evaluationWindows = std::make_shared<TokenWindows>(test::sampleEvaluation());
        request.evaluate.divergence = true;
        return request;
    }

private slots:
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(test::scratchTemplate());
        m_checkpoint = at("checkpoint");
        test::writeRandomLlama(m_checkpoint, test::sampleModel());
    }

    void summarySaysWhatTheCheckpointIs()
    {
        const Open all = open("p.lqer");
        const ModelSummary &summary = all.model->summary();
        QCOMPARE(summary.family, std::string("llama"));
        QCOMPARE(summary.layers, std::int64_t{3});
        QCOMPARE(summary.linearLayers, std::int64_t{21});
        QCOMPARE(summary.bytes, test::sampleModel().bytes());
        QCOMPARE(summary.dtypes.size(), std::size_t{1});
        QVERIFY(!summary.hasTokenizer && !summary.tokenizer.empty());
        ErrorCode code{};
        test::errorOf([&] { all.engine->windows(*all.model, TextSource{"x.txt"}, {}, all.context); }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
    }

    void runDoesEverythingAndASecondRunNothingTwice()
    {
        const Open all = open("p.lqer");
        RunRequest wanted = request();
        wanted.plain = true;
        wanted.compare = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal, ScalingKind::Exact};
        const auto first = all.engine->run(*all.model, *all.project, wanted, all.context);
        QCOMPARE(first->reports.size(), std::size_t{5});
        QCOMPARE(first->table->ready, std::size_t{21});
        QVERIFY(!first->calibration->reused);
        std::size_t computed = 0;
        for (const auto &decomposition : first->decompositions)
            computed += decomposition->computed;
        QCOMPARE(computed, std::size_t{4 * 21});
        for (const auto &report : first->reports) {
            QVERIFY(std::isfinite(report->perplexity->perplexity) && report->perplexity->perplexity > 1);
            QCOMPARE(report->layers.size(), std::size_t{21});
            QVERIFY(report->divergence->kl.mean > 0);
            QCOMPARE(report->original->meanNll, first->reports[0]->original->meanNll);
        }
        QCOMPARE(all.engine->reports(*all.project).size(), std::size_t{5});
        QVERIFY(*all.engine->reports(*all.project).back() == *first->reports.back());

        const auto second = all.engine->run(*all.model, *all.project, wanted, all.context);
        QVERIFY(second->calibration->reused);
        for (const auto &decomposition : second->decompositions)
            QCOMPARE(decomposition->computed, std::size_t{0});
        QVERIFY(*second->reports.back() == *first->reports.back());
        QCOMPARE(all.engine->reports(*all.project).size(), std::size_t{5});
    }

    // The exact scaling minimises what is measured here; the others share the stored factors' rounding.
    void exactScalingHasTheSmallestOutputError()
    {
        const Open all = open("p.lqer");
        RunRequest wanted = request();
        wanted.compare = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal};
        wanted.recipe.defaults.a = wanted.recipe.defaults.b = FormatSpec{};
        const auto result = all.engine->run(*all.model, *all.project, wanted, all.context);
        const EvaluationReport &exact = *result->reports.back();
        for (std::size_t other = 0; other + 1 < result->reports.size(); ++other)
            for (std::size_t i = 0; i < exact.layers.size(); ++i)
                QVERIFY2(exact.layers[i].correctedOutputError <= result->reports[other]->layers[i].correctedOutputError * (1 + 1e-6),
                         exact.layers[i].layer.c_str());
    }

    void tableFromStoredValuesAgreesWithMeasurement()
    {
        const Open all = open("p.lqer");
        RunRequest wanted = request();
        wanted.recipe.defaults.a = wanted.recipe.defaults.b = FormatSpec{};  // predictions are for unquantized A and B
        wanted.compare = {ScalingKind::MeanAbs, ScalingKind::Exact};
        const auto result = all.engine->run(*all.model, *all.project, wanted, all.context);
        for (const QuantizationRecipe &recipe : {wanted.recipe, withScaling(wanted.recipe, ScalingKind::MeanAbs)}) {
            const auto table = all.engine->layerTable(*all.model, *all.project, recipe);
            for (const LayerRow &row : table->rows) {
                QVERIFY(row.ready && row.error && row.measured);
                // A and B are kept as float32, the measured error is formed in float32: 1e-4 of the energy before correction.
                QVERIFY(std::abs(row.error->weightError - row.measured->weightError) <= 1e-4 * row.measured->weightError);
                QVERIFY(std::abs(row.error->outputError - row.measured->outputError) <= 1e-4 * row.measured->outputError);
                QVERIFY(std::abs(row.error->correctedWeightError - row.measured->correctedWeightError) <= 1e-4 * row.measured->weightError);
                QVERIFY(std::abs(row.error->correctedOutputError - row.measured->correctedOutputError) <= 1e-4 * row.measured->outputError);
                QVERIFY(row.error->correctedOutputError < row.error->outputError);
            }
        }
    }

    void changingOnlyTheRankDecomposesNothing()
    {
        const Open all = open("p.lqer");
        RunRequest wanted = request();
        wanted.runUntil = Stage::Decompose;
        all.engine->run(*all.model, *all.project, wanted, all.context);
        for (const Index rank : {1, 5, 24}) {
            const auto again = all.engine->decompose(*all.model, *all.project, sampleRecipe(ScalingKind::Exact, rank), {}, all.context);
            QCOMPARE(again->computed, std::size_t{0});
            QCOMPARE(again->reused, std::size_t{21});
            const auto correction = all.engine->correction(*all.model, *all.project, "model.layers.1.mlp.up_proj",
                                                           sampleRecipe(ScalingKind::Exact, rank).planFor(all.model->transformer().linearSites()[12]));
            QCOMPARE(correction->rank(), rank);
        }
        const auto other = all.engine->decompose(*all.model, *all.project, sampleRecipe(ScalingKind::Diagonal), {}, all.context);
        QCOMPARE(other->computed, std::size_t{21});
    }

    void ranksBeyondTheStoredOnesAreComputed()
    {
        const Open all = open("p.lqer");
        DecomposeOptions few;
        few.maxRank = 4;
        QuantizationRecipe recipe = sampleRecipe(ScalingKind::Identity, 4);
        QCOMPARE(all.engine->decompose(*all.model, *all.project, recipe, few, all.context)->computed, std::size_t{21});
        recipe.defaults.rank = 6;
        const auto more = all.engine->decompose(*all.model, *all.project, recipe, few, all.context);
        QCOMPARE(more->computed, std::size_t{21});
        QCOMPARE(more->layers.front()->maxRank, Index{6});
        QCOMPARE(all.project->decompositions().size(), std::size_t{21});
    }

    void calibrationIsReusedByItsKey()
    {
        const Open all = open("p.lqer");
        const TokenWindows windows = test::sampleCalibration();
        const auto first = all.engine->calibrate(*all.model, *all.project, windows, {}, all.context);
        QVERIFY(!first->reused);
        QCOMPARE(first->stats->sites.size(), std::size_t{12});
        CalibrationOptions limited;
        limited.memoryLimit = 4 << 20;  // changes no number, so no key
        QVERIFY(all.engine->calibrate(*all.model, *all.project, windows, limited, all.context)->reused);
        CalibrationOptions batches;
        batches.batch = 3;
        QVERIFY(!all.engine->calibrate(*all.model, *all.project, windows, batches, all.context)->reused);
        QVERIFY(!all.engine->calibrate(*all.model, *all.project, test::sampleEvaluation(), {}, all.context)->reused);
        QCOMPARE(all.project->calibrationKeys().size(), std::size_t{3});
    }

    void threadsDoNotChangeASingleBit()
    {
        std::string hashes[2];
        double nll[2];
        for (const std::size_t i : {0, 1}) {
            const Open all = open(i == 0 ? "one.lqer" : "three.lqer", i == 0 ? 1 : 3);
            RunRequest wanted = request();
            wanted.compare = {ScalingKind::Identity, ScalingKind::MeanAbs, ScalingKind::Diagonal};
            nll[i] = all.engine->run(*all.model, *all.project, wanted, all.context)->reports.back()->perplexity->totalNll;
            hashes[i] = test::shardHashes(all.project->folder());
        }
        QCOMPARE(hashes[0], hashes[1]);
        QCOMPARE(nll[0], nll[1]);
    }

    void correctionBeforeDecompositionSaysSo()
    {
        const Open all = open("p.lqer");
        LayerPlan plan = sampleRecipe(ScalingKind::Identity).planFor(all.model->transformer().linearSites().front());
        ErrorCode code{};
        const std::string message =
            test::errorOf([&] { all.engine->correction(*all.model, *all.project, "model.layers.0.mlp.up_proj", plan); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY2(message.find("has not been decomposed under 'identity' up to rank 8 yet") != std::string::npos, message.c_str());
        const std::string wrong =
            test::errorOf([&] { all.engine->correction(*all.model, *all.project, "model.layers.0.mlp.up_prj", plan); });
        QVERIFY2(wrong.find("did you mean 'model.layers.0.mlp.up_proj'?") != std::string::npos, wrong.c_str());
        const std::string early = test::errorOf([&] {
            all.engine->evaluate(*all.model, *all.project, sampleRecipe(ScalingKind::Identity), test::sampleEvaluation(), {}, all.context);
        });
        QVERIFY2(early.find("has not been decomposed") != std::string::npos, early.c_str());
        const std::string uncalibrated =
            test::errorOf([&] { all.engine->decompose(*all.model, *all.project, sampleRecipe(), {}, all.context); }, &code);
        QVERIFY2(code == ErrorCode::Argument && !uncalibrated.empty(), uncalibrated.c_str());
    }

    void oneLayerCanBeDecomposedAlone()
    {
        const Open all = open("p.lqer");
        const auto record = all.engine->decomposeLayer(*all.model, *all.project, "model.layers.2.self_attn.v_proj",
                                                       FormatSpec::parse("mxint:width=3,block_size=16"), ScalingKind::Identity, 0, {}, all.context);
        QCOMPARE(record->key.layer, std::string("model.layers.2.self_attn.v_proj"));
        QCOMPARE(record->maxRank, Index{24});
        QCOMPARE(record->sigma.size(), Index{24});
        QCOMPARE(all.project->decompositions().size(), std::size_t{1});
        QVERIFY(record->correctedWeightError(24) < 1e-9 * record->weightError);  // full rank: nothing is left
    }

    // ---- the checkpoint moves or changes (H5-38, D-22)

    void movedCheckpointCanBeFoundAgain()
    {
        { const Open all = open("p.lqer"); }
        const Engine engine;
        const auto project = engine.openProject(at("p.lqer"));
        fs::rename(m_checkpoint, at("elsewhere"));
        ErrorCode code{};
        const std::string message = test::errorOf([&] { engine.loadFor(*project, engine.context()); }, &code);
        QVERIFY(code == ErrorCode::NotFound);
        QVERIFY2(message.find("is not found at " + m_checkpoint) != std::string::npos, message.c_str());
        engine.relocate(*project, *engine.load(at("elsewhere"), engine.context()));
        QVERIFY(engine.loadFor(*project, engine.context()) != nullptr);
    }

    // Their fingerprint is in another form, and part of the keys of all that they hold.
    void resultsOfEarlierVersionsAreStillFound()
    {
        const auto makeOlder = [](Project &project, const LoadedModel &model) {
            CheckpointIdentity identity = project.checkpoint();
            identity.fingerprint = model.checkpoint().fingerprint("");
            project.setCheckpoint(identity);
            project.save();
        };
        {
            const Open all = open("p.lqer");
            makeOlder(*all.project, *all.model);
        }
        const Engine engine;
        const auto project = engine.openProject(at("p.lqer"));
        const auto decompose = [&] {
            const auto model = engine.loadFor(*project, engine.context());
            return engine.decompose(*model, *project, sampleRecipe(ScalingKind::Identity), {}, engine.context())->reused;
        };
        QCOMPARE(decompose(), std::size_t{0});
        const std::size_t all = project->decompositions().size();
        QVERIFY(all > 0);
        fs::rename(m_checkpoint, at("elsewhere"));
        engine.relocate(*project, *engine.load(at("elsewhere"), engine.context()));
        QCOMPARE(decompose(), all);
    }

    void projectAndCheckpointMayMoveTogether()
    {
        fs::create_directories(at("a"));
        test::writeRandomLlama(at("a") + "/checkpoint", test::sampleModel());
        const Engine engine;
        { engine.createProject(at("a") + "/p.lqer", *engine.load(at("a") + "/checkpoint", engine.context())); }
        fs::rename(at("a"), at("b"));
        const auto project = engine.openProject(at("b") + "/p.lqer");
        QVERIFY(engine.loadFor(*project, engine.context()) != nullptr);
    }

    void changedCheckpointIsRefused()
    {
        { const Open all = open("p.lqer"); }
        test::RandomLlama other = test::sampleModel();
        other.seed = 2;
        test::writeRandomLlama(m_checkpoint, other);
        const Engine engine;
        const auto project = engine.openProject(at("p.lqer"));
        ErrorCode code{};
        const std::string message = test::errorOf([&] { engine.loadFor(*project, engine.context()); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
        QVERIFY2(message.find("this checkpoint has changed since the project") != std::string::npos, message.c_str());
        const auto model = engine.load(m_checkpoint, engine.context());
        test::errorOf([&] { engine.relocate(*project, *model); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
        test::errorOf([&] { engine.decompose(*model, *project, sampleRecipe(ScalingKind::Identity), {}, engine.context()); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
    }

    void checkpointThatChangesDuringTheRunIsNoticed()
    {
        const Open all = open("p.lqer");
        const std::string shard = m_checkpoint + "/model-00003-of-00004.safetensors";
        const auto size = fs::file_size(shard);
        fs::resize_file(shard, size - 10);
        ErrorCode code{};
        const std::string message = test::errorOf(
            [&] { all.engine->decompose(*all.model, *all.project, sampleRecipe(ScalingKind::Identity), {}, all.context); }, &code);
        QVERIFY2(message.find("model-00003-of-00004.safetensors") != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Io || code == ErrorCode::Conflict);
        QVERIFY(all.project->verify({}).empty());
    }

    // ---- memory

    void moreMemoryNeverMakesADecompositionImpossible()
    {
        test::RandomLlama shape = test::sampleModel();
        shape.layers = 1;
        shape.hidden = 512;
        shape.intermediate = 640;
        shape.heads = shape.kvHeads = 8;
        test::writeRandomLlama(at("wide"), shape);
        const auto model = Engine(EngineOptions{.threads = 1}).load(at("wide"), {});
        std::map<std::uint64_t, MemoryEstimate> byRoom;
        for (std::uint64_t extra = 0; extra < 128 << 20; extra += 1 << 20) {
            const Engine engine(EngineOptions{.threads = 1, .memoryLimit = residentMemory() + extra});
            const MemoryEstimate estimate = engine.estimateDecomposition(*model, sampleRecipe(ScalingKind::Identity), {});
            byRoom.emplace(estimate.limit, estimate);
        }
        QVERIFY(!byRoom.begin()->second.fits());
        bool fits = false;
        std::set<std::uint64_t> needed;
        for (const auto &[room, estimate] : byRoom) {
            QVERIFY2(!fits || estimate.fits(), qPrintable(QString("%1 bytes of %2").arg(estimate.bytes).arg(room)));
            fits = estimate.fits();
            if (fits)
                needed.insert(estimate.bytes);
        }
        QVERIFY(needed.size() > 1);  // one after the other, then side by side
    }

    void stagesThatDoNotFitAreRefusedWithNumbers()
    {
        const Open all = open("p.lqer");
        const Engine small(EngineOptions{.threads = 1, .memoryLimit = residentMemory() + 20000});
        ErrorCode code{};
        const std::string message = test::errorOf(
            [&] { small.decompose(*all.model, *all.project, sampleRecipe(ScalingKind::Identity), {}, all.context); }, &code);
        QVERIFY(code == ErrorCode::Memory);
        QVERIFY2(message.find("decomposing needs about ") != std::string::npos && message.find("may be used") != std::string::npos, message.c_str());
        test::errorOf([&] { small.evaluateOriginal(*all.model, test::sampleEvaluation(), {}, all.context); }, &code);
        QVERIFY(code == ErrorCode::Memory);
        QVERIFY(all.project->decompositions().empty());
    }

    // ---- as the studio runs it

    void stagesRunAsJobs()
    {
        const Open all = open("p.lqer");
        std::mutex mutex;
        std::shared_ptr<const RunResult> result;
        std::shared_ptr<const LowRankCorrection> correction;
        {
            JobQueue queue(all.engine->pool());
            const auto batch = queue.submit(JobLane::Batch, "run", "run", [&](const TaskContext &context) {
                auto done = all.engine->run(*all.model, *all.project, request(), context);
                const std::lock_guard lock(mutex);
                result = std::move(done);
            });
            queue.waitIdle();
            QVERIFY2(batch->state() == JobState::Done, batch->error().c_str());
            const auto again = queue.submit(JobLane::Batch, "decompose", "other scaling", [&](const TaskContext &context) {
                all.engine->decompose(*all.model, *all.project, sampleRecipe(ScalingKind::Diagonal), {}, context);
            });
            const auto drag = queue.submit(JobLane::Interactive, "rank", "rank", [&](const TaskContext &) {
                const LayerPlan plan = sampleRecipe(ScalingKind::Exact, 3).planFor(all.model->transformer().linearSites().front());
                all.engine->layerTable(*all.model, *all.project, sampleRecipe(ScalingKind::Exact, 3));
                auto done = all.engine->correction(*all.model, *all.project, "model.layers.0.self_attn.q_proj", plan);
                const std::lock_guard lock(mutex);
                correction = std::move(done);
            });
            queue.waitIdle();
            QVERIFY2(again->state() == JobState::Done, again->error().c_str());
            QVERIFY2(drag->state() == JobState::Done, drag->error().c_str());
        }
        QVERIFY(result && result->reports.size() == 1);
        QCOMPARE(correction->rank(), Index{3});
    }
};

QTEST_GUILESS_MAIN(TestEngine)
#include "tst_engine.moc"
