// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>

#include "core/export/gguf_model.h"
#include "core/model/rotary.h"
#include "core/recipe/check.h"
#include "tests/support/shared_data.h"

using namespace lqer;

namespace {

ModelConfig configOf(const std::string &text) { return readModelConfig(parseJson(text, "config.json"), "config.json"); }

std::string llamaText(const std::string &more)
{
    return R"({"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,
               "num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,"max_position_embeddings":4096,"rms_norm_eps":1e-5,
               "rope_theta":500000)"
        + more + "}";
}

template <typename T>
T valueOf(const GgufMetadata &keys, const std::string &key)
{
    for (const auto &[name, value] : keys)
        if (name == key)
            return std::get<T>(value);
    qFatal("no key %s", key.c_str());
}

bool has(const GgufMetadata &keys, const std::string &key)
{
    return std::any_of(keys.begin(), keys.end(), [&](const auto &pair) { return pair.first == key; });
}

}  // namespace

class TestGgufModel : public QObject {
    Q_OBJECT
private slots:
    void pairedRowsAreThoseOfTheReference();
    void rotatingNeighboursGivesTheSameScores();
    void hyperparametersOfALlama();
    void hyperparametersOfAGpt2();
    void yarnIsSaidInItsKeys();
    void llama3FrequenciesAreDivided();
    void whatCannotBeRunIsSaid_data();
    void whatCannotBeRunIsSaid();
    void realModelsHaveTheNamesOfLlamaCpp();
};

// convert_hf_to_gguf.py: W.reshape(heads, 2, half, in).swapaxes(1, 2).reshape(out, in).
void TestGgufModel::pairedRowsAreThoseOfTheReference()
{
    const Index heads = 3, half = 4;
    Matrix weight(heads * 2 * half, 1);
    for (Index i = 0; i < weight.rows(); ++i)
        weight(i, 0) = static_cast<float>(i);
    const Matrix paired = withPairedRows(weight, heads);
    for (Index h = 0; h < heads; ++h)
        for (Index part = 0; part < 2; ++part)
            for (Index i = 0; i < half; ++i)
                QCOMPARE(paired((h * half + i) * 2 + part, 0), weight((h * 2 + part) * half + i, 0));
    QVERIFY(withPairedRows(weight, 0) == weight);
    const Vector bias = weight.col(0);
    QVERIFY(withPairedRows(bias, heads) == Vector(paired.col(0)));
}

// What the order is for: with neighbours rotated, as llama.cpp does, queries and keys have the products they have with halves rotated.
void TestGgufModel::rotatingNeighboursGivesTheSameScores()
{
    ModelConfig config = configOf(llamaText(""));
    std::srand(5);
    const Matrix q = Matrix::Random(3, 64), k = Matrix::Random(3, 64);  // token, feature
    const auto rotatedHalves = [&](Matrix x) {
        rotate(rotaryTable(config, 3), config.headDim, x);
        return x;
    };
    const auto rotatedNeighbours = [&](const Matrix &x) {
        Matrix y = withPairedRows(Matrix(x.transpose()), 4).transpose();
        const Vector frequencies = inverseFrequencies(config, 3);
        for (Index t = 0; t < y.rows(); ++t)
            for (Index i = 0; i < y.cols() / 2; ++i) {
                const double angle = static_cast<double>(t) * frequencies[i % (config.headDim / 2)];
                const double a = y(t, 2 * i), b = y(t, 2 * i + 1);
                y(t, 2 * i) = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
                y(t, 2 * i + 1) = static_cast<float>(a * std::sin(angle) + b * std::cos(angle));
            }
        return y;
    };
    const Matrix expected = rotatedHalves(q) * rotatedHalves(k).transpose();
    const Matrix found = rotatedNeighbours(q) * rotatedNeighbours(k).transpose();
    QVERIFY((expected - found).cwiseAbs().maxCoeff() < 1e-4F);  // 64 products in float32
}

