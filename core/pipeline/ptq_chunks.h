// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/pipeline/qera_stages.h"

namespace lqer {

// How a model's layers are shared out. Counted in measured layers, which stand for all that read the same input (numerics.md B.3, F.3):
// chunk c has measured layers c, c + count, c + 2 count, ...
class ChunkPlan {
public:
    ChunkPlan(const Transformer &model, std::int64_t layersPerChunk);

    std::int64_t count() const { return m_count; }
    // "2-of-3": chunk 2 of 4.
    std::string tag(std::int64_t chunk) const;
    // Throws Error(Argument) naming the chunks there are.
    void require(std::int64_t chunk) const;
    // The measured layers, and with them every layer of theirs. Layers outside the blocks go with chunk 0.
    std::vector<const ActivationSite *> inputs(std::int64_t chunk) const;
    bool contains(std::int64_t chunk, const LinearSite &site) const;

private:
    const Transformer &m_model;
    std::int64_t m_count = 1;
    std::vector<const ActivationSite *> m_measured;
};

// What is still to be done in a folder.
struct ChunkState {
    std::vector<std::int64_t> missing;
    std::vector<std::pair<std::int64_t, std::string>>
        running;  // missing ones that a process works on: "process 1234 on HOST has it open"
};
ChunkState chunkState(const ChunkPlan &plan, const std::string &folder);

struct ChunkResult {
    std::string tag;  // of the chunk; "" without one
    std::int64_t chunks = 0;
    bool reused = false;  // the chunk was there already
    std::vector<ApproximationError> layers;  // of the chunk, or of all that were merged
    std::vector<std::int64_t> missing;  // chunks that are still to be computed
    std::string evaluating;  // who else evaluates; "" if nobody does
    std::optional<QeraResults> results;  // of the process that evaluated
    QuantizationRecipe recipe;
};

// QERA's ptq_pipeline_chunked.py. numerics.md F.3. Any number of processes, on any machines that share output_dir, each with a chunk_id of its
// own. Files: AB_dict/<tag>.safetensors (its presence is the done-mark), approximation_error/<tag>.csv, config/<tag>.yaml. The process that
// finishes the last chunk merges them (AB_dict.safetensors, approximation_error.csv, the very bytes that the unchunked pipeline writes) and
// evaluates; a call without chunk_id does so when all chunks are there and nobody has.
//
// Statistics are computed once, by whoever comes first, into output_dir/project.lqer; the others wait for it. Each chunk works in a project of
// its own, work/<tag>.lqer, from which a killed one carries on, and which goes when the chunk is done. All locks are the kernel's: nothing
// that a killed process leaves keeps anybody out. Throws Error(Conflict) if another process has this chunk, or if output_dir holds chunks of
// another run (chunks.json: model, layers, calibration).
ChunkResult runPtqChunk(const Engine &engine, const QeraRequest &request, const TaskContext &context);

}  // namespace lqer
