// SPDX-License-Identifier: Apache-2.0
#include "core/project/project.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/io/atomic_file.h"
#include "core/project/project_shards.h"
#include "core/project/project_state.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

void makeFolder(const std::string &path)
{
    std::error_code error;
    fs::create_directory(path, error);
    if (error && !fs::is_directory(path))
        throw Error(error == std::errc::no_space_on_device ? ErrorCode::DiskFull : ErrorCode::Io, path, "",
                    fmt::format("the folder cannot be made: {}", error.message()));
}

// What a project folder may hold before it has a project.h5: leftovers of a creation that was killed.
bool isLeftover(const std::string &name)
{
    return name == statisticsFolder || name == factorsFolder || name == "lock" || name.starts_with("project.h5.");
}

std::string withoutTrailingSlash(std::string folder)
{
    while (folder.size() > 1 && folder.back() == '/')
        folder.pop_back();
    return folder;
}

std::vector<std::string> subfolders(const std::string &folder)
{
    return {fmt::format("{}/{}", folder, statisticsFolder), fmt::format("{}/{}", folder, factorsFolder)};
}

template <typename Map>
auto findOrNull(Map &map, const std::string &key) -> decltype(&map.begin()->second)
{
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
}

}  // namespace

Project::Project(std::unique_ptr<State> state) : m_state(std::move(state)) {}

Project::~Project()
{
    try {
        if (!isReadOnly() && isModified())
            m_state->saveNow();
    } catch (const std::exception &error) {
        logWarning(fmt::format("the project was not saved: {}", error.what()));
    }
}

bool Project::isProject(const std::string &folder)
{
    std::error_code error;
    return fs::is_regular_file(folder + "/project.h5", error);
}

std::shared_ptr<Project> Project::create(const std::string &path, const CheckpointIdentity &checkpoint)
{
    const std::string folder = withoutTrailingSlash(path);
    std::error_code error;
    const bool existed = fs::exists(folder, error);
    if (existed) {
        if (isProject(folder))
            throw Error(ErrorCode::Conflict, folder, "", "there is a project here already");
        if (!fs::is_directory(folder, error))
            throw Error(ErrorCode::Conflict, folder, "", "there is a file of this name");
        for (const auto &entry : fs::directory_iterator(folder, error))
            if (!isLeftover(entry.path().filename().string()))
                throw Error(ErrorCode::Conflict, folder, "", "this folder holds other things; a project needs a folder of its own");
    }
    makeFolder(folder);
    try {
        for (const std::string &subfolder : subfolders(folder))
            makeFolder(subfolder);
        auto state = std::make_unique<State>(folder);
        state->requireWritable();
        state->index.created = utcNow();
        state->index.checkpoint = checkpoint;
        state->changed();
        state->saveNow();
        return std::shared_ptr<Project>(new Project(std::move(state)));
    } catch (...) {
        // Only empty folders go: results of an earlier project stay.
        for (const std::string &subfolder : subfolders(folder))
            fs::remove(subfolder, error);
        if (!existed)
            fs::remove(folder, error);
        throw;
    }
}

std::shared_ptr<Project> Project::open(const std::string &path)
{
    const std::string folder = withoutTrailingSlash(path);
    std::error_code error;
    if (fs::is_directory(folder, error) && !isProject(folder))
        throw Error(ErrorCode::NotFound, folder, "", "is no project: it has no project.h5");
    auto state = std::make_unique<State>(folder);
    if (state->lock.isHeld()) {
        sweepTemporaries(folder);
        for (const std::string &subfolder : subfolders(folder)) {
            makeFolder(subfolder);
            sweepTemporaries(subfolder);
        }
    }
    state->load();
    state->reconcileShards();
    return std::shared_ptr<Project>(new Project(std::move(state)));
}

const std::string &Project::folder() const
{
    return m_state->folder;
}

bool Project::isReadOnly() const
{
    return !m_state->lock.isHeld();
}

