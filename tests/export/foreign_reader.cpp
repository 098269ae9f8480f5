// SPDX-License-Identifier: Apache-2.0
#include "tests/export/foreign_reader.h"

#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QRegularExpression>
#include <QtEndian>
#include <QtNumeric>
#include <qfloat16.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

namespace lqer::test {

namespace {

[[noreturn]] void fail(const QString &message)
{
    throw std::runtime_error(message.toStdString());
}

QByteArray contentsOf(const QString &path)
{
    QFile file(path);
    if (!file.open(QIODevice::ReadOnly))
        fail(path + ": cannot be opened");
    return file.readAll();
}

const ForeignTensor &at(const ForeignTensors &tensors, const std::string &name)
{
    const auto found = tensors.find(name);
    if (found == tensors.end())
        fail(QString::fromStdString(name) + ": no such tensor");
    return found->second;
}

bool has(const ForeignTensors &tensors, const std::string &name)
{
    return tensors.contains(name);
}

// Bits [bit, bit + bits) of a run of 32-bit words.
std::uint32_t field(const std::uint32_t *words, std::size_t stride, std::size_t index, unsigned bits)
{
    const std::size_t perWord = 32 / bits;
    return words[index / perWord * stride] >> (index % perWord * bits) & ((1ULL << bits) - 1);
}

float e2m1(unsigned code)
{
    constexpr float magnitudes[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    return (code & 8U ? -1.0F : 1.0F) * magnitudes[code & 7U];
}

// OCP FP8 E4M3, without infinities.
float e4m3(unsigned code)
{
    const unsigned exponent = code >> 3 & 15U, mantissa = code & 7U;
    const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(1 + static_cast<float>(mantissa) / 8, static_cast<int>(exponent) - 7);
    return code & 128U ? -magnitude : magnitude;
}

}  // namespace

std::vector<float> ForeignTensor::values() const
{
    std::vector<float> values;
    const char *data = bytes.constData();
    if (dtype == "F32") {
        values.resize(static_cast<std::size_t>(bytes.size()) / 4);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = qFromLittleEndian<float>(data + 4 * i);
    } else if (dtype == "F16") {
        values.resize(static_cast<std::size_t>(bytes.size()) / 2);
        qFloatFromFloat16(values.data(), reinterpret_cast<const qfloat16 *>(data), static_cast<qsizetype>(values.size()));
    } else if (dtype == "BF16") {
        values.resize(static_cast<std::size_t>(bytes.size()) / 2);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const quint32 bits = static_cast<quint32>(qFromLittleEndian<quint16>(data + 2 * i)) << 16;
            std::memcpy(&values[i], &bits, 4);
        }
    } else {
        fail(dtype + " holds no floating-point values");
    }
    return values;
}

Matrix ForeignTensor::matrix() const
{
    if (shape.size() != 2)
        fail("no matrix");
    const std::vector<float> flat = values();
    return Eigen::Map<const Matrix>(flat.data(), shape[0], shape[1]);
}

std::vector<std::uint32_t> ForeignTensor::words() const
{
    if (dtype != "I32")
        fail(dtype + " is not I32");
    std::vector<std::uint32_t> words(static_cast<std::size_t>(bytes.size()) / 4);
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = qFromLittleEndian<quint32>(bytes.constData() + 4 * i);
    return words;
}

std::vector<std::uint8_t> ForeignTensor::unsignedBytes() const
{
    if (dtype != "U8" && dtype != "F8_E4M3")
        fail(dtype + " is not U8 or F8_E4M3");
    return {bytes.begin(), bytes.end()};
}

ForeignTensors readSafetensors(const QString &path, QJsonObject *metadata)
{
    const QByteArray file = contentsOf(path);
    const auto length = static_cast<qsizetype>(qFromLittleEndian<quint64>(file.constData()));
    const QJsonObject header = QJsonDocument::fromJson(file.mid(8, length)).object();
    if (header.isEmpty())
        fail(path + ": has no header");
    ForeignTensors tensors;
    for (auto entry = header.begin(); entry != header.end(); ++entry) {
        const QJsonObject info = entry->toObject();
        if (entry.key() == "__metadata__") {
            if (metadata)
                *metadata = info;
            continue;
        }
        ForeignTensor tensor{info["dtype"].toString(), {}, {}};
        for (const auto &extent : info["shape"].toArray())
            tensor.shape.push_back(extent.toInteger());
        const QJsonArray offsets = info["data_offsets"].toArray();
        tensor.bytes = file.mid(8 + length + offsets[0].toInteger(), offsets[1].toInteger() - offsets[0].toInteger());
        tensors.emplace(entry.key().toStdString(), std::move(tensor));
    }
    return tensors;
}

ForeignTensors readForeignCheckpoint(const QString &folder)
{
    const QString index = folder + "/model.safetensors.index.json";
    if (!QFile::exists(index))
        return readSafetensors(folder + "/model.safetensors");
    const QJsonObject places = readJson(index)["weight_map"].toObject();
    std::map<QString, ForeignTensors> shards;
    ForeignTensors all;
    for (auto place = places.begin(); place != places.end(); ++place) {
        const QString shard = place->toString();
        if (!shards.contains(shard))
            shards.emplace(shard, readSafetensors(folder + "/" + shard));
        all.emplace(place.key().toStdString(), at(shards.at(shard), place.key().toStdString()));
    }
    return all;
}

QJsonObject readJson(const QString &path)
{
    QJsonParseError error;
    const QJsonDocument document = QJsonDocument::fromJson(contentsOf(path), &error);
    if (!document.isObject())
        fail(path + ": " + error.errorString());
    return document.object();
}

// ---- packed weights

PackedReader::PackedReader(const QString &folder)
    : m_tensors(readForeignCheckpoint(folder)), m_config(readJson(folder + "/config.json")["quantization_config"].toObject())
{
}

Matrix PackedReader::weight(const std::string &module) const
{
    const QString name = QString::fromStdString(module);
    if (m_config["quant_method"].toString() == "gptq") {
        const QJsonObject dynamic = m_config["dynamic"].toObject();
        for (auto rule = dynamic.begin(); rule != dynamic.end(); ++rule)
            if (rule.key().startsWith("-:") && QRegularExpression(rule.key().mid(2)).match(name).hasMatch())
                return at(m_tensors, module + ".weight").matrix();
        return gptq(module);
    }
    // compressed-tensors: ignored modules first, then the first group with a target that matches; "re:" is a regular expression from the
    // beginning of the name, anything else the class.
    for (const auto &ignored : m_config["ignore"].toArray())
        if (ignored.toString() == name)
            return at(m_tensors, module + ".weight").matrix();
    for (const auto &group : m_config["config_groups"].toObject()) {
        for (const auto &target : group.toObject()["targets"].toArray()) {
            const QString text = target.toString();
            const bool matches = text.startsWith("re:")
                ? QRegularExpression(text.mid(3)).match(name, 0, QRegularExpression::NormalMatch, QRegularExpression::AnchorAtOffsetMatchOption).hasMatch()
                : text == "Linear";
            if (matches)
                return compressedTensors(module, group.toObject());
        }
    }
    fail(name + ": no group takes it");
}

Matrix PackedReader::compressedTensors(const std::string &module, const QJsonObject &group) const
{
    const QJsonObject arguments = group["weights"].toObject();
    const ForeignTensor &packed = at(m_tensors, module + ".weight_packed"), &scale = at(m_tensors, module + ".weight_scale");
    const QString format = group["format"].toString(m_config["format"].toString());
    if (has(m_tensors, module + ".weight"))
        fail("packed and dense at once");
    if (format != "pack-quantized") {
        const std::vector<std::uint8_t> codes = packed.unsignedBytes(), scales = scale.unsignedBytes();
        const Index out = packed.shape[0], in = 2 * packed.shape[1], blocks = scale.shape[1], size = arguments["group_size"].toInt();
        if (in != blocks * size)
            fail("blocks do not cover the inputs");
        Matrix weight(out, in);
        for (Index o = 0; o < out; ++o)
            for (Index i = 0; i < in; ++i) {
                const std::uint8_t pair = codes[static_cast<std::size_t>(o * in / 2 + i / 2)], code = scales[static_cast<std::size_t>(o * blocks + i / size)];
                const float element = e2m1(i % 2 == 0 ? pair & 15U : pair >> 4U);
                if (format == "mxfp4-pack-quantized")
                    weight(o, i) = element * std::ldexp(1.0F, static_cast<int>(code) - 127);
                else
                    weight(o, i) = element * (e4m3(code) / at(m_tensors, module + ".weight_global_scale").values()[0]);
            }
        return weight;
    }
    const auto bits = static_cast<unsigned>(arguments["num_bits"].toInt());
    const std::vector<std::uint32_t> words = packed.words();
    const auto shapeBytes = at(m_tensors, module + ".weight_shape").bytes;
    const Index out = qFromLittleEndian<qint64>(shapeBytes.constData()), in = qFromLittleEndian<qint64>(shapeBytes.constData() + 8);
    const Index groups = scale.shape[1], size = arguments["strategy"].toString() == "channel" ? in : arguments["group_size"].toInt();
    if (packed.shape != std::vector<std::int64_t>{out, in * bits / 32} || groups * size != in || scale.shape[0] != out)
        fail("extents do not fit together");
    const bool symmetric = arguments["symmetric"].toBool();
    if (symmetric == has(m_tensors, module + ".weight_zero_point"))
        fail("zero points where there should be none, or none where there should be");
    const std::vector<std::uint32_t> zeros = symmetric ? std::vector<std::uint32_t>() : at(m_tensors, module + ".weight_zero_point").words();
    const std::vector<float> scales = scale.values();
    const int middle = 1 << (bits - 1);
    Matrix weight(out, in);
    for (Index o = 0; o < out; ++o)
        for (Index i = 0; i < in; ++i) {
            const auto row = static_cast<std::size_t>(o), g = static_cast<std::size_t>(i / size);
            const int q = static_cast<int>(field(words.data() + row * static_cast<std::size_t>(packed.shape[1]), 1, static_cast<std::size_t>(i), bits)) - middle;
            const int zero = symmetric ? 0 : static_cast<int>(field(zeros.data() + g, static_cast<std::size_t>(groups), row, bits)) - middle;
            weight(o, i) = static_cast<float>(q - zero) * scales[row * static_cast<std::size_t>(groups) + g];
        }
    return weight;
}

Matrix PackedReader::gptq(const std::string &module) const
{
    int bits = m_config["bits"].toInt();
    const QJsonObject dynamic = m_config["dynamic"].toObject();
    for (auto rule = dynamic.begin(); rule != dynamic.end(); ++rule)
        if (rule.key().startsWith("+:") && QRegularExpression(rule.key().mid(2)).match(QString::fromStdString(module)).hasMatch())
            bits = rule->toObject()["bits"].toInt(bits);
    const ForeignTensor &qweight = at(m_tensors, module + ".qweight"), &qzeros = at(m_tensors, module + ".qzeros"), &scales = at(m_tensors, module + ".scales");
    const std::vector<std::uint32_t> words = qweight.words(), zeroWords = qzeros.words(), groupOf = at(m_tensors, module + ".g_idx").words();
    const std::vector<float> scaleValues = scales.values();
    const auto in = static_cast<Index>(groupOf.size()), out = static_cast<Index>(qweight.shape[1]);
    const unsigned width = static_cast<unsigned>(bits);
    const bool versionOne = m_config["checkpoint_format"].toString() == "gptq";
    Matrix weight(out, in);
    for (Index o = 0; o < out; ++o)
        for (Index i = 0; i < in; ++i) {
            const auto column = static_cast<std::size_t>(o), g = static_cast<std::size_t>(groupOf[static_cast<std::size_t>(i)]);
            const int q = static_cast<int>(field(words.data() + column, static_cast<std::size_t>(out), static_cast<std::size_t>(i), width));
            const int zero = static_cast<int>(field(zeroWords.data() + g * static_cast<std::size_t>(qzeros.shape[1]), 1, column, width)) + (versionOne ? 1 : 0);
            weight(o, i) = static_cast<float>(q - zero) * scaleValues[g * static_cast<std::size_t>(out) + column];
        }
    return weight;
}

// ---- adapters

PeftReader::PeftReader(const QString &folder)
    : m_config(readJson(folder + "/adapter_config.json")), m_tensors(readSafetensors(folder + "/adapter_model.safetensors"))
{
    if (m_config["peft_type"].toString() != "LORA" || m_config["use_rslora"].toBool() || m_config["use_dora"].toBool())
        fail("is no plain LoRA adapter");
}

// check_target_module_exists: the name itself, or what ends in "." and the target.
bool PeftReader::targets(const std::string &module) const
{
    const QString name = QString::fromStdString(module);
    for (const auto &target : m_config["target_modules"].toArray())
        if (name == target.toString() || name.endsWith("." + target.toString()))
            return true;
    return false;
}

// get_pattern_key: the first key k for which re.match(r"(.*\.)?(k)$", name) succeeds.
double PeftReader::matched(const QJsonObject &patterns, const std::string &module, double fallback) const
{
    for (auto pattern = patterns.begin(); pattern != patterns.end(); ++pattern)
        if (QRegularExpression("^(.*\\.)?(" + pattern.key() + ")$").match(QString::fromStdString(module)).hasMatch())
            return pattern->toDouble();
    return fallback;
}

int PeftReader::rank(const std::string &module) const
{
    return static_cast<int>(matched(m_config["rank_pattern"].toObject(), module, m_config["r"].toDouble()));
}

double PeftReader::scaling(const std::string &module) const
{
    return matched(m_config["alpha_pattern"].toObject(), module, m_config["lora_alpha"].toDouble()) / rank(module);
}

Matrix PeftReader::a(const std::string &module) const
{
    const Matrix loraA = at(m_tensors, "base_model.model." + module + ".lora_A.weight").matrix();
    if (loraA.rows() != rank(module))
        fail("lora_A does not have the rank that its pattern says");
    return loraA.transpose();
}

Matrix PeftReader::b(const std::string &module) const
{
    const Matrix loraB = at(m_tensors, "base_model.model." + module + ".lora_B.weight").matrix();
    if (loraB.cols() != rank(module))
        fail("lora_B does not have the rank that its pattern says");
    return loraB.transpose();
}

}  // namespace lqer::test
