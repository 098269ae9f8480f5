// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/io/gguf.h"

namespace lqer {

// A tokenizer as the keys tokenizer.* of a GGUF file say it, and in words where llama.cpp's tokenizer is known to do otherwise
// than ours.
struct GgufTokenizer {
    GgufMetadata keys;
    std::vector<std::string> differences;  // whole sentences
};

// Byte-level BPE becomes llama.cpp's "gpt2", with the name of the rules that cut the text in front of it; BPE over text with
// marks for spaces (LLaMA 1 and 2, converted SentencePiece) becomes "llama", with scores that order its merges; a folder without
// tokenizer files becomes "none". One token for each of the embedding's `rows`. Throws what readTokenizer() throws,
// Error(Unsupported) for a tokenizer that llama.cpp has nothing for.
GgufTokenizer ggufTokenizer(const std::string &folder, std::int64_t rows);

}  // namespace lqer
