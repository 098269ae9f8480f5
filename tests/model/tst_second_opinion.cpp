// SPDX-License-Identifier: Apache-2.0
// The engine's forward pass against plain loops in double, on random models of every wiring the families have.
#include <QtTest>

#include <cstring>
#include <random>

#include "core/io/npy.h"
#include "core/model/transformer.h"
#include "core/tensor/half.h"
#include "tests/model/naive_forward.h"
#include "tests/model/small_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using lqer::test::SmallModel;

namespace {

using Changes = Json::Object;

std::vector<int> randomIds(int count, int vocabulary)
{
    std::mt19937_64 engine(99);
    std::vector<int> ids;
    for (int i = 0; i < count; ++i)
        ids.push_back(static_cast<int>(engine() % static_cast<std::uint64_t>(vocabulary)));
    return ids;
}

MatrixF64 engineLogits(const Transformer &model, const std::vector<int> &ids)
{
    TokenWindow window;
    window.ids.assign(ids.begin(), ids.end());
    MatrixF64 all(static_cast<Index>(ids.size()), model.config().vocabulary);
    ForwardHooks plain;
    model.forward(std::vector{window}, plain, {}, [&](std::size_t, Index row, const ConstMatrixRef &logits) {
        all.middleRows(row, logits.rows()) = logits.cast<double>();
    }, {});
    return all;
}

struct Case {
    const char *name;
    SmallModel model;
    int tokens;
};

Json rope(Changes fields) { return Json(std::move(fields)); }

std::vector<Case> llamaCases()
{
    using namespace lqer::test;
    const Json llama3 = rope({{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 0.25}, {"high_freq_factor", 2.0},
                              {"original_max_position_embeddings", 16}});
    return {
        {"llama, grouped queries", smallLlama(), 20},
        {"llama, one token", smallLlama(), 1},
        {"llama, longer than its positions", smallLlama(), 45},
        {"llama, several row blocks", smallLlama(), 300},
        {"llama, tied", smallLlama({{"tie_word_embeddings", true}}), 20},
        {"llama, all biases", smallLlama({{"attention_bias", true}, {"mlp_bias", true}}), 20},
        {"llama, wide heads", smallLlama({{"head_dim", 10}}), 20},
        {"llama, one key head", smallLlama({{"num_key_value_heads", 1}}), 20},
        {"llama, gelu", smallLlama({{"hidden_act", "gelu"}}), 20},
        {"llama, theta of LLaMA 3", smallLlama({{"rope_theta", 500000.0}}), 32},
        {"llama, linear", smallLlama({{"rope_scaling", rope({{"type", "linear"}, {"factor", 2.5}})}}), 32},
        {"llama, dynamic, short", smallLlama({{"rope_scaling", rope({{"type", "dynamic"}, {"factor", 2.0}})}}), 30},
        {"llama, dynamic, long", smallLlama({{"rope_scaling", rope({{"rope_type", "dynamic"}, {"factor", 2.0}})}}), 80},
        {"llama, llama3", smallLlama({{"head_dim", 32}, {"rope_scaling", llama3}}), 60},
        {"llama, yarn", smallLlama({{"head_dim", 32}, {"rope_scaling", rope({{"rope_type", "yarn"}, {"factor", 4.0},
                                     {"original_max_position_embeddings", 2048}})}}), 60},
        {"llama, yarn, all fields", smallLlama({{"head_dim", 32}, {"rope_scaling", rope({{"rope_type", "yarn"}, {"factor", 4.0},
                                     {"beta_fast", 8}, {"beta_slow", 2}, {"attention_factor", 1.25}})}}), 30},
        {"llama, rope_parameters", smallLlama({{"rope_theta", Json()}, {"rope_parameters", rope({{"rope_type", "linear"},
                                                {"factor", 3.0}, {"rope_theta", 2000.0}})}}), 32},
        {"mistral, window of 5", smallMistral(), 20},
        {"mistral, window of 1", smallMistral({{"sliding_window", 1}}), 9},
        {"mistral, no window", smallMistral({{"sliding_window", Json()}}), 20},
        {"mistral, window across row blocks", smallMistral({{"sliding_window", 70}}), 300},
    };
}

std::vector<Case> otherCases()
{
    using namespace lqer::test;
    const Changes opt350m = {{"do_layer_norm_before", false}, {"word_embed_proj_dim", 16}};
    return {
        {"opt, norms before", smallOpt(), 20},
        {"opt, 350m", smallOpt(opt350m), 32},
        {"opt, narrow embeddings, norms before", smallOpt({{"word_embed_proj_dim", 16}}), 20},
        {"opt, norms behind", smallOpt({{"do_layer_norm_before", false}}), 20},
        {"opt, untied", smallOpt({{"tie_word_embeddings", false}}), 20},
        {"opt, untied 350m",
         smallOpt({{"tie_word_embeddings", false}, {"do_layer_norm_before", false}, {"word_embed_proj_dim", 30}}), 20},
        {"opt, no final norm", smallOpt({{"_remove_final_layer_norm", true}}), 20},
        {"opt, no biases", smallOpt({{"enable_bias", false}}), 20},
        {"opt, bare norms", smallOpt({{"layer_norm_elementwise_affine", false}}), 20},
        {"opt, gelu", smallOpt({{"activation_function", "gelu"}}), 20},
        {"gpt2, tied", smallGpt2(), 20},
        {"gpt2, untied", smallGpt2({{"tie_word_embeddings", false}}), 32},
        {"gpt2, gelu", smallGpt2({{"activation_function", "gelu"}}), 20},
        {"gpt2, relu and inner size", smallGpt2({{"activation_function", "relu"}, {"n_inner", 36}}), 20},
        {"gpt2, unscaled scores", smallGpt2({{"scale_attn_weights", false}}), 20},
        {"gpt2, scores scaled by layer", smallGpt2({{"scale_attn_by_inverse_layer_idx", true}}), 20},
    };
}

}  // namespace

