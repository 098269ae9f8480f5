// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.h"

namespace lqer {

// Bytes [begin, end) of a text.
struct TextRange {
    std::size_t begin = 0;
    std::size_t end = 0;

    std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
};

// What tokenizer.json calls a pattern: {"String": "..."} or {"Regex": "..."}. Regular expressions are written for Oniguruma's
// Ruby syntax and run here by PCRE2 (RE2 has no lookahead, which GPT-2's and LLaMA-3's expressions need); what the two read
// differently is rewritten (\s, \w, \h, script names, (?m)), or refused where there is no equivalent. Thread-safe.
class Pattern {
public:
    static Pattern literal(std::string text);
    // `place` is for messages. Throws Error(Format) "invalid pattern at char N", "pattern too large", Error(Unsupported).
    static Pattern regex(const std::string &expression, const JsonReader &place);
    static Pattern fromJson(const JsonReader &reader);

    // All matches from left to right, not overlapping; an empty match directly behind another match is skipped.
    // Throws Error(Unsupported) if the expression needs too many steps on this text.
    std::vector<TextRange> matches(std::string_view text) const;
    std::string replaceAll(std::string_view text, std::string_view replacement) const;

private:
    struct Code;
    std::string m_literal;
    std::shared_ptr<const Code> m_code;  // null: m_literal is looked for
};

}  // namespace lqer
