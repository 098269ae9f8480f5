// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/recon/scaling.h"

namespace lqer {

// A text that a stage of LQER's pipeline runs over. numerics.md E.1, F.1.
struct LqerText {
    std::string dataSet;  // "wikitext2", "slim_pajama_6b", or a text file
    std::int64_t maxLength = 2048;  // tokens a window
    std::int64_t batch = 4;  // windows a batch
    std::int64_t samples = 0;  // windows, whole batches of them; 0: all
    std::int64_t rawSamples = 0;  // rows of the split; 0: all
};

struct LqerTasks {
    std::vector<std::string> tasks;
    int fewShot = 0;
};

// LQER's configuration (pipeline.py's TOML) with its overrides. A value. What the layers get is lqer_recipe.h's.
struct LqerConfig {
    std::string file;  // for messages
    Json json;  // all of it, "NA" as null: what the pipeline saves after each stage

    std::string project;
    std::string modelName;  // Hugging Face's; see --model
    std::vector<std::string> tags;  // of the configuration, then of [wandb]
    std::string checkpointPath;  // "": checkpoints/<project>/<tags>
    bool overwrite = false;

    bool profiling = false, approximation = false, perplexityEvaluation = false, tasksEvaluation = false;

    LqerText profile;
    std::string scaleDict;  // read when profiling is off
    ScalingKind scaling = ScalingKind::MeanAbs;
    std::int64_t chunkSize = 0, chunkIndex = 0;  // 0: not stated
    bool disableLqer = false;
    std::vector<std::string> lowRankDict;  // read when approximation is off
    LqerText perplexity;
    LqerTasks tasks;

    // One line each: keys that have no meaning here, and what is broken in the official code or file and done as it is meant.
    std::vector<std::string> notes;
};

// Throws Error(Format) naming file and key: unknown keys (with the nearest known), wrong types, values out of range.
LqerConfig lqerConfigFrom(const Json &json, const std::string &file);
// The TOML file with overrides ("--a:b:c=value", config_overrides.h).
LqerConfig readLqerConfig(const std::string &path, std::span<const std::string> overrides = {});

}  // namespace lqer
