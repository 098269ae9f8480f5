// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include "core/base/error.h"
#include "core/import/quantized_checkpoint.h"
#include "core/io/gguf.h"
#include "tests/import/rounded_layer.h"
#include "tests/support/random_llama.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

// Bases in GGUF files, composed here from the description of Q8_0 and Q4_0 (exports.md C2) and of the order of q's and k's rows.
class TestGgufBase : public QObject {
    Q_OBJECT
private:
    struct Layer {
        GgufTensor tensor;
        std::vector<std::byte> bytes;
    };
    struct Written {
        GgufMetadata metadata = {{"general.architecture", std::string("llama")}};
        std::vector<Layer> layers;
        std::map<std::string, Matrix> weights;  // W_q by module
    };

    std::unique_ptr<QTemporaryDir> m_place;
    std::unique_ptr<Transformer> m_model;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }

    static RandomLlama shape()
    {
        RandomLlama shape;
        shape.layers = 2;
        shape.hidden = 64;
        shape.intermediate = 96;
        return shape;
    }

    static std::string ggufName(const LinearSite &site)
    {
        const std::map<LinearRole, std::string> names = {{LinearRole::Query, "attn_q"}, {LinearRole::Key, "attn_k"}, {LinearRole::Value, "attn_v"},
                                                         {LinearRole::Output, "attn_output"}, {LinearRole::Gate, "ffn_gate"}, {LinearRole::Up, "ffn_up"},
                                                         {LinearRole::Down, "ffn_down"}};
        return "blk." + std::to_string(site.layer) + "." + names.at(site.role) + ".weight";
    }

    // W.reshape(heads, 2, head / 2, in).swapaxes(1, 2).reshape(out, in), as convert_hf_to_gguf.py has it.
    static Matrix reordered(const Matrix &weight, Index heads)
    {
        Matrix result(weight.rows(), weight.cols());
        const Index head = weight.rows() / heads;
        Index row = 0;
        for (Index h = 0; h < heads; ++h)
            for (Index j = 0; j < head / 2; ++j)
                for (Index part = 0; part < 2; ++part)
                    result.row(row++) = weight.row(h * head + part * head / 2 + j);
        return result;
    }

    // Blocks of 32: a scale in half precision, then int8 each (Q8_0), or 16 bytes with elements 0-15 in the low and 16-31 in the high
    // nibbles, 8 being zero (Q4_0). Also gives what they stand for.
    static std::vector<std::byte> blocks(const Matrix &weight, GgmlType type, Matrix &values)
    {
        const bool wide = type == GgmlType::Q8_0;
        values.resize(weight.rows(), weight.cols());
        std::vector<std::byte> bytes;
        for (Index begin = 0; begin < weight.size(); begin += 32) {
            const float *x = weight.data() + begin;
            float most = 0;
            for (int i = 0; i < 32; ++i)
                most = std::max(most, std::abs(x[i]));
            const std::uint16_t half = floatToHalf(most / (wide ? 127.0F : 7.0F));
            const float scale = halfToFloat(half);
            int codes[32];
            for (int i = 0; i < 32; ++i) {
                codes[i] = std::clamp(static_cast<int>(std::lround(x[i] / scale)), wide ? -127 : -8, wide ? 127 : 7);
                values.data()[begin + i] = scale * static_cast<float>(codes[i]);
            }
            bytes.push_back(std::byte(half & 0xFF));
            bytes.push_back(std::byte(half >> 8));
            for (int i = 0; i < (wide ? 32 : 16); ++i)
                bytes.push_back(wide ? std::byte(static_cast<std::uint8_t>(codes[i])) : std::byte((codes[i] + 8) | (codes[i + 16] + 8) << 4));
        }
        return bytes;
    }

    Written compose(GgmlType type) const
    {
        Written written;
        for (const LinearSite &site : m_model->linearSites()) {
            const Matrix weight = m_model->readWeight(site);
            Matrix values;
            Layer layer;
            layer.tensor = {ggufName(site), type, {site.out, site.in}};
            const Index heads = site.role == LinearRole::Query ? shape().heads : site.role == LinearRole::Key ? shape().kvHeads : 0;
            layer.bytes = blocks(weight, type, values);  // blocks run along the inputs, so they do not mind the order of rows
            if (heads > 0) {
                Matrix ignored;
                layer.bytes = blocks(reordered(weight, heads), type, ignored);
            }
            written.layers.push_back(std::move(layer));
            written.weights.emplace(site.name, values);
        }
        return written;
    }

    std::string write(const Written &written) const
    {
        std::vector<GgufTensor> tensors;
        for (const Layer &layer : written.layers)
            tensors.push_back(layer.tensor);
        GgufWriter writer(at("base.gguf"), written.metadata, tensors);
        for (const Layer &layer : written.layers)
            writer.write(layer.bytes);
        writer.finished().commit();
        return at("base.gguf");
    }

