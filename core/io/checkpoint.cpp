// SPDX-License-Identifier: Apache-2.0
#include "core/io/checkpoint.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr const char *singleFile = "model.safetensors";
constexpr const char *indexFile = "model.safetensors.index.json";

// Tensor name -> shard name, as the index says, in its order.
using WeightMap = std::vector<std::pair<std::string, std::string>>;

// There is something of that name, if only a link to nowhere: opening it then says what is wrong.
bool isThere(const fs::path &path)
{
    std::error_code ignored;
    return fs::exists(fs::symlink_status(path, ignored));
}

// At most a handful of names, and how many more.
std::string listed(const std::vector<std::string> &names)
{
    constexpr std::size_t shown = 5;
    std::string text;
    for (std::size_t i = 0; i < std::min(shown, names.size()); ++i)
        text += fmt::format("{}'{}'", i == 0 ? "" : ", ", escaped(names[i], 100));
    if (names.size() > shown)
        text += fmt::format(" and {} more", names.size() - shown);
    return text;
}

bool looksLikePickle(std::string_view name)
{
    for (const std::string_view ending : {".bin", ".pt", ".pth", ".pkl", ".ckpt", ".bin.index.json"})
        if (name.ends_with(ending))
            return true;
    return false;
}

// Names inside files are untrusted: never a path, a drive or an address (reliability.md 3.3).
void checkShardName(const JsonReader &entry)
{
    const std::string &name = entry.string();
    const auto isPlain = [](unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-';
    };
    constexpr std::size_t longest = 200;
    if (name.empty() || name.size() > longest || name == "." || name == ".." || !std::all_of(name.begin(), name.end(), isPlain))
        entry.fail(fmt::format("shard name '{}' is not a plain file name", escaped(name)));
    if (looksLikePickle(name))
        entry.fail(fmt::format("'{}' is a pickle checkpoint: convert to safetensors first", name));
    if (!name.ends_with(".safetensors"))
        entry.fail(fmt::format("shard name '{}' does not end in .safetensors", name));
}

WeightMap readIndex(const std::string &path)
{
    const Json index = readJsonFile(path);
    const JsonReader reader(index, path);
    const JsonReader map = reader["weight_map"];
    if (!map.value().isObject() || map.value().asObject().empty())
        map.fail("must be a non-empty object {...}");
    WeightMap weights;
    const std::string *checked = nullptr;  // neighbours mostly lie in the same shard
    for (const auto &[tensor, shard] : map.value().asObject()) {
        const JsonReader entry(shard, path, fmt::format("weight_map.{}", tensor));
        if (!checked || entry.string() != *checked)
            checkShardName(entry);
        checked = &entry.string();
        weights.emplace_back(tensor, entry.string());
    }
    return weights;
}

[[noreturn]] void failWithoutWeights(const std::string &folder)
{
    std::error_code ignored;
    std::vector<std::string> pickles;
    std::vector<std::string> others;
    for (const fs::directory_entry &entry : fs::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (looksLikePickle(name))
            pickles.push_back(name);
        else if (name.ends_with(".safetensors") || name.ends_with(".gguf") || name.ends_with(".h5") || name.ends_with(".msgpack"))
            others.push_back(name);
    }
    std::sort(pickles.begin(), pickles.end());
    std::sort(others.begin(), others.end());
    if (!pickles.empty())
        throw Error(ErrorCode::Unsupported, folder, {},
                    fmt::format("{} is a pickle checkpoint, which can run programs when loaded: convert to safetensors first",
                                listed(pickles)));
    throw Error(ErrorCode::NotFound, folder, {},
                fmt::format("contains neither {} nor {}{}", singleFile, indexFile,
                            others.empty() ? std::string() : fmt::format("; it has {}", listed(others))));
}

void checkFolder(const std::string &folder)
{
    struct stat found {};
    if (::stat(folder.c_str(), &found) == 0 && !S_ISDIR(found.st_mode))
        throw Error(ErrorCode::Argument, folder, {}, "is a file, the folder of a checkpoint was expected");
    if (!isThere(folder))
        InputFile(folder).size();  // throws, and says which part of the path is missing
}

// Begins every fingerprint made of samples of tensors; those before were 32 digits without it.
constexpr std::string_view fingerprintForm = "t-";

struct Fingerprint {
    std::once_flag once;
    std::string text;
};