std::string Project::readOnlyReason() const
{
    return m_state->lock.reason();
}

void Project::requireWritable() const
{
    m_state->requireWritable();
}

std::vector<std::string> Project::notes() const
{
    const std::lock_guard guard(m_state->mutex);
    return m_state->notes;
}

bool Project::isModified() const
{
    const std::lock_guard guard(m_state->mutex);
    return m_state->changes != m_state->savedChanges;
}

void Project::save()
{
    m_state->saveNow();
}

CheckpointIdentity Project::checkpoint() const
{
    const std::lock_guard guard(m_state->mutex);
    return m_state->index.checkpoint;
}

void Project::setCheckpoint(const CheckpointIdentity &checkpoint)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    m_state->index.checkpoint = checkpoint;
    m_state->changed();
}

// ---- statistics

std::vector<std::string> Project::calibrationKeys() const
{
    const std::lock_guard guard(m_state->mutex);
    std::vector<std::pair<std::int64_t, std::string>> ordered;
    for (const auto &[key, calibration] : m_state->index.calibrations)
        ordered.emplace_back(calibration.order, key);
    std::sort(ordered.begin(), ordered.end());
    std::vector<std::string> keys;
    for (auto &[order, key] : ordered)
        keys.push_back(std::move(key));
    return keys;
}

std::shared_ptr<const CalibrationStats> Project::calibration(const std::string &key) const
{
    const std::lock_guard guard(m_state->mutex);
    const StoredCalibration *stored = findOrNull(m_state->index.calibrations, key);
    if (!stored)
        return nullptr;
    auto stats = std::make_shared<CalibrationStats>(stored->provenance);
    for (const auto &[name, site] : stored->sites)
        stats->sites.emplace(name, site.stats);
    return stats;
}

bool Project::isCalibrationComplete(const std::string &key) const
{
    const std::lock_guard guard(m_state->mutex);
    const StoredCalibration *stored = findOrNull(m_state->index.calibrations, key);
    return stored && stored->complete;
}

std::shared_ptr<const SiteStats> Project::siteStats(const std::string &key, const std::string &activationSite, const TaskContext &context)
{
    StoredSite stored;
    {
        const std::lock_guard guard(m_state->mutex);
        const StoredCalibration *calibration = findOrNull(m_state->index.calibrations, key);
        const StoredSite *site = calibration ? findOrNull(calibration->sites, activationSite) : nullptr;
        if (!site)
            return nullptr;
        stored = *site;
    }
    try {
        SiteShard shard = readSiteShard(m_state->folder, stored.shard.file, true, context);
        if (shard.stored.shard != stored.shard)
            throw Error(ErrorCode::Format, m_state->path(statisticsFolder, stored.shard.file), "", "is not the file that was saved (checksum)");
        auto stats = std::make_shared<SiteStats>(std::move(shard.stored.stats));
        stats->autocorrelation = std::move(shard.autocorrelation);
        return stats;
    } catch (const Error &error) {
        throw Error(error.code(), m_state->strikeSite(key, activationSite, error.what()));
    }
}

std::string Project::beginCalibration(const CalibrationStats &provenance)
{
    m_state->requireWritable();
    const std::string key = provenance.key();
    const std::lock_guard guard(m_state->mutex);
    const auto [calibration, isNew] = m_state->index.calibrations.try_emplace(key);
    if (isNew) {
        std::int64_t last = 0;
        for (const auto &[other, stored] : m_state->index.calibrations)
            last = std::max(last, stored.order);
        calibration->second.order = last + 1;
        calibration->second.provenance = provenance;
        calibration->second.provenance.sites.clear();
        m_state->changed();
    }
    return key;
}

