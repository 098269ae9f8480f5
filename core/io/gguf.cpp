// SPDX-License-Identifier: Apache-2.0
#include "core/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <set>
#include <type_traits>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace lqer {

namespace {

static_assert(std::endian::native == std::endian::little);
constexpr std::string_view magic = "GGUF";
constexpr std::uint32_t newestVersion = 3;
constexpr std::uint64_t defaultAlignment = 32;
constexpr std::uint64_t largestAlignment = 1U << 16;
constexpr std::string_view alignmentKey = "general.alignment";

// Far above anything a model needs (llama.cpp allows 2^30 for strings and arrays), and small enough for any machine.
constexpr std::uint64_t longestKey = 0xFFFF;
constexpr std::uint64_t longestText = 1U << 24;
constexpr std::uint64_t mostElements = 1U << 24;
constexpr std::uint64_t mostTexts = 1U << 22;
constexpr std::size_t longestTensorName = 63;  // GGML_MAX_NAME without its final zero
constexpr std::uint32_t mostDimensions = 4;
// Bytes that a key with its value, and a tensor's entry, take at least.
constexpr std::uint64_t smallestKey = 8 + 1 + 4 + 1;
constexpr std::uint64_t smallestTensor = 8 + 1 + 4 + 8 + 4 + 8;

struct TypeRow {
    GgmlType type;
    std::string_view name;
    GgmlBlock block;
};

constexpr TypeRow types[] = {
    {GgmlType::F32, "F32", {1, 4}},          {GgmlType::F16, "F16", {1, 2}},          {GgmlType::Q4_0, "Q4_0", {32, 18}},
    {GgmlType::Q4_1, "Q4_1", {32, 20}},      {GgmlType::Q5_0, "Q5_0", {32, 22}},      {GgmlType::Q5_1, "Q5_1", {32, 24}},
    {GgmlType::Q8_0, "Q8_0", {32, 34}},      {GgmlType::Q8_1, "Q8_1", {32, 36}},      {GgmlType::Q2_K, "Q2_K", {256, 84}},
    {GgmlType::Q3_K, "Q3_K", {256, 110}},    {GgmlType::Q4_K, "Q4_K", {256, 144}},    {GgmlType::Q5_K, "Q5_K", {256, 176}},
    {GgmlType::Q6_K, "Q6_K", {256, 210}},    {GgmlType::Q8_K, "Q8_K", {256, 292}},    {GgmlType::IQ2_XXS, "IQ2_XXS", {256, 66}},
    {GgmlType::IQ2_XS, "IQ2_XS", {256, 74}}, {GgmlType::IQ3_XXS, "IQ3_XXS", {256, 98}}, {GgmlType::IQ1_S, "IQ1_S", {256, 50}},
    {GgmlType::IQ4_NL, "IQ4_NL", {32, 18}},  {GgmlType::IQ3_S, "IQ3_S", {256, 110}},  {GgmlType::IQ2_S, "IQ2_S", {256, 82}},
    {GgmlType::IQ4_XS, "IQ4_XS", {256, 136}}, {GgmlType::I8, "I8", {1, 1}},           {GgmlType::I16, "I16", {1, 2}},
    {GgmlType::I32, "I32", {1, 4}},          {GgmlType::I64, "I64", {1, 8}},          {GgmlType::F64, "F64", {1, 8}},
    {GgmlType::IQ1_M, "IQ1_M", {256, 56}},   {GgmlType::BF16, "BF16", {1, 2}},        {GgmlType::TQ1_0, "TQ1_0", {256, 54}},
    {GgmlType::TQ2_0, "TQ2_0", {256, 66}},   {GgmlType::MXFP4, "MXFP4", {32, 17}},    {GgmlType::NVFP4, "NVFP4", {64, 36}},
    {GgmlType::Q1_0, "Q1_0", {128, 18}},     {GgmlType::Q2_0, "Q2_0", {64, 18}},
};

const TypeRow *findType(GgmlType type)
{
    const auto found = std::find_if(std::begin(types), std::end(types), [&](const TypeRow &row) { return row.type == type; });
    return found == std::end(types) ? nullptr : found;
}

std::optional<DType> dtypeOf(GgmlType type)
{
    switch (type) {
    case GgmlType::F32: return DType::F32;
    case GgmlType::F16: return DType::F16;
    case GgmlType::BF16: return DType::BF16;
    case GgmlType::F64: return DType::F64;
    case GgmlType::I8: return DType::I8;
    case GgmlType::I16: return DType::I16;
    case GgmlType::I32: return DType::I32;
    case GgmlType::I64: return DType::I64;
    default: return std::nullopt;
    }
}

std::uint64_t padded(std::uint64_t bytes, std::uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

constexpr std::string_view valueTypeNames[] = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string",
                                               "array", "uint64", "int64", "float64"};
static_assert(std::size(valueTypeNames) == std::variant_size_v<GgufValue>);
static_assert(std::variant_size_v<GgufArray> == std::variant_size_v<GgufValue>);

std::string typeName(const GgufValue &value)
{
    if (const auto *array = std::get_if<GgufArray>(&value))
        return fmt::format("array of {}", valueTypeNames[array->index()]);
    return std::string(valueTypeNames[value.index()]);
}

// The variant whose alternative number `index` is what `read` makes of that alternative's type.
template <typename Variant, typename Read>
Variant readAlternative(std::size_t index, Read read)
{
    Variant value;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        const auto readIf = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
            if (index == N)
                value.template emplace<N>(read(std::type_identity<std::variant_alternative_t<N, Variant>>()));
        };
        (readIf(std::integral_constant<std::size_t, I>()), ...);
    }(std::make_index_sequence<std::variant_size_v<Variant>>());
    return value;
}