// A shard's size and header, and four pieces of each of its tensors.
void addTensorSamples(const SafetensorsFile &shard, Hasher &hasher)
{
    constexpr std::uint64_t pieceBytes = 4096, pieces = 4;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;  // begin, bytes
    for (const TensorInfo &tensor : shard.tensors()) {
        if (tensor.bytes <= pieces * pieceBytes) {
            ranges.emplace_back(tensor.offset, tensor.bytes);
            continue;
        }
        const std::uint64_t span = tensor.bytes - pieceBytes;
        for (std::uint64_t i = 0; i < pieces; ++i)  // in an order of operations that stays below 2^64
            ranges.emplace_back(tensor.offset + span / (pieces - 1) * i + span % (pieces - 1) * i / (pieces - 1), pieceBytes);
    }
    std::sort(ranges.begin(), ranges.end());
    for (const auto &[begin, bytes] : ranges)  // all at once: a cold disk is good at many things at a time
        shard.file().prefetch(begin, bytes);
    const std::uint64_t size = shard.file().size();
    hasher.add(std::as_bytes(std::span(&size, 1)));
    std::vector<std::byte> buffer(shard.dataOffset());
    shard.file().read(0, buffer);
    hasher.add(buffer);
    for (const auto &[begin, bytes] : ranges) {
        buffer.resize(bytes);
        shard.file().read(begin, buffer);
        hasher.add(buffer);
    }
}

}  // namespace

struct Checkpoint::State {
    struct Place {
        std::size_t shard;
        const TensorInfo *info;
    };

    std::vector<std::string> names;  // of the shards
    std::vector<SafetensorsFile> files;
    std::map<std::string, Place, std::less<>> tensors;
    std::map<std::string, std::string, std::less<>> aliases;
    Fingerprint ofTensors, ofFiles;

    void open(const std::string &folder)
    {
        const fs::path root(folder);
        if (isThere(root / singleFile)) {
            if (isThere(root / indexFile))
                logDebug(fmt::format("{}: has {} and {}, the former is used", folder, singleFile, indexFile));
            names = {singleFile};
            files.emplace_back((root / singleFile).string());
            for (const TensorInfo &info : files.front().tensors())
                tensors.emplace(info.name, Place{0, &info});
        } else if (isThere(root / indexFile)) {
            openShards(root);
        } else {
            failWithoutWeights(folder);
        }
        if (tensors.empty())
            throw Error(ErrorCode::Format, files.front().path(), {}, "contains no tensors");
        readAliases();
    }

    void openShards(const fs::path &root)
    {
        const std::string indexPath = (root / indexFile).string();
        const WeightMap weights = readIndex(indexPath);
        std::set<std::string> distinct;
        for (const auto &[tensor, shard] : weights)
            distinct.insert(shard);
        names.assign(distinct.begin(), distinct.end());

        std::vector<std::string> missing;
        std::copy_if(names.begin(), names.end(), std::back_inserter(missing),
                     [&](const std::string &name) { return !isThere(root / name); });
        if (!missing.empty()) {
            std::string all;
            for (const std::string &name : missing)
                all += fmt::format("{}{}", all.empty() ? "" : ", ", name);
            throw Error(ErrorCode::NotFound, indexPath, {},
                        fmt::format("{} of {} shards missing (interrupted download?): {}", missing.size(), names.size(), all));
        }
        for (const std::string &name : names)
            files.emplace_back((root / name).string());
        warnOfSameFile(root);
        place(weights, indexPath);
        reportUnmapped(indexPath);
    }

    void place(const WeightMap &weights, const std::string &indexPath)
    {
        std::vector<std::string> absent;
        for (const auto &[tensor, shard] : weights) {
            const auto at = static_cast<std::size_t>(std::lower_bound(names.begin(), names.end(), shard) - names.begin());
            if (const TensorInfo *info = files[at].find(tensor))
                tensors.emplace(tensor, Place{at, info});
            else
                absent.push_back(fmt::format("{} in {}", tensor, shard));
        }
        if (!absent.empty())
            throw Error(ErrorCode::Format, indexPath, {},
                        fmt::format("{} tensors are not in the shard that the index names: {}", absent.size(), listed(absent)));
    }

    void reportUnmapped(const std::string &indexPath) const
    {
        std::vector<std::string> unmapped;
        std::vector<std::string> twice;
        for (std::size_t i = 0; i < files.size(); ++i) {
            for (const TensorInfo &info : files[i].tensors()) {
                const auto found = tensors.find(info.name);
                if (found == tensors.end()) {
                    unmapped.push_back(info.name);
                } else if (found->second.shard != i) {
                    const TensorInfo &used = *found->second.info;
                    if (used.dtype != info.dtype || used.shape != info.shape)
                        throw Error(ErrorCode::Format, indexPath, fmt::format("tensor '{}'", escaped(info.name)),
                                    fmt::format("is {} {} in {} and {} {} in {}", toString(used.dtype), toString(used.shape),
                                                names[found->second.shard], toString(info.dtype), toString(info.shape), names[i]));
                    twice.push_back(info.name);
                }
            }
        }
        if (!unmapped.empty())
            logWarning(fmt::format("{}: {} tensors of the shards are not in the index and stay unused: {}", indexPath,
                                   unmapped.size(), listed(unmapped)));
        if (!twice.empty())
            logWarning(fmt::format("{}: {} tensors are in two shards, the one that the index names is used: {}", indexPath,
                                   twice.size(), listed(twice)));
    }

