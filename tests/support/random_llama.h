// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "core/text/token_windows.h"

namespace lqer::test {

// The extents of a LLaMA checkpoint to make up.
struct RandomLlama {
    std::int64_t layers = 3;
    std::int64_t hidden = 48;
    std::int64_t intermediate = 80;
    std::int64_t heads = 4;
    std::int64_t kvHeads = 2;
    std::int64_t vocabulary = 64;
    std::int64_t positions = 64;
    std::uint32_t seed = 1;

    std::uint64_t bytes() const;  // of its bf16 tensors
};

// Writes config.json, one shard per block and the index; bf16, untied head. Never holds more than one block. Embedding channels are uneven,
// as trained models' are, so that scalings differ.
void writeRandomLlama(const std::string &folder, const RandomLlama &model);

// Windows of random ids, with a hash and source of their own.
TokenWindows randomWindows(const RandomLlama &model, std::int64_t count, std::int64_t length, std::uint32_t seed);

}  // namespace lqer::test
