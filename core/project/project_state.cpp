// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_state.h"

#include <filesystem>
#include <span>

#include <fmt/format.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/io/atomic_file.h"
#include "core/io/file.h"
#include "core/project/project_block.h"
#include "core/project/project_shards.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t fileLimit = 1ULL << 30;  // no project file of ours comes near
constexpr std::chrono::seconds saveInterval{5};

// Why a listed shard cannot be there, or "".
std::string missingReason(const std::string &path, const std::string &shown, std::uint64_t expected)
{
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status))
        return fmt::format("file {} is missing", shown);
    if (!fs::is_regular_file(status))
        return fmt::format("{} is no regular file", shown);
    const std::uintmax_t size = fs::file_size(path, error);
    if (error || size != expected)
        return fmt::format("file {} has {} bytes, expected {}", shown, error ? 0 : size, expected);
    return {};
}

// Plain .safetensors files in a folder, sorted; links and anything else are not ours.
std::vector<std::string> shardFiles(const std::string &folder)
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        std::error_code ignored;
        const std::string name = entry->path().filename().string();
        if (isShardName(name) && fs::is_regular_file(entry->symlink_status(ignored)))
            names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string inFolder(std::string_view folder, const std::string &file)
{
    return fmt::format("{}/{}", folder, file);
}

}  // namespace

void Project::State::requireWritable() const
{
    if (!lock.isHeld())
        throw Error(ErrorCode::Conflict, folder, "", "is open for reading only: " + lock.reason());
}

void Project::State::load()
{
    const InputFile input(projectFile());
    if (input.size() > fileLimit)
        throw Error(ErrorCode::Format, projectFile(), "", fmt::format("is {} bytes long, more than a project can be", input.size()));
    std::vector<std::byte> bytes(input.size());
    input.read(0, bytes);
    index = indexFromHdf5(readHdf5Image(checkProjectBlock(bytes, projectFile()), projectFile()), projectFile());
}

std::string Project::State::strikeSite(const std::string &key, const std::string &site, const std::string &why)
{
    const std::string note = fmt::format("the statistics of {} must be collected again: {}", site, why);
    const std::lock_guard guard(mutex);
    const auto calibration = index.calibrations.find(key);
    if (calibration != index.calibrations.end() && calibration->second.sites.erase(site) > 0) {
        calibration->second.complete = false;
        changed();
    }
    notes.push_back(note);
    return note;
}

std::string Project::State::strikeDecomposition(const DecompositionKey &key, const std::string &why)
{
    const std::string note = fmt::format("layer {} must be computed again: {}", key.layer, why);
    const std::lock_guard guard(mutex);
    if (index.decompositions.erase(key.text()) > 0)
        changed();
    notes.push_back(note);
    return note;
}