// Reads the part before the tensors' bytes from front to back, and knows where it is for messages.
class HeaderReader {
public:
    explicit HeaderReader(const InputFile &file) : m_file(file) {}

    std::uint64_t position() const { return m_position; }
    std::uint64_t remaining() const { return m_file.size() - m_position; }
    // What is being read: "key 'x'", "tensor 'x'", "tensor 17".
    void enter(std::string what) { m_what = std::move(what); }

    [[noreturn]] void fail(const std::string &message, ErrorCode code = ErrorCode::Format) const
    {
        throw Error(code, m_file.path(), fmt::format("{}{}byte {}", m_what, m_what.empty() ? "" : " at ", m_position), message);
    }

    template <typename T>
    T number()
    {
        T value;
        take(std::as_writable_bytes(std::span(&value, 1)), toString(sizeof value));
        return value;
    }
    std::string text(std::uint64_t longest)
    {
        const auto length = number<std::uint64_t>();
        if (length > remaining())
            fail(fmt::format("a text of {} bytes, {} bytes remain in the file (truncated?)", length, remaining()));
        if (length > longest)
            fail(fmt::format("a text of {} bytes, longer than the {} that this program reads", length, longest));
        std::string text(static_cast<std::size_t>(length), '\0');
        take(std::as_writable_bytes(std::span(text)), "text");
        return text;
    }
    std::string name(std::uint64_t longest)
    {
        std::string name = text(longest);
        if (name.empty())
            fail("the name is empty");
        if (!isValidUtf8(name))
            fail(fmt::format("the name '{}' is not valid UTF-8", escaped(name, 80)));
        if (name.find('\0') != std::string::npos)
            fail(fmt::format("the name '{}' contains NUL", escaped(name, 80)));
        return name;
    }
    GgufValue value()
    {
        return readAlternative<GgufValue>(typeNumber(), [this]<typename T>(std::type_identity<T>) {
            if constexpr (std::is_same_v<T, GgufArray>)
                return array();
            else
                return element<T>();
        });
    }

private:
    std::uint32_t typeNumber()
    {
        const auto type = number<std::uint32_t>();
        if (type >= std::variant_size_v<GgufValue>)
            fail(fmt::format("unknown value type {}", static_cast<std::int32_t>(type)));
        return type;
    }
    GgufArray array()
    {
        const std::uint32_t type = typeNumber();
        const auto count = number<std::uint64_t>();
        return readAlternative<GgufArray>(type, [&]<typename T>(std::type_identity<T>) -> T {
            if constexpr (std::is_same_v<T, std::monostate>) {
                fail("an array of arrays, which llama.cpp does not read either");
            } else {
                using Element = typename T::value_type;
                constexpr bool texts = std::is_same_v<Element, std::string>;
                constexpr bool truths = std::is_same_v<Element, bool>;
                constexpr std::uint64_t least = texts ? sizeof(std::uint64_t) : truths ? 1 : sizeof(Element);
                if (count > remaining() / least)
                    fail(fmt::format("an array of {} elements, {} bytes remain in the file (truncated?)", count, remaining()));
                if (count > (texts ? mostTexts : mostElements))
                    fail(fmt::format("an array of {} elements, more than the {} that this program reads", count,
                                     texts ? mostTexts : mostElements));
                T values(static_cast<std::size_t>(count));
                if constexpr (std::is_arithmetic_v<Element> && !truths)
                    take(std::as_writable_bytes(std::span(values)), "array");
                else
                    for (std::size_t i = 0; i < values.size(); ++i)
                        values[i] = element<Element>();
                return values;
            }
        });
    }
    template <typename T>
    T element()
    {
        if constexpr (std::is_same_v<T, std::string>) {
            return text(longestText);
        } else if constexpr (std::is_same_v<T, bool>) {
            const auto byte = number<std::uint8_t>();
            if (byte > 1)
                fail(fmt::format("a bool is {}, 0 or 1 was expected", byte));
            return byte == 1;
        } else {
            return number<T>();
        }
    }
    static std::string toString(std::size_t bytes) { return fmt::format("{} bytes", bytes); }