    void warnOfSameFile(const fs::path &root) const
    {
        std::map<std::pair<dev_t, ino_t>, std::string> seen;
        for (const std::string &name : names) {
            struct stat found {};
            if (::stat((root / name).c_str(), &found) != 0)
                continue;
            const auto [first, isNew] = seen.emplace(std::pair(found.st_dev, found.st_ino), name);
            if (!isNew)
                logWarning(fmt::format("{}: {} and {} are the same file", root.string(), first->second, name));
        }
    }

    // transformers and safetensors' own save_model leave out a tensor that shares its memory with another and write
    // "<name left out>": "<name kept>" into the metadata, beside entries such as "format": "pt".
    void readAliases()
    {
        for (const SafetensorsFile &file : files)
            for (const auto &[name, kept] : file.metadata())
                if (!tensors.contains(name) && tensors.contains(kept))
                    aliases.emplace(name, kept);
    }
};

Checkpoint::Checkpoint(const std::string &folder) : m_folder(folder), m_state(std::make_shared<State>())
{
    checkFolder(folder);
    m_config = readJsonFile(configPath());
    if (!m_config.isObject())
        throw Error(ErrorCode::Format, configPath(), {}, "must be an object {...}");
    m_state->open(folder);
}

std::string Checkpoint::configPath() const
{
    return (fs::path(m_folder) / "config.json").string();
}

const TensorInfo *Checkpoint::find(std::string_view name) const
{
    const auto found = m_state->tensors.find(name);
    return found == m_state->tensors.end() ? nullptr : found->second.info;
}

std::vector<std::string> Checkpoint::names() const
{
    std::vector<std::string> all;
    all.reserve(m_state->tensors.size());
    for (const auto &[name, place] : m_state->tensors)
        all.push_back(name);
    return all;
}

Tensor Checkpoint::read(std::string_view name) const
{
    const TensorInfo &info = require(name);
    return m_state->files[m_state->tensors.find(name)->second.shard].read(info);
}

void Checkpoint::readPart(std::string_view name, std::uint64_t offset, std::span<std::byte> out) const
{
    const TensorInfo &info = require(name);
    LQER_ASSERT(offset <= info.bytes && out.size() <= info.bytes - offset);
    m_state->files[m_state->tensors.find(name)->second.shard].file().read(info.offset + offset, out);
}

const TensorInfo &Checkpoint::require(std::string_view name) const
{
    if (const TensorInfo *info = find(name))
        return *info;
    const std::string close = nearest(name, names());
    throw Error(ErrorCode::NotFound, m_folder, fmt::format("tensor '{}'", escaped(name)),
                close.empty() ? "is not in this checkpoint"
                              : fmt::format("is not in this checkpoint (did you mean '{}'?)", escaped(close)));
}

std::string Checkpoint::fileOf(std::string_view name) const
{
    const auto found = m_state->tensors.find(name);
    return found == m_state->tensors.end() ? m_folder : m_state->files[found->second.shard].path();
}

std::string Checkpoint::aliasOf(std::string_view name) const
{
    const auto found = m_state->aliases.find(name);
    return found == m_state->aliases.end() ? std::string() : found->second;
}

void Checkpoint::checkUnchanged() const
{
    for (const auto &shard : m_state->files)
        shard.file().checkUnchanged();
}

std::uint64_t Checkpoint::totalBytes() const
{
    std::uint64_t bytes = 0;
    for (const auto &[name, place] : m_state->tensors)
        bytes += place.info->bytes;
    return bytes;
}

std::string Checkpoint::fingerprint() const
{
    return fingerprint(fingerprintForm);
}

std::string Checkpoint::fingerprint(std::string_view like) const
{
    const bool sampledFiles = !like.starts_with(fingerprintForm);
    Fingerprint &made = sampledFiles ? m_state->ofFiles : m_state->ofTensors;
    std::call_once(made.once, [&] {
        Hasher hasher;
        hasher.add(m_config.dump());
        for (std::size_t i = 0; i < m_state->files.size(); ++i) {
            const SafetensorsFile &shard = m_state->files[i];
            hasher.add(m_state->names[i]);
            if (sampledFiles)
                hasher.add(fileFingerprint(shard.file(), shard.dataOffset()));
            else
                addTensorSamples(shard, hasher);
        }
        made.text = fmt::format("{}{}", sampledFiles ? "" : fingerprintForm, hasher.hex());
    });
    return made.text;
}

}  // namespace lqer
