// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/vocabulary.h"

namespace lqer {

struct BpeOptions {
    std::string unknownToken;               // "": characters that are not in the vocabulary vanish
    std::string continuingSubwordPrefix;    // of every character but a word's first
    std::string endOfWordSuffix;            // of a word's last character
    bool fuseUnknown = false;               // a run of unknown characters becomes one unknown token
    bool byteFallback = false;              // unknown characters become their bytes' tokens <0x00> ... <0xFF>
    bool ignoreMerges = false;              // a word that is a token becomes that token, whatever the merges say
};

// One rule: these two tokens, side by side, become one. Earlier rules go first.
struct BpeMerge {
    std::string left;
    std::string right;
};

// Byte-pair encoding of one word, as the model "BPE" of the tokenizers library: among the neighbours that some rule merges, the
// earliest rule goes first, and of several places with that rule the leftmost. O(n log n) in the length of the word.
class Bpe {
public:
    // `vocabulary` is closed and outlives this. Throws Error(Format) "merge #N: 'xx' is not in the vocabulary", N from 1.
    Bpe(const Vocabulary &vocabulary, const std::vector<BpeMerge> &merges, BpeOptions options);

    // Appends the word's tokens. Throws Error(Format) if a character is unknown and the unknown token is, too.
    void encode(std::string_view word, std::vector<TokenId> &ids) const;
    const BpeOptions &options() const { return m_options; }

private:
    struct Rule {
        std::uint64_t pair;  // left id, right id
        std::uint32_t rank;
        TokenId merged;
    };

    const Rule *find(TokenId left, TokenId right) const;
    void insert(const Rule &rule);
    void buildRules(const std::vector<BpeMerge> &merges);
    TokenId characterId(std::string_view character, bool first, bool last) const;
    void appendCharacters(std::string_view word, std::vector<TokenId> &ids) const;
    TokenId unknownId() const;
    void mergeShort(std::vector<TokenId> &ids, std::size_t first) const;
    void mergeLong(std::vector<TokenId> &ids, std::size_t first) const;

    const Vocabulary *m_vocabulary;
    BpeOptions m_options;
    TokenId m_unknown = Vocabulary::none;
    std::array<TokenId, 256> m_byteIds{};   // byte tokens, none if missing
    std::array<TokenId, 128> m_asciiIds{};  // single characters without prefix and suffix
    std::vector<Rule> m_rules;              // open addressing, a power of two of slots, at most half full
    std::size_t m_slotMask = 0;
};

}  // namespace lqer