void Project::storeSiteStats(const std::string &key, const std::string &activationSite, const SiteStats &stats)
{
    m_state->requireWritable();
    CalibrationStats provenance;
    {
        const std::lock_guard guard(m_state->mutex);
        const StoredCalibration *calibration = findOrNull(m_state->index.calibrations, key);
        LQER_ASSERT(calibration);
        provenance = calibration->provenance;
    }
    StoredSite site;
    site.shard = writeSiteShard(m_state->folder, provenance, activationSite, stats);
    site.autocorrelation = stats.hasAutocorrelation();
    site.stats.tokens = stats.tokens;
    site.stats.maxMeanAbs = stats.maxMeanAbs;
    site.stats.sumSquares = stats.sumSquares;
    site.stats.maxAbs = stats.maxAbs;
    {
        const std::lock_guard guard(m_state->mutex);
        m_state->index.calibrations.at(key).sites[activationSite] = std::move(site);
        m_state->changed();
    }
    m_state->saveIfDue();
}

void Project::finishCalibration(const std::string &key, const std::vector<std::string> &activationSites)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    StoredCalibration &calibration = m_state->index.calibrations.at(key);
    for (const std::string &site : activationSites)
        LQER_ASSERT(calibration.sites.contains(site));
    calibration.complete = true;
    m_state->changed();
}

// ---- decompositions

std::vector<std::shared_ptr<const DecompositionRecord>> Project::decompositions() const
{
    const std::lock_guard guard(m_state->mutex);
    std::vector<std::shared_ptr<const DecompositionRecord>> records;
    for (const auto &[key, stored] : m_state->index.decompositions)
        records.push_back(stored.record);
    return records;
}

std::shared_ptr<const DecompositionRecord> Project::decomposition(const DecompositionKey &key) const
{
    const std::lock_guard guard(m_state->mutex);
    const StoredDecomposition *stored = findOrNull(m_state->index.decompositions, key.text());
    return stored ? stored->record : nullptr;
}

std::shared_ptr<const ErrorDecomposition> Project::loadDecomposition(const DecompositionKey &key)
{
    ShardRecord listed;
    {
        const std::lock_guard guard(m_state->mutex);
        const StoredDecomposition *stored = findOrNull(m_state->index.decompositions, key.text());
        if (!stored)
            return nullptr;
        listed = stored->shard;
    }
    try {
        FactorShard shard = readFactorShard(m_state->folder, listed.file, true);
        if (shard.shard != listed)
            throw Error(ErrorCode::Format, m_state->path(factorsFolder, listed.file), "", "is not the file that was saved (checksum)");
        return std::make_shared<ErrorDecomposition>(std::move(shard.decomposition));
    } catch (const Error &error) {
        throw Error(error.code(), m_state->strikeDecomposition(key, error.what()));
    }
}

bool Project::hasWholeDecomposition(const DecompositionKey &key, Index rank, SpectrumExtent spectrum)
{
    ShardRecord listed;
    {
        const std::lock_guard guard(m_state->mutex);
        const StoredDecomposition *stored = findOrNull(m_state->index.decompositions, key.text());
        if (!stored || stored->record->maxRank < rank || stored->record->spectrum() < spectrum)
            return false;
        if (stored->checked)
            return true;
        listed = stored->shard;
    }
    try {
        if (readFactorShard(m_state->folder, listed.file, false).shard != listed)
            throw Error(ErrorCode::Format, m_state->path(factorsFolder, listed.file), "", "is not the file that was saved (checksum)");
    } catch (const Error &error) {
        logWarning(m_state->strikeDecomposition(key, error.what()));
        return false;
    }
    const std::lock_guard guard(m_state->mutex);
    if (StoredDecomposition *stored = findOrNull(m_state->index.decompositions, key.text()))
        stored->checked = true;
    return true;
}

