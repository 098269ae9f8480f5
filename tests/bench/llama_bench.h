// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/io/gguf.h"
#include "tests/bench/bench.h"

namespace lqer::bench {

struct LlamaRun {
    std::string folder, name;  // of the checkpoint; what its GGUF files are called
    GgmlType type = GgmlType::F32;  // of the matrices: F32, BF16 or Q8_0
    std::int64_t length = 0;   // tokens of a prompt
    int repetitions = 3;
};
// Tokens per second of llama.cpp's llama-bench (Options::llamaBench) on a GGUF file that is made from the checkpoint if it is not there
// yet. One thread: of processor time, without loading and warm-up (the difference of two runs). More: by the clock, the best
// repetition, as it says itself.
double llamaBenchRate(const Options &options, const LlamaRun &run, int threads);

}  // namespace lqer::bench