void Project::State::reconcileShards()
{
    const bool writable = lock.isHeld();
    const auto discard = [&](std::string_view subfolder, const std::string &file) {
        if (writable)
            ::unlink(path(subfolder, file).c_str());
    };
    std::map<std::string, std::string> missingSites;           // file -> note
    std::map<std::string, std::string> missingDecompositions;  // key -> note
    std::map<std::string, std::string> listed;                 // file -> key

    for (auto &[key, calibration] : index.calibrations) {
        std::erase_if(calibration.sites, [&](const auto &entry) {
            const ShardRecord &shard = entry.second.shard;
            const std::string why = missingReason(path(statisticsFolder, shard.file), inFolder(statisticsFolder, shard.file), shard.size);
            if (!why.empty()) {
                missingSites[shard.file] = fmt::format("the statistics of {} must be collected again: {}", entry.first, why);
                calibration.complete = false;
                changed();
            } else {
                listed[shard.file] = key;
            }
            return !why.empty();
        });
    }
    std::erase_if(index.decompositions, [&](const auto &entry) {
        const ShardRecord &shard = entry.second.shard;
        const std::string why = missingReason(path(factorsFolder, shard.file), inFolder(factorsFolder, shard.file), shard.size);
        if (!why.empty()) {
            missingDecompositions[entry.first] = fmt::format("layer {} must be computed again: {}", entry.second.record->key.layer, why);
            changed();
        } else {
            listed[shard.file] = entry.first;
        }
        return !why.empty();
    });

    std::size_t takenUp = 0;
    for (const std::string &file : shardFiles(path(statisticsFolder, ""))) {
        if (listed.contains(file))
            continue;
        try {
            SiteShard shard = readSiteShard(folder, file, false);
            if (shard.provenance.key() != shard.key) {  // computed in another way than today's
                discard(statisticsFolder, file);
                continue;
            }
            const auto [calibration, isNew] = index.calibrations.try_emplace(shard.key);
            if (isNew) {
                calibration->second.provenance = shard.provenance;
                calibration->second.order = static_cast<std::int64_t>(index.calibrations.size());
            }
            calibration->second.sites[shard.site] = std::move(shard.stored);
            missingSites.erase(file);
            ++takenUp;
        } catch (const Error &error) {
            notes.push_back(fmt::format("{}; it is not used", error.what()));
            discard(statisticsFolder, file);
        }
    }
    for (const std::string &file : shardFiles(path(factorsFolder, ""))) {
        if (listed.contains(file))
            continue;
        try {
            FactorShard shard = readFactorShard(folder, file, false);
            const auto present = index.decompositions.find(shard.key);
            const auto holdsAsMuch = [&](const DecompositionRecord &record) {
                return record.maxRank >= shard.record.maxRank && record.spectrum() >= shard.record.spectrum();
            };
            const bool superseded = present != index.decompositions.end() && holdsAsMuch(*present->second.record);
            if (shard.record.key.text() != shard.key || superseded) {
                discard(factorsFolder, file);
                continue;
            }
            if (present != index.decompositions.end())
                obsolete.push_back(path(factorsFolder, present->second.shard.file));
            index.decompositions[shard.key] = {std::make_shared<DecompositionRecord>(std::move(shard.record)), shard.shard, true};
            missingDecompositions.erase(shard.key);
            ++takenUp;
        } catch (const Error &error) {
            notes.push_back(fmt::format("{}; it is not used", error.what()));
            discard(factorsFolder, file);
        }
    }

    for (const auto &[file, note] : missingSites)
        notes.push_back(note);
    for (const auto &[key, note] : missingDecompositions)
        notes.push_back(note);
    if (takenUp > 0) {
        changed();
        notes.push_back(fmt::format("{} results that were finished after the last save were taken up", takenUp));
    }
}

void Project::State::saveNow()
{
    requireWritable();
    const std::lock_guard oneAtATime(saving);
    Hdf5Group content;
    std::vector<std::string> unused;
    std::uint64_t version = 0;
    {
        const std::lock_guard guard(mutex);
        content = toHdf5(index);
        unused = obsolete;
        version = changes;
    }
    const std::vector<std::byte> image = buildHdf5Image(content);
    content = {};
    // The file that stands now stays reachable under another name: what to go back to if a disk spoils the new one.
    const std::string previous = projectFile() + ".previous";
    ::unlink(previous.c_str());
    if (::link(projectFile().c_str(), previous.c_str()) != 0)
        logDebug("no previous version of the project file was kept");
    AtomicFile file(projectFile(), projectBlockSize + image.size());
    file.write(makeProjectBlock(image));
    file.write(image);
    file.commit();

    const std::lock_guard guard(mutex);
    savedChanges = version;
    savedAt = std::chrono::steady_clock::now();
    for (const std::string &path : unused)
        if (std::erase(obsolete, path) > 0)  // else it was written anew meanwhile
            ::unlink(path.c_str());
}

void Project::State::saveIfDue()
{
    {
        const std::lock_guard guard(mutex);
        if (changes == savedChanges || std::chrono::steady_clock::now() - savedAt < saveInterval)
            return;
    }
    saveNow();
}

}  // namespace lqer
