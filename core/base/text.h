// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lqer {

// File-supplied text made safe for a terminal, a log or a label: control characters, bidirectional overrides and invalid
// UTF-8 become escapes, and anything past maxLength bytes becomes "...".
std::string escaped(std::string_view text, std::size_t maxLength = 200);

// True if every byte sequence is well-formed UTF-8 (no overlong forms, no surrogates). badByte: offset of the first fault.
bool isValidUtf8(std::string_view text, std::size_t *badByte = nullptr);

// The candidate closest to `name` (Levenshtein distance at most a third of its length, but one edit always), or "" if none
// is near.
std::string nearest(std::string_view name, std::span<const std::string> candidates);

// "1.2 GB", "340 kB": decimal units, three digits.
std::string formatBytes(double bytes);

}  // namespace lqer