void TestGgufModel::hyperparametersOfALlama()
{
    const ModelConfig config = configOf(llamaText(R"(,"rope_scaling":{"type":"linear","factor":2.0})"));
    const GgufMetadata keys = ggufHyperparameters(config);
    QCOMPARE(valueOf<std::string>(keys, "general.architecture"), std::string("llama"));
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.vocab_size"), 100U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.context_length"), 4096U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.embedding_length"), 64U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.block_count"), 2U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.feed_forward_length"), 128U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.attention.head_count"), 4U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.attention.head_count_kv"), 2U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.rope.dimension_count"), 16U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.attention.key_length"), 16U);
    QCOMPARE(valueOf<float>(keys, "llama.rope.freq_base"), 500000.0F);
    QCOMPARE(valueOf<float>(keys, "llama.attention.layer_norm_rms_epsilon"), 1e-5F);
    QCOMPARE(valueOf<std::string>(keys, "llama.rope.scaling.type"), std::string("linear"));
    QCOMPARE(valueOf<float>(keys, "llama.rope.scaling.factor"), 2.0F);
    QVERIFY(!has(keys, "llama.rope.scaling.attn_factor"));
    QVERIFY(ggufFrequencyDivisors(config).size() == 0);
}

void TestGgufModel::hyperparametersOfAGpt2()
{
    const ModelConfig config = configOf(R"({"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_embd":64,"n_layer":3,"n_head":4,
                                            "vocab_size":50,"n_positions":32,"layer_norm_epsilon":1e-6})");
    const GgufMetadata keys = ggufHyperparameters(config);
    QCOMPARE(valueOf<std::string>(keys, "general.architecture"), std::string("gpt2"));
    QCOMPARE(valueOf<std::uint32_t>(keys, "gpt2.context_length"), 32U);
    QCOMPARE(valueOf<std::uint32_t>(keys, "gpt2.feed_forward_length"), 256U);
    QCOMPARE(valueOf<float>(keys, "gpt2.attention.layer_norm_epsilon"), 1e-6F);
    QVERIFY(!has(keys, "gpt2.rope.freq_base"));
    QVERIFY(ggufModelProblems(config).empty());
}

// llama.cpp multiplies by 0.1 ln(factor) + 1 by itself.
void TestGgufModel::yarnIsSaidInItsKeys()
{
    const GgufMetadata keys = ggufHyperparameters(
        configOf(llamaText(R"(,"rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":1024})")));
    QCOMPARE(valueOf<std::string>(keys, "llama.rope.scaling.type"), std::string("yarn"));
    QCOMPARE(valueOf<std::uint32_t>(keys, "llama.rope.scaling.original_context_length"), 1024U);
    QVERIFY(std::fabs(valueOf<float>(keys, "llama.rope.scaling.attn_factor") - 1) < 1e-6F);
    const GgufMetadata plain = ggufHyperparameters(configOf(llamaText(
        R"(,"rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":1024,"attention_factor":1.0})")));
    QVERIFY(std::fabs(valueOf<float>(plain, "llama.rope.scaling.attn_factor") - 1 / (0.1 * std::log(4.0) + 1)) < 1e-6);
}

// LLaMA 3.1's numbers: the first frequencies are kept, the last are divided by the factor. convert_hf_to_gguf.py's formula.
void TestGgufModel::llama3FrequenciesAreDivided()
{
    const ModelConfig config = configOf(llamaText(
        R"(,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})"));
    const Vector divisors = ggufFrequencyDivisors(config);
    QCOMPARE(divisors.size(), 8);
    for (Index i = 0; i < 8; ++i) {
        const double wavelength = 2 * M_PI * std::pow(500000.0, static_cast<double>(2 * i) / 16);
        double expected = 8;
        if (wavelength < 8192.0 / 4)
            expected = 1;
        else if (wavelength <= 8192.0) {
            const double smooth = (8192 / wavelength - 1) / 3;
            expected = 1 / ((1 - smooth) / 8 + smooth);
        }
        QVERIFY(std::fabs(divisors[i] - expected) < 1e-5 * expected);
    }
    QVERIFY(!has(ggufHyperparameters(config), "llama.rope.scaling.type"));
}

