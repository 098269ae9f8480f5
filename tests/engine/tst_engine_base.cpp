// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include "core/base/error.h"
#include "core/io/gguf.h"
#include "core/quant/ggml_blocks.h"
#include "core/quant/quantizer.h"
#include "tests/engine/sample_work.h"
#include "tests/import/packed_folder.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

// An existing quantization is repaired: W_q is read, only A and B are computed.
class TestEngineBase : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::unique_ptr<Engine> m_engine;
    TaskContext m_context;
    std::shared_ptr<const LoadedModel> m_original;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }

    static RandomLlama shape()
    {
        RandomLlama shape;
        shape.layers = 2;
        shape.hidden = 64;
        shape.intermediate = 96;
        return shape;
    }
    static RunRequest request()
    {
        RunRequest request;
        request.recipe = sampleRecipe(ScalingKind::Exact, 8);
        request.recipe.defaults.a = request.recipe.defaults.b = FormatSpec::parse("bfloat16");
        request.calibrationWindows = std::make_shared<TokenWindows>(randomWindows(shape(), 6, 32, 5));
        request.evaluationWindows = std::make_shared<TokenWindows>(randomWindows(shape(), 4, 32, 6));
        request.plain = true;
        return request;
    }

private slots:
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(scratchTemplate());
        m_engine = std::make_unique<Engine>(EngineOptions{2, 0});
        m_context = m_engine->context();
        writeRandomLlama(at("original"), shape());
        m_original = m_engine->load(at("original"), m_context);
    }

    void onlyTheCorrectionIsComputed()
    {
        const auto expected = writePackedFolder(at("packed"), m_original->transformer(), gptqPacking(3, 32, false, false));
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        const auto project = m_engine->createProject(at("p.lqer"), *model);
        const auto result = m_engine->run(*model, *project, request(), m_context);
        QCOMPARE(result->reports.size(), std::size_t{2});
        const EvaluationReport &plain = *result->reports[0], &repaired = *result->reports[1];
        QVERIFY(plain.base && repaired.base && repaired.base->description == "GPTQ, 3 bits, groups of 32");
        QCOMPARE(repaired.layers.size(), m_original->transformer().linearSites().size());
        for (std::size_t i = 0; i < repaired.layers.size(); ++i) {
            const LinearSite &site = m_original->transformer().linearSites()[i];
            const Matrix weight = m_original->transformer().readWeight(site);
            const double error = (weight - expected.at(site.name)).cast<double>().squaredNorm();
            QVERIFY(std::abs(plain.layers[i].weightError - error) <= 1e-9 * error);
            QVERIFY(repaired.layers[i].correctedOutputError < 0.9 * repaired.layers[i].outputError);
            // As stored: 3 bits, and a half and a zero point of 3 bits for each 32.
            QVERIFY(std::abs(repaired.footprint->layers[i].stored.weights - (3 + 19.0 / 32)) < 1e-9);
        }
        // The plain base scores as the checkpoint with its weights in the original's place does.
        class Replaced final : public ForwardHooks {
        public:
            explicit Replaced(const std::map<std::string, Matrix> &weights) : m_weights(weights) {}
            std::unique_ptr<LinearOperator> makeLinear(const LinearSite &site, const Matrix &, const Vector &bias) override
            {
                return std::make_unique<CorrectedLinear>(m_weights.at(site.name), bias, LowRankCorrection{}, LinearFormats{});
            }
        private:
            const std::map<std::string, Matrix> &m_weights;
        } replaced(expected);
        const PerplexityReport second = evaluatePerplexity(m_original->transformer(), *request().evaluationWindows, replaced, {}, m_context);
        QVERIFY(std::abs(second.perplexity / plain.perplexity->perplexity - 1) < 1e-6);

        const EvaluationReport stored = *m_engine->reports(*project).back();
        QVERIFY(stored == repaired);
    }

    // The same recipe without the base, with it and with another: nothing of one is taken for the other.
    void resultsOfDifferentBasesNeverMix()
    {
        writePackedFolder(at("coarse"), m_original->transformer(), gptqPacking(2, 32, false, false));
        writePackedFolder(at("fine"), m_original->transformer(), compressedTensorsPacking(8, 32, true));
        const auto project = m_engine->createProject(at("p.lqer"), *m_original);
        const auto coarse = m_engine->withBase(*m_original, at("coarse"), m_context);
        const auto fine = m_engine->withBase(*m_original, at("fine"), m_context);
        std::vector<std::shared_ptr<const RunResult>> results;
        for (const auto &model : {coarse, fine, m_original})
            results.push_back(m_engine->run(*model, *project, request(), m_context));
        for (const auto &result : results)
            QCOMPARE(result->decompositions.back()->reused, std::size_t{0});
        QVERIFY(results[0]->reports[0]->layers[0].weightError > 100 * results[1]->reports[0]->layers[0].weightError);
        QVERIFY(!results[2]->reports[0]->base);
        QVERIFY(results[2]->reports[0]->layers[0].weightError != results[0]->reports[0]->layers[0].weightError);

        // And what is there is taken up, also from the disk.
        project->save();
        const auto reports = m_engine->reports(*project).size();
        for (const auto &[model, earlier] : {std::pair(coarse, results[0]), std::pair(m_original, results[2])}) {
            const auto again = m_engine->run(*model, *project, request(), m_context);
            QCOMPARE(again->decompositions.back()->computed, std::size_t{0});
            QVERIFY(*again->reports.back() == *earlier->reports.back());
        }
        QCOMPARE(m_engine->reports(*project).size(), reports);
    }

    void decompositionsOfABaseSurviveReopening()
    {
        writePackedFolder(at("packed"), m_original->transformer(), awqPacking(32));
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        {
            const auto project = m_engine->createProject(at("p.lqer"), *model);
            m_engine->run(*model, *project, request(), m_context);
            project->save();
        }
        std::filesystem::remove(at("p.lqer") + "/project.h5");  // shards stand for themselves
        std::filesystem::copy_file(at("p.lqer") + "/project.h5.previous", at("p.lqer") + "/project.h5");
        const auto project = m_engine->openProject(at("p.lqer"));
        const auto again = m_engine->decompose(*model, *project, request().recipe, {}, m_context);
        QCOMPARE(again->computed, std::size_t{0});
        for (const auto &record : again->layers)
            QCOMPARE(record->key.base, model->base()->fingerprint());
    }

    // What the base leaves in floating point stays as it is in the original.
    void layersInFloatingPointStayAsTheyAre()
    {
        const std::string layer = "model.layers.1.mlp.down_proj";
        writePackedFolder(at("packed"), m_original->transformer(), awqPacking(32), [&](Json &, NamedTensors &tensors) {
            std::erase_if(tensors, [&](const auto &named) { return named.first.starts_with(layer + "."); });
            tensors.emplace_back(layer + ".weight", Tensor::fromMatrix(ConstMatrixRef(Matrix::Zero(64, 96))));
        });
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        const auto project = m_engine->createProject(at("p.lqer"), *model);
        const auto result = m_engine->run(*model, *project, request(), m_context);
        QCOMPARE(result->decompositions.back()->layers.size(), std::size_t{13});
        QCOMPARE(result->reports.back()->layers.size(), std::size_t{13});
        QVERIFY(!result->reports.back()->footprint->layers.back().quantized);
    }

    // W_q of the base to the last bit, whatever type the original is stored in (bfloat16 here), in the targets that have room for it.
    void exportsHoldTheBaseExactly_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("weights");
        QTest::newRow("peft") << "peft" << "out/base";
        QTest::newRow("merged, uncorrected") << "merged" << "out";
        QTest::newRow("hdf5") << "hdf5" << "";
    }
    void exportsHoldTheBaseExactly()
    {
        QFETCH(QString, target);
        QFETCH(QString, weights);
        const auto expected = writePackedFolder(at("packed"), m_original->transformer(), gptqPacking(3, 32, false, false));
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        const auto project = m_engine->createProject(at("p.lqer"), *model);
        const QuantizationRecipe recipe = sampleRecipe(ScalingKind::Identity, target == "merged" ? 0 : 8);
        ExportRequest request{target.toStdString(), {}, at("out"), false};
        if (target == "merged")
            request.options["dtype"] = std::string("f32");
        m_engine->exportModel(*model, *project, recipe, request, m_context);

        const auto source = m_engine->exportSource(*model, *project, recipe);
        const auto written = weights.isEmpty() ? nullptr : std::make_unique<Checkpoint>(at(qPrintable(weights)));
        for (const LinearSite &site : m_original->transformer().linearSites()) {
            Matrix found(site.out, site.in);
            const std::span<float> values(found.data(), static_cast<std::size_t>(found.size()));
            if (written) {
                written->read(site.name + ".weight").copyTo(values);
            } else {
                const QuantizedWeight encoded = source->layer(site, {.encoded = true}, m_context).encoded.value();
                makeQuantizer(encoded.format)->decode(encoded, values);
            }
            QVERIFY2(found == expected.at(site.name), site.name.c_str());
        }
    }

    // Blocks of four bits for integers of three, not the float32 that W_q is read as.
    void ggufPacksTheBaseAgain()
    {
        const auto expected = writePackedFolder(at("packed"), m_original->transformer(), gptqPacking(3, 32, false, false));
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        const auto project = m_engine->createProject(at("p.lqer"), *model);
        m_engine->exportModel(*model, *project, sampleRecipe(ScalingKind::Identity, 8), {"gguf", {}, at("out"), false}, m_context);
        const GgufFile written(at("out/base.gguf"));
        for (int block = 0; block < 2; ++block) {
            const GgufTensor *tensor = written.findTensor(fmt::format("blk.{}.ffn_down.weight", block));
            QVERIFY(tensor);
            QCOMPARE(std::string(toString(tensor->type)), std::string("Q4_0"));
            Matrix found(tensor->shape[0], tensor->shape[1]);
            decodeGgml(tensor->type, written.readBytes(*tensor), {found.data(), static_cast<std::size_t>(found.size())});
            QVERIFY(found == expected.at(fmt::format("model.layers.{}.mlp.down_proj", block)));
        }
    }

    // It may be an export of this program, which --overwrite would replace.
    void exportsLeaveTheBaseAlone()
    {
        writePackedFolder(at("packed"), m_original->transformer(), awqPacking(32));
        std::ofstream(at("packed/lqer-export.json")) << "{}";
        const auto model = m_engine->withBase(*m_original, at("packed"), m_context);
        const auto project = m_engine->createProject(at("p.lqer"), *model);
        const QuantizationRecipe recipe = sampleRecipe(ScalingKind::Identity, 8);
        for (const char *path : {"packed", "packed/out"}) {
            ErrorCode code{};
            const std::string message =
                errorOf([&] { m_engine->exportModel(*model, *project, recipe, {"merged", {}, at(path), true}, m_context); }, &code);
            QVERIFY2(code == ErrorCode::Conflict && message.find("must stay as it is") != std::string::npos, message.c_str());
        }
        QVERIFY(std::filesystem::exists(at("packed/lqer-export.json")) && !std::filesystem::exists(at("packed/out")));
    }

    void aQuantizationOfAnotherModelIsRefused()
    {
        RandomLlama other = shape();
        other.seed = 99;
        writeRandomLlama(at("other"), other);
        const auto stranger = m_engine->load(at("other"), m_context);
        writePackedFolder(at("packed"), stranger->transformer(), awqPacking(32));
        ErrorCode code{};
        const std::string message = errorOf([&] { m_engine->withBase(*m_original, at("packed"), m_context); }, &code);
        QVERIFY(code == ErrorCode::Conflict);
        QVERIFY2(message.find("self_attn.q_proj") != std::string::npos && message.find("no quantization of the given model") != std::string::npos,
                 message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestEngineBase)
#include "tst_engine_base.moc"
