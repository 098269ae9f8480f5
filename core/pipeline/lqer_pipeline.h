// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/pipeline/lqer_config.h"

namespace lqer {

struct LqerPipelineOptions {
    std::string modelFolder;  // where the model lies; "": model_name if that is a folder
    std::string dataFolder;  // of data sets by name; "": see officialWindows()
    std::vector<std::string> tags;  // in front of the configuration's
    bool keepErrors = true;  // error_T_dict, which is as large as the weights
    // What is being done and how it was meant, a line each; on the calling thread.
    std::function<void(const std::string &line)> say;
};

struct LqerPipelineResult {
    std::string folder;  // what checkpoint_path says, absolute
    Json config;  // as saved at the end
    std::optional<Json> perplexity;  // officialResult()
    std::optional<Json> tasks;       // as lm-eval writes it
    std::string taskTable;           // the same for people
};

// LQER's pipeline.py: profile -> approximate -> perplexity -> tasks, each if its switch is on (numerics.md F.1). Writes under
// checkpoint_path
//   profile/scale_dict.safetensors
//   approximate/{low_rank_dict,error_T_dict}.safetensors, results.csv, results_summary.csv
//   evaluate_perplexity/<data set>.json, evaluate_harness_downstream/harness_results[_n].json
//   pipeline/config_after_<stage>.toml, pipeline/config.toml    the configuration with the switch of what is done set false
//   project.lqer                                                the engine's project: statistics and decompositions are reused
// A run that was stopped carries on with the same configuration. A finished one is refused unless overwrite_checkpoint is set.
// Throws Error, Cancelled.
LqerPipelineResult runLqerPipeline(
    const Engine &engine, LqerConfig config, const LqerPipelineOptions &options, const TaskContext &context);

// Layers [chunkIndex * chunkSize, (chunkIndex + 1) * chunkSize) of the approximation only, as chunked_approximate.py: each chunk
// may be another process. Writes approximate/{low_rank_dict,error_T_dict,results,config}/chunk_<i>_of_<last>.*; a chunk that is
// there already is left alone. Needs profile.scale_dict where the method has scales. Returns the label.
std::string runLqerChunk(
    const Engine &engine, const LqerConfig &config, const LqerPipelineOptions &options, const TaskContext &context);

// What merge_chunks.py means: results of all chunks in one table, and pipeline/config.toml with the lists of their files,
// profiling and approximation switched off. Throws Error(NotFound) naming the chunks that are missing. Returns the
// configuration's path.
std::string mergeLqerChunks(const std::string &checkpointPath);

// checkpoint_path, or checkpoints/<project>/<tags joined by _> in the current folder.
std::string lqerCheckpointPath(const LqerConfig &config, const std::vector<std::string> &tags);

}  // namespace lqer
