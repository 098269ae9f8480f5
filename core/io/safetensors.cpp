// SPDX-License-Identifier: Apache-2.0
#include "core/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"

namespace lqer {

namespace {

// Layout of the file: u64 length of the header (little endian), the header (JSON, padded with spaces), the data.
// Source: the safetensors format description and reliability.md 4 ST.
static_assert(std::endian::native == std::endian::little);
constexpr std::uint64_t lengthBytes = 8;
constexpr std::uint64_t largestHeader = 100'000'000;
constexpr std::size_t deepestHeader = 4;
constexpr std::size_t mostDimensions = 8;
constexpr std::string_view metadataKey = "__metadata__";

std::string knownDTypes()
{
    std::string names;
    for (auto i = static_cast<int>(DType::F64); i <= static_cast<int>(DType::F8E5M2); ++i)
        names += fmt::format("{}{}", names.empty() ? "" : ", ", toString(static_cast<DType>(i)));
    return names;
}

// Reads the members of one tensor's entry.
class EntryReader {
public:
    EntryReader(const std::string &file, const std::string &name, const Json &entry) : m_file(file), m_name(name), m_entry(entry)
    {
        if (!entry.isObject())
            fail("must be an object {...}");
    }

    TensorInfo read(std::uint64_t dataOffset, std::uint64_t dataBytes) const
    {
        TensorInfo info;
        info.name = m_name;
        info.dtype = dtype();
        info.shape = shape();
        info.bytes = storedBytes(info);
        const auto [begin, end] = offsets();
        if (begin > end)
            fail(fmt::format("offsets run backwards ({} to {})", begin, end));
        if (end > dataBytes)
            fail(fmt::format("ends at byte {} of the data, the file has {} (truncated?)", end, dataBytes));
        if (end - begin != info.bytes)
            fail(fmt::format("{} {} takes {} bytes, data_offsets give {}", toString(info.dtype), toString(info.shape), info.bytes,
                             end - begin));
        info.offset = dataOffset + begin;
        return info;
    }
    bool hasUnknownField() const
    {
        return std::any_of(m_entry.asObject().begin(), m_entry.asObject().end(), [](const auto &member) {
            return member.first != "dtype" && member.first != "shape" && member.first != "data_offsets";
        });
    }

private:
    [[noreturn]] void fail(const std::string &message) const
    {
        throw Error(ErrorCode::Format, m_file, fmt::format("tensor '{}'", escaped(m_name)), message);
    }
    const Json &field(std::string_view key) const
    {
        const Json *found = m_entry.find(key);
        if (!found)
            fail(fmt::format("lacks '{}'", key));
        return *found;
    }
    DType dtype() const
    {
        const Json &name = field("dtype");
        if (!name.isString())
            fail("dtype must be a string");
        const std::optional<DType> dtype = dtypeFromString(name.asString());
        if (!dtype)
            fail(fmt::format("unknown dtype '{}' (known: {})", escaped(name.asString(), 40), knownDTypes()));
        return *dtype;
    }
    Shape shape() const
    {
        const Json &extents = field("shape");
        const auto isExtent = [](const Json &value) { return value.isInteger() && value.asInteger() >= 0; };
        if (!extents.isArray() || !std::all_of(extents.asArray().begin(), extents.asArray().end(), isExtent))
            fail("shape must be whole numbers >= 0");
        if (extents.asArray().size() > mostDimensions)
            fail(fmt::format("rank {} > {}", extents.asArray().size(), mostDimensions));
        Shape shape;
        for (const Json &extent : extents.asArray())
            shape.push_back(extent.asInteger());
        return shape;
    }
    std::uint64_t storedBytes(const TensorInfo &info) const
    {
        std::int64_t bytes = static_cast<std::int64_t>(itemSize(info.dtype));
        for (const std::int64_t extent : info.shape)
            if (__builtin_mul_overflow(bytes, extent, &bytes))
                fail(fmt::format("shape {} overflows", toString(info.shape)));
        return static_cast<std::uint64_t>(bytes);
    }
    std::pair<std::uint64_t, std::uint64_t> offsets() const
    {
        const Json &pair = field("data_offsets");
        const auto isOffset = [](const Json &value) { return value.isInteger() && value.asInteger() >= 0; };
        if (!pair.isArray() || pair.asArray().size() != 2 || !std::all_of(pair.asArray().begin(), pair.asArray().end(), isOffset))
            fail("data_offsets must be two whole numbers >= 0");
        return {static_cast<std::uint64_t>(pair.asArray()[0].asInteger()), static_cast<std::uint64_t>(pair.asArray()[1].asInteger())};
    }