    void take(std::span<std::byte> out, std::string_view what)
    {
        if (out.size() > remaining())
            fail(fmt::format("the file ends here, {} were expected", what));
        if (out.size() >= bufferBytes) {
            m_file.read(m_position, out);
        } else {
            if (m_position < m_bufferStart || m_position + out.size() > m_bufferStart + m_buffer.size()) {
                m_buffer.resize(static_cast<std::size_t>(std::min<std::uint64_t>(remaining(), bufferBytes)));
                m_bufferStart = m_position;
                m_file.read(m_bufferStart, m_buffer);
            }
            if (!out.empty())
                std::memcpy(out.data(), m_buffer.data() + (m_position - m_bufferStart), out.size());
        }
        m_position += out.size();
    }

    static constexpr std::size_t bufferBytes = 1U << 16;

    const InputFile &m_file;
    std::string m_what;
    std::uint64_t m_position = 0;
    std::vector<std::byte> m_buffer;
    std::uint64_t m_bufferStart = 0;
};

std::uint32_t readVersion(const InputFile &file, HeaderReader &reader)
{
    if (file.size() == 0)
        throw Error(ErrorCode::Format, file.path(), {}, "is empty (0 bytes): interrupted download?");
    std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 512)));
    file.read(0, head);
    const std::string_view found(reinterpret_cast<const char *>(head.data()), std::min(head.size(), magic.size()));
    if (found == "FUGG")
        throw Error(ErrorCode::Unsupported, file.path(), {}, "is a big-endian GGUF file");
    if (found != magic) {
        const std::string content = recognisedContent(head);
        throw Error(ErrorCode::Format, file.path(), {},
                    content.empty() ? fmt::format("is not a GGUF file: begins with '{}', not with 'GGUF'", escaped(found))
                                    : fmt::format("is not a GGUF file but {}", content));
    }
    reader.number<std::uint32_t>();
    const auto version = reader.number<std::uint32_t>();
    if (version != 0 && (version & 0xFFFFU) == 0)
        throw Error(ErrorCode::Unsupported, file.path(), {}, "is a big-endian GGUF file");
    if (version == 1)
        throw Error(ErrorCode::Unsupported, file.path(), {}, "is a GGUF file of version 1, which llama.cpp does not read either");
    if (version < 2 || version > newestVersion)
        throw Error(ErrorCode::Unsupported, file.path(), "byte 4",
                    fmt::format("GGUF version {}, this program reads 2 and {}", version, newestVersion));
    return version;
}

