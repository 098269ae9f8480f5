// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lqer {

// Characters of UTF-8 text and the properties tokenizers ask for. Every function but replaceInvalidUtf8 expects valid UTF-8.

// Bytes of the character that begins with this byte.
std::size_t characterLength(char firstByte);
// The character at `position`, which moves behind it.
char32_t nextCharacter(std::string_view text, std::size_t &position);
void appendCharacter(std::string &text, char32_t character);
// Each maximal ill-formed part becomes one U+FFFD (Unicode 15, 3.9), as from_utf8_lossy of the tokenizers library does.
std::string replaceInvalidUtf8(std::string_view bytes);

bool isWhiteSpace(char32_t character);   // property White_Space
bool isNumeric(char32_t character);      // categories Nd, Nl, No
bool isPunctuation(char32_t character);  // categories P*, and the ASCII symbols that Python's string.punctuation has
bool isMark(char32_t character);         // categories M*

std::string lowercase(std::string_view text);
std::string uppercase(std::string_view text);  // one character for each: "ß" stays

enum class NormalForm { C, D, KC, KD };
std::string normalize(std::string_view text, NormalForm form);

}  // namespace lqer
