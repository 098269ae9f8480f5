// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/import/quantized_checkpoint.h"
#include "tests/import/packed_folder.h"
#include "tests/support/random_llama.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

using Change = std::function<void(Json &config, NamedTensors &tensors)>;
Q_DECLARE_METATYPE(Packing)

class TestQuantizedCheckpoint : public QObject {
    Q_OBJECT
private:
    std::unique_ptr<QTemporaryDir> m_place;
    std::unique_ptr<Transformer> m_model;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }

private slots:
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(scratchTemplate());
        RandomLlama shape;  // extents that 3 bits fill whole words with
        shape.layers = 1;
        shape.hidden = 64;
        shape.intermediate = 96;
        writeRandomLlama(at("original"), shape);
        m_model = std::make_unique<Transformer>(std::make_shared<Checkpoint>(at("original")));
    }

    void packedLayersAreReadToTheLastBit_data()
    {
        QTest::addColumn<Packing>("packing");
        QTest::addColumn<QString>("description");
        for (const int bits : {2, 3, 4, 8}) {
            QTest::addRow("gptq, %d bits", bits) << gptqPacking(bits, 32, false, false) << QString("GPTQ, %1 bits, groups of 32").arg(bits);
            QTest::addRow("gptq version 2, %d bits", bits) << gptqPacking(bits, 32, false, true) << QString("GPTQ, %1 bits, groups of 32").arg(bits);
        }
        QTest::newRow("gptq, symmetric") << gptqPacking(4, 32, true, false) << "GPTQ, 4 bits, groups of 32";
        QTest::newRow("gptq, one group") << gptqPacking(4, -1, false, false) << "GPTQ, 4 bits, one group per output";
        QTest::newRow("awq") << awqPacking(32) << "AWQ, 4 bits, groups of 32";
        QTest::newRow("awq, one group") << awqPacking(-1) << "AWQ, 4 bits, one group per output";
        for (const int bits : {2, 4, 8})
            for (const bool symmetric : {true, false})
                QTest::addRow("compressed-tensors, %d bits%s", bits, symmetric ? "" : ", zero points")
                    << compressedTensorsPacking(bits, 32, symmetric) << "compressed-tensors, pack-quantized";
        QTest::newRow("compressed-tensors, scale per channel") << compressedTensorsPacking(8, -1, true) << "compressed-tensors, pack-quantized";
    }
    void packedLayersAreReadToTheLastBit()
    {
        QFETCH(Packing, packing);
        QFETCH(QString, description);
        const std::map<std::string, Matrix> expected = writePackedFolder(at("packed"), *m_model, packing);
        const auto base = openQuantizedBase(at("packed"), *m_model);
        QCOMPARE(base->description(), description.toStdString());
        QCOMPARE(base->path(), at("packed"));
        for (const LinearSite &site : m_model->linearSites()) {
            QVERIFY(base->quantizes(site));
            QVERIFY2(base->weight(site) == expected.at(site.name), site.name.c_str());
            const auto codes = static_cast<std::uint64_t>(site.in * site.out * packing.bits / 8);
            QVERIFY(base->weightBytes(site) >= codes + 2 * static_cast<std::uint64_t>(site.out));
        }
    }

    // desc_act: inputs are in the order of their importance, and g_idx says which group each belongs to.
    void inputsMayBeOutOfTheOrderOfTheirGroups()
    {
        std::vector<std::int32_t> groups(64);
        for (std::size_t i = 0; i < groups.size(); ++i)
            groups[i] = static_cast<std::int32_t>(i % 2);
        const std::string module = "model.layers.0.self_attn.q_proj";
        RoundedLayer layer;
        writePackedFolder(at("packed"), *m_model, gptqPacking(4, 32, false, false), [&](Json &, NamedTensors &tensors) {
            layer = roundLayer(m_model->readWeight(*m_model->findLinear(module)), 4, 32, false);
            tensors.emplace_back(module + ".g_idx", int32Vector(groups));
        });
        const Matrix weight = openQuantizedBase(at("packed"), *m_model)->weight(*m_model->findLinear(module));
        for (Index out = 0; out < 64; ++out)
            for (Index in = 0; in < 64; ++in)
                QCOMPARE(weight(out, in), layer.scales(out, in % 2) * (static_cast<float>(layer.codes(out, in)) - static_cast<float>(layer.zeros(out, in % 2))));
    }

    // A layer that was left in floating point is not one of the base's.
    void layersInFloatingPointAreNotQuantized()
    {
        writePackedFolder(at("packed"), *m_model, awqPacking(32), [&](Json &, NamedTensors &tensors) {
            std::erase_if(tensors, [](const auto &named) { return named.first.starts_with("model.layers.0.mlp.down_proj."); });
            tensors.emplace_back("model.layers.0.mlp.down_proj.weight",
                                 Tensor::fromMatrix(ConstMatrixRef(m_model->readWeight(*m_model->findLinear("model.layers.0.mlp.down_proj")))));
        });
        const auto base = openQuantizedBase(at("packed"), *m_model);
        QVERIFY(!base->quantizes(*m_model->findLinear("model.layers.0.mlp.down_proj")));
        QVERIFY(base->quantizes(*m_model->findLinear("model.layers.0.mlp.up_proj")));
    }

    void fingerprintChangesWithAnyCode()
    {
        writePackedFolder(at("one"), *m_model, awqPacking(32));
        writePackedFolder(at("other"), *m_model, awqPacking(32),
                          [](Json &, NamedTensors &tensors) { tensors[0].second.bytes()[5] ^= std::byte{1}; });
        QVERIFY(openQuantizedBase(at("one"), *m_model)->fingerprint() != openQuantizedBase(at("other"), *m_model)->fingerprint());
    }

    void whatDoesNotFitIsNamed_data()
    {
        QTest::addColumn<Packing>("packing");
        QTest::addColumn<Change>("change");
        QTest::addColumn<QStringList>("names");
        const std::string module = "model.layers.0.self_attn.k_proj.";
        const auto replace = [module](const char *suffix, const Tensor &tensor) -> Change {
            return [=](Json &, NamedTensors &tensors) { *findTensor(tensors, module + suffix) = tensor; };
        };
        const auto remove = [module](const char *suffix) -> Change {
            return [=](Json &, NamedTensors &tensors) { std::erase_if(tensors, [&](const auto &named) { return named.first == module + suffix; }); };
        };
        const auto state = [](const char *key, const Json &value) -> Change {
            return [=](Json &config, NamedTensors &) {
                Json quantization = *config.find("quantization_config");
                quantization.set(key, value);
                config.set("quantization_config", quantization);
            };
        };
        const Packing gptq = gptqPacking(4, 32, false, false), awq = awqPacking(32), packed = compressedTensorsPacking(4, 32, false);
        const Codes wrong = Codes::Zero(8, 16);
        QTest::newRow("gptq: no scales") << gptq << remove("scales") << QStringList{"k_proj.scales", "missing"};
        QTest::newRow("gptq: shape of the codes") << gptq << replace("qweight", int32Tensor(wrong)) << QStringList{"k_proj.qweight", "8x16", "8x32"};
        QTest::newRow("gptq: shape of the zero points") << gptq << replace("qzeros", int32Tensor(wrong)) << QStringList{"k_proj.qzeros", "8x16", "2x4"};
        QTest::newRow("gptq: type of the codes") << gptq << replace("qweight", halfTensor(Matrix::Zero(8, 32))) << QStringList{"k_proj.qweight", "F16", "I32"};
        QTest::newRow("gptq: bits that are not packed") << gptq << state("bits", 5) << QStringList{"config.json", "bits", "5"};
        QTest::newRow("gptq: groups of another size") << gptq << state("group_size", 16) << QStringList{"q_proj.qzeros", "2x8", "4x8"};
        QTest::newRow("gptq: unknown version") << gptq << state("checkpoint_format", "marlin") << QStringList{"checkpoint_format", "marlin"};
        QTest::newRow("awq: another layout") << awq << state("version", "gemv") << QStringList{"version", "gemv"};
        QTest::newRow("awq: no zero points") << awq << remove("qzeros") << QStringList{"k_proj.qzeros", "missing"};
        QTest::newRow("compressed-tensors: another format") << packed << state("format", "float-quantized") << QStringList{"format", "float-quantized"};
        QTest::newRow("compressed-tensors: no whole words") << packed << replace("weight_packed", int32Tensor(Codes::Zero(32, 7)))
                                                            << QStringList{"k_proj.weight_packed", "32x7", "32x64"};
        QTest::newRow("compressed-tensors: scales of another layer") << packed << replace("weight_scale", halfTensor(Matrix::Zero(16, 2)))
                                                                     << QStringList{"k_proj.weight_scale", "16x2", "32x2"};
        QTest::newRow("compressed-tensors: type of the only scale") << packed << replace("weight_scale", int32Tensor(Codes::Zero(1, 1)))
                                                                    << QStringList{"k_proj.weight_scale", "I32", "F16"};
        QTest::newRow("compressed-tensors: a scale without dimensions") << packed << replace("weight_scale", Tensor(DType::F16, {}))
                                                                        << QStringList{"k_proj.weight_scale", "32x1"};
        Tensor stated(DType::I64, {2});
        const std::int64_t extents[] = {std::numeric_limits<std::int64_t>::max(), 64};  // no double's whole part
        std::memcpy(stated.bytes().data(), extents, sizeof extents);
        QTest::newRow("compressed-tensors: another stated shape") << packed << replace("weight_shape", stated)
                                                                  << QStringList{"k_proj.weight_shape", "9223372036854775808x64"};
        QTest::newRow("another method") << awq << state("quant_method", "bitsandbytes") << QStringList{"quant_method", "bitsandbytes", "gptq, awq, compressed-tensors"};
        QTest::newRow("a layer is missing") << awq << Change([](Json &, NamedTensors &tensors) {
            std::erase_if(tensors, [](const auto &named) { return named.first.starts_with("model.layers.0.mlp.up_proj."); });
        }) << QStringList{"up_proj.qweight", "missing"};
    }
    void whatDoesNotFitIsNamed()
    {
        QFETCH(Packing, packing);
        QFETCH(Change, change);
        QFETCH(QStringList, names);
        writePackedFolder(at("packed"), *m_model, packing, change);
        const QString message = QString::fromStdString(errorOf([&] { openQuantizedBase(at("packed"), *m_model); }));
        QVERIFY(!message.isEmpty());
        QVERIFY2(!message.contains('\n'), qPrintable(message));
        for (const QString &name : names)
            QVERIFY2(message.contains(name), qPrintable(message));
    }

    void valuesThatCannotBeAreNamedWhenRead()
    {
        const std::string module = "model.layers.0.self_attn.q_proj";
        writePackedFolder(at("nan"), *m_model, awqPacking(32), [&](Json &, NamedTensors &tensors) {
            const std::uint16_t nan = 0x7E00;
            std::memcpy(findTensor(tensors, module + ".scales")->bytes().data() + 2 * 64, &nan, 2);
        });
        const LinearSite &site = *m_model->findLinear(module);
        const std::string message = errorOf([&] { openQuantizedBase(at("nan"), *m_model)->weight(site); });
        QVERIFY2(message.find("q_proj.scales") != std::string::npos && message.find("output 0, input 32") != std::string::npos, message.c_str());

        std::vector<std::int32_t> groups(64, 2);
        writePackedFolder(at("groups"), *m_model, gptqPacking(4, 32, false, false),
                          [&](Json &, NamedTensors &tensors) { tensors.emplace_back(module + ".g_idx", int32Vector(groups)); });
        const std::string other = errorOf([&] { openQuantizedBase(at("groups"), *m_model)->weight(site); });
        QVERIFY2(other.find("q_proj.g_idx") != std::string::npos && other.find("group 2 for input 0") != std::string::npos, other.c_str());
    }

    void aFolderThatIsNotQuantizedIsRefused()
    {
        const std::string message = errorOf([&] { openQuantizedBase(at("original"), *m_model); });
        QVERIFY2(message.find("quantization_config") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestQuantizedCheckpoint)
#include "tst_quantized_checkpoint.moc"
