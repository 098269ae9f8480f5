// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "core/io/file.h"
#include "core/io/safetensors.h"
#include "core/io/yaml.h"
#include "core/pipeline/adapt.h"
#include "tests/eval/scored_model.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace fs = std::filesystem;

namespace {

// A model whose layers are larger than the adapters' rank, in a folder with room for results.
struct Work {
    Work() : folder(scratchTemplate())
    {
        place = folder.path().toStdString();
        fs::create_directory(place + "/model");
        openModel(smallLlama({{"hidden_size", 32}, {"intermediate_size", 48}, {"vocab_size", 61}}), place + "/model");
        model = engine.load(place + "/model", engine.context());
        windows = randomWindows(6, 12);
    }

    AdaptResult adapt(const AdaptOptions &options, const std::string &name, const Engine *other = nullptr)
    {
        const Engine &used = other ? *other : engine;
        if (adaptNeedsStatistics(options) && !project)
            project = used.createProject(place + "/p.lqer", *model);
        return adaptModel(used, *model, project.get(), &windows, options, Json::object().set("adapter_init", options.init), place + "/" + name, used.context());
    }
    Matrix tensor(const std::string &file, const std::string &name) const
    {
        const SafetensorsFile opened(place + "/" + file);
        const TensorInfo *info = opened.find(name);
        return info ? opened.read(*info).toMatrix() : Matrix();
    }

    QTemporaryDir folder;
    std::string place;
    Engine engine{{.threads = 2}};
    std::shared_ptr<const LoadedModel> model;
    std::shared_ptr<Project> project;
    TokenWindows windows;
};

AdaptOptions optionsOf(const std::string &init, const std::string &type, int bits)
{
    AdaptOptions options;
    options.init = init;
    options.quantType = type;
    options.quantBits = bits;
    options.rank = 6;
    options.alpha = 9;  // scaling 1.5
    return options;
}

std::string bytesOf(const std::string &path)
{
    return readTextFile(path, 1 << 26);
}

}  // namespace

