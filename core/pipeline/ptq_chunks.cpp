// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/ptq_chunks.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/export/dictionary_file.h"
#include "core/io/atomic_file.h"
#include "core/io/file_lock.h"
#include "core/io/json.h"
#include "core/io/yaml.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr auto pollingInterval = std::chrono::milliseconds(200);

// Names in the folder of a run.
class ChunkFolder {
public:
    explicit ChunkFolder(std::string folder) : m_folder(std::move(folder)) { }

    const std::string &path() const { return m_folder; }
    std::string at(std::string_view name) const { return fmt::format("{}/{}", m_folder, name); }
    std::string factors(const std::string &tag) const { return fmt::format("{}/AB_dict/{}.safetensors", m_folder, tag); }
    std::string errors(const std::string &tag) const { return fmt::format("{}/approximation_error/{}.csv", m_folder, tag); }
    std::string config(const std::string &tag) const { return fmt::format("{}/config/{}.yaml", m_folder, tag); }
    std::string work(const std::string &tag) const { return fmt::format("{}/work/{}.lqer", m_folder, tag); }
    std::string lock(std::string_view name) const { return fmt::format("{}/locks/{}", m_folder, name); }

    void make() const
    {
        for (const char *name : {"AB_dict", "approximation_error", "config", "work", "locks"}) {
            std::error_code error;
            fs::create_directories(at(name), error);
            if (error)
                throw Error(ErrorCode::Io, at(name), "", fmt::format("the folder cannot be made: {}", error.message()));
        }
    }
    // Read from the folder, not asked name by name: a network file system may remember for a while that a name was not there.
    std::set<std::string> presentTags() const
    {
        std::set<std::string> tags;
        std::error_code ignored;
        for (const fs::directory_entry &entry : fs::directory_iterator(at("AB_dict"), ignored))
            if (entry.path().extension() == ".safetensors")
                tags.insert(entry.path().stem().string());
        return tags;
    }

private:
    std::string m_folder;
};

std::vector<std::int64_t> missingChunks(const ChunkPlan &plan, const ChunkFolder &folder)
{
    const std::set<std::string> present = folder.presentTags();
    std::vector<std::int64_t> missing;
    for (std::int64_t chunk = 0; chunk < plan.count(); ++chunk)
        if (!present.contains(plan.tag(chunk)))
            missing.push_back(chunk);
    return missing;
}

// Waits until the lock is held.
std::unique_ptr<FileLock> waitFor(const std::string &file, std::string_view what, const TaskContext &context)
{
    for (bool isTold = false;;) {
        auto lock = std::make_unique<FileLock>(file);
        if (lock->isHeld())
            return lock;
        if (!isTold) {
            logWarning(fmt::format("{}: waiting, {}", what, lock->holder()));
            context.beginStage(fmt::format("waiting: {}", what), 1);
        }
        isTold = true;
        context.checkStop();
        std::this_thread::sleep_for(pollingInterval);
    }
}

// What all chunks of a folder must have in common.
Json runIdentity(const QeraWork &work, const ChunkPlan &plan)
{
    const QeraConfig &config = work.config();
    QuantizationRecipe recipe = work.recipe;
    recipe.name.clear();
    return Json::object()
        .set("version", 1)
        .set("model", work.model->summary().fingerprint)
        .set("chunks", plan.count())
        .set("calibration_set", config.calibrationSet)
        .set("num_calibration_samples", config.calibrationSamples)
        .set("perplexity_eval_batch_size", config.batch)
        .set("perplexity_max_seq_length", config.maxLength)
        .set("num_workers", config.workers)
        .set("recipe", recipe.toJson());
}

void requireSameRun(const QeraWork &work, const ChunkPlan &plan, const ChunkFolder &folder, const TaskContext &context)
{
    const std::string path = folder.at("chunks.json");
    const Json wanted = runIdentity(work, plan);
    const auto lock = waitFor(folder.lock("folder"), folder.path(), context);
    std::error_code error;
    if (!fs::exists(path, error)) {
        if (!folder.presentTags().empty())
            throw Error(ErrorCode::Conflict, folder.path(), "", "holds chunks, but no chunks.json that says of what");
        writeFileAtomically(path, wanted.dump(2) + "\n");
        return;
    }
    const Json present = readJsonFile(path, 16 << 20);
    for (const auto &[key, value] : wanted.asObject())
        if (const Json *other = present.find(key); !other || *other != value)
            throw Error(
                ErrorCode::Conflict, path, fmt::format("key '{}'", key), "differs: the folder holds chunks of another run");
}