class TestSecondOpinion : public QObject {
    Q_OBJECT

private slots:
    void theEngineAgreesWithPlainLoops_data()
    {
        QTest::addColumn<int>("index");
        int index = 0;
        for (const Case &entry : llamaCases())
            QTest::newRow(entry.name) << index++;
        for (const Case &entry : otherCases())
            QTest::newRow(entry.name) << index++;
    }
    void theEngineAgreesWithPlainLoops()
    {
        QFETCH(int, index);
        static const std::vector<Case> first = llamaCases();
        static const std::vector<Case> second = otherCases();
        const auto place = static_cast<std::size_t>(index);
        const Case &entry = place < first.size() ? first[place] : second[place - first.size()];
        const QTemporaryDir folder;
        const Transformer model(lqer::test::openModel(entry.model, folder.path().toStdString()));
        const std::vector<int> ids = randomIds(entry.tokens, 50);
        const MatrixF64 expected = lqer::test::naiveLogits(entry.model, ids);
        const double difference = (engineLogits(model, ids) - expected).cwiseAbs().maxCoeff();
        // Logits of up to 30 after some tens of float32 roundings, and rotary angles of up to 300 with float32 frequencies.
        QVERIFY2(difference < 3e-5, qPrintable(QString("largest difference %1").arg(difference)));
        QVERIFY(expected.cwiseAbs().maxCoeff() > 1);
        QVERIFY(expected.cwiseAbs().maxCoeff() < 100);
    }

    void everyWiringChangesTheResult()
    {
        // A case that differs from the plain model in one field must give other logits, or the field is not read.
        const auto differ = [&](const std::vector<Case> &cases, std::size_t base, std::initializer_list<std::size_t> others) {
            for (const std::size_t other : others) {
                const std::vector<int> ids = randomIds(cases[other].tokens, 50);
                const MatrixF64 one = lqer::test::naiveLogits(cases[base].model, ids);
                const double difference = (lqer::test::naiveLogits(cases[other].model, ids) - one).cwiseAbs().maxCoeff();
                QVERIFY2(difference > 1e-3, cases[other].name);
            }
        };
        differ(llamaCases(), 0, {4, 5, 8, 9, 10, 12, 16});
        differ(llamaCases(), 19, {17, 18, 20});
        differ(otherCases(), 0, {3, 4, 6, 7, 8, 9});
        differ(otherCases(), 10, {11, 12, 14, 15});
    }

