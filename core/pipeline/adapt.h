// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/engine.h"

namespace lqer {

// A base model and a LoRA adapter to fine-tune from, as QERA's adapt_and_save.py makes them (numerics.md F.4, G).
struct AdaptOptions {
    std::string init = "qera";           // loftq, qera, qlora, lora
    std::string scaling = "diag";        // of qera: diag, rxx
    int loftqIterations = 1;
    std::string quantType = "fp";        // nf, fp, mxint: 4-bit nf and fp as bitsandbytes with double quantization, 2-bit as LoftQ's tables
    int quantBits = 4;                   // 2, 4; mxint also 3
    Index mxintBlockSize = 32;
    Index rank = 64;
    double alpha = 128;                  // PEFT scales the adapter by alpha / rank
    double dropout = 0.1;
    std::vector<std::string> targets;    // last parts of module names, or "all-linear"; empty: all linear layers but the head
    std::uint64_t seed = 42;             // of lora's and qlora's A
    std::int64_t calibrationBatch = 2;
    bool peek = false;                   // perplexity of the adapted model on the calibration windows
    bool overwrite = false;              // an earlier result at the folder may be replaced, nothing else
};

struct AdaptResult {
    std::map<std::string, std::vector<double>> errors;  // ||W - base - scaling * lora_B lora_A||_F by layer, per iteration of LoftQ; empty for lora
    double seconds = 0;                                 // with calibration
    std::optional<PerplexityReport> postInit;
    std::vector<std::string> warnings;                  // where the official code does something else, one line for each kind
};

// Throws Error(Argument) on options that do not go together.
void checkAdaptOptions(const AdaptOptions &options);
// The format the base model's weights are kept in; none for lora.
std::optional<FormatSpec> adaptFormat(const AdaptOptions &options);
bool adaptNeedsStatistics(const AdaptOptions &options);

// PEFT's default for A, Kaiming-uniform with a = sqrt 5: uniform in (-1, 1) / sqrt(in). Element by element, row by row, from the upper 24
// bits of std::mt19937_64 seeded with the first 16 hexadecimal digits of XXH3-128("SEED LAYER"): the same for a layer whatever the others are.
Matrix kaimingA(Index rank, Index in, std::uint64_t seed, const std::string &layer);

// Writes FOLDER/base_model (dequantized, in the narrowest float type that holds it exactly), FOLDER/adapter (PEFT, float32) and
// adapt_and_save_results.yaml and adapt_and_save_args.yaml. The folder is whole afterwards or what it was before. One group of layers is in memory at a time,
// side by side as far as threads and memory allow; the same bytes whatever the number. A layer smaller than the rank gets zero components.
// project: holds (or gets) the statistics; null unless adaptNeedsStatistics(). windows: null unless that or `peek`. arguments: for the args file.
AdaptResult adaptModel(const Engine &engine, const LoadedModel &model, Project *project, const TokenWindows *windows, const AdaptOptions &options,
                       const Json &arguments, const std::string &folder, const TaskContext &context);

}  // namespace lqer