    const std::string &m_file;
    const std::string &m_name;
    const Json &m_entry;
};

// If the file is plainly something else, that is the message. Called when the length of the header makes no sense.
[[noreturn]] void failLength(const InputFile &file, const std::string &message)
{
    std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 512)));
    file.read(0, head);
    const std::string found = recognisedContent(head);
    const bool foreign = !found.empty() && found != "a safetensors file";
    throw Error(ErrorCode::Format, file.path(), {}, foreign ? fmt::format("is {}", found) : message);
}

std::uint64_t readHeaderLength(const InputFile &file)
{
    if (file.size() == 0)
        throw Error(ErrorCode::Format, file.path(), {},
                    "is empty (0 bytes) and so shorter than its header: interrupted download?");
    if (file.size() < lengthBytes)
        failLength(file, fmt::format("is shorter than its header ({} bytes)", file.size()));
    std::uint64_t length = 0;
    file.read(0, std::as_writable_bytes(std::span(&length, 1)));
    if (length == 0)
        failLength(file, "header is empty");
    if (length > file.size() - lengthBytes)
        failLength(file, fmt::format("is shorter than its header: header says {} bytes, file has {} (truncated?)", length,
                                     file.size() - lengthBytes));
    if (length > largestHeader)
        failLength(file, fmt::format("header says {} bytes, more than the {} that the format allows", length, largestHeader));
    return length;
}

Json readHeader(const InputFile &file, std::uint64_t length)
{
    std::string text(static_cast<std::size_t>(length), '\0');
    file.read(lengthBytes, std::as_writable_bytes(std::span(text)));
    if (text.front() != '{')
        failLength(file, "header does not begin with {");
    Json header;
    try {
        header = parseJson(text, {}, deepestHeader);
    } catch (const Error &error) {
        throw Error(error.code(), file.path(), "header", error.what());
    }
    if (text[text.find_last_not_of(' ')] != '}')
        throw Error(ErrorCode::Format, file.path(), {}, "header has something other than spaces behind its closing brace");
    return header;
}

std::map<std::string, std::string> readMetadata(const std::string &path, const Json &metadata)
{
    std::map<std::string, std::string> texts;
    if (metadata.isNull())
        return texts;
    if (!metadata.isObject())
        throw Error(ErrorCode::Format, path, {}, "__metadata__ must be an object {...}");
    for (const auto &[name, value] : metadata.asObject()) {
        if (!value.isString())
            throw Error(ErrorCode::Format, path, {}, fmt::format("__metadata__ '{}' must be a string", escaped(name)));
        texts.emplace(name, value.asString());
    }
    return texts;
}

// Every byte of the data belongs to exactly one tensor.
void checkCoverage(const std::string &path, const std::vector<TensorInfo> &tensors, std::uint64_t dataOffset, std::uint64_t fileSize)
{
    std::vector<const TensorInfo *> ordered;
    for (const TensorInfo &tensor : tensors)
        ordered.push_back(&tensor);
    std::sort(ordered.begin(), ordered.end(), [](const TensorInfo *a, const TensorInfo *b) {
        return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
    });
    std::uint64_t covered = dataOffset;
    const TensorInfo *previous = nullptr;
    for (const TensorInfo *tensor : ordered) {
        if (tensor->offset < covered)
            throw Error(ErrorCode::Format, path, {},
                        fmt::format("tensors '{}' and '{}' overlap", escaped(previous->name), escaped(tensor->name)));
        if (tensor->offset > covered)
            throw Error(ErrorCode::Format, path, {},
                        fmt::format("{} bytes before tensor '{}' belong to no tensor", tensor->offset - covered, escaped(tensor->name)));
        covered = tensor->offset + tensor->bytes;
        previous = tensor;
    }
    if (covered != fileSize)
        throw Error(ErrorCode::Format, path, {}, fmt::format("{} bytes after the last tensor", fileSize - covered));
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string &path) : m_file(std::make_shared<const InputFile>(path))
{
    const std::uint64_t headerBytes = readHeaderLength(*m_file);
    const Json header = readHeader(*m_file, headerBytes);
    m_dataOffset = lengthBytes + headerBytes;
    std::vector<std::string> withUnknownFields;
    for (const auto &[name, value] : header.asObject()) {
        if (name == metadataKey) {
            m_metadata = readMetadata(path, value);
            continue;
        }
        const EntryReader entry(path, name, value);
        m_index.emplace(name, m_tensors.size());
        m_tensors.push_back(entry.read(m_dataOffset, m_file->size() - m_dataOffset));
        if (entry.hasUnknownField())
            withUnknownFields.push_back(escaped(name));
    }
    checkCoverage(path, m_tensors, m_dataOffset, m_file->size());
    if (!withUnknownFields.empty())
        logWarning(fmt::format("{}: {} tensors have fields that this program does not know, the first is '{}'", path,
                               withUnknownFields.size(), withUnknownFields.front()));
}