class TestAdapt : public QObject {
    Q_OBJECT

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
    }

    // What fine-tuning would begin from, read as PEFT reads it: base + alpha / rank * lora_B lora_A is as far from W as was stated.
    void readsBackAsStated_data()
    {
        QTest::addColumn<QString>("init");
        QTest::addColumn<QString>("type");
        QTest::addColumn<int>("bits");
        QTest::addColumn<QString>("scaling");
        QTest::newRow("loftq mxint2") << "loftq" << "mxint" << 2 << "diag";
        QTest::newRow("loftq nf4") << "loftq" << "nf" << 4 << "diag";
        QTest::newRow("loftq nf2") << "loftq" << "nf" << 2 << "diag";
        QTest::newRow("qera mxint3 diag") << "qera" << "mxint" << 3 << "diag";
        QTest::newRow("qera fp4 rxx") << "qera" << "fp" << 4 << "rxx";
        QTest::newRow("qera fp2 rxx") << "qera" << "fp" << 2 << "rxx";
        QTest::newRow("qlora mxint4") << "qlora" << "mxint" << 4 << "diag";
        QTest::newRow("lora") << "lora" << "fp" << 4 << "diag";
    }
    void readsBackAsStated()
    {
        QFETCH(QString, init);
        QFETCH(QString, type);
        QFETCH(int, bits);
        QFETCH(QString, scaling);
        Work work;
        AdaptOptions options = optionsOf(init.toStdString(), type.toStdString(), bits);
        options.scaling = scaling.toStdString();
        options.loftqIterations = 3;
        const AdaptResult result = work.adapt(options, "out");
        const auto &sites = work.model->transformer().linearSites();
        QCOMPARE(result.errors.size(), init == "lora" ? std::size_t(0) : sites.size());

        const Transformer base(std::make_shared<const Checkpoint>(work.place + "/out/base_model"));
        for (const LinearSite &site : sites) {
            const Matrix weight = work.model->transformer().readWeight(site), kept = base.readWeight(site);
            const std::string prefix = "base_model.model." + site.name;
            const Matrix a = work.tensor("out/adapter/adapter_model.safetensors", prefix + ".lora_A.weight");
            const Matrix b = work.tensor("out/adapter/adapter_model.safetensors", prefix + ".lora_B.weight");
            QCOMPARE(a.rows(), Index(6));
            QCOMPARE(b.cols(), Index(6));
            const double found = (weight.cast<double>() - kept.cast<double>() - 1.5 * b.cast<double>() * a.cast<double>()).norm();
            if (init == "lora") {
                QVERIFY(found == 0);
                continue;
            }
            const std::vector<double> &stated = result.errors.at(site.name);
            QCOMPARE(stated.size(), init == "loftq" ? std::size_t(3) : std::size_t(1));
            QVERIFY2(std::abs(found - stated.back()) <= 1e-5 * weight.norm(), qPrintable(QString("%1 stated, %2 found").arg(stated.back()).arg(found)));
            QVERIFY(stated.back() < weight.norm());
        }

        const Json config = readJsonFile(work.place + "/out/adapter/adapter_config.json");
        QCOMPARE(config.find("r")->asInteger(), std::int64_t(6));
        QCOMPARE(config.find("lora_alpha")->asNumber(), 9.0);
        QCOMPARE(config.find("target_modules")->asArray().size(), std::size_t(7));
        QCOMPARE(fs::exists(work.place + "/out/adapt_and_save_results.yaml"), init != "lora");
        if (init != "lora") {
            const Json results = readYamlFile(work.place + "/out/adapt_and_save_results.yaml");
            QCOMPARE(results.find("error_dict")->asObject().size(), sites.size());
            QVERIFY(results.find("initialization_time")->isNumber() && results.find("post_init_ppl")->isNull());
            QCOMPARE(results.find("error_dict")->find(sites.front().name)->asArray().back().asNumber(), result.errors.at(sites.front().name).back());
        }
        QCOMPARE(readYamlFile(work.place + "/out/adapt_and_save_args.yaml").find("adapter_init")->asString(), init.toStdString());
        // The base is in the type that was stored unless the format needs more.
        QVERIFY(SafetensorsFile(work.place + "/out/base_model/model.safetensors").tensors().front().dtype == DType::F32);
    }

    void sameBytesWithAnyNumberOfThreads()
    {
        Work work;
        AdaptOptions options = optionsOf("qera", "mxint", 3);
        options.scaling = "rxx";
        work.adapt(options, "two");
        const Engine one({.threads = 1}), five({.threads = 5});
        work.adapt(options, "one", &one);
        work.adapt(options, "five", &five);
        for (const char *file : {"adapter/adapter_model.safetensors", "base_model/model.safetensors"}) {
            QVERIFY(bytesOf(work.place + "/one/" + file) == bytesOf(work.place + "/two/" + file));
            QVERIFY(bytesOf(work.place + "/one/" + file) == bytesOf(work.place + "/five/" + file));
        }
    }

    void defaultAdaptersFollowTheSeed()
    {
        const Matrix a = kaimingA(64, 100, 42, "model.layers.0.self_attn.q_proj");
        QVERIFY(a == kaimingA(64, 100, 42, "model.layers.0.self_attn.q_proj"));
        QVERIFY(a != kaimingA(64, 100, 43, "model.layers.0.self_attn.q_proj"));
        QVERIFY(a != kaimingA(64, 100, 42, "model.layers.0.self_attn.k_proj"));
        QVERIFY(a.cwiseAbs().maxCoeff() <= 0.1F && a.cwiseAbs().maxCoeff() > 0.099F);
        // 6400 draws of variance 0.01 / 3: the mean is within five of its standard deviations of 0, the variance within 10 %.
        QVERIFY(std::abs(a.mean()) < 5 * 0.1 / std::sqrt(3.0 * 6400));
        QVERIFY(std::abs(a.squaredNorm() / 6400 - 0.01 / 3) < 0.1 * 0.01 / 3);

        Work work;
        AdaptOptions options = optionsOf("qlora", "nf", 4);
        options.targets = {"q_proj", "down_proj"};
        work.adapt(options, "out");
        const SafetensorsFile adapter(work.place + "/out/adapter/adapter_model.safetensors");
        QCOMPARE(adapter.tensors().size(), std::size_t(2 * 2 * 2));
        const std::string name = "base_model.model.model.layers.1.mlp.down_proj";
        QVERIFY(work.tensor("out/adapter/adapter_model.safetensors", name + ".lora_A.weight") == kaimingA(6, 48, 42, "model.layers.1.mlp.down_proj"));
        QVERIFY(work.tensor("out/adapter/adapter_model.safetensors", name + ".lora_B.weight") == Matrix::Zero(32, 6));
        // What is no target stays as it is.
        const Transformer base(std::make_shared<const Checkpoint>(work.place + "/out/base_model"));
        const LinearSite &site = *work.model->transformer().findLinear("model.layers.0.mlp.up_proj");
        QVERIFY(base.readWeight(site) == work.model->transformer().readWeight(site));
    }

    // A full-rank correction gives the original model's perplexity back, but for the rounding of float.
    void peekMeasuresBaseAndAdapterTogether()
    {
        Work work;
        AdaptOptions options = optionsOf("qera", "mxint", 2);
        options.rank = 40;  // more than any layer has: padded with zeros
        options.peek = true;
        const AdaptResult result = work.adapt(options, "out");
        QVERIFY(result.warnings.size() == 1 && result.warnings.front().find("components of zeros") != std::string::npos);
        ForwardHooks none;
        PerplexityOptions measuring;
        measuring.weighting = LossWeighting::Batch;
        measuring.batch = 2;
        const PerplexityReport original = evaluatePerplexity(work.model->transformer(), work.windows, none, measuring, {});
        QVERIFY(std::abs(result.postInit->meanNll - original.meanNll) < 1e-5);
        const Json results = readYamlFile(work.place + "/out/adapt_and_save_results.yaml");
        QCOMPARE(results.find("post_init_ppl")->find("loss")->asNumber(), result.postInit->meanNll);
        QCOMPARE(results.find("post_init_ppl")->find("num_samples")->asInteger(), std::int64_t(6));
    }

    void whatTheOfficialCodeGetsWrongIsSaid()
    {
        Work work;
        AdaptOptions options = optionsOf("loftq", "nf", 2);
        const AdaptResult result = work.adapt(options, "out");
        QCOMPARE(result.warnings.size(), std::size_t(1));
        QVERIFY(result.warnings.front().find("2-bit mxint") != std::string::npos);
        QVERIFY(work.adapt(optionsOf("qlora", "mxint", 4), "other").warnings.empty());
    }

    void badRequestsAreRefusedAndLeaveNothing()
    {
        Work work;
        const auto refused = [&](AdaptOptions options, const std::string &words) {
            ErrorCode code{};
            const std::string message = errorOf([&] { work.adapt(options, "out"); }, &code);
            return message.find(words) != std::string::npos && !fs::exists(work.place + "/out");
        };
        QVERIFY(refused(optionsOf("loft", "nf", 4), "'loft'"));
        QVERIFY(refused(optionsOf("loftq", "nf", 3), "3 bits"));
        AdaptOptions options = optionsOf("loftq", "mxint", 4);
        options.targets = {"query"};
        QVERIFY(refused(options, "'query'"));
        options.targets.clear();
        options.alpha = 0;
        QVERIFY(refused(options, "alpha"));

        work.adapt(optionsOf("lora", "fp", 4), "out");
        const std::string before = bytesOf(work.place + "/out/adapt_and_save_args.yaml");
        QVERIFY(!errorOf([&] { work.adapt(optionsOf("qlora", "fp", 4), "out"); }).empty());
        QCOMPARE(bytesOf(work.place + "/out/adapt_and_save_args.yaml"), before);
        options = optionsOf("qlora", "fp", 4);
        options.overwrite = true;
        work.adapt(options, "out");
        QVERIFY(bytesOf(work.place + "/out/adapt_and_save_args.yaml") != before);
        // Nothing but an earlier result is ever replaced.
        QVERIFY(!errorOf([&] { work.adapt(options, "model"); }).empty());
        QVERIFY(fs::exists(work.place + "/model/config.json"));
    }
};

QTEST_GUILESS_MAIN(TestAdapt)
#include "tst_adapt.moc"