void Project::storeDecomposition(const DecompositionRecord &record, const ErrorDecomposition &decomposition)
{
    m_state->requireWritable();
    const ShardRecord shard = writeFactorShard(m_state->folder, record, decomposition);
    {
        const std::lock_guard guard(m_state->mutex);
        StoredDecomposition &stored = m_state->index.decompositions[record.key.text()];
        if (stored.record && stored.shard.file != shard.file)
            m_state->obsolete.push_back(m_state->path(factorsFolder, stored.shard.file));
        std::erase(m_state->obsolete, m_state->path(factorsFolder, shard.file));
        stored = {std::make_shared<DecompositionRecord>(record), shard, true};
        m_state->changed();
    }
    m_state->saveIfDue();
}

// ---- recipes, reports, settings

std::vector<QuantizationRecipe> Project::recipes() const
{
    std::map<std::string, Json> stored;
    {
        const std::lock_guard guard(m_state->mutex);
        stored = m_state->index.recipes;
    }
    std::vector<QuantizationRecipe> recipes;
    for (const auto &[name, json] : stored)
        recipes.push_back(QuantizationRecipe::fromJson(json, m_state->projectFile()));
    return recipes;
}

std::optional<QuantizationRecipe> Project::recipe(const std::string &name) const
{
    const std::lock_guard guard(m_state->mutex);
    const Json *json = findOrNull(m_state->index.recipes, name);
    if (!json)
        return std::nullopt;
    return QuantizationRecipe::fromJson(*json, m_state->projectFile());
}

void Project::storeRecipe(const QuantizationRecipe &recipe)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    Json json = recipe.toJson();
    Json &stored = m_state->index.recipes[recipe.name];
    if (stored != json) {
        stored = std::move(json);
        m_state->changed();
    }
}

void Project::removeRecipe(const std::string &name)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    if (m_state->index.recipes.erase(name) > 0)
        m_state->changed();
}

std::vector<StoredReport> Project::reports() const
{
    const std::lock_guard guard(m_state->mutex);
    std::vector<StoredReport> reports;
    for (const auto &[id, json] : m_state->index.reports)
        reports.push_back({id, json});
    return reports;
}

std::string Project::storeReport(const Json &report)
{
    m_state->requireWritable();
    std::string id;
    {
        const std::lock_guard guard(m_state->mutex);
        auto &reports = m_state->index.reports;
        const int last = reports.empty() ? 0 : std::atoi(reports.rbegin()->first.c_str());
        id = fmt::format("{:06}", last + 1);
        reports.emplace(id, std::make_shared<const Json>(report));
        m_state->changed();
    }
    m_state->saveIfDue();
    return id;
}

void Project::removeReport(const std::string &id)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    if (m_state->index.reports.erase(id) > 0)
        m_state->changed();
}

Json Project::settings() const
{
    const std::lock_guard guard(m_state->mutex);
    return m_state->index.settings;
}

void Project::setSettings(const Json &settings)
{
    m_state->requireWritable();
    const std::lock_guard guard(m_state->mutex);
    if (m_state->index.settings != settings) {
        m_state->index.settings = settings;
        m_state->changed();
    }
}

std::vector<std::string> Project::verify(const TaskContext &context)
{
    std::vector<std::pair<std::string, std::string>> sites;
    std::vector<DecompositionKey> keys;
    {
        const std::lock_guard guard(m_state->mutex);
        for (const auto &[key, calibration] : m_state->index.calibrations)
            for (const auto &[name, site] : calibration.sites)
                sites.emplace_back(key, name);
        for (auto &[key, stored] : m_state->index.decompositions) {
            stored.checked = false;
            keys.push_back(stored.record->key);
        }
    }
    context.beginStage("checking the project", sites.size() + keys.size());
    const std::size_t before = notes().size();
    for (const auto &[key, name] : sites) {
        context.checkStop();
        try {
            siteStats(key, name);
        } catch (const Error &error) {
            logWarning(error.what());
        }
        context.advance();
    }
    for (const DecompositionKey &key : keys) {
        context.checkStop();
        hasWholeDecomposition(key, 0);
        context.advance();
    }
    const std::vector<std::string> all = notes();
    return {all.begin() + static_cast<std::ptrdiff_t>(before), all.end()};
}

}  // namespace lqer
