// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/lqer_folder.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/atomic_file.h"
#include "core/io/atomic_folder.h"
#include "core/io/toml.h"
#include "core/pipeline/config_overrides.h"

namespace lqer {

namespace fs = std::filesystem;

namespace {

constexpr const char *afterStages[] = {"config_after_harness_downstream_evaluation.toml",
    "config_after_perplexity_evaluation.toml", "config_after_approximation.toml", "config_after_profiling.toml"};

void makeFolder(const std::string &folder)
{
    std::error_code error;
    fs::create_directories(folder, error);
    if (error)
        throw Error(ErrorCode::Io, folder, {}, fmt::format("cannot be made ({})", error.message()));
}

Json sortedKeys(Json value)
{
    if (value.isObject()) {
        for (auto &member : value.asObject())
            member.second = sortedKeys(std::move(member.second));
        std::ranges::sort(value.asObject(), {}, [](const auto &member) { return member.first; });
    }
    return value;
}

// What of a configuration no stage changes.
Json unchanging(Json config)
{
    const auto drop = [](Json &table, std::initializer_list<std::string_view> keys) {
        std::erase_if(table.asObject(), [&](const auto &member) { return std::ranges::find(keys, member.first) != keys.end(); });
    };
    drop(config,
        {"enable_profiling", "enable_approximation", "enable_perplexity_evaluation", "enable_harness_downstream_evaluation",
            "enable_wandb", "overwrite_checkpoint", "checkpoint_path", "visualize", "wandb", "tags"});
    for (auto &[key, value] : config.asObject()) {
        if (key == "profile" && value.isObject())
            drop(value, {"scale_dict"});
        if (key == "evaluate" && value.isObject())
            drop(value, {"low_rank_dict"});
    }
    return sortedKeys(std::move(config));
}

}  // namespace

std::shared_ptr<const LoadedModel> openLqerModel(
    const Engine &engine, const LqerConfig &config, const LqerPipelineOptions &options, const TaskContext &context)
{
    const std::string &folder = options.modelFolder.empty() ? config.modelName : options.modelFolder;
    std::error_code error;
    if (options.modelFolder.empty() && !fs::is_directory(folder, error))
        throw Error(ErrorCode::NotFound, config.file, "key 'model_name'",
            fmt::format("'{}' is no folder here: --model DIR says where the model lies", escaped(config.modelName)));
    return engine.load(folder, context);
}

std::string lqerCheckpointPath(const LqerConfig &config, const std::vector<std::string> &tags)
{
    if (!config.checkpointPath.empty())
        return fs::absolute(config.checkpointPath).lexically_normal().string();
    std::vector<std::string> all = tags;
    all.insert(all.end(), config.tags.begin(), config.tags.end());
    std::string project = config.project, name = fmt::format("{}", fmt::join(all, "_"));
    std::ranges::replace(project, '/', '-');
    std::ranges::replace(name, '/', '-');
    return fs::absolute(fs::path("checkpoints") / project / name).lexically_normal().string();
}

std::string lqerFolder(const LqerConfig &config, const LqerPipelineOptions &options, const LoadedModel &model)
{
    const std::string folder = lqerCheckpointPath(config, options.tags);
    if (resolvedPath(folder) == resolvedPath(model.summary().folder))
        throw Error(ErrorCode::Argument, config.file, "key 'checkpoint_path'",
            fmt::format("'{}' is the model's own folder", escaped(folder)));
    return folder;
}

std::shared_ptr<Project> openLqerProject(const Engine &engine, const std::string &path, const LoadedModel &model)
{
    makeFolder(fs::path(path).parent_path().string());
    if (!Project::isProject(path))
        return engine.createProject(path, model);
    auto project = engine.openProject(path);
    if (project->checkpoint().fingerprint != model.summary().fingerprint)
        throw Error(ErrorCode::Conflict, path, {},
            fmt::format("is about another model ({}): give another checkpoint_path", escaped(project->checkpoint().folder)));
    project->requireWritable();
    return project;
}

void saveLqerConfig(const Json &config, const std::string &path)
{
    makeFolder(fs::path(path).parent_path().string());
    writeFileAtomically(path, toToml(naFromNulls(config)));
}

std::optional<Json> unfinishedRun(const std::string &folder, const Json &config)
{
    std::error_code error;
    const fs::path pipeline = fs::path(folder) / "pipeline";
    if (fs::exists(pipeline / "config.toml", error))
        throw Error(ErrorCode::Conflict, pipeline.string(), {},
            "holds a finished run: --overwrite_checkpoint=:ast:True replaces it (statistics and decompositions that still fit "
            "are reused)");
    for (const char *name : afterStages) {
        const std::string path = (pipeline / name).string();
        if (!fs::exists(path, error))
            continue;
        Json saved = nullsFromNa(readTomlFile(path));
        if (!saved.isObject() || unchanging(saved) != unchanging(config))
            throw Error(ErrorCode::Conflict, path, {},
                "is of a run with another configuration: give another checkpoint_path, or --overwrite_checkpoint=:ast:True");
        return saved;
    }
    return std::nullopt;
}

}  // namespace lqer
