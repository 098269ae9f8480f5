// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/bench.h"

namespace lqer::bench {

// Tokens per second of processor time of llama.cpp's llama-bench (Options::llamaBench), prompts of `length` tokens, one thread, on a
// GGUF file with float32 weights that is made from the checkpoint in `folder` if it is not there yet. Loading and the warm-up are left
// out: the difference of two runs.
double llamaBenchRate(const Options &options, const std::string &folder, const std::string &name, std::int64_t length);

}  // namespace lqer::bench
