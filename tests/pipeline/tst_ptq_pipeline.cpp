// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <set>

#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/io/file_lock.h"
#include "core/io/yaml.h"
#include "core/pipeline/ptq_chunks.h"
#include "core/pipeline/ptq_pipeline.h"
#include "tests/pipeline/qera_sample.h"
#include "tests/support/kill_drill.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using test::replaced;
namespace fs = std::filesystem;

namespace {

// What a child process has done.
enum Exit { done = 0, evaluated = 10, conflict = 11, failed = 12 };

std::string bytesOf(const std::string &path)
{
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> namesIn(const std::string &folder)
{
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

}  // namespace

// QERA's pipeline, whole and in chunks, on the demo checkpoint: 4 blocks, 16 measured layers.
class TestPtqPipeline : public QObject {
    Q_OBJECT
private:
    QTemporaryDir m_place{test::scratchTemplate()};
    std::vector<std::string> m_log;
    double m_seconds = 0;  // of a chunk that calibrates

    std::string at(const std::string &name) const { return m_place.filePath(QString::fromStdString(name)).toStdString(); }
    QeraRequest request(const std::string &folder, const std::string &from = "", const std::string &to = "") const
    {
        std::string text = qeraText();
        if (!from.empty())
            text = replaced(text, from, to);
        Json json = parseYaml(text, "demo.yaml");
        json.set("output_dir", folder.empty() ? Json() : Json(folder));
        return {qeraConfigFrom(json, "demo.yaml"), test::sourcePath("resources/demo"), test::sourcePath("resources/demo")};
    }
    static std::string qeraText()
    {
        std::string text = replaced(test::qeraSample(), "slim_pajama_6b", "calibration.txt");
        text = replaced(text, "perplexity_eval_set: wikitext2", "perplexity_eval_set: evaluation.txt\nlayers_per_chunk: 4");
        return replaced(text, "perplexity_max_seq_length: 32", "perplexity_max_seq_length: 128");
    }
    // One thread, so that children may be forked.
    PtqResult whole(const QeraRequest &request) const
    {
        const Engine engine(EngineOptions{1, 0});
        return runPtq(engine, request, engine.context());
    }
    ChunkResult chunk(QeraRequest request, std::optional<std::int64_t> id) const
    {
        const Engine engine(EngineOptions{1, 0});
        request.config.chunkId = id;
        return runPtqChunk(engine, request, engine.context());
    }
    pid_t startChunk(const std::string &folder, std::int64_t id) const
    {
        const pid_t child = ::fork();
        if (child != 0)
            return child;
        try {
            ::_exit(chunk(request(folder), id).results ? evaluated : done);
        } catch (const Error &error) {
            ::_exit(error.code() == ErrorCode::Conflict ? conflict : failed);
        } catch (const std::exception &) {
            ::_exit(failed);
        }
    }
    // Its Exit, or -1 if it was killed.
    static int endOf(pid_t child)
    {
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    bool logMentions(std::string_view text) const
    {
        return std::ranges::any_of(m_log, [&](const std::string &line) { return line.find(text) != std::string::npos; });
    }

private slots:
    void initTestCase()
    {
        setLogSink([this](LogLevel, const std::string &line) { m_log.push_back(line); });
        whole(request(at("whole")));
    }

    void theOfficialFilesAreWritten()
    {
        const std::string folder = at("whole");
        QCOMPARE(namesIn(folder),
            (std::vector<std::string>{
                "AB_dict.safetensors", "approximation_error.csv", "config.yaml", "perplexity_results.yaml", "project.lqer"}));
        const std::string table = bytesOf(folder + "/approximation_error.csv");
        QVERIFY(table.starts_with("layer_name,mse,rank\nmodel.layers.0.self_attn."));
        const std::vector<ApproximationError> rows = readApproximationErrors(folder + "/approximation_error.csv");
        QCOMPARE(rows.size(), std::size_t(28));
        for (const ApproximationError &row : rows) {
            QVERIFY(row.mse > 0 && row.mse < 0.01);
            QCOMPARE(row.rank, Index(row.layer.find("self_attn") != std::string::npos ? 6 : 8));
        }
        const CorrectionDictionary factors({folder + "/AB_dict.safetensors"});
        QCOMPARE(factors.rank("model.layers.3.mlp.down_proj"), Index(8));
        const Json perplexity = readYamlFile(folder + "/perplexity_results.yaml");
        const JsonReader result(perplexity, "perplexity");
        QCOMPARE(result["batch_size"].integer(0, 100), 2);
        QCOMPARE(result["seq_len"].integer(0, 1000), 128);
        QVERIFY(std::abs(std::exp(result["loss"].number()) - result["perplexity"].number()) < 1e-9);
        const QeraConfig kept = readQeraConfig(folder + "/config.yaml");
        QCOMPARE(kept.abDict, folder + "/AB_dict.safetensors");
        QCOMPARE(kept.calibrationSamples, 8);
    }

    void resultsInTheFolderAreNotOverwritten()
    {
        const std::string error = test::errorOf([&] { whole(request(at("whole"))); });
        QVERIFY2(error.find("is not empty ('") != std::string::npos && error.find("--overwrite-output-dir") != std::string::npos,
            error.c_str());
    }

    void factorsThatAreThereAreUsed()
    {
        fs::copy(at("whole"), at("again"), fs::copy_options::recursive);
        fs::remove_all(at("again/project.lqer"));
        fs::remove(at("again/perplexity_results.yaml"));
        m_log.clear();
        const PtqResult again = whole(request(at("again"), "overwrite_output_dir: null", "overwrite_output_dir: true"));
        QVERIFY(logMentions("A and B that are here already are used"));
        QVERIFY(again.layers.empty());
        QCOMPARE(bytesOf(at("again/perplexity_results.yaml")), bytesOf(at("whole/perplexity_results.yaml")));

        const PtqResult other = whole(request("", "AB_dict: null", "AB_dict: " + at("whole/AB_dict.safetensors")));
        QCOMPARE(other.results.perplexity->perplexity->meanNll, again.results.perplexity->perplexity->meanNll);
        const std::string error
            = test::errorOf([&] { whole(request("", "AB_dict: null", "AB_dict: " + at("whole/config.yaml"))); });
        QVERIFY2(error.find("config.yaml") != std::string::npos, error.c_str());
    }

    void anInterruptedRunCarriesOn()
    {
        fs::create_directories(at("interrupted"));
        fs::copy(at("whole/project.lqer"), at("interrupted/project.lqer"), fs::copy_options::recursive);
        // Killed behind A and B, and in the middle of a file.
        std::ofstream(at("interrupted/AB_dict.safetensors")) << "of another configuration";
        std::ofstream(at("interrupted/perplexity_results.yaml.tmp.1.0123456789abcdef")) << "half";
        m_log.clear();
        {
            const auto held = Project::open(at("interrupted/project.lqer"));
            const std::string error = test::errorOf([&] { whole(request(at("interrupted"))); });
            QVERIFY2(error.find(QString("process %1 on ").arg(::getpid()).toStdString()) != std::string::npos, error.c_str());
        }
        whole(request(at("interrupted")));
        QVERIFY(logMentions("goes on from an interrupted run"));
        QCOMPARE(namesIn(at("interrupted")), namesIn(at("whole")));
        QCOMPARE(bytesOf(at("interrupted/AB_dict.safetensors")), bytesOf(at("whole/AB_dict.safetensors")));
    }

    void withoutQeraNothingIsCalibrated()
    {
        const PtqResult plain = whole(request(at("plain"), "disable_qera: false", "disable_qera: true"));
        QVERIFY(plain.layers.empty() && plain.results.perplexity);
        QCOMPARE(namesIn(at("plain")), (std::vector<std::string>{"config.yaml", "perplexity_results.yaml", "project.lqer"}));
        QVERIFY(Project::open(at("plain/project.lqer"))->calibrationKeys().empty());
    }

    void dataAndModelAreLookedForFirst()
    {
        const std::string data
            = test::errorOf([&] { whole(request("", "calibration_set: calibration.txt", "calibration_set: nothing")); });
        QVERIFY2(data.find("nothing") != std::string::npos, data.c_str());
        const std::string samples
            = test::errorOf([&] { whole(request("", "num_calibration_samples: 8", "num_calibration_samples: 100000")); });
        QVERIFY2(samples.find("100000") != std::string::npos, samples.c_str());
        QeraRequest unnamed = request("");
        unnamed.modelFolder.clear();
        const std::string model = test::errorOf([&] { whole(unnamed); });
        QVERIFY2(model.find("'somebody/some-model' is no local folder: say with --model DIR where the model lies")
                != std::string::npos,
            model.c_str());
    }

    // 4 chunks: two at once, one killed at seeded moments and started again, the last one twice at once.
    void chunksEndAsTheWhole()
    {
        const std::string folder = at("chunks");
        const Stopwatch watch;
        const pid_t first = startChunk(folder, 0);
        const pid_t second = startChunk(folder, 1);
        QCOMPARE(endOf(first), int(done));
        m_seconds = watch.seconds();
        QCOMPARE(endOf(second), int(done));
        QVERIFY(test::errorOf([&] { chunk(request(folder), {}); }).find("chunks are missing, 2 of 4: 2, 3") != std::string::npos);

        std::mt19937 random(29);
        const test::KillDrill drill = test::killUntilDone([&] { return startChunk(folder, 2); }, random, m_seconds, 0.05, 1.3);
        QCOMPARE(drill.exit, int(done));
        QVERIFY(drill.kills > 0);

        const pid_t third = startChunk(folder, 3);
        const pid_t fourth = startChunk(folder, 3);
        const std::multiset<int> ends = {endOf(third), endOf(fourth)};
        QCOMPARE(ends.count(evaluated), std::size_t(1));
        QVERIFY2(ends.count(conflict) + ends.count(done) == 1, "the second one is refused, or finds the chunk done");
        for (const char *file : {"AB_dict.safetensors", "approximation_error.csv", "perplexity_results.yaml"})
            QVERIFY2(bytesOf(folder + "/" + file) == bytesOf(at("whole") + "/" + file), file);
        for (const char *kind : {"AB_dict", "approximation_error", "config"})
            QCOMPARE(namesIn(folder + "/" + kind).size(), std::size_t(4));
        QCOMPARE(namesIn(folder + "/AB_dict").front(), std::string("0-of-3.safetensors"));
        QVERIFY(namesIn(folder + "/work").empty());

        // Everything is there: nothing is computed again.
        const ChunkResult again = chunk(request(folder), 1);
        QVERIFY(again.reused && again.missing.empty() && !again.results);
    }

    // The two last chunks end together: one of their processes evaluates.
    void exactlyOneProcessEvaluates()
    {
        const std::string folder = at("together");
        fs::copy(at("chunks"), folder, fs::copy_options::recursive);
        for (const char *name : {"AB_dict.safetensors", "approximation_error.csv", "perplexity_results.yaml", "config.yaml",
                 "AB_dict/2-of-3.safetensors", "AB_dict/3-of-3.safetensors"})
            QVERIFY(fs::remove(folder + "/" + name));
        std::vector<pid_t> children;
        for (const int id : {2, 3, 0, 1})
            children.push_back(startChunk(folder, id));
        std::multiset<int> ends;
        for (const pid_t child : children)
            ends.insert(endOf(child));
        QCOMPARE(ends.count(evaluated), std::size_t(1));
        QCOMPARE(ends.count(done), std::size_t(3));
        QCOMPARE(bytesOf(folder + "/perplexity_results.yaml"), bytesOf(at("whole/perplexity_results.yaml")));
    }

    void aChunkThatAnotherProcessHasIsRefused()
    {
        const FileLock lock(at("chunks/locks/2-of-3"));
        QVERIFY(lock.isHeld());
        // Locks are per open file, so this process is "another" for itself.
        const std::string error = test::errorOf([&] { chunk(request(at("chunks")), 2); });
        QVERIFY2(error.find(QString("chunk 2-of-3: process %1 on ").arg(::getpid()).toStdString()) != std::string::npos,
            error.c_str());
        const Engine engine(EngineOptions{1, 0});
        const auto model = engine.load(test::sourcePath("resources/demo"), {});
        const ChunkPlan plan(model->transformer(), 4);
        fs::create_directories(at("running/locks"));
        const FileLock other(at("running/locks/1-of-3"));
        const ChunkState state = chunkState(plan, at("running"));
        QCOMPARE(state.missing, (std::vector<std::int64_t>{0, 1, 2, 3}));
        QCOMPARE(state.running.size(), std::size_t(1));
        QCOMPARE(state.running[0].first, std::int64_t(1));
    }

    void chunksOfAnotherRunAreRefused()
    {
        const std::string error = test::errorOf([&] { chunk(request(at("chunks"), "rank: 6", "rank: 5"), 0); });
        QVERIFY2(error.find("chunks.json, key 'recipe': differs: the folder holds chunks of another run") != std::string::npos,
            error.c_str());
        const std::string samples
            = test::errorOf([&] { chunk(request(at("chunks"), "num_calibration_samples: 8", "num_calibration_samples: 6"), 0); });
        QVERIFY2(samples.find("key 'num_calibration_samples': differs") != std::string::npos, samples.c_str());
        QVERIFY(test::errorOf([&] { chunk(request(at("chunks")), 4); }).find("chunk_id 4: there are 4 chunks, 0 to 3")
            != std::string::npos);
        QVERIFY(test::errorOf([&] { chunk(request(""), 0); }).find("key 'output_dir': is needed") != std::string::npos);
    }

    void chunksAreStrided()
    {
        const Engine engine(EngineOptions{1, 0});
        const auto model = engine.load(test::sourcePath("resources/demo"), {});
        const ChunkPlan plan(model->transformer(), 5);
        QCOMPARE(plan.count(), std::int64_t(4));
        std::vector<std::string> names;
        for (const ActivationSite *input : plan.inputs(1))
            names.push_back(input->name);
        QCOMPARE(names,
            (std::vector<std::string>{"model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj",
                "model.layers.2.self_attn.o_proj", "model.layers.3.self_attn.o_proj"}));
        QCOMPARE(ChunkPlan(model->transformer(), 100).tag(0), std::string("0-of-0"));
        for (const LinearSite &site : model->transformer().linearSites()) {
            int owners = 0;
            for (std::int64_t id = 0; id < plan.count(); ++id)
                owners += plan.contains(id, site) ? 1 : 0;
            QCOMPARE(owners, 1);
        }
    }
};

QTEST_GUILESS_MAIN(TestPtqPipeline)
#include "tst_ptq_pipeline.moc"
