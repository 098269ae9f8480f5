// SPDX-License-Identifier: Apache-2.0
#include "tests/support/foreign_gguf.h"

#include <QDataStream>
#include <QFile>

#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>

namespace lqer::test {

namespace {

enum class Type : std::uint32_t {
    F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14,
    IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, MXFP4 = 39, NVFP4 = 40,
};

struct Size {
    std::int64_t elements;
    std::int64_t bytes;
};

Size sizeOf(std::uint32_t type)
{
    switch (static_cast<Type>(type)) {
    case Type::F32: return {1, 4};
    case Type::F16:
    case Type::BF16: return {1, 2};
    case Type::Q4_0:
    case Type::IQ4_NL: return {32, 2 + 16};
    case Type::Q4_1: return {32, 2 + 2 + 16};
    case Type::Q5_0: return {32, 2 + 4 + 16};
    case Type::Q5_1: return {32, 2 + 2 + 4 + 16};
    case Type::Q8_0: return {32, 2 + 32};
    case Type::Q2_K: return {256, 16 + 64 + 2 + 2};
    case Type::Q3_K: return {256, 32 + 64 + 12 + 2};
    case Type::Q4_K: return {256, 2 + 2 + 12 + 128};
    case Type::Q5_K: return {256, 2 + 2 + 12 + 32 + 128};
    case Type::Q6_K: return {256, 128 + 64 + 16 + 2};
    case Type::IQ4_XS: return {256, 2 + 2 + 4 + 128};
    case Type::MXFP4: return {32, 1 + 16};
    case Type::NVFP4: return {64, 4 + 32};
    }
    throw std::runtime_error("a type that the test does not read");
}

// Second reading of the block layouts, block by block in the order in which the elements come out, as llama.cpp's documentation
// draws them. Scales and minima go through float32 products as ggml's do.
struct Reading {
    const std::uint8_t *b;
    std::vector<float> out;