private slots:
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(scratchTemplate());
        writeRandomLlama(at("original"), shape());
        m_model = std::make_unique<Transformer>(std::make_shared<Checkpoint>(at("original")));
    }

    void layersAreReadInTheOrderOfTheOriginal_data()
    {
        QTest::addColumn<int>("type");
        QTest::addColumn<QString>("description");
        QTest::newRow("Q8_0") << static_cast<int>(GgmlType::Q8_0) << "GGUF, 14 Q8_0";
        QTest::newRow("Q4_0") << static_cast<int>(GgmlType::Q4_0) << "GGUF, 14 Q4_0";
    }
    void layersAreReadInTheOrderOfTheOriginal()
    {
        QFETCH(int, type);
        QFETCH(QString, description);
        const Written written = compose(static_cast<GgmlType>(type));
        const auto base = openQuantizedBase(write(written), *m_model);
        QCOMPARE(QString::fromStdString(base->description()), description);
        for (std::size_t i = 0; i < m_model->linearSites().size(); ++i) {
            const LinearSite &site = m_model->linearSites()[i];
            QVERIFY(base->quantizes(site));
            QVERIFY2(base->weight(site) == written.weights.at(site.name), site.name.c_str());
            QCOMPARE(base->weightBytes(site), static_cast<std::uint64_t>(written.layers[i].bytes.size()));
        }
    }

    void layersInFloatingPointAreNotQuantized()
    {
        Written written = compose(GgmlType::Q8_0);
        written.layers[0].tensor.type = GgmlType::F32;
        written.layers[0].bytes.assign(4 * 64 * 64, std::byte{});
        const auto base = openQuantizedBase(write(written), *m_model);
        QVERIFY(!base->quantizes(m_model->linearSites()[0]) && base->quantizes(m_model->linearSites()[1]));
        QCOMPARE(base->description(), std::string("GGUF, 1 F32 + 13 Q8_0"));
    }

    void whatDoesNotFitIsNamed()
    {
        Written missing = compose(GgmlType::Q8_0);
        missing.layers.pop_back();
        std::string message = errorOf([&] { openQuantizedBase(write(missing), *m_model); });
        QVERIFY2(message.find("blk.1.ffn_down.weight") != std::string::npos && message.find("missing") != std::string::npos, message.c_str());

        Written other = compose(GgmlType::Q8_0);
        other.layers[2].tensor.shape = {64, 32};
        message = errorOf([&] { openQuantizedBase(write(other), *m_model); });
        QVERIFY2(message.find("blk.0.attn_v.weight") != std::string::npos && message.find("64x32") != std::string::npos
                     && message.find("32x64") != std::string::npos,
                 message.c_str());

        Written architecture = compose(GgmlType::Q8_0);
        architecture.metadata = {{"general.architecture", std::string("qwen2")}};
        message = errorOf([&] { openQuantizedBase(write(architecture), *m_model); });
        QVERIFY2(message.find("qwen2") != std::string::npos && message.find("llama") != std::string::npos, message.c_str());

        Written nan = compose(GgmlType::Q8_0);
        nan.layers[0].bytes[0] = std::byte{0};
        nan.layers[0].bytes[1] = std::byte{0x7E};
        const auto base = openQuantizedBase(write(nan), *m_model);
        message = errorOf([&] { base->weight(m_model->linearSites()[0]); });
        QVERIFY2(message.find("blk.0.attn_q.weight") != std::string::npos && message.find("row 0") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestGgufBase)
#include "tst_gguf_base.moc"