// The statistics of the chunk's inputs, copied into its own project. Calibrates the whole model if nobody has yet.
std::string provideStatistics(const QeraWork &work, const ChunkFolder &folder, Project &own,
    const std::vector<const ActivationSite *> &inputs, const TaskContext &context)
{
    std::shared_ptr<Project> common;
    std::shared_ptr<const CalibrationResult> result;
    {
        const auto lock = waitFor(folder.lock("calibration"), "calibration", context);
        common = openOrCreateProject(work.engine, folder.at(projectFolder), *work.model);
        result = calibrateQera(work, *common, context);
    }
    if (!result)
        return {};
    const std::string key = result->stats->key();
    CalibrationStats provenance = *result->stats;
    provenance.sites.clear();
    own.beginCalibration(provenance);
    const auto present = own.calibration(key);
    std::vector<std::string> names;
    context.beginStage("copying statistics", inputs.size());
    for (const ActivationSite *input : inputs) {
        context.checkStop();
        names.push_back(input->name);
        if (!present->sites.contains(input->name)) {
            const auto stats = common->siteStats(key, input->name, context);
            if (!stats)
                throw Error(
                    ErrorCode::NotFound, common->folder(), fmt::format("statistics of '{}'", input->name), "are not there");
            own.storeSiteStats(key, input->name, *stats);
        }
        context.advance();
    }
    own.finishCalibration(key, names);
    return key;
}

std::vector<const LinearSite *> layersOf(const QeraWork &work, const ChunkPlan &plan, std::int64_t chunk)
{
    std::vector<const LinearSite *> layers;
    for (const LinearSite *site : work.correctedLayers())
        if (plan.contains(chunk, *site))
            layers.push_back(site);
    return layers;
}

std::vector<ApproximationError> computeChunk(
    const QeraWork &work, const ChunkPlan &plan, std::int64_t chunk, const ChunkFolder &folder, const TaskContext &context)
{
    const std::string tag = plan.tag(chunk);
    for (const std::string &file : {folder.factors(tag), folder.errors(tag), folder.config(tag)})
        sweepTemporariesOf(file);  // the chunk's lock is ours
    std::vector<ApproximationError> rows;
    {
        const auto own = openOrCreateProject(work.engine, folder.work(tag), *work.model);
        own->requireWritable();
        const std::string calibration = provideStatistics(work, folder, *own, plan.inputs(chunk), context);
        writeFileAtomically(folder.config(tag), toYaml(work.config().json));
        rows = approximateQera(
            work, *own, layersOf(work, plan, chunk), calibration, folder.errors(tag), folder.factors(tag), context);
    }
    return rows;
}

// All chunks as the unchunked pipeline's two files.
std::vector<ApproximationError> mergeChunks(
    const QeraWork &work, const ChunkPlan &plan, const ChunkFolder &folder, const TaskContext &context)
{
    std::vector<std::string> files;
    std::map<std::string, ApproximationError> byLayer;
    for (std::int64_t chunk = 0; chunk < plan.count(); ++chunk) {
        files.push_back(folder.factors(plan.tag(chunk)));
        for (ApproximationError &row : readApproximationErrors(folder.errors(plan.tag(chunk))))
            byLayer[row.layer] = std::move(row);
    }
    const CorrectionDictionary chunks(files);
    chunks.requireFits(work.model->transformer().linearSites());
    const std::vector<const LinearSite *> layers = work.correctedLayers();
    std::vector<std::pair<const LinearSite *, Index>> ranks;
    std::vector<ApproximationError> rows;
    for (const LinearSite *site : layers) {
        const auto row = byLayer.find(site->name);
        if (row == byLayer.end() || !chunks.contains(site->name))
            throw Error(ErrorCode::NotFound, folder.path(), fmt::format("layer '{}'", site->name), "is in no chunk");
        rows.push_back(row->second);
        ranks.emplace_back(site, chunks.rank(site->name));
    }
    context.beginStage("merging chunks", layers.size());
    DictionaryWriter writer(folder.at(factorsFile), ranks);
    for (const LinearSite *site : layers) {
        context.checkStop();
        writer.write(*site, chunks.read(site->name));
        context.advance();
    }
    AtomicFile &factors = writer.finished();
    writeApproximationErrors(folder.at(errorsFile), rows);
    factors.commit();
    return rows;
}

// Merges and evaluates, unless somebody else does or did.
void finishRun(QeraWork &work, const ChunkPlan &plan, const ChunkFolder &folder, ChunkResult &result, const TaskContext &context)
{
    const QeraConfig &config = work.config();
    const FileLock lock(folder.lock("evaluation"));
    if (!lock.isHeld()) {
        result.evaluating = lock.holder();
        return;
    }
    for (const char *file : resultFiles)
        sweepTemporariesOf(folder.at(file));  // the lock is ours
    std::error_code error;
    if (fs::exists(folder.at(factorsFile), error))
        result.layers = readApproximationErrors(folder.at(errorsFile));
    else
        result.layers = mergeChunks(work, plan, folder, context);
    if (isEvaluated(config, folder.path()) && fs::exists(folder.at(configFile), error))
        return;
    const auto corrections = std::make_shared<const CorrectionDictionary>(std::vector{folder.at(factorsFile)});
    work.recipe = withRanksOf(work.recipe, *corrections, *work.model);
    std::shared_ptr<Project> project;
    {
        const auto calibration = waitFor(folder.lock("calibration"), "calibration", context);
        project = openOrCreateProject(work.engine, folder.at(projectFolder), *work.model);
    }
    result.results = evaluateQera(work, *project, {}, corrections, folder.path(), context);
    Json kept = config.json;
    kept.set("AB_dict", fs::absolute(folder.at(factorsFile)).lexically_normal().string());
    writeFileAtomically(folder.at(configFile), toYaml(kept));
}

}  // namespace

