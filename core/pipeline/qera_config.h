// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"
#include "core/recon/scaling.h"

namespace lqer {

// A key of QERA's YAML that is also a flag of ptq_pipeline.py or ptq_pipeline_chunked.py ("--num-workers" for num_workers).
struct QeraFlag {
    enum class Kind { Text, Integer, Switch, Texts };
    std::string_view key;
    Kind kind = Kind::Text;
    std::string_view meaning;  // one line for --help
    bool ofWhole = true;  // of ptq_pipeline.py
    bool ofChunked = true;  // of ptq_pipeline_chunked.py
    std::string option() const;  // "--num-workers"
};
std::span<const QeraFlag> qeraFlags();

// QERA's configuration with the flags that change it. A value. What it does to the layers is qera_recipe.h's. numerics.md F.2,
// F.3.
struct QeraConfig {
    std::string file;  // for messages
    Json json;  // all of it as read: what the pipeline keeps as config.yaml

    std::string modelName;  // a hub's name or a local folder
    std::int64_t workers = 8;  // of the data sets: texts are cut into as many shards (numerics.md E.1)
    std::string outputDir;  // "": results are shown only
    std::string abDict;  // A and B to use; "": computed
    std::string calibrationSet = "slim_pajama_6b";
    std::int64_t calibrationSamples = 256;  // windows
    std::int64_t batch = 4;  // windows a batch, of calibration too
    std::int64_t maxLength = 2048;  // tokens a window, of calibration too
    std::string perplexitySet = "wikitext2";
    std::vector<std::string> tasks;
    std::optional<int> fewShot;  // none: each task's own number

    bool disableQera = false, disablePerplexity = false, disableTasks = false, overwrite = false;
    std::optional<ScalingKind> scaling = ScalingKind::Diagonal;  // none: "mixed", by the map
    Json scalingMap;  // pattern of the measured layers -> mode; null without
    Json layers;  // qera_config: pattern -> name of an entry, name -> entry

    std::int64_t layersPerChunk = 8;  // measured layers
    std::optional<std::int64_t> chunkId;

    // One line each: keys that have no meaning here, and what the official code gets wrong and is done as it is meant.
    std::vector<std::string> notes;
};

// Throws Error(Format) naming file and key: unknown keys (with the nearest known), wrong types, values out of range.
QeraConfig qeraConfigFrom(const Json &json, const std::string &file);
// The YAML file; each member of `flags` replaces the key of its name.
QeraConfig readQeraConfig(const std::string &path, const Json &flags = Json::object());

}  // namespace lqer
