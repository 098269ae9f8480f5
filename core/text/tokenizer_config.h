// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/text/added_tokens.h"

namespace lqer {

// What tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json say besides the vocabulary. Of two
// files that say something, the first in this order counts.
struct TokenizerConfig {
    struct SpecialToken {
        bool stated = false;  // null counts as stated: there is none
        std::optional<AddedToken> token;  // its id is unknown here
    };

    std::string file;            // tokenizer_config.json, for messages; it may not exist
    std::string tokenizerClass;  // without "Fast"; "" if not stated
    SpecialToken bos;
    SpecialToken eos;
    SpecialToken unknown;
    SpecialToken pad;
    std::optional<bool> addBos;
    std::optional<bool> addEos;
    std::optional<bool> addPrefixSpace;
    bool legacy = true;                   // LlamaTokenizer: a space goes in front of the text behind every special token, too
    std::vector<AddedToken> addedTokens;  // added_tokens_decoder, else added_tokens.json

    // config.json
    std::optional<std::int64_t> modelVocabulary;  // rows of the embedding
    std::optional<TokenId> modelBos;
    std::optional<TokenId> modelEos;
    std::optional<TokenId> modelPad;

    bool isLlama() const { return tokenizerClass == "LlamaTokenizer" || tokenizerClass == "CodeLlamaTokenizer"; }
};

// Files that are not there say nothing. Throws Error(Format) for those that are broken.
TokenizerConfig readTokenizerConfig(const std::string &folder);

}  // namespace lqer