ChunkPlan::ChunkPlan(const Transformer &model, std::int64_t layersPerChunk) : m_model(model)
{
    for (const ActivationSite &site : model.activationSites())
        if (site.layer >= 0)
            m_measured.push_back(&site);
    const auto measured = static_cast<std::int64_t>(m_measured.size());
    m_count = std::max<std::int64_t>(1, (measured + layersPerChunk - 1) / layersPerChunk);
}

std::string ChunkPlan::tag(std::int64_t chunk) const
{
    return fmt::format("{}-of-{}", chunk, m_count - 1);
}

void ChunkPlan::require(std::int64_t chunk) const
{
    if (chunk < 0 || chunk >= m_count)
        throw Error(ErrorCode::Argument,
            m_count == 1 ? fmt::format("chunk_id {}: there is one chunk, 0", chunk)
                         : fmt::format("chunk_id {}: there are {} chunks, 0 to {}", chunk, m_count, m_count - 1));
}

std::vector<const ActivationSite *> ChunkPlan::inputs(std::int64_t chunk) const
{
    std::vector<const ActivationSite *> inputs;
    for (const ActivationSite &site : m_model.activationSites())
        if (site.layer < 0 && chunk == 0)
            inputs.push_back(&site);
    for (std::size_t i = static_cast<std::size_t>(chunk); i < m_measured.size(); i += static_cast<std::size_t>(m_count))
        inputs.push_back(m_measured[i]);
    return inputs;
}

bool ChunkPlan::contains(std::int64_t chunk, const LinearSite &site) const
{
    return std::ranges::any_of(inputs(chunk), [&](const ActivationSite *input) { return input->name == site.activationSite; });
}

ChunkState chunkState(const ChunkPlan &plan, const std::string &path)
{
    const ChunkFolder folder(path);
    ChunkState state;
    state.missing = missingChunks(plan, folder);
    for (const std::int64_t chunk : state.missing) {
        std::error_code error;
        if (!fs::exists(folder.lock(plan.tag(chunk)), error))
            continue;
        const FileLock lock(folder.lock(plan.tag(chunk)));
        if (!lock.isHeld())
            state.running.emplace_back(chunk, lock.holder());
    }
    return state;
}

ChunkResult runPtqChunk(const Engine &engine, const QeraRequest &request, const TaskContext &context)
{
    const QeraConfig &stated = request.config;
    if (stated.outputDir.empty())
        throw Error(ErrorCode::Argument, stated.file, "key 'output_dir'", "is needed: the chunks' processes share it");
    if (stated.disableQera)
        throw Error(
            ErrorCode::Argument, stated.file, "key 'disable_qera'", "without A and B there is nothing to share out: lqer ptq");
    QeraWork work = openQera(engine, request, context);
    const QeraConfig &config = work.config();
    const ChunkPlan plan(work.model->transformer(), config.layersPerChunk);
    if (config.chunkId)
        plan.require(*config.chunkId);
    if (!config.chunkId || *config.chunkId == 0)
        for (const std::string &note : work.notes)
            logWarning(note);
    const ChunkFolder folder(config.outputDir);
    folder.make();
    requireSameRun(work, plan, folder, context);

    ChunkResult result;
    result.chunks = plan.count();
    result.recipe = work.recipe;
    if (config.chunkId) {
        result.tag = plan.tag(*config.chunkId);
        const FileLock chunk(folder.lock(result.tag));
        if (!chunk.isHeld())
            throw Error(ErrorCode::Conflict, folder.path(), fmt::format("chunk {}", result.tag), chunk.holder());
        result.reused = folder.presentTags().contains(result.tag);
        result.layers = result.reused ? readApproximationErrors(folder.errors(result.tag))
                                      : computeChunk(work, plan, *config.chunkId, folder, context);
        std::error_code ignored;
        fs::remove_all(folder.work(result.tag), ignored);
    }
    // Every chunk's file was there before its process came here, so of those that come the last one sees them all; if several do, the lock
    // of the evaluation lets one through.
    result.missing = missingChunks(plan, folder);
    if (!config.chunkId && !result.missing.empty())
        throw Error(ErrorCode::NotFound, folder.path(), "",
            fmt::format("chunks are missing, {} of {}: {} (--chunk-id computes one)", result.missing.size(), plan.count(),
                fmt::join(result.missing, ", ")));
    if (result.missing.empty())
        finishRun(work, plan, folder, result, context);
    return result;
}

}  // namespace lqer