std::uint64_t readCount(HeaderReader &reader, std::string_view what, std::uint64_t smallest)
{
    reader.enter(std::string(what));
    const auto count = reader.number<std::uint64_t>();
    if (count > reader.remaining() / smallest)
        reader.fail(fmt::format("{} of them cannot fit into the {} bytes that follow (truncated?)", count, reader.remaining()));
    return count;
}

std::uint64_t alignmentIn(const GgufValue *value, const std::string &path)
{
    if (!value)
        return defaultAlignment;
    const auto *alignment = std::get_if<std::uint32_t>(value);
    if (!alignment)
        throw Error(ErrorCode::Format, path, fmt::format("key '{}'", alignmentKey),
                    fmt::format("is {}, uint32 was expected", typeName(*value)));
    if (!std::has_single_bit(*alignment) || *alignment < 8 || *alignment > largestAlignment)
        throw Error(ErrorCode::Format, path, fmt::format("key '{}'", alignmentKey),
                    fmt::format("{} is not a power of two from 8 to {}", *alignment, largestAlignment));
    return *alignment;
}

// Everything of a tensor's entry; its offset is still relative to where the data begins.
GgufTensor readTensor(HeaderReader &reader, std::uint64_t number)
{
    GgufTensor tensor;
    reader.enter(fmt::format("tensor {}", number));
    tensor.name = reader.name(longestTensorName);
    reader.enter(fmt::format("tensor '{}'", escaped(tensor.name)));
    const auto dimensions = reader.number<std::uint32_t>();
    if (dimensions == 0 || dimensions > mostDimensions)
        reader.fail(fmt::format("{} dimensions, 1 to {} were expected", dimensions, mostDimensions));
    for (std::uint32_t i = 0; i < dimensions; ++i) {
        const auto extent = reader.number<std::int64_t>();
        if (extent <= 0)
            reader.fail(fmt::format("extent {} is not positive", extent));
        tensor.shape.insert(tensor.shape.begin(), extent);
    }
    const auto type = reader.number<std::uint32_t>();
    tensor.type = static_cast<GgmlType>(type);
    const TypeRow *row = findType(tensor.type);
    if (!row)
        reader.fail(fmt::format("element type {} is unknown or was removed from the format", static_cast<std::int32_t>(type)));
    const std::optional<std::uint64_t> bytes = ggmlBytes(tensor.type, tensor.shape);
    if (!bytes)
        reader.fail(fmt::format("a shape of {} is not possible in {}, which stores rows in blocks of {} (or it overflows)",
                                toString(tensor.shape), row->name, row->block.elements));
    tensor.bytes = *bytes;
    tensor.offset = reader.number<std::uint64_t>();
    return tensor;
}

