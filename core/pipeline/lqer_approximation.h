// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/pipeline/lqer_config.h"

namespace lqer {

// A row of the official results table.
struct ApproximationRow {
    std::string name;  // of the weight: "model.layers.0.self_attn.q_proj.weight"
    std::int64_t rank = 0;
    double error
        = 0;  // mean of |A B - E|, with E as the method defines it: (W - W_q)^T for lqer-svd, scaled by diag(s) for lqer-act
    std::int64_t out = 0, in = 0;
    friend bool operator==(const ApproximationRow &, const ApproximationRow &) = default;
};

// name,rank,l1_norm(AB-Q_error_T)/n,w_dim0,w_dim1, as the official pickle has them.
void writeApproximationTable(const std::string &path, std::span<const ApproximationRow> rows);
// Throws Error(Format) naming file and line.
std::vector<ApproximationRow> readApproximationTable(const std::string &path);
// pandas' describe() of the four columns of numbers.
void writeApproximationSummary(const std::string &path, std::span<const ApproximationRow> rows);

struct ApproximationFiles {
    std::string lowRank;  // A and B
    std::string errors;  // "<weight>": E^T's transpose (in, out), float32: as large as the weights; "" to leave it out
};

// Decomposes these layers as the configuration says, with the scales of profile.scale_dict where the method has some, and writes
// A and B, quantized, and the errors they approximate, layer by layer in this order. What the project has is not computed again.
std::vector<ApproximationRow> approximateLayers(const Engine &engine, const LqerConfig &config, const LoadedModel &model,
    Project &project, std::span<const LinearSite *const> layers, const ApproximationFiles &files, const TaskContext &context);

}  // namespace lqer
