// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/pipeline/lqer_pipeline.h"

namespace lqer {

// What the stages and the chunks of LQER's pipeline share: model, folders, saved configurations.

// The model that the options or the configuration name. Throws Error(NotFound) if the name is no folder and none was given.
std::shared_ptr<const LoadedModel> openLqerModel(
    const Engine &engine, const LqerConfig &config, const LqerPipelineOptions &options, const TaskContext &context);
// The folder for the results, which must not be the model's.
std::string lqerFolder(const LqerConfig &config, const LqerPipelineOptions &options, const LoadedModel &model);
// The project at that path, made if it is not there. Throws Error(Conflict) if it is somebody else's at the moment.
std::shared_ptr<Project> openLqerProject(const Engine &engine, const std::string &path, const LoadedModel &model);

// With null as "NA", atomically; makes the folder.
void saveLqerConfig(const Json &config, const std::string &path);

// The configuration after the last stage that an unfinished run of the same configuration has completed; nothing if it has
// completed none. Throws Error(Conflict) if the folder holds another run's or a finished one.
std::optional<Json> unfinishedRun(const std::string &folder, const Json &config);

}  // namespace lqer