// The data must be where llama.cpp's reader wants it: in order, each tensor's bytes padded to the alignment, nothing between.
void placeTensors(const InputFile &file, std::vector<GgufTensor> &tensors, std::uint64_t dataOffset, std::uint64_t alignment)
{
    std::uint64_t at = dataOffset;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        GgufTensor &tensor = tensors[i];
        const std::string where = fmt::format("tensor '{}'", escaped(tensor.name));
        if (tensor.offset != at - dataOffset)
            throw Error(ErrorCode::Format, file.path(), where,
                        fmt::format("its data is said to begin at byte {} of the data, {} was expected ({})", tensor.offset,
                                    at - dataOffset,
                                    i == 0 ? std::string("it is the first")
                                           : fmt::format("behind tensor '{}'", escaped(tensors[i - 1].name))));
        if (at > file.size() || tensor.bytes > file.size() - at)
            throw Error(ErrorCode::Format, file.path(), fmt::format("{} at byte {}", where, at),
                        fmt::format("{} {} takes {} bytes, the file has {} in all (truncated?)", toString(tensor.type),
                                    toString(tensor.shape), tensor.bytes, file.size()));
        tensor.offset = at;
        at = padded(at + tensor.bytes, alignment);  // at most the file's size, which is an off_t, and an alignment
    }
    if (file.size() < at)
        logWarning(fmt::format("{}: the padding behind the last tensor is cut off", file.path()));
    if (file.size() > at)
        throw Error(ErrorCode::Format, file.path(), fmt::format("byte {}", at),
                    fmt::format("{} bytes after the last tensor (parts of a split model are joined by llama-gguf-split --merge)",
                                file.size() - at));
}

void appendBytes(std::string &out, const void *data, std::size_t size) { out.append(static_cast<const char *>(data), size); }

template <typename T>
void appendNumber(std::string &out, T value)
{
    appendBytes(out, &value, sizeof value);
}

void appendText(std::string &out, std::string_view text)
{
    appendNumber<std::uint64_t>(out, text.size());
    out += text;
}

template <typename T>
void appendElement(std::string &out, const T &value)
{
    if constexpr (std::is_same_v<T, std::string>)
        appendText(out, value);
    else if constexpr (std::is_same_v<T, bool>)
        appendNumber<std::uint8_t>(out, value ? 1 : 0);
    else
        appendNumber(out, value);
}

void appendValue(std::string &out, const GgufValue &value)
{
    appendNumber<std::uint32_t>(out, static_cast<std::uint32_t>(value.index()));
    std::visit(
        [&]<typename T>(const T &scalar) {
            if constexpr (!std::is_same_v<T, GgufArray>) {
                appendElement(out, scalar);
            } else {
                appendNumber<std::uint32_t>(out, static_cast<std::uint32_t>(scalar.index()));
                std::visit(
                    [&]<typename A>(const A &values) {
                        if constexpr (std::is_same_v<A, std::monostate>) {
                            LQER_ASSERT(!"an array of arrays");
                        } else {
                            appendNumber<std::uint64_t>(out, values.size());
                            for (const typename A::value_type &element : values)
                                appendElement(out, element);
                        }
                    },
                    scalar);
            }
        },
        value);
}

// Everything in front of the tensors' bytes; sets `bytes` and `offset` of each, the latter counted from the beginning of the data.
std::string headerOf(const std::string &path, const GgufMetadata &metadata, std::vector<GgufTensor> &tensors)
{
    std::string header(magic);
    appendNumber(header, newestVersion);
    appendNumber<std::uint64_t>(header, tensors.size());
    appendNumber<std::uint64_t>(header, metadata.size());
    for (const auto &[key, value] : metadata) {
        LQER_ASSERT(key != alignmentKey);
        appendText(header, key);
        appendValue(header, value);
    }
    std::set<std::string_view> names;
    std::uint64_t offset = 0;
    for (GgufTensor &tensor : tensors) {
        const auto refuse = [&](const std::string &message) {
            throw Error(ErrorCode::Argument, path, fmt::format("tensor '{}'", escaped(tensor.name)), message);
        };
        if (tensor.name.empty() || tensor.name.size() > longestTensorName)
            refuse(fmt::format("a name of {} bytes, GGUF allows 1 to {}", tensor.name.size(), longestTensorName));
        if (!names.insert(tensor.name).second)
            refuse("the name appears twice");
        const std::optional<std::uint64_t> bytes = ggmlBytes(tensor.type, tensor.shape);
        if (!bytes || *bytes == 0 || tensor.shape.empty() || tensor.shape.size() > mostDimensions)
            refuse(fmt::format("shape {} is not possible in {}", toString(tensor.shape), toString(tensor.type)));
        tensor.bytes = *bytes;
        tensor.offset = offset;
        offset = padded(offset + tensor.bytes, defaultAlignment);

        appendText(header, tensor.name);
        appendNumber(header, static_cast<std::uint32_t>(tensor.shape.size()));
        for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent)
            appendNumber(header, *extent);
        appendNumber(header, static_cast<std::uint32_t>(tensor.type));
        appendNumber(header, tensor.offset);
    }
    header.resize(static_cast<std::size_t>(padded(header.size(), defaultAlignment)), '\0');
    return header;
}

