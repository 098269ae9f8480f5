// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/normalizer.h"
#include "core/text/vocabulary.h"

namespace lqer {

// A token that is cut out of the text before the model sees it.
struct AddedToken {
    std::string content;
    TokenId id = Vocabulary::none;
    bool special = false;     // left out when decoding without special tokens
    bool normalized = false;  // looked for in the normalized text, in its normalized form
    bool singleWord = false;  // only where no word character is next to it
    bool lstrip = false;      // swallows the white space on its left
    bool rstrip = false;      // ... on its right
};

// A stretch of text that is one added token (id), or that is not (Vocabulary::none).
struct TextSection {
    std::string_view text;
    TokenId id = Vocabulary::none;
};

// The added tokens of a tokenizer: at each place the longest one counts, from left to right.
// Mirrors AddedVocabulary of the tokenizers library.
class AddedTokens {
public:
    AddedTokens() = default;
    // Throws Error(Format) for an empty token, one longer than 4 kB or an id used twice. A later token of the same content
    // replaces the earlier one. `file` is for messages.
    AddedTokens(std::vector<AddedToken> tokens, const Normalizer &normalizer, const std::string &file);

    // Cuts the text as the user gave it. Sections are not empty.
    std::vector<TextSection> splitRaw(std::string_view text) const { return split(text, m_raw); }
    // Cuts one normalized section.
    std::vector<TextSection> splitNormalized(std::string_view text) const { return split(text, m_normalized); }

    const AddedToken *find(TokenId id) const;
    const AddedToken *find(std::string_view content) const;
    const std::vector<AddedToken> &tokens() const { return m_tokens; }
    // Largest id + 1; 0 without tokens.
    std::int64_t size() const;

private:
    // Letters are bytes; node 0 is the root.
    class Trie {
    public:
        void add(std::string_view text, std::size_t token);
        // Index of the longest token at `at`, its end in `end`; npos if there is none.
        std::size_t longest(std::string_view text, std::size_t at, std::size_t &end) const;
        // First place from `at` where a token may begin.
        std::size_t candidate(std::string_view text, std::size_t at) const;
        bool empty() const { return m_tokenOf.size() == 1; }

    private:
        std::unordered_map<std::uint64_t, std::uint32_t> m_edges;  // node << 8 | byte
        std::vector<std::size_t> m_tokenOf{std::string_view::npos};
        std::array<bool, 256> m_begins{};
    };

    std::vector<TextSection> split(std::string_view text, const Trie &trie) const;

    std::vector<AddedToken> m_tokens;
    std::unordered_map<TokenId, std::size_t> m_byId;
    Trie m_raw;
    Trie m_normalized;
};

}  // namespace lqer
