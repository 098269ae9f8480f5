// SPDX-License-Identifier: Apache-2.0
#include <QDir>
#include <QtTest>

#include <algorithm>

#include "core/pipeline/lqer_config.h"
#include "core/pipeline/lqer_recipe.h"
#include "tests/pipeline/sample_config.h"

using namespace lqer;

class TestLqerConfig : public QObject {
    Q_OBJECT
private slots:
    void theSettingsAreWhatTheFileSays()
    {
        const LqerConfig config = readLqerConfig(test::demoConfig());
        QCOMPARE(config.project, std::string("lqer_demo"));
        QCOMPARE(config.modelName, std::string("nobody/demo"));
        QCOMPARE(config.tags, (std::vector<std::string>{"demo", "demo-llama"}));
        QCOMPARE(config.checkpointPath, std::string("checkpoints/demo"));
        QVERIFY(config.profiling && config.approximation && config.perplexityEvaluation && !config.tasksEvaluation
            && !config.overwrite);
        QCOMPARE(config.profile.dataSet, std::string("calibration.txt"));
        QCOMPARE(config.profile.batch, 2);
        QCOMPARE(config.profile.samples, 8);
        QCOMPARE(config.profile.rawSamples, 2000);
        QCOMPARE(config.profile.maxLength, 128);
        QVERIFY(config.scaling == ScalingKind::MeanAbs);
        QCOMPARE(config.chunkSize, 12);
        QCOMPARE(config.lowRankDict, std::vector<std::string>{"checkpoints/demo/approximate/low_rank_dict.pt"});
        QCOMPARE(config.perplexity.batch, 4);
        QCOMPARE(config.tasks.tasks, std::vector<std::string>{"arc_easy"});
    }

    void whatIsNotStatedIsLqersDefault()
    {
        LqerConfig config = test::demoConfigWith({});
        auto &members = config.json.asObject();
        for (auto &[key, value] : members) {
            if (key == "profile")
                value = parseJson(R"({"dataset": "wikitext2", "num_samples": 32})", "x");
            if (key == "evaluate")
                value = parseJson(R"({"disable_lqer": 0, "perplexity": {"dataset": "wikitext2"}})", "x");
        }
        config = lqerConfigFrom(config.json, "x.toml");
        QCOMPARE(config.profile.maxLength, 2048);
        QCOMPARE(config.profile.batch, 4);
        QCOMPARE(config.profile.rawSamples, 0);
        QCOMPARE(config.perplexity.maxLength, 2048);
        QCOMPARE(config.perplexity.batch, 4);
        QCOMPARE(config.perplexity.samples, 0);
    }

    void keysOfGpusAndServicesAreNamedInOneLine()
    {
        const LqerConfig config = readLqerConfig(test::demoConfig());
        const auto line = std::ranges::find_if(
            config.notes, [](const std::string &note) { return note.find("without meaning here") != std::string::npos; });
        QVERIFY(line != config.notes.end());
        for (const char *key :
            {"evaluate.perplexity.device_map", "profile.num_workers", "approximate.device", "approximate.lqer_act"})
            QVERIFY2(line->find(key) != std::string::npos, line->c_str());
        QVERIFY2(line->find("dataset") == std::string::npos, line->c_str());
    }

    void badValuesNameFileAndKey_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("part");
        const auto row
            = [](const char *argument, const char *part) { QTest::newRow(argument) << QString(argument) << QString(part); };
        row("--aproximate=:ast:{}", "unknown key 'aproximate'; did you mean 'approximate'?");
        row("--profile:batchsize=:ast:2", "key 'profile': unknown key 'batchsize'; did you mean 'batch_size'?");
        row("--evaluate:perplexity:lenght=:ast:2", "key 'evaluate.perplexity': unknown key 'lenght'");
        row("--profile:batch_size=:ast:0", "key 'profile.batch_size': must be at least 1");
        row("--profile:max_length=:ast:0", "key 'profile.max_length': must be at least 2");
        row("--profile:max_length=:ast:'long'", "key 'profile.max_length': must be a whole number");
        row("--profile:num_samples=:ast:1", "key 'profile.num_samples': must be at least batch_size, 2");
        row("--profile:num_samples=:ast:None", "key 'profile': lacks 'num_samples'");
        row("--profile:scaling_mode=:ast:'mean'", "must be 'mean(abs())'");
        row("--profile:dtype=:ast:'int8'", "key 'profile.dtype': must be float32");
        row("--approximate:name=lqer-sgd", "taken out of the official code");
        row("--approximate:name=svd", "must be lqer-act or lqer-svd");
        row("--approximate:approximator=:ast:1", "must be a table of patterns");
        row("--evaluate:hf_quant_method=:ast:'gptq'", "about a baseline (gptq)");
        row("--evaluate:disable_lqer=:ast:None", "lacks 'disable_lqer'");
        row("--model_name=:ast:3", "key 'model_name': must be a string");
        row("--tags=:ast:[1]", "key 'tags[0]': must be a string");
        row("--enable_profiling=:ast:2", "key 'enable_profiling': 2 is larger than 1");
    }
    void badValuesNameFileAndKey()
    {
        QFETCH(QString, argument);
        QFETCH(QString, part);
        const QString message = QString::fromStdString(test::errorOf([&] { test::demoConfigWith({argument.toStdString()}); }));
        QVERIFY2(message.contains(part), qPrintable(message));
        QVERIFY2(message.startsWith(QString::fromStdString(test::demoConfig())), qPrintable(message));
    }

    void namesOfTheMethodAreReadAsTheOfficialCodeReadsThem()
    {
        for (const char *name : {"lqer-svd", "lqer_svd", "LQER_SVD"})
            QVERIFY(test::demoConfigWith({std::string("--approximate:name=") + name}).scaling == ScalingKind::Identity);
        QVERIFY(test::demoConfigWith({"--approximate:name=LQER_act"}).scaling == ScalingKind::MeanAbs);
    }

    // The authors' own files, which are not part of this project.
    void everyOfficialTemplateIsRead()
    {
        const QString folder = qEnvironmentVariable("LQER_OFFICIAL");
        if (folder.isEmpty())
            QSKIP("set LQER_OFFICIAL to the folder experiments/configs of LQER's repository");
        int read = 0, baselines = 0;
        for (const char *part : {"template", "debug", "baseline"}) {
            const QDir files(folder + '/' + part, "*.toml");
            for (const QString &name : files.entryList()) {
                const std::string path = files.filePath(name).toStdString();
                if (QString(part) == "baseline") {
                    QVERIFY2(
                        test::errorOf([&] { readLqerConfig(path); }).find("about a baseline") != std::string::npos, path.c_str());
                    ++baselines;
                    continue;
                }
                const LqerConfig config = readLqerConfig(path);
                QVERIFY2(config.profile.samples == 64 || QString(part) == "debug", path.c_str());
                QVERIFY2(!lqerRecipe(config, LqerStage::Evaluate).rules.empty(), path.c_str());
                ++read;
            }
        }
        QVERIFY2(read >= 21 && baselines >= 12, qPrintable(QString::number(read)));
    }
};

QTEST_GUILESS_MAIN(TestLqerConfig)
#include "tst_lqer_config.moc"