// Of tensors that headerOf() has placed, padding included.
std::uint64_t dataBytes(const std::vector<GgufTensor> &tensors)
{
    return tensors.empty() ? 0 : padded(tensors.back().offset + tensors.back().bytes, defaultAlignment);
}

}  // namespace

GgmlBlock ggmlBlock(GgmlType type)
{
    const TypeRow *row = findType(type);
    LQER_ASSERT(row);
    return row->block;
}

std::string_view toString(GgmlType type)
{
    const TypeRow *row = findType(type);
    LQER_ASSERT(row);
    return row->name;
}

std::optional<std::uint64_t> ggmlBytes(GgmlType type, const Shape &shape)
{
    const GgmlBlock block = ggmlBlock(type);
    std::int64_t elements = 1;
    for (const std::int64_t extent : shape)
        if (extent < 0 || __builtin_mul_overflow(elements, extent, &elements))
            return std::nullopt;
    if (!shape.empty() && shape.back() % block.elements != 0)
        return std::nullopt;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(elements / block.elements), block.bytes, &bytes)
        || bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return std::nullopt;
    return bytes;
}

GgufFile::GgufFile(const std::string &path) : m_file(std::make_shared<const InputFile>(path))
{
    HeaderReader reader(*m_file);
    m_version = readVersion(*m_file, reader);
    const std::uint64_t tensors = readCount(reader, "number of tensors", smallestTensor);
    const std::uint64_t keys = readCount(reader, "number of keys", smallestKey);

    for (std::uint64_t i = 0; i < keys; ++i) {
        reader.enter(fmt::format("key {}", i));
        std::string key = reader.name(longestKey);
        reader.enter(fmt::format("key '{}'", escaped(key)));
        if (!m_keys.emplace(key, m_metadata.size()).second)
            reader.fail("appears twice");
        GgufValue value = reader.value();
        m_metadata.emplace_back(std::move(key), std::move(value));
    }
    const std::uint64_t alignment = alignmentIn(find(alignmentKey), path);
    if (find("split.count") && integer("split.count") > 1)
        throw Error(ErrorCode::Unsupported, path, {},
                    fmt::format("is one of the {} parts of a split model: join them with llama-gguf-split --merge",
                                integer("split.count")));

    for (std::uint64_t i = 0; i < tensors; ++i) {
        GgufTensor tensor = readTensor(reader, i);
        if (!m_names.emplace(tensor.name, m_tensors.size()).second)
            reader.fail("appears twice");
        m_tensors.push_back(std::move(tensor));
    }
    placeTensors(*m_file, m_tensors, padded(reader.position(), alignment), alignment);
}

const GgufTensor *GgufFile::findTensor(std::string_view name) const
{
    const auto found = m_names.find(name);
    return found == m_names.end() ? nullptr : &m_tensors[found->second];
}

const GgufValue *GgufFile::find(std::string_view key) const
{
    const auto found = m_keys.find(key);
    return found == m_keys.end() ? nullptr : &m_metadata[found->second].second;
}

