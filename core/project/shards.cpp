// SPDX-License-Identifier: Apache-2.0
#include "core/project/shards.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"

namespace lqer {

namespace {

constexpr std::string_view versionText = "1";
constexpr std::string_view suffix = ".safetensors";
constexpr std::string_view listPrefix = "record.";  // of arrays that are lists of the record
// Metadata keys.
constexpr const char *kindKey = "lqer.kind";
constexpr const char *versionKey = "lqer.version";
constexpr const char *recordKey = "lqer.record";
constexpr const char *checksumKey = "lqer.checksum";

bool isNameCharacter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

Json scalarsOf(const Hdf5Group &group)
{
    Json json = Json::object();
    for (const auto &[name, value] : group.values) {
        if (const auto *text = std::get_if<std::string>(&value))
            json.set(name, *text);
        else if (const auto *integer = std::get_if<std::int64_t>(&value))
            json.set(name, *integer);
        else if (const auto *number = std::get_if<double>(&value))
            json.set(name, *number);
    }
    for (const auto &[name, child] : group.groups)
        json.set(name, scalarsOf(child));
    return json;
}

Hdf5Group groupOf(const JsonReader &json)
{
    Hdf5Group group;
    if (!json.value().isObject())
        json.fail("expected an object");
    for (const auto &[name, value] : json.value().asObject()) {
        if (value.isString())
            group.values.emplace(name, value.asString());
        else if (value.isInteger())
            group.values.emplace(name, value.asInteger());
        else if (value.isNumber())
            group.values.emplace(name, value.asNumber());
        else
            group.groups.emplace(name, groupOf(json[name]));
    }
    return group;
}

class Checksum {
public:
    Checksum(std::string_view kind, std::string_view version, std::string_view record)
    {
        m_hasher.add(kind).add(version).add(record);
    }
    void add(std::string_view name, const Tensor &tensor)
    {
        m_hasher.add(name).add(toString(tensor.dtype())).add(toString(tensor.shape())).add(tensor.bytes());
    }
    std::string hex() const { return m_hasher.hex(); }

private:
    Hasher m_hasher;
};

const std::string &metadataOf(const SafetensorsFile &file, const char *key)
{
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
        throw Error(ErrorCode::Format, file.path(), fmt::format("metadata '{}'", key), "is missing: not a file of this program, or damaged");
    return found->second;
}

// In pieces: R of a wide layer has gigabytes.
Tensor readTensor(const SafetensorsFile &file, const TensorInfo &info, const TaskContext &context)
{
    constexpr std::ptrdiff_t pieceBytes = 1 << 22;
    Tensor tensor(info.dtype, info.shape);
    const std::span<std::byte> bytes = tensor.bytes();
    LQER_ASSERT(bytes.size() == info.bytes);
    parallelFor(context, static_cast<std::ptrdiff_t>(bytes.size()), pieceBytes, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        const auto offset = static_cast<std::size_t>(begin);
        file.file().read(info.offset + offset, bytes.subspan(offset, static_cast<std::size_t>(end - begin)));
    });
    return tensor;
}

}  // namespace

bool isShardName(std::string_view name)
{
    return name.size() > suffix.size() && name.size() <= 250 && name.ends_with(suffix) && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), isNameCharacter);
}

std::string shardStem(std::string_view site, std::string_view key)
{
    constexpr std::size_t longestSite = 150;  // the key tells apart what is cut here
    std::string stem(site.substr(0, longestSite));
    std::replace_if(stem.begin(), stem.end(), [](char c) { return !isNameCharacter(c); }, '_');
    return fmt::format("{}.{}", stem, key);
}

ShardRecord writeShard(const std::string &folder, const std::string &name, std::string_view kind, const Hdf5Group &record,
                       ShardArrays arrays)
{
    for (const auto &[list, value] : record.values)
        if (const auto *numbers = std::get_if<std::vector<double>>(&value))
            arrays.emplace_back(fmt::format("{}{}", listPrefix, list), Tensor::fromVector(*numbers));
    const std::string text = scalarsOf(record).dump();
    Checksum checksum(kind, versionText, text);
    for (const auto &[array, tensor] : arrays)
        checksum.add(array, tensor);
    const std::string path = folder + "/" + name;
    writeSafetensors(path, arrays,
                     {{kindKey, std::string(kind)},
                      {versionKey, std::string(versionText)},
                      {recordKey, text},
                      {checksumKey, checksum.hex()}});
    return {name, InputFile(path).size(), checksum.hex()};
}

Shard readShard(const std::string &path, std::string_view kind, bool keepArrays, const TaskContext &context)
{
    const SafetensorsFile file(path);
    const std::string &version = metadataOf(file, versionKey);
    const std::string &text = metadataOf(file, recordKey);
    Shard shard;
    Checksum checksum(metadataOf(file, kindKey), version, text);
    for (const TensorInfo &info : file.tensors()) {
        Tensor tensor = readTensor(file, info, context);
        checksum.add(info.name, tensor);
        if (info.name.starts_with(listPrefix)) {
            std::vector<double> numbers(static_cast<std::size_t>(tensor.elements()));
            tensor.copyTo(std::span(numbers));
            shard.record.values.emplace(info.name.substr(listPrefix.size()), std::move(numbers));
        } else if (keepArrays) {
            shard.arrays.emplace(info.name, std::move(tensor));
        }
    }
    shard.hash = checksum.hex();
    if (shard.hash != metadataOf(file, checksumKey))
        throw Error(ErrorCode::Format, path, "", "is damaged (checksum)");
    if (version != versionText)
        throw Error(ErrorCode::Unsupported, path, "",
                    fmt::format("was made by another version of the program (format {}, this one reads {})", version, versionText));
    if (metadataOf(file, kindKey) != kind)
        throw Error(ErrorCode::Format, path, "", fmt::format("holds '{}', expected '{}'", metadataOf(file, kindKey), kind));
    const Json json = parseJson(text, path);
    Hdf5Group scalars = groupOf(JsonReader(json, path, recordKey));
    shard.record.values.merge(scalars.values);
    shard.record.groups = std::move(scalars.groups);
    return shard;
}

}  // namespace lqer
