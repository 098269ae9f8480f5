// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace lqer {

// GPT-2's writing of bytes as printable characters: bytes that print stand for themselves, the other 68 are U+0100 ... U+0143
// in order. So vocabularies of byte-level BPE are text. Source: encoder.py of openai/gpt-2.
std::string bytesToCharacters(std::string_view bytes);
// Appends the bytes that `text` writes; false (and nothing appended) if a character stands for no byte.
bool appendBytes(std::string_view text, std::string &bytes);

}  // namespace lqer