    float half(int at) const
    {
        const int bits = b[at] | b[at + 1] << 8;
        const int exponent = bits >> 10 & 31;
        const double magnitude = exponent == 0 ? std::ldexp(bits & 1023, -24) : std::ldexp(1024 + (bits & 1023), exponent - 25);
        return static_cast<float>(bits & 0x8000 ? -magnitude : magnitude);
    }
    void low(int from, int count, const std::function<float(int, int)> &value)
    {
        for (int i = 0; i < count; ++i)
            out.push_back(value(b[from + i] % 16, i));
    }
    void high(int from, int count, const std::function<float(int, int)> &value)
    {
        for (int i = 0; i < count; ++i)
            out.push_back(value(b[from + i] / 16, i));
    }
};

constexpr int iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr float e2m1Levels[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, 0, -0.5F, -1, -1.5F, -2, -3, -4, -6};

}  // namespace

std::vector<float> readGgmlBlock(std::uint32_t number, const std::uint8_t *block)
{
    const auto type = static_cast<Type>(number);
    Reading r{block, {}};
    const std::uint8_t *b = block;
    const auto real = [](int value) { return static_cast<float>(value); };
    switch (type) {
    case Type::Q4_0: {
        const auto value = [&](int q, int) { return r.half(0) * real(q - 8); };
        r.low(2, 16, value);
        r.high(2, 16, value);
        break;
    }
    case Type::Q4_1: {
        const auto value = [&](int q, int) { return r.half(0) * real(q) + r.half(2); };
        r.low(4, 16, value);
        r.high(4, 16, value);
        break;
    }
    case Type::Q5_0:
    case Type::Q5_1: {
        const int at = type == Type::Q5_0 ? 2 : 4;
        std::uint32_t fifth;
        std::memcpy(&fifth, b + at, 4);
        const auto value = [&](int q, int i) {
            const int code = q + ((fifth >> i & 1U) ? 16 : 0);
            return type == Type::Q5_0 ? r.half(0) * real(code - 16) : r.half(0) * real(code) + r.half(2);
        };
        r.low(at + 4, 16, value);
        r.high(at + 4, 16, [&](int q, int i) { return value(q, i + 16); });
        break;
    }
    case Type::Q8_0:
        for (int i = 0; i < 32; ++i)
            r.out.push_back(r.half(0) * real(b[2 + i] < 128 ? b[2 + i] : b[2 + i] - 256));
        break;
    case Type::Q2_K:
        for (int part = 0; part < 8; ++part)
            for (int l = 0; l < 32; ++l) {
                const int scale = b[2 * part + l / 16];
                const int q = b[16 + part / 4 * 32 + l] / (1 << 2 * (part % 4)) % 4;
                r.out.push_back(r.half(80) * real(scale % 16) * real(q) - r.half(82) * real(scale / 16));
            }
        break;
    case Type::Q3_K: {
        // Sixteen numbers of six bits: their low four bits first, eight bytes, then their high two, four bytes.
        int scales[16];
        for (int i = 0; i < 8; ++i) {
            scales[i] = b[96 + i] % 16;
            scales[i + 8] = b[96 + i] / 16;
        }
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j)
                scales[i + 4 * j] += b[104 + i] / (1 << 2 * j) % 4 * 16;
        for (int part = 0; part < 8; ++part)
            for (int l = 0; l < 32; ++l) {
                const int q = b[32 + part / 4 * 32 + l] / (1 << 2 * (part % 4)) % 4;
                const int third = b[l] / (1 << part) % 2;
                r.out.push_back(r.half(108) * real(scales[2 * part + l / 16] - 32) * real(third ? q : q - 4));
            }
        break;
    }
    case Type::Q4_K:
    case Type::Q5_K: {
        int scales[8], minima[8];
        for (int i = 0; i < 4; ++i) {
            scales[i] = b[4 + i] % 64;
            minima[i] = b[8 + i] % 64;
            scales[i + 4] = b[12 + i] % 16 + b[4 + i] / 64 * 16;
            minima[i + 4] = b[12 + i] / 16 + b[8 + i] / 64 * 16;
        }
        const bool five = type == Type::Q5_K;
        for (int part = 0; part < 8; ++part) {
            const auto value = [&](int q, int l) {
                const int code = q + (five && b[16 + l] / (1 << part) % 2 ? 16 : 0);
                return r.half(0) * real(scales[part]) * real(code) - r.half(2) * real(minima[part]);
            };
            const int from = (five ? 48 : 16) + part / 2 * 32;
            part % 2 ? r.high(from, 32, value) : r.low(from, 32, value);
        }
        break;
    }
    case Type::Q6_K:
        for (int half = 0; half < 2; ++half)
            for (int part = 0; part < 4; ++part) {
                const auto value = [&](int q, int l) {
                    const int upper = b[128 + 32 * half + l] / (1 << 2 * part) % 4;
                    const int scale = static_cast<std::int8_t>(b[192 + 8 * half + 2 * part + l / 16]);
                    return r.half(208) * real(scale) * real(q + 16 * upper - 32);
                };
                const int from = 64 * half + 32 * (part % 2);
                part < 2 ? r.low(from, 32, value) : r.high(from, 32, value);
            }
        break;
    case Type::IQ4_NL:
    case Type::IQ4_XS:
        for (int part = 0; part < (type == Type::IQ4_NL ? 1 : 8); ++part) {
            const int upper = (b[2] | b[3] << 8) >> 2 * part & 3;
            const int lower = part % 2 ? b[4 + part / 2] / 16 : b[4 + part / 2] % 16;
            const float scale = type == Type::IQ4_NL ? r.half(0) : r.half(0) * real(lower + 16 * upper - 32);
            const auto value = [&](int q, int) { return scale * real(iq4[q]); };
            const int from = type == Type::IQ4_NL ? 2 : 8 + 16 * part;
            r.low(from, 16, value);
            r.high(from, 16, value);
        }
        break;
    case Type::MXFP4: {
        const auto value = [&](int q, int) { return std::ldexp(e2m1Levels[q], b[0] - 127); };
        r.low(1, 16, value);
        r.high(1, 16, value);
        break;
    }
    case Type::NVFP4:
        for (int part = 0; part < 4; ++part) {
            const int bits = b[part] & 127;
            const double scale = bits == 127 ? 0 : bits < 8 ? std::ldexp(bits, -9) : std::ldexp(8 + bits % 8, bits / 8 - 10);
            const auto value = [&](int q, int) { return static_cast<float>(scale) * e2m1Levels[q]; };
            r.low(4 + 8 * part, 8, value);
            r.high(4 + 8 * part, 8, value);
        }
        break;
    case Type::F32: {
        float value;
        std::memcpy(&value, b, sizeof value);
        r.out = {value};
        break;
    }
    case Type::F16: r.out = {r.half(0)}; break;
    case Type::BF16: {
        const std::uint32_t bits = static_cast<std::uint32_t>(b[0] | b[1] << 8) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        r.out = {value};
        break;
    }
    }
    return r.out;
}