const GgufValue &GgufFile::require(std::string_view key) const
{
    const GgufValue *value = find(key);
    if (!value)
        throw Error(ErrorCode::Format, path(), fmt::format("key '{}'", escaped(key)), "is missing");
    return *value;
}

void GgufFile::failType(std::string_view key, const GgufValue &wanted) const
{
    throw Error(ErrorCode::Format, path(), fmt::format("key '{}'", escaped(key)),
                fmt::format("is {}, {} was expected", typeName(require(key)), typeName(wanted)));
}

const GgufArray *GgufFile::arrayOf(std::string_view key) const { return std::get_if<GgufArray>(&require(key)); }

const std::string &GgufFile::text(std::string_view key) const
{
    const auto *text = std::get_if<std::string>(&require(key));
    if (!text)
        failType(key, std::string());
    return *text;
}

std::int64_t GgufFile::integer(std::string_view key) const
{
    return std::visit(
        [&]<typename T>(const T &value) -> std::int64_t {
            if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
                if (!std::in_range<std::int64_t>(value))
                    throw Error(ErrorCode::Format, path(), fmt::format("key '{}'", escaped(key)),
                                fmt::format("{} is out of range", value));
                return static_cast<std::int64_t>(value);
            } else {
                failType(key, std::uint32_t());
            }
        },
        require(key));
}

double GgufFile::real(std::string_view key) const
{
    const GgufValue &value = require(key);
    if (const auto *real = std::get_if<double>(&value))
        return *real;
    if (const auto *real = std::get_if<float>(&value))
        return *real;
    failType(key, float());
}

std::vector<std::byte> GgufFile::readBytes(const GgufTensor &tensor) const
{
    std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
    m_file->read(tensor.offset, bytes);
    return bytes;
}

Tensor GgufFile::read(const GgufTensor &tensor) const
{
    const std::optional<DType> dtype = dtypeOf(tensor.type);
    if (!dtype)
        throw Error(ErrorCode::Unsupported, path(), fmt::format("tensor '{}'", escaped(tensor.name)),
                    fmt::format("is stored as {}, plain numbers were expected", toString(tensor.type)));
    Tensor result(*dtype, tensor.shape);
    m_file->read(tensor.offset, result.bytes());
    return result;
}

std::uint64_t ggufFileBytes(const GgufMetadata &metadata, const std::vector<GgufTensor> &tensors)
{
    std::vector<GgufTensor> placed = tensors;
    return headerOf({}, metadata, placed).size() + dataBytes(placed);
}

GgufWriter::GgufWriter(const std::string &path, const GgufMetadata &metadata, std::vector<GgufTensor> tensors)
    : m_tensors(std::move(tensors))
{
    const std::string header = headerOf(path, metadata, m_tensors);
    m_bytes = header.size() + dataBytes(m_tensors);
    for (GgufTensor &tensor : m_tensors)
        tensor.offset += header.size();
    m_file = std::make_unique<AtomicFile>(path, m_bytes);
    m_file->write(header);
}

void GgufWriter::write(std::span<const std::byte> bytes)
{
    LQER_ASSERT(m_due < m_tensors.size());
    const GgufTensor &tensor = m_tensors[m_due];
    m_file->write(bytes);
    const std::uint64_t done = m_file->written() - tensor.offset;
    LQER_ASSERT(done <= tensor.bytes);
    if (done < tensor.bytes)
        return;
    const std::byte zeros[defaultAlignment]{};
    m_file->write(std::span(zeros).first(static_cast<std::size_t>(padded(done, defaultAlignment) - done)));
    ++m_due;
}

AtomicFile &GgufWriter::finished()
{
    LQER_ASSERT(m_due == m_tensors.size() && m_file->written() == m_bytes);
    return *m_file;
}

}  // namespace lqer
