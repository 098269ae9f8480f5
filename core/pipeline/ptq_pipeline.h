// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/pipeline/qera_stages.h"

namespace lqer {

struct PtqResult {
    std::vector<ApproximationError> layers;  // empty where A and B came from a file, or without QERA
    QeraResults results;
    QuantizationRecipe recipe;
};

// QERA's ptq_pipeline.py: calibrate, A and B, evaluate. numerics.md F.2. Files in output_dir: approximation_error.csv (layer_name,mse,rank),
// AB_dict.safetensors, perplexity_results.yaml, lm_eval_results.yaml, config.yaml, and project.lqer, from which an interrupted run carries on.
//
// The folder must be new, empty or that of an interrupted run, unless overwrite_output_dir; then A and B that are in it are used. Each of the
// work's notes goes to the log. Throws Error(Conflict) if the folder is in use or holds other things.
PtqResult runPtq(const Engine &engine, const QeraRequest &request, const TaskContext &context);

}  // namespace lqer