const TensorInfo *SafetensorsFile::find(std::string_view name) const
{
    const auto found = m_index.find(name);
    return found == m_index.end() ? nullptr : &m_tensors[found->second];
}

Tensor SafetensorsFile::read(const TensorInfo &info) const
{
    Tensor tensor(info.dtype, info.shape);
    LQER_ASSERT(tensor.bytes().size() == info.bytes);
    m_file->read(info.offset, tensor.bytes());
    if (info.dtype == DType::Bool)
        if (std::any_of(tensor.bytes().begin(), tensor.bytes().end(), [](std::byte b) { return b > std::byte{1}; }))
            logWarning(fmt::format("{}, tensor '{}': has truth values other than 0 and 1", path(), escaped(info.name)));
    return tensor;
}

SafetensorsWriter::SafetensorsWriter(std::string path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string> &metadata)
    : m_tensors(std::move(tensors))
{
    Json::Object header;
    if (!metadata.empty()) {
        Json::Object texts;
        for (const auto &[name, value] : metadata)
            texts.emplace_back(name, value);
        header.emplace_back(metadataKey, Json(std::move(texts)));
    }
    std::set<std::string_view> seen;
    std::uint64_t offset = 0;
    for (TensorInfo &info : m_tensors) {
        const std::string &name = info.name;
        if (name == metadataKey || name.find('\0') != std::string::npos || !isValidUtf8(name))
            throw Error(ErrorCode::Argument, path, fmt::format("tensor '{}'", escaped(name)), "the format does not allow this name");
        if (!seen.insert(name).second)
            throw Error(ErrorCode::Argument, path, fmt::format("tensor '{}'", escaped(name)), "is there twice");
        info.offset = offset;
        info.bytes = static_cast<std::uint64_t>(elementCount(info.shape)) * itemSize(info.dtype);
        Json::Array shape(info.shape.begin(), info.shape.end());
        const std::uint64_t end = offset + info.bytes;
        header.emplace_back(name, Json::object()
                                      .set("dtype", toString(info.dtype))
                                      .set("shape", std::move(shape))
                                      .set("data_offsets", Json::array().append(offset).append(end)));
        offset = end;
    }

    std::string text = Json(std::move(header)).dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    if (text.size() > largestHeader)
        throw Error(ErrorCode::Unsupported, path, {}, fmt::format("a header of {} bytes is more than the format allows", text.size()));
    const std::uint64_t length = text.size();
    for (TensorInfo &info : m_tensors)
        info.offset += lengthBytes + length;
    m_file = std::make_unique<AtomicFile>(std::move(path), lengthBytes + length + offset);
    m_file->write(std::as_bytes(std::span(&length, 1)));
    m_file->write(text);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(const Tensor &tensor)
{
    LQER_ASSERT(m_next < m_tensors.size());
    const TensorInfo &expected = m_tensors[m_next++];
    LQER_ASSERT(tensor.dtype() == expected.dtype && tensor.shape() == expected.shape);
    m_file->write(tensor.bytes());
}

AtomicFile &SafetensorsWriter::finished()
{
    LQER_ASSERT(m_next == m_tensors.size());
    return *m_file;
}

void writeSafetensors(const std::string &path, const std::vector<std::pair<std::string, Tensor>> &tensors,
                      const std::map<std::string, std::string> &metadata)
{
    std::vector<TensorInfo> infos;
    for (const auto &[name, tensor] : tensors)
        infos.push_back({.name = name, .dtype = tensor.dtype(), .shape = tensor.shape()});
    SafetensorsWriter writer(path, std::move(infos), metadata);
    for (const auto &[name, tensor] : tensors)
        writer.write(tensor);
    writer.finished().commit();
}

}  // namespace lqer