    // The loops themselves against the float64 results that came with the real models.
    void thePlainLoopsAgreeWithTheReference_data()
    {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("set");
        QTest::newRow("llama") << "stories260k" << "tinystories.A";
        QTest::newRow("opt") << "shakespeare-opt" << "shakespeare.A";
        QTest::newRow("gpt2, gelu") << "shakespeare-gpt2" << "shakespeare.A";
        QTest::newRow("gpt2, gelu_new") << "capp-gpt2" << "parts.G";
    }
    void thePlainLoopsAgreeWithTheReference()
    {
        LQER_NEED_SHARED();
        QFETCH(QString, model);
        QFETCH(QString, set);
        const std::string folder = lqer::test::sharedFolder() + "/models/" + model.toStdString();
        const std::string stem = folder + "/reference/" + set.toStdString();
        const Checkpoint checkpoint(folder);
        SmallModel source{checkpoint.config(), {}};
        for (const std::string &name : checkpoint.names())
            source.tensors.emplace(name, checkpoint.read(name));
        const MatrixF64 expected = readNpy(stem + ".logits_w0_first16_f64.npy").toMatrixF64();
        const MatrixF64 windows = readNpy(stem + ".windows.npy").toMatrixF64();
        std::vector<int> ids;
        for (Index i = 0; i < expected.rows(); ++i)
            ids.push_back(static_cast<int>(windows(0, i)));
        // 16 positions; rotary frequencies are float32 there and double here.
        QVERIFY((lqer::test::naiveLogits(source, ids) - expected).cwiseAbs().maxCoeff() < (model == "stories260k" ? 1e-5 : 1e-9));
    }

    void namesMayLackTheirPrefix_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<QString>("stored");
        QTest::newRow("llama from the bare trunk") << "llama" << "";
        QTest::newRow("gpt2 from the bare trunk") << "gpt2" << "";
        QTest::newRow("opt without 'model.'") << "opt" << "decoder.";
        QTest::newRow("opt from the bare trunk") << "opt" << "";
    }
    void namesMayLackTheirPrefix()
    {
        QFETCH(QString, family);
        QFETCH(QString, stored);
        const Changes tied = {{"tie_word_embeddings", true}};
        SmallModel source = family == "llama" ? lqer::test::smallLlama(tied)
                            : family == "opt" ? lqer::test::smallOpt(tied)
                                              : lqer::test::smallGpt2(tied);
        const std::string trunk = family == "llama" ? "model." : family == "opt" ? "model.decoder." : "transformer.";
        const QTemporaryDir plain, renamed;
        const Transformer one(lqer::test::openModel(source, plain.path().toStdString()));
        lqer::test::renamePrefix(source, trunk, stored.toStdString());
        const Transformer other(lqer::test::openModel(source, renamed.path().toStdString()));
        const std::vector<int> ids = randomIds(12, 50);
        QVERIFY(engineLogits(one, ids) == engineLogits(other, ids));
        // Sites keep the full names; only the tensors are looked up under the stored ones.
        for (std::size_t i = 0; i < one.linearSites().size(); ++i) {
            QCOMPARE(one.linearSites()[i].name, other.linearSites()[i].name);
            QVERIFY(one.linearSites()[i].weightTensor != other.linearSites()[i].weightTensor);
        }
    }

    void weightsInHalfPrecisionAreConverted_data()
    {
        QTest::addColumn<int>("dtype");
        QTest::newRow("f16") << static_cast<int>(DType::F16);
        QTest::newRow("bf16") << static_cast<int>(DType::BF16);
        QTest::newRow("f64") << static_cast<int>(DType::F64);
    }
    void weightsInHalfPrecisionAreConverted();
};

void TestSecondOpinion::weightsInHalfPrecisionAreConverted()
{
    QFETCH(int, dtype);
    // Rounded to the type and stored in it, and the same rounded values stored as float32.
    SmallModel narrow = lqer::test::smallGpt2();
    SmallModel wide = narrow;
    for (auto &[name, tensor] : narrow.tensors) {
        Tensor converted(static_cast<DType>(dtype), tensor.shape());
        std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
        tensor.copyTo(std::span(values));
        for (std::size_t i = 0; i < values.size(); ++i) {
            std::byte *out = converted.bytes().data() + i * itemSize(converted.dtype());
            if (converted.dtype() == DType::F64) {
                const double value = static_cast<double>(values[i]);
                std::memcpy(out, &value, sizeof value);
            } else {
                const std::uint16_t bits = converted.dtype() == DType::F16 ? floatToHalf(values[i]) : floatToBf16(values[i]);
                std::memcpy(out, &bits, sizeof bits);
            }
        }
        tensor = converted;
        converted.copyTo(std::span(values));
        std::memcpy(wide.tensors.at(name).bytes().data(), values.data(), values.size() * sizeof(float));
    }
    const QTemporaryDir first, second;
    const Transformer one(lqer::test::openModel(narrow, first.path().toStdString()));
    const Transformer other(lqer::test::openModel(wide, second.path().toStdString()));
    const std::vector<int> ids = randomIds(12, 50);
    QVERIFY(engineLogits(one, ids) == engineLogits(other, ids));
}

QTEST_GUILESS_MAIN(TestSecondOpinion)
#include "tst_second_opinion.moc"