void TestGgufModel::whatCannotBeRunIsSaid_data()
{
    QTest::addColumn<QByteArray>("config");
    QTest::addColumn<QByteArray>("expected");
    QTest::addColumn<bool>("usable");
    const auto row = [](const char *name, const std::string &config, const char *expected, bool usable) {
        QTest::newRow(name) << QByteArray::fromStdString(config) << QByteArray(expected) << usable;
    };
    const auto gpt2 = [](const std::string &more) {
        return R"({"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_embd":64,"n_layer":3,"n_head":4,"vocab_size":50,
                   "n_positions":32)" + more + "}";
    };
    row("OPT", R"({"model_type":"opt","architectures":["OPTForCausalLM"],"hidden_size":64,"ffn_dim":128,"num_hidden_layers":2,
                   "num_attention_heads":4,"vocab_size":50,"max_position_embeddings":48,"word_embed_proj_dim":64})",
        "llama.cpp has no architecture for opt models (OPTForCausalLM)", false);
    row("llama with GELU", llamaText(R"(,"hidden_act":"gelu")"), "llama.cpp runs every llama with SiLU", false);
    row("gpt2 with ReLU", gpt2(R"(,"activation_function":"relu")"), "llama.cpp runs every gpt2 with GELU", false);
    row("exact GELU", gpt2(R"(,"activation_function":"gelu")"), "llama.cpp computes GELU by its tanh approximation", true);
    row("scores not scaled", gpt2(R"(,"scale_attn_weights":false)"), "llama.cpp scales the attention scores", false);
    row("dynamic rotary", llamaText(R"(,"rope_scaling":{"type":"dynamic","factor":2.0})"), "llama.cpp has no dynamic rotary scaling", true);
    row("another YaRN", llamaText(R"(,"rope_scaling":{"rope_type":"yarn","factor":4.0,"beta_fast":16,"original_max_position_embeddings":1024})"),
        "llama.cpp's YaRN has beta_fast 32 and beta_slow 1", false);
}

void TestGgufModel::whatCannotBeRunIsSaid()
{
    QFETCH(QByteArray, config);
    QFETCH(QByteArray, expected);
    QFETCH(bool, usable);
    const auto problems = ggufModelProblems(configOf(config.toStdString()));
    QCOMPARE(problems.size(), 1U);
    QVERIFY2(problems[0].message.starts_with(expected.toStdString()), problems[0].message.c_str());
    QCOMPARE(isUsable(problems), usable);
}

void TestGgufModel::realModelsHaveTheNamesOfLlamaCpp()
{
    LQER_NEED_SHARED();
    const auto namesOf = [](const char *model) {
        const Transformer transformer(std::make_shared<const Checkpoint>(test::sharedFolder() + "/models/" + model));
        std::vector<std::string> names;
        for (const GgufEntry &entry : ggufEntries(transformer))
            names.push_back(entry.name);
        return names;
    };
    const auto llama = namesOf("tinystories-656k");  // tied
    QCOMPARE(llama.size(), 2U + 2 * 9);
    for (const char *name : {"token_embd.weight", "output_norm.weight", "blk.1.attn_norm.weight", "blk.1.ffn_norm.weight", "blk.1.attn_q.weight",
                             "blk.1.attn_k.weight", "blk.1.attn_v.weight", "blk.1.attn_output.weight", "blk.1.ffn_gate.weight",
                             "blk.1.ffn_up.weight", "blk.1.ffn_down.weight"})
        QVERIFY2(std::find(llama.begin(), llama.end(), name) != llama.end(), name);
    const auto gpt2 = namesOf("names-gpt2");  // untied
    QCOMPARE(gpt2.size(), 5U + 4 * 12);
    for (const char *name : {"position_embd.weight", "output_norm.bias", "output.weight", "blk.3.attn_qkv.weight", "blk.3.attn_qkv.bias",
                             "blk.3.attn_norm.bias", "blk.3.ffn_up.bias", "blk.3.ffn_down.weight"})
        QVERIFY2(std::find(gpt2.begin(), gpt2.end(), name) != gpt2.end(), name);
    QVERIFY(!test::errorOf([&] { namesOf("shakespeare-opt"); }).empty());
}

QTEST_GUILESS_MAIN(TestGgufModel)
#include "tst_gguf_model.moc"
