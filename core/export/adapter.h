// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/export/exporter.h"

// A and B of every corrected layer as a LoRA adapter in PEFT's layout: adapter_config.json and adapter_model.safetensors. With
// lora_A.weight = A^T (rank, in) and lora_B.weight = B^T (out, rank), PEFT computes y + scaling lora_B(lora_A(x)); alpha equals the rank in
// every layer, so scaling is 1. Sources: peft, tuners/lora and utils/other.py (get_pattern_key); exports.md C1.
namespace lqer {

// Base and adapter lie apart, because engines look for weights in the folder they are given.
inline constexpr const char *baseFolder = "base/";
inline constexpr const char *adapterFolder = "adapter/";

inline constexpr const char *adapterConfigName = "adapter_config.json";
inline constexpr const char *adapterWeightsName = "adapter_model.safetensors";

// What adapter_config.json says of a LoRA adapter.
struct AdapterSettings {
    std::string base;           // base_model_name_or_path
    Index rank = 0;
    Json alpha;                 // a number; PEFT scales by alpha / rank
    double dropout = 0;
    bool transposed = false;    // the base keeps its weights as (in, out)
    Json targets;               // module names, by their last part where that says it all
    Json rankPattern = Json::object(), alphaPattern = Json::object();
};
Json adapterConfig(const AdapterSettings &settings);
// Names of the factors' tensors; factor: "A" or "B".
std::string adapterTensor(const LinearSite &site, const char *factor);
// The modules for which `chosen` holds, by the last part of their names where it holds for every layer with that last part, else whole.
Json adapterTargets(std::span<const LinearSite> sites, const std::function<bool(const LinearSite &)> &chosen);

// The element type of the factors: "exact" is the narrowest that holds the recipe's formats of A and B.
ExportOption adapterTypeOption();
// What may be wrong with the adapter: no corrections at all, ranks that engines do not take, factors that get rounded.
std::vector<ExportProblem> adapterProblems(const ExportSource &source, const ExportOptions &options);
std::uint64_t adapterBytes(const ExportSource &source, const ExportOptions &options);
// Writes adapter/, one layer in memory at a time; nothing if the recipe corrects no layer. Begins a progress stage.
void writeAdapter(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context);
// Reads the configuration as PEFT does and holds it against the tensors: every corrected layer found, by exactly one rank. Throws Error.
void verifyAdapter(const ExportSource &source, const std::string &folder);

// The least --max-lora-rank vLLM offers that is not below `rank`; 0 if there is none.
Index vllmMaxRank(Index rank);
// What the cards of all targets with base/ and adapter/ say about them.
std::string adapterContents(const ExportSource &source, const ExportOptions &options);
std::vector<LaunchNote> adapterLaunch(const ExportSource &source);
extern const char *const bareBaseRemark;

}  // namespace lqer
