// SPDX-License-Identifier: Apache-2.0
// config.json, good and bad, and weights that do not fit it (reliability.md 4 CF).
#include <QtTest>

#include <cstring>
#include <limits>

#include "core/model/transformer.h"
#include "tests/model/small_model.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using lqer::test::errorOf;
using lqer::test::SmallModel;

Q_DECLARE_METATYPE(lqer::Json::Object)

namespace {

using Changes = Json::Object;

// The base config of a family with `changes` laid over it; keys in `absent` are left out.
Json configWith(const std::string &family, const Changes &changes, const std::string &absent = {})
{
    const SmallModel model = family == "opt"       ? lqer::test::smallOpt()
                             : family == "gpt2"    ? lqer::test::smallGpt2()
                             : family == "mistral" ? lqer::test::smallMistral()
                                                   : lqer::test::smallLlama();
    Json config = Json::object();
    for (const auto &[key, value] : model.config.asObject())
        if (key != absent)
            config.set(key, value);
    for (const auto &[key, value] : changes)
        config.set(key, value);
    return config;
}

Json scaling(Changes fields) { return Json(std::move(fields)); }

bool contains(const std::string &text, const std::string &part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

class TestModelConfig : public QObject {
    Q_OBJECT

private slots:
    void badConfigsAreRefusedByName_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<Changes>("changes");
        QTest::addColumn<QString>("absent");
        QTest::addColumn<QString>("expected");
        const auto row = [](const char *name, const char *family, Changes changes, const char *absent, const char *expected) {
            QTest::newRow(name) << QString(family) << std::move(changes) << QString(absent) << QString(expected);
        };
        row("CF-01 no model_type", "llama", {}, "model_type",
            "'LlamaForCausalLM' is not supported (supported: llama, mistral, opt, gpt2)");
        row("CF-01 nothing said", "llama", {{"architectures", Json()}}, "model_type",
            "a model without 'model_type' is not supported");
        row("CF-01 unknown", "llama", {{"model_type", "bert"}, {"architectures", Json::Array{"BertModel"}}}, "",
            "'BertModel' is not supported");
        row("CF-01 number", "llama", {{"model_type", 7}, {"architectures", Json()}}, "", "'7' is not supported");
        for (const char *key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
                                "max_position_embeddings"}) {
            const std::string place = std::string("key '") + key + "'";
            row((std::string("CF-04 lacks ") + key).c_str(), "llama", {}, key, (std::string("lacks '") + key).c_str());
            row((std::string("CF-10 zero ") + key).c_str(), "llama", {{key, 0}},
                "", (place + ": must be at least 1, found 0").c_str());
            row((std::string("CF-16 negative ") + key).c_str(), "llama", {{key, -1}},
                "", (place + ": must be at least 1, found -1").c_str());
            row((std::string("text in ") + key).c_str(), "llama", {{key, "many"}},
                "", (place + ": must be a whole number").c_str());
        }
        row("CF-22 hidden size", "llama", {{"hidden_size", std::int64_t{1} << 31}}, "", "larger than 1048576");
        row("CF-23 layers", "llama", {{"num_hidden_layers", 100'000}}, "", "larger than 1000");
        row("CF-25 more key heads", "llama", {{"num_key_value_heads", 8}}, "", "key 'num_key_value_heads': 8 is larger than 4");
        row("CF-25 uneven", "llama", {{"num_key_value_heads", 3}}, "", "4 heads cannot share 3 key/value heads");
        row("CF-26 no key heads", "llama", {{"num_key_value_heads", 0}}, "", "key 'num_key_value_heads': must be at least 1");
        row("heads do not divide", "llama", {{"hidden_size", 25}}, "", "4 heads do not divide the hidden size 25");
        row("odd heads", "llama", {{"head_dim", 5}}, "", "must be even");
        row("CF-34 eps zero", "llama", {{"rms_norm_eps", 0}}, "", "key 'rms_norm_eps': must be positive");
        row("CF-34 eps negative", "llama", {{"rms_norm_eps", -1}}, "", "key 'rms_norm_eps': must be positive");
        row("CF-34 eps text", "llama", {{"rms_norm_eps", "1e-5"}}, "", "key 'rms_norm_eps': must be a number");
        row("CF-35 theta zero", "llama", {{"rope_theta", 0}}, "", "key 'rope_theta': must be positive");
        row("CF-35 theta negative", "llama", {{"rope_theta", -10000.0}}, "", "key 'rope_theta': must be positive");
        row("CF-37 factor zero", "llama", {{"rope_scaling", scaling({{"type", "linear"}, {"factor", 0}})}}, "",
            "key 'rope_scaling.factor': must be positive");
        row("scaling without factor", "llama", {{"rope_scaling", scaling({{"type", "linear"}})}}, "", "lacks 'factor'");
        row("scaling without type", "llama", {{"rope_scaling", scaling({{"factor", 2}})}}, "", "lacks 'rope_type'");
        row("scaling unknown", "llama", {{"rope_scaling", scaling({{"rope_type", "longrope"}})}}, "",
            "rope scaling \"longrope\" is not supported");
        row("scaling not an object", "llama", {{"rope_scaling", 3}}, "", "key 'rope_scaling': must be an object");
        row("llama3 factors crossed", "llama",
            {{"rope_scaling", scaling({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4},
                                       {"original_max_position_embeddings", 16}})}}, "", "must be above low_freq_factor");
        row("llama3 incomplete", "llama",
            {{"rope_scaling",
              scaling({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}})}},
            "",
            "lacks 'original_max_position_embeddings'");
        row("yarn variant", "llama", {{"rope_scaling", scaling({{"rope_type", "yarn"}, {"factor", 4}, {"mscale", 1}})}}, "",
            "this variant of yarn is not supported");
        row("partial rotation", "llama", {{"partial_rotary_factor", 0.5}}, "", "rotating only a part");
        row("CF-38 activation", "llama", {{"hidden_act", "mish"}}, "",
            "key 'hidden_act': activation function \"mish\" is not supported");
        row("CF-41 experts", "mistral", {{"num_local_experts", 8}}, "", "mixture-of-experts is not supported yet");
        row("already quantized", "llama", {{"quantization_config", scaling({{"quant_method", "gptq"}})}}, "",
            "already quantized (gptq)");
        row("bos as text", "llama", {{"bos_token_id", "one"}}, "", "key 'bos_token_id': must be a whole number");
        row("tie as number", "llama", {{"tie_word_embeddings", 1}}, "", "key 'tie_word_embeddings': must be true or false");
        row("mistral negative window", "mistral", {{"sliding_window", -4}}, "", "key 'sliding_window': must be at least 0");
        row("opt lacks ffn_dim", "opt", {}, "ffn_dim", "lacks 'ffn_dim'");
        row("opt projection of nothing", "opt", {{"word_embed_proj_dim", 0}}, "",
            "key 'word_embed_proj_dim': must be at least 1");
        row("gpt2 lacks n_embd", "gpt2", {}, "n_embd", "lacks 'n_embd'");
        row("gpt2 cross attention", "gpt2", {{"add_cross_attention", true}}, "", "cross attention is not supported");
        row("gpt2 eps zero", "gpt2", {{"layer_norm_epsilon", 0}}, "", "key 'layer_norm_epsilon': must be positive");
    }
    void badConfigsAreRefusedByName()
    {
        QFETCH(QString, family);
        QFETCH(Changes, changes);
        QFETCH(QString, absent);
        QFETCH(QString, expected);
        const Json config = configWith(family.toStdString(), changes, absent.toStdString());
        const std::string message = errorOf([&] { readModelConfig(config, "dir/config.json"); });
        QVERIFY2(contains(message, expected.toStdString()), message.c_str());
        QVERIFY2(message.starts_with("dir/config.json"), message.c_str());
        QVERIFY(!contains(message, "\n"));
    }

    void unsupportedArchitecturesHaveTheirOwnCode()
    {
        ErrorCode code{};
        errorOf([] { readModelConfig(configWith("llama", {{"model_type", "mamba"}}), "c"); }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
        errorOf([] { readModelConfig(configWith("llama", {{"hidden_act", "mish"}}), "c"); }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
        errorOf([] { readModelConfig(configWith("llama", {{"hidden_size", 0}}), "c"); }, &code);
        QVERIFY(code == ErrorCode::Format);
    }

    void oddConfigsAreReadWithAWarning_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<Changes>("changes");
        QTest::addColumn<QString>("expected");
        QTest::newRow("CF-02") << "llama" << Changes{{"architectures", Json::Array{"OPTForCausalLM"}}}
            << "read as LlamaForCausalLM";
        QTest::newRow("CF-34 eps huge") << "llama" << Changes{{"rms_norm_eps", 1e30}} << "rms_norm_eps is 1e+30";
        QTest::newRow("CF-40 window 0") << "mistral" << Changes{{"sliding_window", 0}} << "read as no window";
        QTest::newRow("CF-40 window wide") << "mistral" << Changes{{"sliding_window", 4096}}
            << "above max_position_embeddings 512";
        QTest::newRow("bos beyond") << "llama" << Changes{{"bos_token_id", 50}}
            << "bos_token_id 50 is beyond the vocabulary of 50";
    }
    void oddConfigsAreReadWithAWarning()
    {
        QFETCH(QString, family);
        QFETCH(Changes, changes);
        QFETCH(QString, expected);
        const ModelConfig config = readModelConfig(configWith(family.toStdString(), changes), "c");
        QCOMPARE(config.warnings.size(), 1U);
        QVERIFY2(contains(config.warnings[0], expected.toStdString()), config.warnings[0].c_str());
    }

    void absentKeysTakeTheClassesDefaults()
    {
        QCOMPARE(readModelConfig(configWith("llama", {}), "c").warnings.size(), 0U);
        const ModelConfig llama = readModelConfig(configWith("llama", {{"num_key_value_heads", Json()}}), "c");
        QCOMPARE(llama.kvHeads, 4);
        QCOMPARE(readModelConfig(configWith("llama", {}, "num_key_value_heads"), "c").kvHeads, 4);
        QCOMPARE(readModelConfig(configWith("llama", {}, "rms_norm_eps"), "c").normEps, 1e-6);
        QCOMPARE(readModelConfig(configWith("llama", {}, "tie_word_embeddings"), "c").tiedEmbeddings, false);
        const Changes eightHeads = {{"num_attention_heads", 12}, {"hidden_size", 24}};
        QVERIFY(contains(errorOf([&] { readModelConfig(configWith("mistral", eightHeads, "num_key_value_heads"), "c"); }),
                         "12 heads cannot share 8"));
        QCOMPARE(readModelConfig(configWith("mistral", {}, "sliding_window"), "c").slidingWindow, 4096);
        QCOMPARE(readModelConfig(configWith("mistral", {{"sliding_window", Json()}}), "c").slidingWindow, 0);
        QCOMPARE(readModelConfig(configWith("opt", {}), "c").tiedEmbeddings, true);
        QCOMPARE(readModelConfig(configWith("opt", {}, "word_embed_proj_dim"), "c").embeddingDim, 24);
        QCOMPARE(readModelConfig(configWith("gpt2", {}), "c").tiedEmbeddings, true);
        QCOMPARE(readModelConfig(configWith("gpt2", {}), "c").intermediate, 96);
        const ModelConfig several = readModelConfig(configWith("llama", {{"eos_token_id", Json::Array{7, 9}}}), "c");
        QCOMPARE(several.eosId.value(), 7);
        QVERIFY(!several.bosId);
    }

    void weightsThatDoNotFitAreRefused_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<Changes>("changes");
        QTest::addColumn<QString>("expected");
        QTest::newRow("CF-28 more layers in the config")
            << "llama" << Changes{{"num_hidden_layers", 4}} << "layer 2 has no weights: model.layers.2.*";
        QTest::newRow("CF-29 fewer layers in the config") << "llama" << Changes{{"num_hidden_layers", 1}}
            << "says 1 layers, but the weights hold 2";
        QTest::newRow("CF-44 another model") << "llama" << Changes{{"vocab_size", 60}}
            << "config.json does not belong to these weights: shape 50x24";
        QTest::newRow("another family")
            << "llama" << Changes{{"model_type", "gpt2"}, {"n_embd", 24}, {"n_layer", 2}, {"n_head", 4}, {"n_positions", 32}}
            << "config.json does not belong to these weights: there is no tensor transformer.h.*";
        QTest::newRow("one shape") << "llama" << Changes{{"intermediate_size", 48}}
            << "'model.layers.0.mlp.gate_proj.weight': shape 40x24 does not fit config.json, which asks for 48x24 (hidden";
        QTest::newRow("key heads") << "llama" << Changes{{"num_key_value_heads", 4}}
            << "self_attn.k_proj.weight': shape 12x24 does not fit";
        QTest::newRow("head dim") << "llama" << Changes{{"head_dim", 8}} << "self_attn.q_proj.weight': shape 24x24 does not fit";
        QTest::newRow("biases promised") << "llama" << Changes{{"attention_bias", true}}
            << "'model.layers.0.self_attn.q_proj.bias': is missing";
        QTest::newRow("positions") << "opt" << Changes{{"max_position_embeddings", 64}}
            << "embed_positions.weight': shape 34x24 does not fit config.json, which asks for 66x24";
        QTest::newRow("projection promised") << "opt" << Changes{{"word_embed_proj_dim", 16}}
            << "config.json does not belong to these weights: shape 50x24 instead of 50x16";
        QTest::newRow("conv1d") << "gpt2" << Changes{{"n_inner", 50}}
            << "c_fc.weight': shape 24x96 does not fit config.json, which asks for 24x50";
        QTest::newRow("CF-32 untied without head") << "gpt2" << Changes{{"tie_word_embeddings", false}}
            << "'lm_head.weight': is missing, and config.json says tie_word_embeddings false";
    }
    void weightsThatDoNotFitAreRefused()
    {
        QFETCH(QString, family);
        QFETCH(Changes, changes);
        QFETCH(QString, expected);
        SmallModel model = family == "opt"    ? lqer::test::smallOpt()
                           : family == "gpt2" ? lqer::test::smallGpt2()
                                              : lqer::test::smallLlama();
        for (const auto &[key, value] : changes)
            model.config.set(key, value);
        const QTemporaryDir folder;
        const auto checkpoint = lqer::test::openModel(model, folder.path().toStdString());
        const std::string message = errorOf([&] { Transformer{checkpoint}; });
        QVERIFY2(contains(message, expected.toStdString()), message.c_str());
        QVERIFY2(message.starts_with(folder.path().toStdString()), message.c_str());
    }

    void integerWeightsAreRefused()
    {
        SmallModel model = lqer::test::smallLlama();
        model.tensors.at("model.layers.1.mlp.up_proj.weight") = Tensor(DType::I8, {40, 24});
        const QTemporaryDir folder;
        const auto checkpoint = lqer::test::openModel(model, folder.path().toStdString());
        ErrorCode code{};
        const std::string message = errorOf([&] { Transformer{checkpoint}; }, &code);
        QVERIFY(code == ErrorCode::Unsupported);
        QVERIFY2(contains(message, "'model.layers.1.mlp.up_proj.weight': element type I8"), message.c_str());
    }

    void theHeadIsFoundHoweverItIsStored_data()
    {
        QTest::addColumn<bool>("tied");
        QTest::addColumn<QString>("stored");
        QTest::addColumn<QString>("alias");
        QTest::newRow("embedding only, tied") << true << "model.embed_tokens.weight" << "";
        QTest::newRow("head only, tied") << true << "lm_head.weight" << "";
        QTest::newRow("head with alias, tied") << true << "lm_head.weight" << "model.embed_tokens.weight";
        QTest::newRow("embedding with alias, untied") << false << "model.embed_tokens.weight" << "lm_head.weight";
        QTest::newRow("head with alias, untied") << false << "lm_head.weight" << "model.embed_tokens.weight";
    }
    void theHeadIsFoundHoweverItIsStored()
    {
        QFETCH(bool, tied);
        QFETCH(QString, stored);
        QFETCH(QString, alias);
        SmallModel model = lqer::test::smallLlama({{"tie_word_embeddings", true}});
        const Tensor table = model.tensors.at("model.embed_tokens.weight");
        std::int64_t parameters = 0;
        for (const auto &[name, tensor] : model.tensors)
            parameters += tensor.elements();
        model.tensors.erase("model.embed_tokens.weight");
        model.tensors.emplace(stored.toStdString(), table);
        model.config.set("tie_word_embeddings", tied);
        const QTemporaryDir folder;
        lqer::test::writeModel(model, folder.path().toStdString(),
                               alias.isEmpty() ? std::map<std::string, std::string>{}
                                               : std::map<std::string, std::string>{{alias.toStdString(), stored.toStdString()}});
        const Transformer transformer(std::make_shared<const Checkpoint>(folder.path().toStdString()));
        QCOMPARE(transformer.parameters(), parameters);
        QCOMPARE(transformer.warnings().size(), 0U);
    }

    void aTiedHeadThatDiffersIsWarnedAbout()
    {
        SmallModel model = lqer::test::smallLlama({{"tie_word_embeddings", true}});
        model.tensors.emplace("lm_head.weight", model.tensors.at("model.embed_tokens.weight"));
        const QTemporaryDir same, different;
        QCOMPARE(Transformer(lqer::test::openModel(model, same.path().toStdString())).warnings().size(), 0U);
        model.tensors.at("lm_head.weight").bytes()[0] ^= std::byte{1};
        const Transformer transformer(lqer::test::openModel(model, different.path().toStdString()));
        QCOMPARE(transformer.warnings().size(), 1U);
        QVERIFY(contains(transformer.warnings()[0], "lm_head.weight differs from model.embed_tokens.weight"));
    }

    void valuesThatAreNotFiniteAreNamed_data()
    {
        QTest::addColumn<QString>("tensor");
        QTest::addColumn<float>("value");
        QTest::addColumn<int>("flat");
        QTest::addColumn<QString>("expected");
        const float nan = std::numeric_limits<float>::quiet_NaN();
        const float infinity = std::numeric_limits<float>::infinity();
        QTest::newRow("weight") << "model.layers.1.mlp.up_proj.weight" << nan << 50
            << "'model.layers.1.mlp.up_proj.weight': NaN at index [2, 2]";
        QTest::newRow("norm") << "model.layers.0.input_layernorm.weight" << infinity << 5
            << "'model.layers.0.input_layernorm.weight': infinity at index [5]";
        QTest::newRow("embedding row") << "model.embed_tokens.weight" << -infinity << 7 * 24 + 3
            << "'model.embed_tokens.weight': infinity at index [7, 3]";
        QTest::newRow("head") << "lm_head.weight" << nan << 49 * 24 << "'lm_head.weight': NaN at index [49, 0]";
    }
    void valuesThatAreNotFiniteAreNamed()
    {
        QFETCH(QString, tensor);
        QFETCH(float, value);
        QFETCH(int, flat);
        QFETCH(QString, expected);
        SmallModel model = lqer::test::smallLlama();
        std::byte *bytes = model.tensors.at(tensor.toStdString()).bytes().data() + static_cast<std::size_t>(flat) * sizeof value;
        std::memcpy(bytes, &value, sizeof value);
        const QTemporaryDir folder;
        const Transformer transformer(lqer::test::openModel(model, folder.path().toStdString()));
        TokenWindow window;
        window.ids = {3, 7, 9};
        ForwardHooks plain;
        ErrorCode code{};
        const std::string message = errorOf([&] { transformer.logProbabilities(std::vector{window}, plain, {}, {}); }, &code);
        QVERIFY2(contains(message, expected.toStdString()), message.c_str());
        QVERIFY(code == ErrorCode::Numeric);
        if (const LinearSite *site = transformer.findLinear(tensor.section(".weight", 0, 0).toStdString()))
            QVERIFY(contains(errorOf([&] { transformer.readWeight(*site); }), expected.toStdString()));
    }

    void conv1dWeightsAreHandedOutAsOutByIn()
    {
        const SmallModel model = lqer::test::smallGpt2();
        const QTemporaryDir folder;
        const Transformer transformer(lqer::test::openModel(model, folder.path().toStdString()));
        const LinearSite *site = transformer.findLinear("transformer.h.1.attn.c_attn");
        QVERIFY(site);
        const Matrix weight = transformer.readWeight(*site);
        QCOMPARE(weight.rows(), 72);
        QVERIFY(weight == model.tensors.at("transformer.h.1.attn.c_attn.weight").toMatrix().transpose());
        QVERIFY(transformer.readBias(*site).transpose() == model.tensors.at("transformer.h.1.attn.c_attn.bias").toMatrix());
    }

    void sitesFollowTheForwardOrderAndShareInputsAsThePapersDo_data()
    {
        QTest::addColumn<QString>("family");
        QTest::addColumn<QString>("expected");
        QTest::newRow("llama") << "llama"
                               << "model.layers.0.self_attn.k_proj:q,k,v model.layers.0.self_attn.o_proj:o "
                                  "model.layers.0.mlp.gate_proj:gate,up model.layers.0.mlp.down_proj:down";
        QTest::newRow("opt") << "opt"
                             << "model.decoder.project_in:project_in model.decoder.layers.0.self_attn.k_proj:q,k,v "
                                "model.decoder.layers.0.self_attn.out_proj:o model.decoder.layers.0.fc1:fc1 "
                                "model.decoder.layers.0.fc2:fc2 model.decoder.project_out:project_out";
        QTest::newRow("gpt2") << "gpt2"
                              << "transformer.h.0.attn.c_attn:qkv transformer.h.0.attn.c_proj:o transformer.h.0.mlp.c_fc:fc1 "
                                 "transformer.h.0.mlp.c_proj:fc2";
    }
    void sitesFollowTheForwardOrderAndShareInputsAsThePapersDo()
    {
        QFETCH(QString, family);
        QFETCH(QString, expected);
        const Changes oneOpt = {{"num_hidden_layers", 1}, {"word_embed_proj_dim", 16}};
        const SmallModel model = family == "opt"    ? lqer::test::smallOpt(oneOpt)
                                 : family == "gpt2" ? lqer::test::smallGpt2({{"n_layer", 1}})
                                                    : lqer::test::smallLlama({{"num_hidden_layers", 1}});
        const QTemporaryDir folder;
        const Transformer transformer(lqer::test::openModel(model, folder.path().toStdString()));
        QStringList found;
        for (const ActivationSite &site : transformer.activationSites()) {
            QStringList roles;
            for (const std::string &name : site.linears) {
                const LinearSite *linear = transformer.findLinear(name);
                QVERIFY(linear);
                QCOMPARE(linear->in, site.features);
                QCOMPARE(linear->activationSite, site.name);
                QCOMPARE(linear->layer, site.layer);
                roles << QString::fromStdString(std::string(toString(linear->role)));
            }
            found << QString::fromStdString(site.name) + ":" + roles.join(",");
            QCOMPARE(transformer.findActivation(site.name), &site);
        }
        QCOMPARE(found.join(" "), expected);
        QVERIFY(!transformer.findLinear("lm_head"));
        QVERIFY(!transformer.findActivation("nothing"));
    }
};

QTEST_GUILESS_MAIN(TestModelConfig)
#include "tst_model_config.moc"
