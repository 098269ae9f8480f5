// SPDX-License-Identifier: Apache-2.0
#include <QTemporaryDir>
#include <QtTest>

#include "core/base/log.h"
#include "core/export/dictionary_file.h"
#include "core/import/correction_dictionary.h"
#include "core/io/atomic_file.h"
#include "tests/engine/sample_work.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;

// Evaluation with A and B from files.
class TestEngineCorrections : public QObject {
    Q_OBJECT
private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        test::writeRandomLlama(m_model, test::sampleModel());
    }

    void aDictionaryOfTheProjectsFactorsGivesTheSameNumbers()
    {
        const Engine engine(EngineOptions{2, 0});
        const auto model = engine.load(m_model, engine.context());
        const auto project = engine.createProject(file("project.lqer"), *model);
        const QuantizationRecipe recipe = test::sampleRecipe();
        engine.calibrate(*model, *project, test::sampleCalibration(), {}, engine.context());
        engine.decompose(*model, *project, recipe, {}, engine.context());
        EvaluateOptions options;
        options.originalPerplexity = false;
        const auto expected = engine.evaluate(*model, *project, recipe, test::sampleEvaluation(), options, engine.context());

        std::vector<std::pair<const LinearSite *, Index>> layers;
        for (const LinearSite &site : model->transformer().linearSites())
            layers.emplace_back(&site, recipe.planFor(site).rank);
        DictionaryWriter writer(file("AB_dict.safetensors"), layers);
        for (const auto &[site, rank] : layers)
            writer.write(*site, *engine.correction(*model, *project, site->name, recipe.planFor(*site)));
        writer.finished().commit();

        // A project that has neither statistics nor decompositions.
        const auto empty = engine.createProject(file("empty.lqer"), *model);
        QVERIFY(!test::errorOf([&] {
                     engine.evaluate(*model, *empty, recipe, test::sampleEvaluation(), options, engine.context());
                 }).empty());
        options.corrections = std::make_shared<const CorrectionDictionary>(std::vector{file("AB_dict.safetensors")});
        const auto report = engine.evaluate(*model, *empty, recipe, test::sampleEvaluation(), options, engine.context());
        QCOMPARE(report->perplexity->windowNll, expected->perplexity->windowNll);
        for (std::size_t i = 0; i < expected->layers.size(); ++i)
            QCOMPARE(report->layers[i].correctedWeightError, expected->layers[i].correctedWeightError);
        QVERIFY(empty->reports().empty());

        QuantizationRecipe other = recipe;
        other.defaults.rank = 4;
        const std::string error
            = test::errorOf([&] { engine.evaluate(*model, *empty, other, test::sampleEvaluation(), options, engine.context()); });
        QVERIFY2(error.find("layer 'model.layers.0.mlp.down_proj': has rank 8, the recipe's is 4") != std::string::npos,
                 error.c_str());
    }

private:
    std::string file(const char *name) const { return m_folder.filePath(name).toStdString(); }

    QTemporaryDir m_folder{test::scratchTemplate()};
    std::string m_model = m_folder.filePath("model").toStdString();
};

QTEST_GUILESS_MAIN(TestEngineCorrections)
#include "tst_engine_corrections.moc"
