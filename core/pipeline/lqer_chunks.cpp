// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/toml.h"
#include "core/pipeline/config_overrides.h"
#include "core/pipeline/lqer_approximation.h"
#include "core/pipeline/lqer_folder.h"
#include "core/pipeline/lqer_pipeline.h"
#include "core/pipeline/lqer_recipe.h"

namespace lqer {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view chunkPrefix = "chunk_", chunkMiddle = "_of_";

std::string labelOf(std::int64_t chunk, std::int64_t chunks)
{
    const int digits = static_cast<int>(std::ceil(std::log10(static_cast<double>(chunks) + 1)));
    return fmt::format("{}{:0{}}{}{}", chunkPrefix, chunk, digits, chunkMiddle, chunks - 1);
}

// The configurations that finished chunks have written, by chunk.
std::vector<std::string> finishedConfigs(const fs::path &approximate)
{
    const fs::path folder = approximate / "config";
    std::error_code error;
    std::vector<std::string> names;
    for (const fs::directory_entry &entry : fs::directory_iterator(folder, error))
        if (entry.path().extension() == ".toml" && entry.path().stem().string().starts_with(chunkPrefix))
            names.push_back(entry.path().stem().string());
    if (names.empty())
        throw Error(ErrorCode::NotFound, folder.string(), {}, "holds no finished chunk");
    std::ranges::sort(names);

    const std::string &last = names.back();
    const std::size_t middle = last.find(chunkMiddle);
    std::int64_t chunks = -1;
    const std::string_view count
        = middle == std::string::npos ? std::string_view() : std::string_view(last).substr(middle + chunkMiddle.size());
    if (!count.empty() && count.size() < 8 && std::ranges::all_of(count, [](char c) { return c >= '0' && c <= '9'; }))
        chunks = std::stoll(std::string(count)) + 1;
    std::vector<std::string> missing, expected;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        expected.push_back(labelOf(chunk, chunks));
        if (std::ranges::find(names, expected.back()) == names.end())
            missing.push_back(expected.back());
    }
    if (chunks < 0 || (missing.empty() && names != expected))
        throw Error(ErrorCode::Conflict, folder.string(), {},
            fmt::format("holds chunks of runs with different chunk_size: {}", fmt::join(names, ", ")));
    if (!missing.empty())
        throw Error(ErrorCode::NotFound, folder.string(), {},
            fmt::format("{} of {} chunks are missing: {}", missing.size(), chunks,
                escaped(fmt::format("{}", fmt::join(missing, ", ")), 400)));
    return names;
}

}  // namespace

std::string runLqerChunk(
    const Engine &engine, const LqerConfig &config, const LqerPipelineOptions &options, const TaskContext &context)
{
    const auto model = openLqerModel(engine, config, options, context);
    const fs::path folder = lqerFolder(config, options, *model);
    const fs::path approximate = folder / "approximate";
    const std::vector<const LinearSite *> all = lqerLayers(config, model->transformer().linearSites());
    const auto layers = static_cast<std::int64_t>(all.size());
    const auto fail = [&](const char *key, const std::string &message) {
        throw Error(ErrorCode::Argument, config.file, fmt::format("key 'approximate.{}'", key), message);
    };
    if (config.chunkSize < 1)
        fail("chunk_size", "is missing");
    if (config.chunkSize > layers)
        fail("chunk_size", fmt::format("{} is more than the {} layers that the patterns match", config.chunkSize, layers));
    const std::int64_t chunks = (layers + config.chunkSize - 1) / config.chunkSize;
    if (config.chunkIndex >= chunks)
        fail("chunk_idx", fmt::format("must be 0 to {}: {} layers in chunks of {}", chunks - 1, layers, config.chunkSize));

    const std::string label = labelOf(config.chunkIndex, chunks);
    const auto file
        = [&](const char *kind, const char *extension) { return (approximate / kind / (label + extension)).string(); };
    std::error_code error;
    if (fs::exists(file("config", ".toml"), error) && !config.overwrite) {
        if (options.say)
            options.say(fmt::format("{} is there already", label));
        return label;
    }
    for (const std::string &note : config.notes)
        logWarning(note);
    std::vector<std::string> notes;
    lqerRecipe(config, LqerStage::Approximate, model->transformer().linearSites(), &notes);
    for (const std::string &note : notes)
        logWarning(note);

    // A project of its own, because other chunks work at the same time.
    const auto project = openLqerProject(engine, (approximate / "project" / (label + ".lqer")).string(), *model);
    const auto first = all.begin() + config.chunkIndex * config.chunkSize;
    const std::vector<const LinearSite *> own(first, first + std::min(config.chunkSize, all.end() - first));
    if (options.say)
        options.say(fmt::format("Approximating {}: {} of {} layers", label, own.size(), layers));
    for (const char *kind : {"low_rank_dict", "error_T_dict", "results"})
        fs::create_directories(approximate / kind);
    const ApproximationFiles files{
        file("low_rank_dict", ".safetensors"), options.keepErrors ? file("error_T_dict", ".safetensors") : std::string()};
    const std::vector<ApproximationRow> rows = approximateLayers(engine, config, *model, *project, own, files, context);
    writeApproximationTable(file("results", ".csv"), rows);
    Json saved = config.json;
    setConfigValue(saved, "evaluate:low_rank_dict", files.lowRank, true);
    if (!files.errors.empty())
        setConfigValue(saved, "visualize:error_T_dict", files.errors, true);
    saveLqerConfig(saved, file("config", ".toml"));  // last: it says that the chunk is whole
    return label;
}

std::string mergeLqerChunks(const std::string &checkpointPath)
{
    const fs::path approximate = fs::path(checkpointPath) / "approximate";
    std::vector<ApproximationRow> rows;
    Json lowRank = Json::array(), errors = Json::array(), merged;
    for (const std::string &label : finishedConfigs(approximate)) {
        const std::string path = (approximate / "config" / (label + ".toml")).string();
        const Json config = nullsFromNa(readTomlFile(path));
        const Json *const dictionary = findConfigValue(config, "evaluate:low_rank_dict");
        const Json *const error = findConfigValue(config, "visualize:error_T_dict");
        if (!dictionary)
            throw Error(ErrorCode::Format, path, "key 'evaluate.low_rank_dict'", "is missing");
        lowRank.append(*dictionary);
        if (error)
            errors.append(*error);
        if (merged.isNull())
            merged = config;
        const std::vector<ApproximationRow> own = readApproximationTable((approximate / "results" / (label + ".csv")).string());
        rows.insert(rows.end(), own.begin(), own.end());
    }
    setConfigValue(merged, "evaluate:low_rank_dict", std::move(lowRank), true);
    if (!errors.asArray().empty())
        setConfigValue(merged, "visualize:error_T_dict", std::move(errors), true);
    setConfigValue(merged, "enable_profiling", false, true);
    setConfigValue(merged, "enable_approximation", false, true);
    writeApproximationTable((approximate / "results.csv").string(), rows);
    writeApproximationSummary((approximate / "results_summary.csv").string(), rows);
    const std::string path = (fs::path(checkpointPath) / "pipeline" / "config.toml").string();
    saveLqerConfig(merged, path);
    return path;
}

}  // namespace lqer
