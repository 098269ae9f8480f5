// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/pipeline_tokenizer.h"
#include "core/text/tokenizer_config.h"

namespace lqer {

// What tokenizer.model (sentencepiece_model.proto) says that matters here; the defaults are the proto's.
struct SentencePieceModel {
    enum class Kind : std::uint8_t { Unigram = 1, Bpe = 2, Word = 3, Char = 4 };
    enum class PieceKind : std::uint8_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };
    struct Piece {
        std::string text;
        float score = 0.0F;
        PieceKind kind = PieceKind::Normal;
    };

    std::vector<Piece> pieces;  // by id
    Kind kind = Kind::Unigram;
    bool byteFallback = false;
    std::int64_t bosId = 1;  // -1: none
    std::int64_t eosId = 2;
    std::int64_t padId = -1;
    std::string normalization;  // name of the rule: "identity", "nmt_nfkc"
    bool hasCharacterMap = false;
    bool addDummyPrefix = true;
};

// `file` is for messages. Throws Error(Format) naming the byte.
SentencePieceModel parseSentencePieceModel(std::string_view bytes, const std::string &file);

// The rules that lead to each piece, earliest first: two pieces that make a third one are a rule, and the better the third
// one's score, the earlier. Mirrors generate_merges of transformers' convert_slow_tokenizer.py.
std::vector<BpeMerge> mergesOf(const SentencePieceModel &model);

// A BPE model as transformers' LlamaConverter turns it into a tokenizer; no library is used, because libsentencepiece strips
// spaces where the converted tokenizer keeps them (remove_extra_whitespaces) and needs seconds for a megabyte.
// Throws Error(Format), Error(Unsupported) for Unigram models and models with a character map.
TokenizerParts readSentencePieceTokenizer(const std::string &path, TokenizerConfig config);

}  // namespace lqer