namespace {

class Reader {
public:
    explicit Reader(QByteArray bytes) : m_bytes(std::move(bytes)), m_stream(m_bytes)
    {
        m_stream.setByteOrder(QDataStream::LittleEndian);
    }

    template <typename T>
    T number()
    {
        T value;
        m_stream >> value;
        check();
        return value;
    }
    template <typename T>
    qlonglong whole() { return static_cast<qlonglong>(number<T>()); }
    double real(QDataStream::FloatingPointPrecision precision)
    {
        m_stream.setFloatingPointPrecision(precision);
        return number<double>();
    }
    QString text()
    {
        QByteArray text(static_cast<qsizetype>(number<quint64>()), Qt::Uninitialized);
        if (m_stream.readRawData(text.data(), static_cast<int>(text.size())) != text.size())
            throw std::runtime_error("the file ends in a text");
        return QString::fromUtf8(text);
    }
    QVariant value(quint32 type)
    {
        switch (type) {
        case 0: return whole<quint8>();
        case 1: return whole<qint8>();
        case 2: return whole<quint16>();
        case 3: return whole<qint16>();
        case 4: return whole<quint32>();
        case 5: return whole<qint32>();
        case 6: return real(QDataStream::SinglePrecision);
        case 7: return number<quint8>() != 0;
        case 8: return text();
        case 9: {
            const auto element = number<quint32>();
            const auto count = number<quint64>();
            QVariantList list;
            for (quint64 i = 0; i < count; ++i)
                list.append(value(element));
            return list;
        }
        case 10: return whole<quint64>();
        case 11: return whole<qint64>();
        case 12: return real(QDataStream::DoublePrecision);
        }
        throw std::runtime_error("a value of an unknown type");
    }
    qint64 position() const { return m_stream.device()->pos(); }
    const QByteArray &bytes() const { return m_bytes; }

private:
    void check() const
    {
        if (m_stream.status() != QDataStream::Ok)
            throw std::runtime_error("the file ends early");
    }

    QByteArray m_bytes;
    QDataStream m_stream;
};

}  // namespace

Matrix ForeignGgufTensor::matrix() const
{
    return Eigen::Map<const Matrix>(values.data(), shape.at(0), shape.at(1));
}

ForeignGguf readForeignGguf(const QString &path)
{
    QFile file(path);
    if (!file.open(QIODevice::ReadOnly))
        throw std::runtime_error("cannot be opened: " + path.toStdString());
    Reader reader(file.readAll());
    if (!reader.bytes().startsWith("GGUF"))
        throw std::runtime_error("no GGUF file");
    reader.number<quint32>();
    if (reader.number<quint32>() != 3)
        throw std::runtime_error("not version 3");
    const auto tensors = reader.number<quint64>();
    const auto keys = reader.number<quint64>();
    ForeignGguf result;
    for (quint64 i = 0; i < keys; ++i) {
        const QString key = reader.text();
        const auto type = reader.number<quint32>();
        result.keys.insert(key, reader.value(type));
    }
    std::map<std::string, quint64> offsets;
    for (quint64 i = 0; i < tensors; ++i) {
        const std::string name = reader.text().toStdString();
        ForeignGgufTensor tensor;
        const auto dimensions = reader.number<quint32>();
        for (quint32 d = 0; d < dimensions; ++d)
            tensor.shape.insert(tensor.shape.begin(), reader.whole<quint64>());
        tensor.type = reader.number<quint32>();
        offsets[name] = reader.number<quint64>();
        result.order.push_back(name);
        result.tensors[name] = std::move(tensor);
    }
    const qint64 data = (reader.position() + 31) / 32 * 32;
    for (auto &[name, tensor] : result.tensors) {
        std::int64_t elements = 1;
        for (const std::int64_t extent : tensor.shape)
            elements *= extent;
        const Size size = sizeOf(tensor.type);
        const auto at = data + static_cast<qint64>(offsets[name]);
        if (offsets[name] % 32 != 0 || at + elements / size.elements * size.bytes > reader.bytes().size())
            throw std::runtime_error("data outside the file: " + name);
        const auto *block = reinterpret_cast<const std::uint8_t *>(reader.bytes().constData() + at);
        for (std::int64_t i = 0; i < elements / size.elements; ++i, block += size.bytes) {
            const std::vector<float> values = readGgmlBlock(tensor.type, block);
            tensor.values.insert(tensor.values.end(), values.begin(), values.end());
        }
    }
    return result;
}

}  // namespace lqer::test
