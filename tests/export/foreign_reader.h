// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QByteArray>
#include <QJsonObject>
#include <QString>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/tensor/matrix.h"

// A second reader of exports, which shares nothing with the code that writes them: Qt's JSON, half-precision type and regular expressions,
// and the published semantics of each program. Faults throw std::runtime_error.
namespace lqer::test {

struct ForeignTensor {
    QString dtype;  // "F32"
    std::vector<std::int64_t> shape;
    QByteArray bytes;

    // F32, F16 and BF16 as float; two dimensions.
    Matrix matrix() const;
    std::vector<float> values() const;
    std::vector<std::uint32_t> words() const;      // I32
    std::vector<std::uint8_t> unsignedBytes() const;  // U8, F8_E4M3
};
using ForeignTensors = std::map<std::string, ForeignTensor>;

// One .safetensors file; metadata gets "__metadata__".
ForeignTensors readSafetensors(const QString &path, QJsonObject *metadata = nullptr);
// A checkpoint folder: one file or the shards that the index names.
ForeignTensors readForeignCheckpoint(const QString &folder);
QJsonObject readJson(const QString &path);

// W of one linear layer as float32 (out, in), unpacked by the scheme that the folder's quantization_config gives the layer; dense layers
// as they are stored. compressed-tensors and GPTQ.
class PackedReader {
public:
    explicit PackedReader(const QString &folder);
    Matrix weight(const std::string &module) const;
    const ForeignTensors &tensors() const { return m_tensors; }
    const QJsonObject &config() const { return m_config; }

private:
    Matrix compressedTensors(const std::string &module, const QJsonObject &group) const;
    Matrix gptq(const std::string &module) const;
    ForeignTensors m_tensors;
    QJsonObject m_config;  // quantization_config
};

// A LoRA adapter as PEFT applies it: which modules it targets, each one's rank and scaling by the first pattern that matches.
class PeftReader {
public:
    explicit PeftReader(const QString &folder);
    bool targets(const std::string &module) const;
    int rank(const std::string &module) const;
    double scaling(const std::string &module) const;  // alpha / r
    Matrix a(const std::string &module) const;        // (in, r), as lora_A.weight transposed
    Matrix b(const std::string &module) const;        // (r, out)
    const QJsonObject &config() const { return m_config; }
    std::size_t tensorCount() const { return m_tensors.size(); }

private:
    double matched(const QJsonObject &patterns, const std::string &module, double fallback) const;
    QJsonObject m_config;
    ForeignTensors m_tensors;
};

}  // namespace lqer::test
